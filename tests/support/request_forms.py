"""Every way to ask for every resource: method, URL and headers, with what each asks for in the words of the API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from minikube_py.apiserver.subresources.catalog import SUBRESOURCES
from minikube_py.resources.kind import ResourceKind

UPGRADES: Sequence[Mapping[str, str]] = (
    {},
    {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-key": "a2V5", "sec-websocket-version": "13"},
    {"connection": "Upgrade", "upgrade": "SPDY/3.1"},
)
CONNECTIONS = ("attach", "exec", "portforward")
_STREAMS = (*CONNECTIONS, "log", "proxy")
_ON_COLLECTION = (
    ("GET", "list"), ("HEAD", "list"), ("GET ?watch=1", "watch"), ("GET /watch", "watch"), ("POST", "create"),
    ("DELETE", "deletecollection"),
)  # fmt: skip
_ON_OBJECT = (
    ("GET", "get"), ("HEAD", "get"), ("PUT", "update"), ("PATCH", "patch"), ("DELETE", "delete"),
    ("GET /watch", "watch"),
)  # fmt: skip
_ON_SUBRESOURCE = (
    ("GET", "get"), ("HEAD", "get"), ("POST", "create"), ("PUT", "update"), ("PATCH", "patch"), ("DELETE", "delete"),
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What a request asks for. A verb of exec, attach and portforward is always create."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True)
class Form:
    """One request, without a user. query is '' or begins with `?`."""

    method: str
    path: str
    question: Question
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}{self.query} {self.headers.get('upgrade', '')}".rstrip()


def subresources_of(kind: ResourceKind) -> list[str]:
    """Those of the kind, and those that the catalog would answer for it."""
    known = {s for group, plural, s in SUBRESOURCES if (group, plural) == (kind.group, kind.plural)}
    return sorted(known | set(kind.subresources))


def root_of(kind: ResourceKind) -> str:
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


def forms_of(kind: ResourceKind, namespaces: Sequence[str], names: Sequence[str]) -> Iterator[Form]:
    """Every routed request for a kind in these namespaces and, where it has none, in the cluster."""
    places = namespaces if kind.namespaced else ("",)
    if kind.namespaced:
        for way, verb in _ON_COLLECTION:
            if verb in ("list", "watch"):
                yield from _form(kind, way, Question(verb, kind.group, kind.plural))
    for namespace in places:
        for way, verb in _ON_COLLECTION:
            yield from _form(kind, way, Question(verb, kind.group, kind.plural, namespace=namespace))
        for name in names:
            home = name if (kind.group, kind.plural) == ("", "namespaces") else namespace
            for way, verb in _ON_OBJECT:
                yield from _form(kind, way, Question(verb, kind.group, kind.plural, "", home, name))
            for way in ("GET", "GET ?watch=1"):
                verb = "list" if way == "GET" else "watch"
                # Kubernetes takes the name from the selector, so that a rule for one object allows to watch it.
                yield from _form(kind, way, Question(verb, kind.group, kind.plural, "", namespace, name), selects=True)
            for subresource in subresources_of(kind):
                for way, verb in _ON_SUBRESOURCE:
                    asked = "create" if subresource in CONNECTIONS else verb
                    yield from _form(kind, way, Question(asked, kind.group, kind.plural, subresource, home, name))


def _form(kind: ResourceKind, way: str, question: Question, *, selects: bool = False) -> Iterator[Form]:
    method, _, how = way.partition(" ")
    path = root_of(kind) + ("/watch" if how == "/watch" else "")
    if question.namespace and kind.namespaced:
        path += f"/namespaces/{question.namespace}"
    path += f"/{kind.plural}"
    query = how if how.startswith("?") else ""
    if selects:
        query += ("&" if query else "?") + f"fieldSelector=metadata.name%3D{question.name}"
    elif question.name:
        path += f"/{question.name}"
    if question.subresource:
        path += f"/{question.subresource}"
    for headers in UPGRADES if question.subresource in _STREAMS and method in ("GET", "POST") else UPGRADES[:1]:
        yield Form(method, path, question, query, headers)


def odd_forms(kind: ResourceKind, namespace: str, name: str) -> Iterator[tuple[str, str]]:
    """(method, path) of requests that no route has: whoever asks, nothing may come of them."""
    inside = f"/namespaces/{namespace}" if kind.namespaced else ""
    root, collection = root_of(kind), f"{root_of(kind)}{inside}/{kind.plural}"
    for method in ("LIST", "WATCH", "DELETECOLLECTION", "CREATE", "UPDATE", "OPTIONS", "TRACE", "get", "BIND", "POST"):
        yield method, f"{collection}/{name}"
    for method in ("PUT", "PATCH", "LIST", "WATCH", "DELETECOLLECTION", "OPTIONS", "list"):
        yield method, collection
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        yield method, f"{root}/watch{inside}/{kind.plural}"
        yield method, f"{root}/proxy{inside}/{kind.plural}/{name}"
    for subresource in subresources_of(kind):
        yield "GET", f"{root}/watch{inside}/{kind.plural}/{name}/{subresource}"
        yield "WATCH", f"{collection}/{name}/{subresource}"
        if subresource != "proxy":
            yield "GET", f"{collection}/{name}/{subresource}/more"
    yield "GET", f"{root}/{inside.lstrip('/')}//{kind.plural}/{name}"
    if kind.namespaced:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            yield method, f"{root}/{kind.plural}/{name}"
        for method in ("POST", "DELETE"):
            yield method, f"{root}/{kind.plural}"
        yield "GET", f"{root}/namespaces//{kind.plural}"
    elif kind.verbs != ("create",):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            yield method, f"{root}/namespaces/{namespace}/{kind.plural}/{name}"
        for method in ("GET", "POST", "DELETE"):
            yield method, f"{root}/namespaces/{namespace}/{kind.plural}"
