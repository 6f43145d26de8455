"""Tells clients which groups, versions and resources are served: the classic documents and aggregated discovery.

Source: the API concepts page on discovery, KEP-3352, apimachinery meta/v1 APIGroupList and apidiscovery/v2.
"""

import base64
import hashlib
from collections.abc import Callable

import orjson

from minikube_py.apiserver.codecs import Format, encode, negotiate, not_acceptable
from minikube_py.apiserver.conditional import reply_with_document
from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.objects.errors import NotAcceptable, Object, UnknownPath
from minikube_py.resources.kind import GVK, ResourceKind, Subresource
from minikube_py.resources.registry import KindRegistry

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
_VERSIONS = ("v2", "v2beta1")


class Discovery:
    """The discovery documents of one registry, made when they are first asked for and again when kinds change."""

    def __init__(self, registry: KindRegistry, server_address: str = "") -> None:
        self._registry = registry
        self._address = server_address
        self._made: dict[tuple[str, ...], Object] = {}
        self._encoded: dict[tuple[str, ...], tuple[bytes, str]] = {}
        self.others: Callable[[], list[Object]] = list
        """The APIResourceLists of the group versions that other servers serve."""
        registry.subscribe(self.forget)

    def forget(self) -> None:
        """Make the documents anew."""
        self._made.clear()
        self._encoded.clear()

    async def api(self, request: HttpRequest) -> Reply:
        """/api"""
        return self._reply(request, ("api",), is_core=True)

    async def apis(self, request: HttpRequest) -> Reply:
        """/apis"""
        return self._reply(request, ("apis",), is_core=False)

    async def group(self, request: HttpRequest) -> Reply:
        """/apis/GROUP"""
        group = request.path.strip("/").split("/")[1]
        for body in self._groups():
            if body["name"] == group:
                return _plain(request, {"kind": "APIGroup", "apiVersion": "v1", **body})
        raise UnknownPath

    async def version(self, request: HttpRequest) -> Reply:
        """/api/v1 and /apis/GROUP/VERSION"""
        segments = request.path.strip("/").split("/")
        group, version = ("", segments[1]) if segments[0] == "api" else (segments[1], segments[2])
        if (group, version) not in self._registry.group_versions():
            raise UnknownPath
        place = ("version", group, version)
        if place not in self._made:
            self._made[place] = resource_list(self._registry, group, version)
        return _plain(request, self._made[place])

    def _reply(self, request: HttpRequest, place: tuple[str, ...], *, is_core: bool) -> Reply:
        version = aggregated_version(request.headers.get("accept", ""))
        if not version:
            if place not in self._made:
                self._made[place] = self._core_versions() if is_core else self._group_list()
            return _plain(request, self._made[place])
        place = (*place, version)
        if place not in self._encoded:
            document = aggregated(self._registry, version, is_core=is_core)
            if not is_core:
                _add_others(document["items"], self.others())
            data = orjson.dumps(document)
            self._encoded[place] = (data, f'"{hashlib.sha512(data).hexdigest().upper()}"')
        data, tag = self._encoded[place]
        return reply_with_document(request, data, tag, _AGGREGATED.format(version=version))

    def _core_versions(self) -> Object:
        versions = [version for group, version in self._registry.group_versions() if not group]
        return {
            "kind": "APIVersions",
            "versions": versions,
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}],
        }

    def _group_list(self) -> Object:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": self._groups()}

    def _groups(self) -> list[Object]:
        groups: dict[str, list[Object]] = {}
        others = [tuple(document["groupVersion"].split("/")) for document in self.others()]
        for group, version in [*self._registry.group_versions(), *others]:
            if group:
                entry = {"groupVersion": f"{group}/{version}", "version": version}
                groups.setdefault(group, []).append(entry)
        return [
            {"name": name, "versions": versions, "preferredVersion": versions[0]} for name, versions in groups.items()
        ]


def aggregated_version(accept: str) -> str:
    """The version of aggregated discovery that the client prefers over the classic form; '' for none."""
    for clause in accept.split(","):
        media_type, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.partition("=")[::2] for part in rest)
        if media_type not in ("application/json", "*/*", "application/*"):
            continue
        if parameters.get("as") != "APIGroupDiscoveryList":
            if "as" in parameters:
                continue
            return ""
        if parameters.get("g") == "apidiscovery.k8s.io" and parameters.get("v") in _VERSIONS:
            return parameters["v"]
    return ""


def _plain(request: HttpRequest, document: Object) -> Reply:
    try:
        form = negotiate(request.headers.get("accept", ""))
    except NotAcceptable:
        # Discovery clients ask for forms that only the two aggregated documents have.
        form = Format()
    if form.transform:
        raise not_acceptable()
    return Reply(encode(document, form), content_type=form.content_type)


# --- documents -------------------------------------------------------------------------------------------------------


def resource_list(registry: KindRegistry, group: str, version: str) -> Object:
    """metav1.APIResourceList of one group version."""
    resources: list[Object] = []
    for kind in registry.in_group_version(group, version):
        resources.append(_resource(kind))
        resources += [_subresource(kind, sub) for _, sub in sorted(kind.subresources.items())]
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _resource(kind: ResourceKind) -> Object:
    body: Object = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        body["shortNames"] = list(kind.short_names)
    if kind.categories:
        body["categories"] = list(kind.categories)
    if "get" in kind.verbs:
        body["storageVersionHash"] = storage_hash(kind.storage_gvk)
    return body


def storage_hash(gvk: GVK) -> str:
    """A short text that changes when objects are stored in another version."""
    digest = hashlib.sha256(f"{gvk.group}/{gvk.version}/{gvk.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _subresource(kind: ResourceKind, sub: Subresource) -> Object:
    body: Object = {
        "name": f"{kind.plural}/{sub.name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": sub.kind.kind,
        "verbs": sorted(sub.verbs),
    }
    if (sub.kind.group, sub.kind.version) != (kind.group, kind.version):
        if sub.kind.group:
            body["group"] = sub.kind.group
        body["version"] = sub.kind.version
    return body


def aggregated(registry: KindRegistry, version: str, *, is_core: bool) -> Object:
    """apidiscovery APIGroupDiscoveryList: every group with its versions and their resources."""
    groups: dict[str, list[Object]] = {}
    for group, group_version in registry.group_versions():
        if bool(group) is not is_core:
            resources = [_discovered(kind) for kind in registry.in_group_version(group, group_version)]
            entry = {"version": group_version, "resources": resources, "freshness": "Current"}
            groups.setdefault(group, []).append(entry)
    items = [
        {"metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None}, "versions": v}
        for name, v in groups.items()
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _discovered(kind: ResourceKind) -> Object:
    body: Object = {
        "resource": kind.plural,
        "responseKind": _response_kind(kind.gvk),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
    }
    if kind.short_names:
        body["shortNames"] = list(kind.short_names)
    if kind.categories:
        body["categories"] = list(kind.categories)
    if kind.subresources:
        body["subresources"] = [
            {"subresource": name, "responseKind": _response_kind(sub.kind), "verbs": sorted(sub.verbs)}
            for name, sub in sorted(kind.subresources.items())
        ]
    return body


def _add_others(groups: list[Object], documents: list[Object]) -> None:
    """Adds what other servers serve, whose lists are of the classic form."""
    for document in documents:
        group, version = document["groupVersion"].split("/")
        entry = {"version": version, "resources": _from_classic(document, group, version), "freshness": "Current"}
        known = next((item for item in groups if item["metadata"].get("name") == group), None)
        if known is None:
            groups.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": [entry]})
        else:
            known["versions"].append(entry)


def _from_classic(document: Object, group: str, version: str) -> list[Object]:
    found: dict[str, Object] = {}
    for resource in document.get("resources") or ():
        name, _, subresource = resource["name"].partition("/")
        gvk = GVK(resource.get("group") or group, resource.get("version") or version, resource.get("kind", ""))
        body: Object = {"responseKind": _response_kind(gvk), "verbs": resource.get("verbs") or []}
        if subresource:
            if name in found:
                found[name].setdefault("subresources", []).append({"subresource": subresource, **body})
            continue
        scope = "Namespaced" if resource.get("namespaced") else "Cluster"
        found[name] = {"resource": name, "scope": scope, "singularResource": resource.get("singularName", ""), **body}
        for key in ("shortNames", "categories"):
            if resource.get(key):
                found[name][key] = resource[key]
    return list(found.values())


def _response_kind(gvk: GVK) -> Object:
    return {"group": gvk.group, "version": gvk.version, "kind": gvk.kind}
