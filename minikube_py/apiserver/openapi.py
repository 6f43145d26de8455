"""Serves the OpenAPI documents: version 3 by group version, and version 2 as a whole; made when first asked for.

Source: kube-openapi handler and handler3 (index, hashes, caching), KEP-2896.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from datetime import timedelta
from email.utils import format_datetime
from typing import Protocol

import orjson

from minikube_py import clock
from minikube_py.apiserver import openapi_protobuf
from minikube_py.apiserver.codecs import JSON
from minikube_py.apiserver.conditional import choose, reply_with_document
from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.apiserver.openapi_paths import (
    list_name,
    path_parameters_v2,
    path_parameters_v3,
    paths_of,
    schema_name,
    write_v2,
    write_v3,
)
from minikube_py.apiserver.openapi_schemas import closure, head_v2, head_v3, plain_v2, schemas_v2, schemas_v3, with_head
from minikube_py.objects.errors import Object, UnknownPath
from minikube_py.resources.kind import ResourceKind
from minikube_py.resources.registry import KindRegistry
from minikube_py.resources.schema_table import definition_of, definitions

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_ALWAYS = tuple(_META + name for name in ("Status", "DeleteOptions", "WatchEvent", "Patch", "APIResourceList"))
_IMMUTABLE = "public, immutable"

CustomSchema = Callable[[ResourceKind], Object | None]


class Head(Protocol):
    """Gives the properties that all objects or lists have."""

    def __call__(self, *, is_list: bool = False) -> Object: ...


class OpenApi:
    """The documents of one registry. custom_schema gives the schema of kinds that the table doesn't know."""

    def __init__(self, registry: KindRegistry, version: str, custom_schema: CustomSchema | None = None) -> None:
        self._registry = registry
        self._version = version
        self._custom_schema = custom_schema or (lambda _kind: None)
        self._documents: dict[str, tuple[bytes, str]] = {}
        self._index: dict[str, str] | None = None
        self.others: Callable[[], list[Object]] = list
        """The APIResourceLists of the group versions that other servers serve: they have their own documents."""
        registry.subscribe(self._forget)

    def _forget(self) -> None:
        self._index = None
        self._documents.pop("v2", None)
        self._documents.pop("v2 protobuf", None)

    async def v3_index(self, request: HttpRequest) -> Reply:
        """/openapi/v3"""
        paths = {key: {"serverRelativeURL": f"/openapi/v3/{key}?hash={tag}"} for key, tag in self._hashes().items()}
        for document in self.others():
            path = f"apis/{document['groupVersion']}"
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}"}
        data = orjson.dumps({"paths": paths})
        return reply_with_document(request, data, _tag_of(data), JSON)

    async def v3_document(self, request: HttpRequest) -> Reply:
        """/openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION; with the right hash it never changes."""
        choose(request.headers.get("accept", ""), (JSON,))
        key = request.path.removeprefix("/openapi/v3/").strip("/")
        tag = self._hashes().get(key)
        if tag is None:
            raise UnknownPath
        wanted = request.query.get("hash")
        if wanted and wanted != tag:
            return Reply(code=301, headers={"Location": f"/openapi/v3/{key}?hash={tag}", "Vary": "Accept"})
        kept = self._documents.get(key)
        if kept is None or kept[1] != tag:
            segments = key.split("/")
            group, version = ("", segments[1]) if segments[0] == "api" else (segments[1], segments[2])
            kinds = self._registry.in_group_version(group, version)
            kept = (await asyncio.to_thread(self._write_v3, kinds), tag)
            self._documents[key] = kept
        reply = reply_with_document(request, kept[0], f'"{tag}"', JSON)
        if wanted:
            reply.headers["Cache-Control"] = _IMMUTABLE
            reply.headers["Expires"] = format_datetime(clock.now() + timedelta(days=365), usegmt=True)
        return reply

    async def v2(self, request: HttpRequest) -> Reply:
        """/openapi/v2, in JSON or in protobuf. The tag is of the JSON text, whichever form goes out."""
        form = choose(request.headers.get("accept", ""), (JSON, *openapi_protobuf.ACCEPTED))
        kept = self._documents.get("v2")
        if kept is None:
            data = await asyncio.to_thread(self._write_v2, self._registry.all())
            kept = self._documents["v2"] = (data, _tag_of(data))
        data, tag = kept
        if form == JSON:
            return reply_with_document(request, data, tag, JSON)
        encoded = self._documents.get("v2 protobuf")
        if encoded is None or encoded[1] != tag:
            encoded = (await asyncio.to_thread(_to_protobuf, data), tag)
            self._documents["v2 protobuf"] = encoded
        return reply_with_document(request, encoded[0], tag, openapi_protobuf.MEDIA_TYPE)

    def _hashes(self) -> dict[str, str]:
        """A hash for each document, of all that goes into it, so that an index needs no document to be made."""
        if self._index is None:
            found: dict[str, str] = {}
            for group, version in self._registry.group_versions():
                key = f"apis/{group}/{version}" if group else f"api/{version}"
                kinds = self._registry.in_group_version(group, version)
                text = self._version + "\n".join(self._fingerprint(kind) for kind in kinds)
                found[key] = hashlib.sha512(text.encode()).hexdigest().upper()
            self._index = found
        return self._index

    def _fingerprint(self, kind: ResourceKind) -> str:
        schema = orjson.dumps(self._custom_schema(kind)).decode() if kind.custom else ""
        return f"{kind.gvr}{kind.kind}{kind.verbs}{sorted(kind.subresources)}{schema}"

    def _write_v3(self, kinds: list[ResourceKind]) -> bytes:
        schemas = schemas_v3(closure(_definition_names(kinds)))
        schemas.update(self._custom_schemas(kinds, "#/components/schemas/", lambda schema: schema, head_v3))
        paths: Object = {}
        for kind in kinds:
            paths.update(paths_of(kind, write_v3))
        for entry in paths.values():
            if "parameters" in entry:
                entry["parameters"] = path_parameters_v3(entry["parameters"])
        document = {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": paths,
            "components": {"schemas": schemas},
        }
        return orjson.dumps(document)

    def _write_v2(self, kinds: list[ResourceKind]) -> bytes:
        schemas = schemas_v2(definitions())
        schemas.update(self._custom_schemas(kinds, "#/definitions/", plain_v2, head_v2))
        paths: Object = {}
        for kind in kinds:
            paths.update(paths_of(kind, write_v2))
        for entry in paths.values():
            if "parameters" in entry:
                entry["parameters"] = path_parameters_v2(entry["parameters"])
        document = {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": paths,
            "definitions": schemas,
        }
        return orjson.dumps(document)

    def _custom_schemas(
        self, kinds: Iterable[ResourceKind], prefix: str, convert: Callable[[Object], Object], head: Head
    ) -> Object:
        found: Object = {}
        for kind in kinds:
            if kind.schema in definitions():
                continue
            name = schema_name(kind)
            gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
            schema = self._custom_schema(kind) or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            body = dict(convert(with_head(schema, head())))
            # Where anything may stand, version 2 has no properties: kubectl would take them for all there are.
            if kind.custom and "properties" in body:
                body["properties"] = {**(body.get("properties") or {}), **head()}
            found[name] = {**body, "x-kubernetes-group-version-kind": [gvk]}
            found[list_name(kind)] = {
                "type": "object",
                "required": ["items"],
                "properties": {
                    **head(is_list=True),
                    "items": {"type": "array", "items": {"$ref": f"{prefix}{name}"}},
                },
                "x-kubernetes-group-version-kind": [{**gvk, "kind": f"{kind.kind}List"}],
            }
        return found


def _definition_names(kinds: Iterable[ResourceKind]) -> list[str]:
    names = [*_ALWAYS, _META + "ListMeta", _META + "ObjectMeta"]
    for kind in kinds:
        names += [kind.schema, list_name(kind)]
        names += [definition_of(*sub.kind) or "" for sub in kind.subresources.values()]
    return names


def _to_protobuf(document: bytes) -> bytes:
    return openapi_protobuf.encode(orjson.loads(document))


def _tag_of(data: bytes) -> str:
    return f'"{hashlib.sha512(data).hexdigest().upper()}"'
