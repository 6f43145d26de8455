"""Describes the server's paths in OpenAPI: which verbs each resource has and which parameters they take."""

from collections.abc import Callable
from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVK, ResourceKind, Subresource
from minikube_py.resources.schema_table import definition_of

_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_BODIES = ("application/json", "application/yaml")
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_WRITE = (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"))
_LIST = (
    ("allowWatchBookmarks", "boolean"), ("continue", "string"), ("fieldSelector", "string"),
    ("labelSelector", "string"), ("limit", "integer"), ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"), ("sendInitialEvents", "boolean"), ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
)  # fmt: skip
_DELETE = (
    ("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
)  # fmt: skip

Operation = tuple[str, str, tuple[tuple[str, str], ...], str, str]
"""(HTTP method, x-kubernetes-action, query parameters, body definition, answer definition)"""


def schema_name(kind: ResourceKind) -> str:
    return kind.schema or f"{'.'.join(reversed(kind.group.split('.')))}.{kind.version}.{kind.kind}"


def list_name(kind: ResourceKind) -> str:
    return schema_name(kind) + "List"


def paths_of(kind: ResourceKind, write: Callable[[Operation, GVK, ResourceKind], Object]) -> Object:
    """The paths of one resource; `write` makes a document's form of one operation."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    base = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    paths: Object = {}
    _add(paths, base, _collection(kind), kind, kind.gvk, write)
    _add(paths, base + "/{name}", _item(kind), kind, kind.gvk, write)
    if kind.namespaced and "list" in kind.verbs:
        listing = [op for op in _collection(kind) if op[1] == "list"]
        _add(paths, f"{root}/{kind.plural}", listing, kind, kind.gvk, write)
    for name, sub in sorted(kind.subresources.items()):
        _add(paths, f"{base}/{{name}}/{name}", _subresource(kind, sub), kind, sub.kind, write)
    return paths


def _add(
    paths: Object,
    path: str,
    operations: list[Operation],
    kind: ResourceKind,
    gvk: GVK,
    write: Callable[[Operation, GVK, ResourceKind], Object],
) -> None:
    if not operations:
        return
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    entry: Object = {operation[0]: write(operation, gvk, kind) for operation in operations}
    if names:
        entry["parameters"] = names
    paths[path] = entry


def _collection(kind: ResourceKind) -> list[Operation]:
    name, found = schema_name(kind), list[Operation]()
    if "list" in kind.verbs:
        found.append(("get", "list", _LIST, "", list_name(kind)))
    if "create" in kind.verbs:
        found.append(("post", "post", _WRITE, name, name))
    if "deletecollection" in kind.verbs:
        found.append(("delete", "deletecollection", (*_LIST, *_DELETE[1:]), _META + "DeleteOptions", _META + "Status"))
    return found


def _item(kind: ResourceKind) -> list[Operation]:
    name, found = schema_name(kind), list[Operation]()
    if "get" in kind.verbs:
        found.append(("get", "get", (), "", name))
    if "update" in kind.verbs:
        found.append(("put", "put", _WRITE, name, name))
    if "patch" in kind.verbs:
        found.append(("patch", "patch", (*_WRITE, ("force", "boolean")), _META + "Patch", name))
    if "delete" in kind.verbs:
        found.append(("delete", "delete", _DELETE, _META + "DeleteOptions", _META + "Status"))
    return found


_SUB_METHODS = {"get": "get", "update": "put", "patch": "patch", "create": "post", "delete": "delete"}


def _subresource(kind: ResourceKind, sub: Subresource) -> list[Operation]:
    same = sub.kind == kind.gvk
    name = schema_name(kind) if same else definition_of(*sub.kind) or ""
    found: list[Operation] = []
    for verb in sub.verbs:
        method = _SUB_METHODS[verb]
        if sub.kind.kind.endswith("Options"):
            found.append((method, "connect", (), "", ""))
        elif verb == "get":
            found.append((method, "get", (), "", name))
        elif verb == "patch":
            found.append((method, "patch", (*_WRITE, ("force", "boolean")), _META + "Patch", name))
        else:
            found.append((method, method, _WRITE, name, name))
    return found


def query_parameters(operation: Operation) -> list[tuple[str, str]]:
    return [*operation[2], ("pretty", "string")]


def operation_body(operation: Operation, gvk: GVK, kind: ResourceKind) -> Object:
    """What both documents say of an operation."""
    action = operation[1]
    scope = "Namespaced" if kind.namespaced else ""
    version = "".join(part.capitalize() for part in (kind.group.split(".")[0] or "core", kind.version))
    return {
        "operationId": f"{_VERB_WORDS.get(action, action)}{version}{scope}{kind.kind}",
        "tags": [f"{kind.group.split('.')[0] or 'core'}_{kind.version}"],
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": gvk.group, "version": gvk.version, "kind": gvk.kind},
    }


_VERB_WORDS = {"get": "read", "post": "create", "put": "replace", "deletecollection": "deleteCollection"}


def patch_types(kind: ResourceKind) -> tuple[str, ...]:
    """kubectl chooses its patch by what stands here: custom kinds know no strategic merge."""
    return _PATCHES[:3] if kind.custom else _PATCHES


def body_types() -> tuple[str, ...]:
    return _BODIES


def write_v3(operation: Operation, gvk: GVK, kind: ResourceKind) -> Object:
    body = operation_body(operation, gvk, kind)
    body["parameters"] = [
        {"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": True}}
        for name, type_ in query_parameters(operation)
    ]
    sent, answered = operation[3], operation[4]
    if sent:
        types = patch_types(kind) if operation[1] == "patch" else ("*/*",)
        body["requestBody"] = {"content": {t: {"schema": _link_v3(sent)} for t in types}}
    content: Any = (
        {t: {"schema": _link_v3(answered)} for t in _BODIES} if answered else {"*/*": {"schema": {"type": "string"}}}
    )
    codes = {"post": ("200", "201", "202"), "put": ("200", "201"), "patch": ("200", "201")}.get(operation[1], ("200",))
    body["responses"] = {code: {"description": "OK", "content": content} for code in codes}
    return body


def _link_v3(name: str) -> Object:
    return {"$ref": f"#/components/schemas/{name}"}


def write_v2(operation: Operation, gvk: GVK, kind: ResourceKind) -> Object:
    body = operation_body(operation, gvk, kind)
    parameters: list[Object] = [
        {"name": name, "in": "query", "type": type_, "uniqueItems": True} for name, type_ in query_parameters(operation)
    ]
    sent, answered = operation[3], operation[4]
    if sent:
        required = operation[1] != "delete"
        parameters.append({"name": "body", "in": "body", "required": required, "schema": _link_v2(sent)})
        body["consumes"] = list(patch_types(kind)) if operation[1] == "patch" else ["*/*"]
    body["parameters"] = parameters
    body["produces"] = list(_BODIES)
    body["responses"] = {"200": {"description": "OK", "schema": _link_v2(answered) if answered else {"type": "string"}}}
    body["schemes"] = ["https"]
    return body


def _link_v2(name: str) -> Object:
    return {"$ref": f"#/definitions/{name}"}


def path_parameters_v3(names: list[str]) -> list[Object]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}
        for name in names
    ]


def path_parameters_v2(names: list[str]) -> list[Object]:
    return [{"name": name, "in": "path", "required": True, "type": "string", "uniqueItems": True} for name in names]
