"""Pods on a real engine, driven by the kubelet from API objects."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from minikube_py.client.node_connection import ContainerAddress, LogRequest, StreamRequest
from minikube_py.client.protocol import DeleteOptions, PatchType, Selection, WriteOptions
from minikube_py.kubelet.kinds import CONFIG_MAPS, PODS, SECRETS
from minikube_py.kubelet.kubelet import Kubelet, KubeletOptions
from minikube_py.kubelet.pod_volumes import remove_node_files
from minikube_py.objects.errors import NotFound, Object
from minikube_py.resources.kind import GVR
from tests.docker.node import Node, running_node
from tests.support.cluster import Cluster, test_cluster
from tests.support.images import TEST_IMAGE

PATIENCE_SECONDS = 30.0
EVENTS = GVR("", "v1", "events")


class RealNode:
    """A kubelet on Docker under a real API server."""

    def __init__(self, cluster: Cluster, node: Node, data_dir: Path) -> None:
        self.cluster = cluster
        self.client = cluster.client()
        self.node = node
        self.data_dir = data_dir
        self.kubelet: Kubelet | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kubelet]:
        options = KubeletOptions(
            node_name=self.node.owner.node_name,
            client=self.client,
            runtime=self.node.runtime,
            data_dir=self.data_dir,
            cluster_dns=("10.183.0.10",),
        )
        kubelet = self.kubelet = Kubelet(options)
        task = asyncio.create_task(kubelet.run())
        try:
            await kubelet.status.registered.wait()
            yield kubelet
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def create(self, name: str, script: str, container: Object | None = None, **spec: Any) -> Object:
        base: Object = {
            "name": "c",
            "image": TEST_IMAGE,
            "command": ["sh", "-c", script],
            "imagePullPolicy": "IfNotPresent",
        }
        pod: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "nodeName": self.node.owner.node_name,
                "terminationGracePeriodSeconds": 2,
                "containers": [base | (container or {})],
            }
            | spec,
        }
        return await self.client.create(PODS, pod, "default")

    async def change(self, name: str, subresource: str, spec: Object) -> None:
        options = WriteOptions(subresource=subresource)
        kind = PatchType.STRATEGIC
        await self.client.patch(PODS, name, {"spec": spec}, "default", patch_type=kind, options=options)

    async def status(self, name: str) -> Object:
        return dict((await self.client.get(PODS, name, "default")).get("status") or {})

    async def until(self, name: str, holds: Callable[[Object], Any]) -> Object:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status = await self.status(name)
            if holds(status):
                return status
            assert time.monotonic() < deadline, f"still {status}"
            await asyncio.sleep(0.05)

    async def until_gone(self, name: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                await self.client.get(PODS, name, "default")
            except NotFound:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{name} is still there")

    async def address(self, name: str, container: str = "c") -> ContainerAddress:
        pod = await self.client.get(PODS, name, "default")
        return ContainerAddress("default", name, pod["metadata"]["uid"], container)

    async def logs(self, name: str, container: str = "c", **options: Any) -> str:
        assert self.kubelet is not None
        request = LogRequest(await self.address(name, container), **options)
        return b"".join([chunk async for chunk in self.kubelet.logs(request)]).decode()

    async def execute(self, name: str, *command: str) -> str:
        assert self.kubelet is not None
        session = await self.kubelet.open_stream(StreamRequest(await self.address(name), command))
        output = b""
        while (chunk := await session.receive()) is not None:
            output += chunk.data
        await session.close()
        return output.decode()

    async def events(self, name: str) -> list[tuple[str, str]]:
        found = (await self.client.list(EVENTS, Selection(namespace="default"))).items
        return [(e["reason"], e["message"]) for e in found if e["involvedObject"]["name"] == name]


@pytest.fixture
async def real(docker_client: docker.APIClient, tmp_path: Path) -> AsyncIterator[RealNode]:
    async with running_node() as node, test_cluster() as cluster:
        made = RealNode(cluster, node, tmp_path)
        try:
            async with made.running():
                yield made
        finally:
            await asyncio.to_thread(remove_node_files, tmp_path)


def is_ready(status: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())


def is_ended(status: Object) -> bool:
    return status.get("phase") in ("Succeeded", "Failed")


async def test_pod_runs_to_its_end_and_says_so(real: RealNode) -> None:
    env = [
        {"name": "WHO", "value": "world"},
        {"name": "GREETING", "value": "hello $(WHO)"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    script = "echo $GREETING from $IP; hostname; cat /etc/resolv.conf; echo ended > /dev/termination-log; exit 3"
    await real.create("one", script, {"env": env}, restartPolicy="Never")
    status = await real.until("one", is_ended)
    assert status["phase"] == "Failed"
    state = status["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"], state["message"]) == (3, "Error", "ended\n")
    log = await real.logs("one")
    assert f"hello world from {status['podIP']}\none\n" in log
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in log
    assert "nameserver 10.183.0.10\noptions ndots:5" in log


async def test_volumes_are_there_and_change_while_the_pod_runs(real: RealNode) -> None:
    await real.client.create(CONFIG_MAPS, {"metadata": {"name": "cm"}, "data": {"key": "old"}}, "default")
    await real.client.create(
        SECRETS, {"metadata": {"name": "s"}, "stringData": {"pw": "x"}, "data": {"k": "eA=="}}, "default"
    )
    mounts = [
        {"name": "cm", "mountPath": "/cm"},
        {"name": "s", "mountPath": "/s"},
        {"name": "e", "mountPath": "/e"},
        {"name": "m", "mountPath": "/m"},
        {"name": "cm", "mountPath": "/one/file", "subPath": "key"},
    ]
    volumes = [
        {"name": "cm", "configMap": {"name": "cm"}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "e", "emptyDir": {}},
        {"name": "m", "emptyDir": {"medium": "Memory"}},
    ]
    await real.create("vol", "exec sleep 1000", {"volumeMounts": mounts}, volumes=volumes)
    await real.until("vol", is_ready)
    assert await real.execute("vol", "cat", "/cm/key", "/one/file") == "oldold"
    assert await real.execute("vol", "cat", "/s/k") == "x"
    assert "tmpfs" in await real.execute("vol", "sh", "-c", "grep ' /m ' /proc/mounts")
    assert "tmpfs" in await real.execute("vol", "sh", "-c", "grep ' /s ' /proc/mounts")
    assert (await real.execute("vol", "stat", "-c", "%a", "/e")).strip() == "777"
    await real.client.patch(CONFIG_MAPS, "cm", {"data": {"key": "new"}}, "default")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while await real.execute("vol", "cat", "/cm/key") != "new":
        assert time.monotonic() < deadline
    assert await real.execute("vol", "cat", "/one/file") == "old"


async def test_probes_gate_and_restart(real: RealNode) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    live = {"exec": {"command": ["test", "!", "-e", "/tmp/dead"]}, "periodSeconds": 1, "failureThreshold": 1}
    container = {"readinessProbe": probe, "livenessProbe": live}
    await real.create("p", "exec sleep 1000", container)
    status = await real.until("p", lambda s: s.get("phase") == "Running")
    assert not is_ready(status)
    await real.execute("p", "touch", "/tmp/ready")
    await real.until("p", is_ready)
    await real.execute("p", "touch", "/tmp/dead")
    status = await real.until("p", lambda s: s["containerStatuses"][0]["restartCount"] == 1)
    assert "terminated" in status["containerStatuses"][0]["lastState"]
    reasons = [reason for reason, _ in await real.events("p")]
    assert "Unhealthy" in reasons
    assert ("Killing", "Container c failed liveness probe, will be restarted") in await real.events("p")


async def test_http_and_tcp_probes_reach_the_pod(real: RealNode) -> None:
    http = {"httpGet": {"path": "/index.html", "port": "web"}, "periodSeconds": 1}
    tcp = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    ports = [{"name": "web", "containerPort": 8080}]
    script = "mkdir /www; echo ok > /www/index.html; exec httpd -f -p 8080 -h /www"
    await real.create("h", script, {"readinessProbe": http, "startupProbe": tcp, "ports": ports})
    await real.until("h", is_ready)
    bad = {"httpGet": {"path": "/none", "port": 8080}, "periodSeconds": 1}
    await real.create("b", script, {"readinessProbe": bad})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404") not in await real.events("b"):
        assert time.monotonic() < deadline, await real.events("b")
        await asyncio.sleep(0.1)


async def test_hooks_run_and_deletion_is_graceful(real: RealNode) -> None:
    lifecycle = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started > /shared/start"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping > /shared/stop"]}},
    }
    shared = real.data_dir / "shared"
    volumes = [{"name": "h", "hostPath": {"path": str(shared), "type": "DirectoryOrCreate"}}]
    script = "trap 'echo term > /shared/term; exit 0' TERM; while true; do sleep 0.1; done"
    mounts = [{"name": "h", "mountPath": "/shared"}]
    await real.create("l", script, {"lifecycle": lifecycle, "volumeMounts": mounts}, volumes=volumes)
    await real.until("l", is_ready)
    assert (shared / "start").read_text() == "started\n"
    uid = (await real.client.get(PODS, "l", "default"))["metadata"]["uid"]
    await real.client.delete(PODS, "l", "default", options=DeleteOptions(grace_seconds=10))
    await real.until_gone("l")
    assert (shared / "stop").read_text() == "stopping\n"
    assert (shared / "term").read_text() == "term\n"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while await real.node.runtime.pod_state(uid) is not None:
        assert time.monotonic() < deadline
    assert not (real.data_dir / "kubelet" / "pods" / uid).exists()


async def test_init_containers_share_volumes_and_sidecars_stay(real: RealNode) -> None:
    mounts = [{"name": "e", "mountPath": "/e"}]
    base = {"image": TEST_IMAGE, "imagePullPolicy": "IfNotPresent", "volumeMounts": mounts}
    initial = [
        {"name": "one", "command": ["sh", "-c", "echo 1 > /e/x"], **base},
        {"name": "side", "command": ["sh", "-c", "echo 2 >> /e/x; sleep 1000"], "restartPolicy": "Always", **base},
    ]
    script = "while [ $(wc -l < /e/x) -lt 2 ]; do sleep 0.1; done; cat /e/x"
    await real.create(
        "i", script, {"volumeMounts": mounts}, initContainers=initial, volumes=[{"name": "e", "emptyDir": {}}],
        restartPolicy="Never",
    )  # fmt: skip
    status = await real.until("i", is_ended)
    assert status["phase"] == "Succeeded"
    assert await real.logs("i") == "1\n2\n"
    assert status["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert "terminated" in status["initContainerStatuses"][1]["state"]


async def test_command_that_does_not_exist(real: RealNode) -> None:
    await real.create("x", "", {"command": ["/no/such/program"]}, restartPolicy="Never")
    status = await real.until("x", is_ended)
    state = status["containerStatuses"][0]["state"]["terminated"]
    assert state["exitCode"] == 128
    assert "/no/such/program" in state["message"]


async def test_crashing_container_keeps_the_log_of_its_last_run(real: RealNode) -> None:
    await real.create("c", "echo run; sleep 0.5; exit 1")
    await real.until("c", lambda s: s["containerStatuses"][0]["restartCount"] == 1 if s.get("containerStatuses") else 0)
    status = await real.until("c", lambda s: "waiting" in s["containerStatuses"][0]["state"])
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert await real.logs("c", previous=True) == "run\n"


async def test_a_new_kubelet_adopts_the_pod(real: RealNode) -> None:
    await real.create("a", "exec sleep 1000")
    before = await real.until("a", is_ready)
    assert real.kubelet is not None
    async with real.running():
        await asyncio.sleep(0.5)
        after = await real.status("a")
        assert after == before
        assert (await real.execute("a", "echo", "still here")).strip() == "still here"


async def test_security_context(real: RealNode) -> None:
    security = {"runAsUser": 1000, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}
    script = "id -u; id -G; touch /x 2>&1; grep NoNewPrivs /proc/self/status; ls -ln /e"
    context = {"fsGroup": 4321, "supplementalGroups": [77]}
    await real.create(
        "s", script, {"securityContext": security, "volumeMounts": [{"name": "e", "mountPath": "/e"}]},
        securityContext=context, restartPolicy="Never", volumes=[{"name": "e", "emptyDir": {}}],
    )  # fmt: skip
    await real.until("s", is_ended)
    log = await real.logs("s")
    assert log.startswith("1000\n")
    assert {"77", "4321"} <= set(log.splitlines()[1].split())
    assert "Read-only file system" in log
    assert "NoNewPrivs:\t1" in log
    refused = {"runAsNonRoot": True}
    await real.create("r", script, {"securityContext": refused})
    status = await real.until("r", lambda s: bool(s.get("containerStatuses")))
    status = await real.until("r", lambda s: s["containerStatuses"][0]["state"].get("waiting", {}).get("message"))
    waiting = status["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerConfigError"
    assert "container has runAsNonRoot and image will run as root" in waiting["message"]


async def test_a_running_pod_is_resized_and_debugged(real: RealNode) -> None:
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    await real.create("r", "exec sleep 1000", {"resources": resources})
    await real.until("r", is_ready)
    bigger = {"requests": {"cpu": "150m", "memory": "32Mi"}, "limits": {"cpu": "300m", "memory": "96Mi"}}
    await real.change("r", "resize", {"containers": [{"name": "c", "resources": bigger}]})
    status = await real.until("r", lambda s: s["containerStatuses"][0].get("resources") == bigger)
    assert status["containerStatuses"][0]["restartCount"] == 0
    found = await asyncio.to_thread(_inspect, status["containerStatuses"][0]["containerID"])
    assert (found["CpuQuota"], found["CpuShares"], found["Memory"]) == (30_000, 153, 96 * 1024**2)
    debugger = {
        "name": "debug",
        "image": TEST_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["ps"],
        "targetContainerName": "c",
    }
    await real.change("r", "ephemeralcontainers", {"ephemeralContainers": [debugger]})
    await real.until("r", lambda s: "terminated" in s.get("ephemeralContainerStatuses", [{"state": {}}])[0]["state"])
    assert "sleep 1000" in await real.logs("r", "debug")


async def test_a_shorter_grace_ends_a_stubborn_pod_sooner(real: RealNode) -> None:
    await real.create("g", "trap '' TERM; while true; do sleep 0.1; done", terminationGracePeriodSeconds=600)
    await real.until("g", is_ready)
    await real.client.delete(PODS, "g", "default")
    await real.until("g", lambda s: True)
    await real.client.delete(PODS, "g", "default", options=DeleteOptions(grace_seconds=1))
    await real.until_gone("g")


def _inspect(container_id: str) -> Object:
    client = docker.APIClient(version="auto")
    try:
        return dict(client.inspect_container(container_id.removeprefix("docker://"))["HostConfig"])
    finally:
        client.close()
