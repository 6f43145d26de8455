"""/metrics and /metrics/slis: the API server's own measurements and those of the other parts of the process.

Names and labels are kube-apiserver's, so that dashboards made for it work.
Source: the Kubernetes metrics reference; kubernetes apiserver pkg/endpoints/metrics, component-base metrics/slis.
"""

import asyncio
from collections.abc import Iterable, Iterator

from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.health import Health
from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.apiserver.request_counts import BUCKETS, Labels
from minikube_py.prometheus import CONTENT_TYPE, Collector, Family, Histogram, Sample, render, single
from minikube_py.resources.kind import ResourceKind

_LONG_RUNNING = frozenset(("WATCH", "CONNECT"))
_REQUEST = ("component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version")


class MetricsPage:
    """`add` what other parts measure. Whoever may read the page is decided by RBAC, as for every path."""

    def __init__(self, context: ServerContext, health: Health, version: dict[str, str]) -> None:
        self._context = context
        self._health = health
        self._version = version
        self._collectors: list[Collector] = [self._own]

    def add(self, collector: Collector) -> None:
        self._collectors.append(collector)

    async def answer(self, _request: HttpRequest) -> Reply:
        families = [family for collect in self._collectors for family in collect()]
        return Reply(await asyncio.to_thread(render, families, has_process=True), content_type=CONTENT_TYPE)

    async def health_checks(self, _request: HttpRequest) -> Reply:
        """/metrics/slis"""
        family = Family("kubernetes_healthcheck", "gauge", "Result of a health check.", ("name", "type"))
        for name, (is_live, is_well) in self._health.results().items():
            for type_ in ("healthz", "livez", "readyz") if is_live else ("readyz",):
                family.add(name, type_, value=float(is_well))
        return Reply(await asyncio.to_thread(render, [family]), content_type=CONTENT_TYPE)

    def _own(self) -> Iterator[Family]:
        yield from _requests(self._context)
        yield from _calls(self._context)
        yield from _watches(self._context)
        yield from _objects(self._context)
        names = {"major": "major", "minor": "minor", "git_version": "gitVersion", "platform": "platform"}
        build = Family("kubernetes_build_info", "gauge", "What is served.", tuple(names))
        build.add(*(self._version[key] for key in names.values()), value=1)
        yield build
        tasks = len(asyncio.all_tasks())
        yield single("go_goroutines", "gauge", "What comes nearest to goroutines here: asyncio tasks.", tasks)


def _requests(context: ServerContext) -> Iterator[Family]:
    counts = context.counts
    total = Family("apiserver_request_total", "counter", "Requests by what they were and how they ended.",
                   (*_REQUEST, "code"))  # fmt: skip
    durations: dict[tuple[str, ...], Histogram] = {}
    for labels, histogram in counts.requests.items():
        place = _place(labels)
        total.add(*place, str(labels.code), value=histogram.count)
        if labels.verb not in _LONG_RUNNING:
            durations.setdefault(place, Histogram(BUCKETS)).add(histogram)
    yield total
    lasted = [Sample(place, histogram) for place, histogram in durations.items()]
    # Webhooks' time, which the second leaves out in Kubernetes, is not told apart here.
    for name in ("apiserver_request_duration_seconds", "apiserver_request_sli_duration_seconds"):
        yield Family(name, "histogram", "How long requests took.", _REQUEST, lasted)
    inflight = Family("apiserver_current_inflight_requests", "gauge", "Requests that are being answered now.",
                      ("request_kind",))  # fmt: skip
    for kind, number in counts.inflight.items():
        inflight.add(kind, value=number)
    yield inflight


def _calls(context: ServerContext) -> Iterator[Family]:
    """Controllers, scheduler and this process' nodes call the API without HTTP; elsewhere they would be its clients."""
    family = Family("rest_client_requests_total", "counter", "Calls of the parts of this process.",
                    ("code", "method", "host"))  # fmt: skip
    for (method, code), number in context.counts.calls.items():
        family.add(str(code), method, "in-process", value=number)
    yield family


def _place(labels: Labels) -> tuple[str, ...]:
    return (
        "apiserver", "", labels.group, labels.resource, labels.scope, labels.subresource, labels.verb, labels.version,
    )  # fmt: skip


def _watches(context: ServerContext) -> Iterator[Family]:
    running = Family("apiserver_longrunning_requests", "gauge", "Watches that are open now.",
                     ("component", "group", "resource", "scope", "subresource", "verb", "version"))  # fmt: skip
    events = Family("apiserver_watch_events_total", "counter", "Events sent to watchers.",
                    ("group", "version", "resource", "kind"))  # fmt: skip
    for gvr, counts in context.counts.watches.items():
        kind = context.registry.find(gvr)
        running.add("apiserver", gvr.group, gvr.resource, "", "", "WATCH", gvr.version, value=counts.is_open)
        events.add(gvr.group, gvr.version, gvr.resource, kind.kind if kind else "", value=counts.events)
    yield running
    yield events


def _objects(context: ServerContext) -> Iterator[Family]:
    named = Family("apiserver_storage_objects", "gauge", "Stored objects by resource.", ("resource",))
    grouped = Family("apiserver_resource_objects", "gauge", "Stored objects by resource.", ("group", "resource"))
    for kind in _stored_kinds(context.registry.all()):
        number = len(context.store.list(kind.store_resource).records)
        named.add(f"{kind.plural}.{kind.group}" if kind.group else kind.plural, value=number)
        grouped.add(kind.group, kind.plural, value=number)
    yield named
    yield grouped


def _stored_kinds(kinds: Iterable[ResourceKind]) -> Iterable[ResourceKind]:
    """One kind for each stored resource, without those that are made up when they are read."""
    return {kind.store_resource: kind for kind in kinds if "create" in kind.verbs and "list" in kind.verbs}.values()
