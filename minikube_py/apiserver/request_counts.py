"""Counts requests and watches as they pass, with plain numbers; `metrics_page` makes Prometheus' text of them.

Labels come from the registry only, never from a URL, so that no client can make the tables grow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from minikube_py.apiserver.request_info import RequestInfo
from minikube_py.prometheus import Histogram
from minikube_py.resources.kind import GVR, ResourceKind

BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
)  # fmt: skip
"""Upper bounds in seconds, as of apiserver_request_duration_seconds."""

_CONNECTS = frozenset(("exec", "attach", "portforward", "proxy"))
_READS = frozenset(("GET", "HEAD"))
_VERBS = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "post": "POST", "put": "PUT", "head": "GET",
}  # fmt: skip


class Labels(NamedTuple):
    """What a request was, as in the labels of Kubernetes' metrics. resource '' for paths outside the API groups."""

    verb: str
    group: str
    version: str
    resource: str
    subresource: str
    scope: str
    code: int


@dataclass
class WatchCount:
    """Watches of one resource: how many are open, and what they were sent."""

    is_open: int = 0
    events: int = 0
    size: int = 0


class RequestCounts:
    """`began` and `ended` around every request. find_kind is the registry's."""

    def __init__(self, find_kind: Callable[[GVR], ResourceKind | None]) -> None:
        self._find_kind = find_kind
        self._known: dict[tuple[str, str, str, str, str, bool, bool, int], Histogram] = {}
        self.requests: dict[Labels, Histogram] = {}
        self.watches: dict[GVR, WatchCount] = {}
        self.calls: dict[tuple[str, int], int] = {}
        self.inflight = {"mutating": 0, "readOnly": 0}

    def began(self, method: str) -> float:
        """To be handed to `ended`."""
        self.inflight["readOnly" if method in _READS else "mutating"] += 1
        return perf_counter()

    def ended(self, method: str, info: RequestInfo, code: int, began: float) -> None:
        self.inflight["readOnly" if method in _READS else "mutating"] -= 1
        key = (
            info.verb, info.group, info.version, info.resource, info.subresource, not info.name, not info.namespace,
            code,
        )  # fmt: skip
        durations = self._known.get(key)
        if durations is None:
            durations = self._new(info, code)
            if self._is_served(info):
                self._known[key] = durations
        durations.observe(perf_counter() - began)

    def called(self, method: str, code: int) -> None:
        """A call of a part of this process, which is no request, has ended."""
        key = (method, code)
        self.calls[key] = self.calls.get(key, 0) + 1

    def watch(self, gvr: GVR) -> WatchCount:
        """The count of a served resource's watches."""
        found = self.watches.get(gvr)
        if found is None:
            found = self.watches[gvr] = WatchCount()
        return found

    def _new(self, info: RequestInfo, code: int) -> Histogram:
        labels = labels_of(info, code) if self._is_served(info) else Labels("GET", "", "", "", "", "", code)
        return self.requests.setdefault(labels, Histogram(BUCKETS))

    def _is_served(self, info: RequestInfo) -> bool:
        if info.verb not in _VERBS:
            return False
        if not info.is_resource:
            return True
        kind = self._find_kind(info.gvr)
        return kind is not None and (not info.subresource or info.subresource in kind.subresources)


def labels_of(info: RequestInfo, code: int) -> Labels:
    """The labels of a request for something that is served."""
    verb = "CONNECT" if info.subresource in _CONNECTS else _VERBS[info.verb]
    scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
    if not info.is_resource:
        scope = ""
    return Labels(verb, info.group, info.version, info.resource, info.subresource, scope, code)
