"""The official Python client against the API server alone."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from tests.support.cluster import HttpsCluster, https_cluster
from tests.support.echo_node import EchoNode

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def pki_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("python")


@pytest.fixture
async def cluster(pki_directory: Path) -> AsyncIterator[HttpsCluster]:
    async with https_cluster(pki_directory, EchoNode()) as running:
        yield running


def in_thread(cluster: HttpsCluster, work: Callable[[Any], Any]) -> Any:
    """Runs blocking calls away from the loop that serves them."""

    def run() -> Any:
        # The client leaves the sockets of watches and streams to the garbage collector.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                with config.new_client_from_config(str(cluster.kubeconfig)) as api:
                    return work(api)
            finally:
                gc.collect()

    return asyncio.to_thread(run)


async def test_objects(cluster: HttpsCluster) -> None:
    def work(api: Any) -> None:
        core = client.CoreV1Api(api)
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a", labels={"k": "v"}), data={"x": "1"})
        made = core.create_namespaced_config_map("default", body)
        assert made.metadata.uid
        made.data["x"] = "2"
        assert core.replace_namespaced_config_map("a", "default", made).data == {"x": "2"}
        with pytest.raises(ApiException) as refused:
            core.replace_namespaced_config_map("a", "default", made)
        assert (refused.value.status, refused.value.reason) == (409, "Conflict")
        assert [m.metadata.name for m in core.list_config_map_for_all_namespaces(label_selector="k=v").items] == ["a"]
        core.patch_namespaced_config_map("a", "default", {"data": {"y": "3"}})
        core.delete_namespaced_config_map("a", "default")
        with pytest.raises(ApiException) as gone:
            core.read_namespaced_config_map("a", "default")
        assert gone.value.status == 404

    await in_thread(cluster, work)


async def test_watch(cluster: HttpsCluster) -> None:
    def work(api: Any) -> None:
        core = client.CoreV1Api(api)
        revision = core.list_namespaced_config_map("default").metadata.resource_version
        core.create_namespaced_config_map("default", {"metadata": {"name": "a"}})
        core.delete_namespaced_config_map("a", "default")
        seen = []
        follow = watch.Watch()
        for event in follow.stream(core.list_namespaced_config_map, "default", resource_version=revision):
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 2:
                follow.stop()
        assert seen == [("ADDED", "a"), ("DELETED", "a")]

    await in_thread(cluster, work)


async def test_exec_over_websocket(cluster: HttpsCluster) -> None:
    def work(api: Any) -> None:
        core = client.CoreV1Api(api)
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        core.create_namespaced_pod("default", pod)
        binding = client.V1Binding(metadata=client.V1ObjectMeta(name="p"), target=client.V1ObjectReference(name="n"))
        core.create_namespaced_pod_binding("p", "default", binding, _preload_content=False)
        core.patch_namespaced_pod_status("p", "default", {"status": {"phase": "Running"}})
        session = stream(
            core.connect_get_namespaced_pod_exec, "p", "default", command=["echo", "hi"], stdout=True, stderr=True,
            _preload_content=False,
        )  # fmt: skip
        session.run_forever(timeout=10)
        assert session.read_stdout() == "hi\n"
        assert session.returncode == 0
        session.close()
        assert core.read_namespaced_pod_log("p", "default") == "one\ntwo\n"

    await in_thread(cluster, work)


async def test_rollout_objects(cluster: HttpsCluster) -> None:
    def work(api: Any) -> None:
        apps = client.AppsV1Api(api)
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        apps.create_namespaced_deployment("default", {"metadata": {"name": "d"}, "spec": spec})
        apps.patch_namespaced_deployment_scale("d", "default", {"spec": {"replicas": 3}})
        assert apps.read_namespaced_deployment_scale("d", "default").spec.replicas == 3
        assert apps.read_namespaced_deployment("d", "default").spec.strategy.type == "RollingUpdate"

    await in_thread(cluster, work)
