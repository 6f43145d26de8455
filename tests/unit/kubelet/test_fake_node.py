"""A whole simulated node against a client of dicts, on virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from minikube_py.client.protocol import DeleteOptions, WriteOptions
from minikube_py.kubelet.kinds import CONFIG_MAPS, NODES, PODS
from minikube_py.kubelet.kubelet import Kubelet, KubeletOptions
from minikube_py.kubelet.pod_volumes import remove_node_files
from minikube_py.kubelet.runtimes.fake import FakeRuntime
from minikube_py.objects.errors import NotFound, Object, ServiceUnavailable
from minikube_py.resources.kind import GVR
from tests.support.memory_api import MemoryApi
from tests.support.virtual_time import virtual_time

EVENTS = GVR("", "v1", "events")


@asynccontextmanager
async def node(api: MemoryApi, runtime: FakeRuntime, data_dir: Path | None = None) -> AsyncIterator[Kubelet]:
    kubelet = Kubelet(KubeletOptions("n1", api, runtime, data_dir, addresses=("192.168.7.1",)))  # type: ignore[arg-type]
    task = asyncio.create_task(kubelet.run())
    try:
        await kubelet.status.registered.wait()
        yield kubelet
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runtime.close()


def pod(name: str = "web", annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    base: Object = {
        "nodeName": "n1",
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "c", "image": "nginx:1", "imagePullPolicy": "IfNotPresent"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
        "spec": base | spec,
        "status": {"phase": "Pending"},
    }


async def status(api: MemoryApi, name: str = "web") -> Object:
    return dict((await api.get(PODS, name, "default"))["status"])


def condition(status: Object, name: str) -> Object:
    return next(c for c in status["conditions"] if c["type"] == name)


def events(api: MemoryApi) -> list[tuple[str, str]]:
    return [(o["reason"], o["message"]) for (gvr, _, _), o in api.objects.items() if gvr == EVENTS]


@virtual_time
async def test_pod_becomes_running_and_ready() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()):
        await api.create(PODS, pod(), "default")
        await asyncio.sleep(1)
        found = await status(api)
        assert found["phase"] == "Running"
        assert condition(found, "Ready")["status"] == "True"
        assert condition(found, "Ready")["observedGeneration"] == 1
        assert found["podIP"] == "10.42.0.2"
        assert found["hostIP"] == "192.168.7.1"
        container = found["containerStatuses"][0]
        assert container["ready"] is True
        assert container["started"] is True
        assert container["containerID"].startswith("docker://")
        assert "running" in container["state"]
        assert found["qosClass"] == "BestEffort"
        assert ("Started", "Container started") in events(api)
        written = [w for w in api.writes if w[1] == "pods/status"]
        assert len(written) == 1  # the short-lived ContainerCreating is not worth a write


@virtual_time
async def test_node_is_registered_and_keeps_extended_resources() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()):
        found = await api.get(NODES, "n1")
        assert found["status"]["capacity"]["cpu"] == "32"
        assert found["status"]["capacity"]["memory"] == "268435456Ki"
        assert found["status"]["allocatable"]["pods"] == "110"
        assert found["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
        assert condition(found["status"], "Ready")["status"] == "True"
        await api.patch(NODES, "n1", {"status": {"capacity": {"example.com/gpu": "3"}}})
        await asyncio.sleep(400)
        found = await api.get(NODES, "n1")
        assert found["status"]["capacity"]["example.com/gpu"] == "3"
        assert found["status"]["allocatable"]["example.com/gpu"] == "3"


@virtual_time
async def test_crashing_container_backs_off() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()):
        script = {"fake.mkube.io/run-seconds": "1", "fake.mkube.io/exit-code": "3"}
        made = await api.create(PODS, pod(annotations=script), "default")
        await asyncio.sleep(4)
        container = (await status(api))["containerStatuses"][0]
        assert container["restartCount"] == 1
        uid = made["metadata"]["uid"]
        assert container["state"]["waiting"] == {
            "reason": "CrashLoopBackOff",
            "message": f"back-off 10s restarting failed container=c pod=web_default({uid})",
        }
        assert container["lastState"]["terminated"]["exitCode"] == 3
        assert container["lastState"]["terminated"]["reason"] == "Error"
        assert (await status(api))["phase"] == "Running"
        await asyncio.sleep(12)
        container = (await status(api))["containerStatuses"][0]
        assert container["restartCount"] == 2
        assert "back-off 20s" in container["state"]["waiting"]["message"]
        assert ("BackOff", f"Back-off restarting failed container c in pod web_default({uid})") in events(api)


@virtual_time
async def test_pod_that_runs_to_its_end_succeeds_or_fails() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()) as kubelet:
        script = {"fake.mkube.io/run-seconds": "5"}
        await api.create(PODS, pod("good", script, restartPolicy="Never"), "default")
        bad = script | {"fake.mkube.io/exit-code": "1"}
        made = await api.create(PODS, pod("bad", bad, restartPolicy="Never"), "default")
        await asyncio.sleep(1)
        assert (await status(api, "good"))["phase"] == "Running"
        await asyncio.sleep(6)
        good, failed = await status(api, "good"), await status(api, "bad")
        assert good["phase"] == "Succeeded"
        assert condition(good, "Ready") | {"lastTransitionTime": ""} == {
            "type": "Ready", "status": "False", "reason": "PodCompleted", "observedGeneration": 1,
            "lastTransitionTime": "",
        }  # fmt: skip
        assert failed["phase"] == "Failed"
        assert failed["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
        state = await kubelet.options.runtime.pod_state(made["metadata"]["uid"])
        assert state is not None
        assert not state.sandboxes[0].is_running


@virtual_time
async def test_deleted_pod_is_stopped_and_forgotten() -> None:
    api, runtime = MemoryApi(), FakeRuntime()
    async with node(api, runtime):
        made = await api.create(PODS, pod(), "default")
        await asyncio.sleep(1)
        await api.delete(PODS, "web", "default")
        await asyncio.sleep(1)
        try:
            await api.get(PODS, "web", "default")
            raise AssertionError("the pod is still there")
        except NotFound:
            pass
        await asyncio.sleep(1)
        assert await runtime.pod_state(made["metadata"]["uid"]) is None
        assert ("Killing", "Stopping container c") in events(api)


@virtual_time
async def test_forced_deletion_cleans_the_runtime() -> None:
    api, runtime = MemoryApi(), FakeRuntime()
    async with node(api, runtime):
        await api.create(PODS, pod(), "default")
        await asyncio.sleep(1)
        await api.delete(PODS, "web", "default", options=DeleteOptions(grace_seconds=0))
        await asyncio.sleep(3)
        assert await runtime.list_pods() == []


@virtual_time
async def test_missing_image_backs_off_and_recovers() -> None:
    api, runtime = MemoryApi(), FakeRuntime()
    runtime.missing_images.add("ghost:1")
    async with node(api, runtime):
        spec = [{"name": "c", "image": "ghost:1", "imagePullPolicy": "IfNotPresent"}]
        await api.create(PODS, pod(containers=spec), "default")
        await asyncio.sleep(1)
        waiting = (await status(api))["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "ErrImagePull"
        await asyncio.sleep(3)
        waiting = (await status(api))["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "ImagePullBackOff"
        assert waiting["message"].startswith('Back-off pulling image "ghost:1": ErrImagePull: ')
        assert (await status(api))["phase"] == "Pending"
        runtime.missing_images.clear()
        await asyncio.sleep(10)
        assert (await status(api))["phase"] == "Running"


@virtual_time
async def test_why_an_image_is_not_even_pulled_is_told_in_events() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()):
        await api.create(PODS, pod("odd", containers=[{"name": "c", "image": " "}]), "default")
        await asyncio.sleep(1)
        waiting = (await status(api, "odd"))["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "InvalidImageName"
        assert ("InspectFailed", waiting["message"]) in events(api)
        assert ("Failed", "Error: InvalidImageName") in events(api)


@virtual_time
async def test_pod_waits_for_config_map_and_goes_on_by_event() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()):
        env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "a"}}}]
        containers = [{"name": "c", "image": "nginx:1", "imagePullPolicy": "IfNotPresent", "env": env}]
        await api.create(PODS, pod(containers=containers), "default")
        await asyncio.sleep(1)
        waiting = (await status(api))["containerStatuses"][0]["state"]["waiting"]
        assert waiting == {"reason": "CreateContainerConfigError", "message": 'configmap "cm" not found'}
        await asyncio.sleep(200)
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"a": "1"}}
        await api.create(CONFIG_MAPS, made, "default")
        await asyncio.sleep(0.5)
        assert (await status(api))["phase"] == "Running"


@virtual_time
async def _changes_in_quick_succession(data_dir: Path) -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime(), data_dir):
        config = {"metadata": {"name": "cm", "namespace": "default"}, "data": {"n": "0"}}
        await api.create(CONFIG_MAPS, config, "default")
        volumes = [{"name": name, "configMap": {"name": "cm"}} for name in ("a", "b")]
        made = await api.create(PODS, pod(volumes=volumes), "default")
        await asyncio.sleep(1)
        for n in range(1, 20):
            found = await api.get(CONFIG_MAPS, "cm", "default")
            await api.update(CONFIG_MAPS, {**found, "data": {"n": str(n)}})
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        root = data_dir / "kubelet" / "pods" / made["metadata"]["uid"] / "volumes" / "kubernetes.io~configmap"
        assert [(root / name / "n").read_text() for name in ("a", "b")] == ["19", "19"]


def test_no_change_is_lost_while_volumes_are_written(tmp_path: Path) -> None:
    try:
        _changes_in_quick_succession(tmp_path)
    finally:
        remove_node_files(tmp_path)


@virtual_time
async def test_init_containers_and_sidecars_run_in_order() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()):
        script = {"fake.mkube.io/run-seconds.first": "2", "fake.mkube.io/ready-after-seconds.c": "3"}
        initial = [
            {"name": "first", "image": "a:1", "imagePullPolicy": "IfNotPresent"},
            {"name": "side", "image": "a:1", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always"},
        ]
        await api.create(PODS, pod(annotations=script, initContainers=initial), "default")
        await asyncio.sleep(1)
        found = await status(api)
        assert found["phase"] == "Pending"
        assert condition(found, "Initialized")["reason"] == "ContainersNotInitialized"
        assert condition(found, "Initialized")["message"] == "containers with incomplete status: [first side]"
        assert found["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
        assert "running" in found["initContainerStatuses"][0]["state"]
        await asyncio.sleep(2)
        found = await status(api)
        assert found["phase"] == "Running"
        assert found["initContainerStatuses"][0]["ready"] is True
        assert found["initContainerStatuses"][1]["started"] is True
        assert condition(found, "Ready")["message"] == "containers with unready status: [c]"
        await asyncio.sleep(3)
        assert condition(await status(api), "Ready")["status"] == "True"


@virtual_time
async def test_one_containers_end_restarts_all() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()):
        rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
        source = {"name": "a", "image": "a:1", "imagePullPolicy": "IfNotPresent", "restartPolicyRules": rules}
        other = {"name": "b", "image": "b:1", "imagePullPolicy": "IfNotPresent"}
        first = {"name": "i", "image": "i:1", "imagePullPolicy": "IfNotPresent"}
        script = {
            "fake.mkube.io/run-seconds.i": "1",
            "fake.mkube.io/run-seconds.a": "5",
            "fake.mkube.io/exit-code.a": "42",
        }
        spec = {"initContainers": [first], "containers": [source, other], "restartPolicy": "Never"}
        await api.create(PODS, pod(annotations=script, **spec), "default")
        await asyncio.sleep(4)
        assert (await status(api))["phase"] == "Running"
        await asyncio.sleep(6)
        found = await status(api)
        counts = {
            c["name"]: c["restartCount"] for f in ("initContainerStatuses", "containerStatuses") for c in found[f]
        }
        assert counts == {"i": 1, "a": 1, "b": 1}
        assert condition(found, "AllContainersRestarting")["status"] == "False"
        assert found["phase"] == "Running"
        ended = found["containerStatuses"][1]["lastState"]["terminated"]
        assert ended["exitCode"] == 137
        await asyncio.sleep(4)  # the second end is followed by a back-off of 10 seconds
        waiting = (await status(api))["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "CrashLoopBackOff"
        await asyncio.sleep(12)
        found = await status(api)
        assert [c["restartCount"] for c in found["containerStatuses"]] == [2, 2]


@virtual_time
async def test_deadline_fails_the_pod() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()):
        await api.create(PODS, pod(activeDeadlineSeconds=5), "default")
        await asyncio.sleep(3)
        assert (await status(api))["phase"] == "Running"
        await asyncio.sleep(4)
        found = await status(api)
        assert (found["phase"], found["reason"]) == ("Failed", "DeadlineExceeded")


@virtual_time
async def test_taken_host_port_is_refused() -> None:
    api = MemoryApi()
    async with node(api, FakeRuntime()):
        ports = [{"containerPort": 80, "hostPort": 8080}]
        containers = [{"name": "c", "image": "nginx:1", "imagePullPolicy": "IfNotPresent", "ports": ports}]
        await api.create(PODS, pod("a", containers=containers), "default")
        await asyncio.sleep(1)
        await api.create(PODS, pod("b", containers=containers), "default")
        await asyncio.sleep(1)
        found = await status(api, "b")
        assert (found["phase"], found["reason"]) == ("Failed", "NodePorts")
        assert found["message"] == "Pod was rejected: Predicate NodePorts failed"


@virtual_time
async def test_restarted_kubelet_adopts_what_runs() -> None:
    api, runtime = MemoryApi(), FakeRuntime()
    async with node(api, runtime):
        await api.create(PODS, pod(), "default")
        await asyncio.sleep(1)
        before = await status(api)
    api.writes.clear()
    async with node(api, runtime):
        await asyncio.sleep(5)
        assert (await status(api)) == before
        assert [w for w in api.writes if w[1] == "pods/status"] == []
        assert len((await runtime.list_pods())[0].containers) == 1


@virtual_time
async def test_lost_sandbox_is_replaced_with_its_address() -> None:
    api, runtime = MemoryApi(), FakeRuntime()
    async with node(api, runtime):
        made = await api.create(PODS, pod(), "default")
        await asyncio.sleep(1)
        before = await status(api)
        await runtime.stop_sandboxes(made["metadata"]["uid"])
        await asyncio.sleep(2)
        after = await status(api)
        assert after["podIP"] == before["podIP"]
        assert after["containerStatuses"][0]["restartCount"] == 1
        assert condition(after, "Ready")["status"] == "True"


@virtual_time
async def test_pods_of_the_runtime_without_api_object_are_removed() -> None:
    api, runtime = MemoryApi(), FakeRuntime()
    async with node(api, runtime):
        await api.create(PODS, pod(), "default")
        await asyncio.sleep(1)
    api.objects = {key: value for key, value in api.objects.items() if key[0] != PODS}
    async with node(api, runtime):
        await asyncio.sleep(2)
        assert await runtime.list_pods() == []


class ApiWithoutTokens(MemoryApi):
    """Refuses tokens while `is_away`."""

    is_away = False

    async def create(self, gvr: GVR, obj: Object, namespace: str = "", **more: Any) -> Object:
        if more.get("options", WriteOptions()).subresource == "token" and self.is_away:
            self.writes.append(("create", "refused", obj))
            raise ServiceUnavailable("away")
        return await super().create(gvr, obj, namespace, **more)


TOKEN_VOLUME = {
    "name": "t",
    "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]},
}


@virtual_time
async def _renew(data_dir: Path) -> None:
    api = ApiWithoutTokens()
    async with node(api, FakeRuntime(), data_dir):
        made = await api.create(PODS, pod(volumes=[TOKEN_VOLUME]), "default")
        await asyncio.sleep(1)
        assert (await status(api))["phase"] == "Running"
        directory = data_dir / "kubelet" / "memory" / made["metadata"]["uid"] / "kubernetes.io~projected" / "t"
        first = (directory / "token").read_text()
        api.is_away = True
        await asyncio.sleep(3600 * 0.8 + 600)
        refused = [w for w in api.writes if w[1] == "refused"]
        assert 10 <= len(refused) <= 61
        assert (directory / "token").read_text() == first
        api.is_away = False
        await asyncio.sleep(11)
        assert (directory / "token").read_text() != first
        await api.delete(PODS, "web", "default")
        await asyncio.sleep(2)
        assert not directory.parent.exists()


def test_token_renewal_is_patient_when_the_api_is_away(tmp_path: Path) -> None:
    try:
        _renew(tmp_path)
    finally:
        remove_node_files(tmp_path)


@virtual_time
async def test_a_mistake_with_one_pod_does_not_stop_the_others() -> None:
    api, runtime = MemoryApi(), FakeRuntime()
    async with node(api, runtime):
        broken = pod("broken", containers=[{"name": "c", "image": "nginx:1", "env": [{"nonsense": 1}]}])
        await api.create(PODS, broken, "default")
        await api.create(PODS, pod("good"), "default")
        await asyncio.sleep(200)
        assert (await status(api, "good"))["phase"] == "Running"
        await api.delete(PODS, "broken", "default")
        await asyncio.sleep(200)
        assert [key[2] for key in api.objects if key[0] == PODS] == ["good"]
