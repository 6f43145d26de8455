"""The pages of a node's own metrics, as the API's node proxy shows them.

Source: the Kubernetes metrics reference (kubelet); KEP-4191 and pkg/kubelet/server/server.go for the paths.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from minikube_py.kubelet.metrics.containers import cadvisor_page, measured, resource_page
from minikube_py.kubelet.metrics.operations import OperationCounts
from minikube_py.kubelet.metrics.volumes import claim_paths, volume_families
from minikube_py.kubelet.runtimes.protocol import ContainerRuntime, RuntimeFailure
from minikube_py.kubelet.usage import Figures
from minikube_py.objects.errors import InternalError, NotFound, Object
from minikube_py.prometheus import Family, render, single

ProbeCounts = Mapping[tuple[str, str, str, str], int]
"""How often: (pod uid, container, probe type in lower case, result)."""


@dataclass(frozen=True)
class NodeMetrics:
    """What the pages are made from. pods: by uid, as the node knows them now."""

    node_name: str
    runtime: ContainerRuntime
    operations: OperationCounts
    pods: Callable[[], Mapping[str, Object]]
    figures: Callable[[], Awaitable[Figures]]
    probes: Callable[[], ProbeCounts]
    volume_path: Callable[[str, str], Path | None]

    async def page(self, path: str) -> str:
        """The text of a page. Raises NotFound for other paths, InternalError when the runtime does not answer."""
        make = _PAGES.get(path.rstrip("/"))
        if make is None:
            raise NotFound("the server could not find the requested resource", details={})
        try:
            families = await make(self)
        except RuntimeFailure as failure:
            raise InternalError.of(failure.message) from failure
        text = await asyncio.to_thread(render, families, has_process=path.rstrip("/") == "/metrics")
        return text.decode()

    async def kubelet(self) -> list[Family]:
        """/metrics"""
        states = await self.runtime.list_pods()
        containers = Counter(container.state for state in states for container in state.containers)
        running = sum(1 for state in states if any(sandbox.is_running for sandbox in state.sandboxes))
        listed = Family("kubelet_running_containers", "gauge", "Containers by state.", ("container_state",))
        for state, number in containers.items():
            listed.add(state, value=number)
        name = Family("kubelet_node_name", "gauge", "The node's name.", ("node",))
        name.add(self.node_name, value=1)
        claims = claim_paths(self.pods().values(), self.volume_path)
        return [
            name,
            single("kubelet_running_pods", "gauge", "Pods with a running sandbox.", running),
            single("kubelet_working_pods", "gauge", "Pods that the kubelet works on.", len(self.pods())),
            listed,
            *self.operations.families(),
            *(await asyncio.to_thread(lambda: list(volume_families(claims))) if claims else ()),
        ]

    async def resource(self) -> list[Family]:
        """/metrics/resource"""
        return list(resource_page(measured(await self.figures(), self.pods())))

    async def cadvisor(self) -> list[Family]:
        """/metrics/cadvisor"""
        machine = await self.runtime.info()
        return list(cadvisor_page(measured(await self.figures(), self.pods()), machine))

    async def prober(self) -> list[Family]:
        """/metrics/probes"""
        return list(_prober_page(self.probes(), self.pods()))


_PAGES: dict[str, Callable[[NodeMetrics], Awaitable[list[Family]]]] = {
    "/metrics": NodeMetrics.kubelet,
    "/metrics/cadvisor": NodeMetrics.cadvisor,
    "/metrics/probes": NodeMetrics.prober,
    "/metrics/resource": NodeMetrics.resource,
}


def _prober_page(counts: ProbeCounts, pods: Mapping[str, Object]) -> Iterator[Family]:
    labels = ("container", "namespace", "pod", "pod_uid", "probe_type", "result")
    family = Family("prober_probe_total", "counter", "Probes by container and result.", labels)
    for (uid, container, kind, result), number in counts.items():
        pod = pods.get(uid)
        if pod is not None:
            meta = pod["metadata"]
            family.add(container, meta["namespace"], meta["name"], uid, kind.capitalize(), result, value=number)
    yield family
