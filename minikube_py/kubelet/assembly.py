"""Puts the parts of one node together: real ones, or simulated ones where there is nothing to write or to probe."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from minikube_py.client.protocol import Client
from minikube_py.kubelet.container_config import NodeFacts, Specs
from minikube_py.kubelet.hooks import Hooks, SimulatedHooks
from minikube_py.kubelet.images import Images
from minikube_py.kubelet.metrics.operations import OperationCounts
from minikube_py.kubelet.node_status import NodeStatus
from minikube_py.kubelet.pod_connection import PodDialer
from minikube_py.kubelet.pod_files import DnsSettings
from minikube_py.kubelet.pod_volumes import DiskVolumes
from minikube_py.kubelet.probe_calls import Calls
from minikube_py.kubelet.probes import Prober, SimulatedProber
from minikube_py.kubelet.references import References
from minikube_py.kubelet.runtimes.protocol import ContainerRuntime, ImageUnpacker, SimulatedHealth
from minikube_py.kubelet.services import HealthSource, HookRunner, PodServices, PodVolumes
from minikube_py.kubelet.simulated_volumes import SimulatedVolumes
from minikube_py.kubelet.volumes.node_paths import NodePaths
from minikube_py.kubelet.volumes.pod_certificates import PodCertificates
from minikube_py.kubelet.volumes.protocol import NodeSources
from minikube_py.kubelet.volumes.tokens import Tokens
from minikube_py.objects.errors import Object
from minikube_py.reconciling.informer import Informer, InformerSet
from minikube_py.reconciling.recorder import EventRecorder

Cleaner = Callable[[set[str]], Awaitable[None]]


@dataclass(frozen=True)
class NodeParts:
    """What a node is assembled from. pod_changed and objects_changed are told the uid of a pod to look at."""

    node_name: str
    client: Client
    runtime: ContainerRuntime
    data_dir: Path | None
    volumes_dir: Path | None
    cluster_dns: tuple[str, ...]
    cluster_domain: str
    is_pod_network_routed: bool
    informers: InformerSet
    services: Informer
    status: NodeStatus
    pod_changed: Callable[[str], None]
    objects_changed: Callable[[str], None]
    resize_refusal: Callable[[Object], tuple[str, str] | None]


def assemble(parts: NodeParts) -> tuple[PodServices, Cleaner | None]:
    """The pod workers' services, and what removes directories of pods that are gone (given the uids that stay)."""
    recorder = EventRecorder(parts.client, "kubelet", parts.node_name)
    references = References(parts.informers, parts.objects_changed)
    operations = OperationCounts()
    images = Images(parts.runtime, references, recorder, parts.status.images_changed, operations)
    volumes, cleaner, pods_directory = _volumes(parts, references, images)
    node = NodeFacts(
        services=parts.services.cache.list,
        allocatable=lambda: parts.status.allocatable,
        memory_bytes=lambda: parts.status.memory_bytes,
    )
    dns = DnsSettings(parts.cluster_dns, parts.cluster_domain)
    calls = Calls(parts.runtime, PodDialer(parts.runtime, is_routed=parts.is_pod_network_routed))
    health: HealthSource
    hooks: HookRunner
    if isinstance(parts.runtime, SimulatedHealth):
        health, hooks = SimulatedProber(parts.runtime), SimulatedHooks()
    else:
        health, hooks = Prober(calls, recorder, parts.pod_changed), Hooks(calls)
    services = PodServices(
        node_name=parts.node_name,
        client=parts.client,
        runtime=parts.runtime,
        volumes=volumes,
        images=images,
        specs=Specs(references, volumes, node, dns, pods_directory),
        hooks=hooks,
        health=health,
        recorder=recorder,
        host_ips=lambda: parts.status.addresses,
        pods_directory=pods_directory,
        release=references.release,
        operations=operations,
        resize_refusal=parts.resize_refusal,
    )
    return services, cleaner


def _volumes(
    parts: NodeParts, references: References, images: Images
) -> tuple[PodVolumes, Cleaner | None, Path | None]:
    if parts.data_dir is None:
        return SimulatedVolumes(references), None, None
    paths = NodePaths(parts.data_dir, parts.volumes_dir)
    sources = NodeSources(
        client=parts.client,
        references=references,
        tokens=Tokens(parts.client),
        certificates=PodCertificates(parts.client, references, parts.node_name),
        images=images,
        allocatable=lambda: parts.status.allocatable,
        unpacker=parts.runtime if isinstance(parts.runtime, ImageUnpacker) else None,
    )
    volumes = DiskVolumes(paths, sources)
    return volumes, volumes.remove_others, paths.pods
