"""Built-in kinds with a status have one from the start, as typed clients expect it."""

from minikube_py.resources.kind import GVR
from tests.support.cluster import test_cluster

QUOTAS = GVR("", "v1", "resourcequotas")
SCHEMAS = GVR("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
CONFIG_MAPS = GVR("", "v1", "configmaps")


async def test_a_new_object_has_an_empty_status() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        quota = await client.create(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}, "default")
        assert quota["status"] == {}
        spec = {"priorityLevelConfiguration": {"name": "exempt"}}
        assert (await client.create(SCHEMAS, {"metadata": {"name": "s"}, "spec": spec}))["status"] == {}
        assert "status" not in await client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "default")
