"""Parses a URL once into the request tuple that authorization, admission and dispatch all use.

Source: Kubernetes' RequestInfo (apiserver pkg/endpoints/request) and the API concepts page on resource URIs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from minikube_py.objects.selectors import FieldSelector
from minikube_py.resources.kind import GVR


@dataclass(frozen=True)
class RequestInfo:
    """What a request is about. For non-resource requests only path and verb are set.

    The selectors are the query string's, for list, watch and deletecollection: nodes may list only with the right one.
    """

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    parts: tuple[str, ...] = field(default=())
    field_selector: str = ""
    label_selector: str = ""

    @property
    def gvr(self) -> GVR:
        return GVR(self.group, self.version, self.resource)


@dataclass(frozen=True)
class UserInfo:
    """Who asks. `extra` as in authentication.k8s.io/v1 UserInfo."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        user: dict[str, Any] = {"username": self.name}
        if self.uid:
            user["uid"] = self.uid
        if self.groups:
            user["groups"] = list(self.groups)
        if self.extra:
            user["extra"] = {k: list(v) for k, v in self.extra.items()}
        return user


_REMEMBERED_LENGTH = 512
_NO_QUERY: Mapping[str, str] = {}
NO_VERB = ""
"""The verb of an HTTP method that the API gives no meaning: only rules for every verb allow it."""
_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# Subresources of the namespace object itself: anything else behind /namespaces/NAME/ is a resource in that namespace.
_NAMESPACE_SUBRESOURCES = frozenset(("status", "finalize"))


def parse_request(path: str, method: str, query: Mapping[str, str] = _NO_QUERY) -> RequestInfo:
    """The request tuple of a decoded URL path. Paths outside /api and /apis keep their method as the verb."""
    if not query and len(path) < _REMEMBERED_LENGTH:
        return _parse_plain(path, method)
    return _parse(path, method, query)


def _parse(path: str, method: str, query: Mapping[str, str]) -> RequestInfo:
    plain = RequestInfo(path=path, verb=method.lower())
    segments = path.strip("/").split("/")
    if segments[0] == "api" and len(segments) >= 3:
        group, version, rest = "", segments[1], segments[2:]
    elif segments[0] == "apis" and len(segments) >= 4:
        group, version, rest = segments[1], segments[2], segments[3:]
    else:
        return plain
    verb = _VERBS.get(method, NO_VERB)
    if rest[0] in ("watch", "proxy") and len(rest) > 1:
        verb, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    fields, labels = query.get("fieldSelector", ""), query.get("labelSelector", "")
    if not name:
        verb = _collection_verb(verb, query)
        if verb in ("list", "watch"):
            name = single_name(fields)
    elif verb == "watch":
        fields = f"metadata.name={name}"
    return RequestInfo(
        path=path,
        verb=verb,
        is_resource=True,
        group=group,
        version=version,
        resource=rest[0],
        subresource=subresource,
        namespace=namespace,
        name=name,
        parts=tuple(rest),
        field_selector=fields,
        label_selector=labels,
    )


@lru_cache(maxsize=4096)
def _parse_plain(path: str, method: str) -> RequestInfo:
    """Clients ask for the same things again and again."""
    return _parse(path, method, _NO_QUERY)


def is_true(text: str | None) -> bool:
    """A boolean query parameter: present and not false or 0, as Kubernetes reads it."""
    return text is not None and text.lower() not in ("false", "0")


def _collection_verb(verb: str, query: Mapping[str, str]) -> str:
    if verb == "get":
        return "watch" if is_true(query.get("watch")) else "list"
    return "deletecollection" if verb == "delete" else verb


def single_name(field_selector: str) -> str:
    """The name that a list or watch is limited to, so that a rule on one name allows it."""
    if "metadata.name" not in field_selector:
        return ""
    try:
        return FieldSelector.parse(field_selector).exact("metadata.name") or ""
    except ValueError:
        return ""
