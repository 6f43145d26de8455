"""Opens the TCP ports of LoadBalancer Services on an address of this machine too, and leads them to ready pods.

A connection goes through the pod's node, as a port-forward does, so it works for every pod network, for pods of other
machines and without root; unlike a port-forward it outlives the pods. A port that another program has is replaced by a
free one, which an event and an annotation of the Service tell.
"""

import asyncio
import contextlib
import functools
import ipaddress
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from minikube_py import ids
from minikube_py.client.node_connection import ByteStream, NodeConnections
from minikube_py.client.protocol import Client, PatchType, WriteOptions
from minikube_py.objects.errors import ApiError, Object
from minikube_py.proxy.rules import SERVICE_NAME_LABEL
from minikube_py.reconciling.informer import InformerEvent, InformerSet
from minikube_py.reconciling.recorder import WARNING, EventRecorder
from minikube_py.resources.kind import GVR

log = logging.getLogger(__name__)

SERVICES = GVR("", "v1", "services")
ENDPOINT_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
PORTS_ANNOTATION = "mkube.io/local-ports"
_STATUS = WriteOptions(subresource="status")
_GATHER_SECONDS = 0.05
_DRAIN_SECONDS = 5.0
_CHUNK = 65_536


@dataclass(frozen=True, order=True)
class Place:
    """One TCP port of one Service."""

    namespace: str
    name: str
    port: int
    port_name: str = ""


def wanted_places(services: Iterable[Object], address: str) -> Iterator[tuple[Place, Object]]:
    """The ports to open: of LoadBalancer Services that have their address and let clients of this machine in."""
    for service in services:
        spec, metadata = service.get("spec") or {}, service["metadata"]
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        if spec.get("type") != "LoadBalancer" or spec.get("loadBalancerClass") or not balancer.get("ingress"):
            continue
        if metadata.get("deletionTimestamp") or not _lets_in(spec, address):
            continue
        for port in spec.get("ports") or ():
            if port.get("protocol", "TCP") == "TCP":
                yield Place(metadata["namespace"], metadata["name"], port["port"], port.get("name") or ""), service


def _lets_in(spec: Object, address: str) -> bool:
    ranges = [
        ipaddress.ip_network(str(one).strip(), strict=False) for one in spec.get("loadBalancerSourceRanges") or ()
    ]
    return not ranges or any(ipaddress.ip_address(address) in one for one in ranges)


def ready_targets(slices: Iterable[Object], place: Place) -> list[tuple[str, str, int]]:
    """(node, pod UID, port) of the ready pods behind the place."""
    found = []
    for piece in slices:
        if (piece["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL) != place.name:
            continue
        for port in piece.get("ports") or ():
            if (port.get("name") or "") != place.port_name or port.get("protocol", "TCP") != "TCP":
                continue
            for endpoint in piece.get("endpoints") or ():
                target = endpoint.get("targetRef") or {}
                is_ready = (endpoint.get("conditions") or {}).get("ready") is not False
                if is_ready and target.get("kind") == "Pod" and endpoint.get("nodeName") and port.get("port"):
                    found.append((endpoint["nodeName"], target["uid"], int(port["port"])))
    return sorted(found)


class LocalListeners:
    """`run` until cancelled. client may patch the status of Services."""

    def __init__(self, client: Client, informers: InformerSet, nodes: NodeConnections, address: str) -> None:
        self._client = client
        self._nodes = nodes
        self._address = address
        self._services = informers.informer(SERVICES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._recorder = EventRecorder(client, "local-listeners")
        self._open: dict[Place, asyncio.Server] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        await self._services.wait_synced()
        await self._slices.wait_synced()
        leave = self._services.subscribe(self._note)
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(_GATHER_SECONDS)
                self._changed.clear()
                await self._apply(dict(wanted_places(self._services.cache, self._address)))
        finally:
            leave()
            for server in self._open.values():
                server.close()

    def port_of(self, place: Place) -> int:
        """Where the place is open; 0 when it is not."""
        server = self._open.get(place)
        return int(server.sockets[0].getsockname()[1]) if server is not None and server.sockets else 0

    def _note(self, _event: InformerEvent) -> None:
        self._changed.set()

    async def _apply(self, wanted: Mapping[Place, Object]) -> None:
        for place in self._open.keys() - wanted.keys():
            self._open.pop(place).close()
        for place, service in sorted(wanted.items(), key=lambda item: item[0]):
            if place not in self._open:
                await self._open_place(place, service)

    async def _open_place(self, place: Place, service: Object) -> None:
        problem = ""
        for port in (place.port, _noted_ports(service).get(place.port, 0), 0):
            try:
                serve = functools.partial(self._serve, place)
                self._open[place] = await asyncio.start_server(serve, self._address, port)
            except OSError as error:
                problem = problem or (error.strerror or str(error)).lower()
                continue
            break
        else:
            log.warning("port %d of Service %s/%s: %s", place.port, place.namespace, place.name, problem)
            return
        if problem:
            await self._tell(place, service, problem)

    async def _tell(self, place: Place, service: Object, problem: str) -> None:
        port = self.port_of(place)
        text = f"{self._address}:{place.port} can't be opened ({problem}); {self._address}:{port} leads here instead"
        self._recorder.event(service, WARNING, "LocalPortTaken", text)
        known = self._services.cache.get(place.namespace, place.name) or service
        ports = {**_noted_ports(known), place.port: port}
        noted = ",".join(f"{wanted}={given}" for wanted, given in sorted(ports.items()))
        patch = {"metadata": {"annotations": {PORTS_ANNOTATION: noted}}}
        with contextlib.suppress(ApiError):
            patched = await self._client.patch(
                SERVICES, place.name, patch, place.namespace, patch_type=PatchType.MERGE, options=_STATUS
            )
            self._services.assume(patched)

    # --- connections --------------------------------------------------------------------------------------------------

    async def _serve(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            stream = await self._dial(place)
            if stream is not None:
                try:
                    await _relay(reader, writer, stream)
                finally:
                    await stream.close()
        except (ApiError, OSError) as error:
            log.debug("connection to Service %s/%s: %s", place.namespace, place.name, error)
        finally:
            # Without a pod, or after an error, the client is told at once and not left to wait.
            writer.close()

    async def _dial(self, place: Place) -> ByteStream | None:
        """A connection to any ready pod; another one is tried when a pod does not answer."""
        targets = ready_targets(self._slices.cache.list(place.namespace), place)
        while targets:
            node_name, pod_uid, port = targets.pop(ids.pick(len(targets)))
            node = self._nodes.find(node_name)
            if node is None:
                continue
            try:
                return await node.dial(pod_uid, port)
            except (ApiError, OSError):
                continue
        return None


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: ByteStream) -> None:
    """Bytes both ways until the pod has ended its side, or the client has gone."""

    async def inward() -> None:
        while chunk := await reader.read(_CHUNK):
            await stream.send(chunk)

    async def outward() -> None:
        while chunk := await stream.receive():
            writer.write(chunk)
            await writer.drain()

    to_pod, to_client = asyncio.ensure_future(inward()), asyncio.ensure_future(outward())
    try:
        await asyncio.wait((to_pod, to_client), return_when=asyncio.FIRST_COMPLETED)
        # A client that has said everything still waits for the answer.
        await asyncio.wait((to_client,), timeout=_DRAIN_SECONDS)
    finally:
        for task in (to_pod, to_client):
            task.cancel()
        await asyncio.gather(to_pod, to_client, return_exceptions=True)


def _noted_ports(service: Object) -> dict[int, int]:
    """The annotation `80=41001,443=41002` as numbers."""
    text = (service["metadata"].get("annotations") or {}).get(PORTS_ANNOTATION, "")
    found = {}
    for part in text.split(","):
        wanted, _, given = part.partition("=")
        if wanted.isdigit() and given.isdigit():
            found[int(wanted)] = int(given)
    return found
