"""Writes through the API server: names, generations, locks, admission, deletion in its phases, evictions."""

import asyncio

import pytest

from minikube_py import ids
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.server import ApiServerOptions
from minikube_py.client.protocol import Client, DeleteOptions, PatchType, WriteOptions
from minikube_py.objects.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, Object, TooManyRequests
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from minikube_py.store.memory import MemoryStore
from tests.support.cluster import test_cluster

CONFIG_MAPS = GVR("", "v1", "configmaps")
DEPLOYMENTS = GVR("apps", "v1", "deployments")
JOBS = GVR("batch", "v1", "jobs")
PODS = GVR("", "v1", "pods")
BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")
LEASES = GVR("coordination.k8s.io", "v1", "leases")
AUTOSCALERS_V1 = GVR("autoscaling", "v1", "horizontalpodautoscalers")
AUTOSCALERS_V2 = GVR("autoscaling", "v2", "horizontalpodautoscalers")
STATUS = WriteOptions(subresource="status")
EVICTION = WriteOptions(subresource="eviction")


def pod(name: str, **spec: object) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


async def bind(client: Client, name: str) -> None:
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}}
    await client.create(PODS, binding, "default", name=name, options=WriteOptions(subresource="binding"))


# --- names -----------------------------------------------------------------------------------------------------------


async def test_a_generated_name_that_is_taken_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    suffixes = iter(["aaaaa", "aaaaa", "bbbbb"])
    monkeypatch.setattr(ids, "name_suffix", lambda: next(suffixes))
    async with test_cluster() as cluster:
        body = {"metadata": {"generateName": "x-", "namespace": "default"}}
        made = [(await cluster.client().create(CONFIG_MAPS, body))["metadata"]["name"] for _ in range(2)]
    assert made == ["x-aaaaa", "x-bbbbb"]


async def test_long_prefixes_are_cut() -> None:
    async with test_cluster() as cluster:
        body = {"metadata": {"generateName": "x" * 70, "namespace": "default"}}
        assert len((await cluster.client().create(CONFIG_MAPS, body))["metadata"]["name"]) == 63


async def test_an_object_that_is_on_its_way_out_says_so() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        body = {"metadata": {"name": "a", "namespace": "default", "finalizers": ["example.org/hold"]}}
        await client.create(CONFIG_MAPS, body)
        await client.delete(CONFIG_MAPS, "a", "default")
        with pytest.raises(AlreadyExists, match="object is being deleted: configmaps"):
            await client.create(CONFIG_MAPS, body)


# --- updates ---------------------------------------------------------------------------------------------------------


async def test_concurrent_patches_all_land() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
        patches = [client.patch(CONFIG_MAPS, "a", {"data": {f"k{i}": "v"}}, "default") for i in range(20)]
        await asyncio.gather(*patches)
        assert len((await client.get(CONFIG_MAPS, "a", "default"))["data"]) == 20


async def test_a_patch_with_a_revision_is_locked() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
        await client.patch(CONFIG_MAPS, "a", {"data": {"x": "1"}}, "default")
        locked = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"x": "2"}}
        with pytest.raises(Conflict):
            await client.patch(CONFIG_MAPS, "a", locked, "default")


async def test_system_fields_can_not_be_changed() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        made = await client.create(DEPLOYMENTS, _deployment())
        wanted = {**made, "metadata": {**made["metadata"], "creationTimestamp": None, "generation": 99}}
        changed = await client.update(DEPLOYMENTS, wanted)
        assert changed["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
        assert changed["metadata"]["generation"] == 1
        with pytest.raises(Conflict, match="UID in precondition: x"):
            await client.patch(DEPLOYMENTS, "d", {"metadata": {"uid": "x"}}, "default")


def _deployment() -> Object:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"metadata": {"name": "d", "namespace": "default"}, "spec": spec}


async def test_an_update_creates_what_its_kind_allows() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        lease = {"metadata": {"name": "l", "namespace": "default"}, "spec": {"holderIdentity": "me"}}
        assert (await client.update(LEASES, lease))["metadata"]["uid"]
        with pytest.raises(NotFound):
            await client.update(CONFIG_MAPS, {"metadata": {"name": "none", "namespace": "default"}})


async def test_an_update_of_what_is_not_there_says_so_before_it_asks_for_a_version() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
        with pytest.raises(NotFound):
            await client.update(BUDGETS, {**budget, "metadata": {"name": "b", "namespace": "default"}})
        await client.create(BUDGETS, budget, "default")
        with pytest.raises(Invalid, match="must be specified for an update"):
            await client.update(BUDGETS, {**budget, "metadata": {"name": "b", "namespace": "default"}})


async def test_versions_of_a_kind_share_their_objects() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        spec = {
            "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "targetCPUUtilizationPercentage": 50,
        }  # fmt: skip
        await client.create(AUTOSCALERS_V1, {"metadata": {"name": "h", "namespace": "default"}, "spec": spec})
        newer = await client.get(AUTOSCALERS_V2, "h", "default")
        assert newer["apiVersion"] == "autoscaling/v2"
        assert newer["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
        older = await client.get(AUTOSCALERS_V1, "h", "default")
        assert (older["apiVersion"], older["spec"]["targetCPUUtilizationPercentage"]) == ("autoscaling/v1", 50)
        assert len((await client.list(AUTOSCALERS_V2)).items) == 1


async def test_patches_that_make_no_such_object_are_invalid() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await client.create(DEPLOYMENTS, _deployment())
        with pytest.raises(Invalid, match="cannot unmarshal string into Go struct field"):
            await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": "two"}}, "default")
        patch = {"spec": {"replica": 4}}
        with pytest.raises(Invalid, match=r'"map\[spec:map\[replica:4\]\]": strict decoding error: unknown field'):
            await client.patch(DEPLOYMENTS, "d", patch, "default", patch_type=PatchType.STRATEGIC)


async def test_admission_sees_old_and_new_and_may_change_and_refuse() -> None:
    seen: list[tuple[str, bool, bool]] = []

    class Watchman:
        name = "Watchman"

        async def mutate(self, request: AdmissionRequest) -> None:
            if request.obj is not None and request.info.resource == "configmaps":
                request.obj["metadata"].setdefault("labels", {})["seen"] = "yes"

        async def validate(self, request: AdmissionRequest) -> None:
            if request.info.resource != "configmaps":
                return
            seen.append((request.operation, request.obj is not None, request.old is not None))
            if request.obj is not None and request.obj.get("data") == {"bad": "1"}:
                raise Forbidden.of("", "configmaps", "a", "no")

    reader = StoreReader(MemoryStore(), built_in_kinds())
    async with test_cluster(ApiServerOptions(reader, admission=(Watchman(),))) as cluster:
        client = cluster.client()
        made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default"}})
        assert made["metadata"]["labels"] == {"seen": "yes"}
        with pytest.raises(Forbidden):
            await client.patch(CONFIG_MAPS, "a", {"data": {"bad": "1"}}, "default")
        await client.delete(CONFIG_MAPS, "a", "default")
    assert seen == [("CREATE", True, False), ("UPDATE", True, True), ("DELETE", False, True)]


# --- deletion --------------------------------------------------------------------------------------------------------


async def test_a_shorter_grace_moves_the_deadline_and_a_longer_one_does_not() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await client.create(PODS, pod("p", terminationGracePeriodSeconds=60))
        await bind(client, "p")
        first = await client.delete(PODS, "p", "default")
        shorter = await client.delete(PODS, "p", "default", options=DeleteOptions(grace_seconds=5))
        longer = await client.delete(PODS, "p", "default", options=DeleteOptions(grace_seconds=50))
        assert first["metadata"]["deletionGracePeriodSeconds"] == 60
        assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
        assert shorter["metadata"]["deletionTimestamp"] < first["metadata"]["deletionTimestamp"]
        assert longer["metadata"] == shorter["metadata"]


async def test_pods_that_never_ran_go_at_once() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await client.create(PODS, pod("p"))
        await client.delete(PODS, "p", "default")
        with pytest.raises(NotFound):
            await client.get(PODS, "p", "default")


async def test_jobs_orphan_their_pods_unless_told_otherwise() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
        for name, policy in (("a", ""), ("b", "Background")):
            body = {"metadata": {"name": name, "namespace": "default"}, "spec": spec}
            await client.create(JOBS, body)
            await client.delete(JOBS, name, "default", options=DeleteOptions(propagation=policy))
        assert (await client.get(JOBS, "a", "default"))["metadata"]["finalizers"] == ["orphan"]
        with pytest.raises(NotFound):
            await client.get(JOBS, "b", "default")


# --- evictions -------------------------------------------------------------------------------------------------------


async def budget(client: Client, allowed: int) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    made = await client.create(BUDGETS, {"metadata": {"name": "b", "namespace": "default"}, "spec": spec})
    made["status"] = {
        "observedGeneration": made["metadata"]["generation"], "disruptionsAllowed": allowed, "currentHealthy": 1,
        "desiredHealthy": 1, "expectedPods": 1,
    }  # fmt: skip
    await client.update(BUDGETS, made, options=STATUS)


async def running_pod(client: Client) -> None:
    await client.create(PODS, pod("p"))
    await bind(client, "p")
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await client.patch(PODS, "p", {"status": status}, "default", options=STATUS)


async def evict(client: Client) -> Object:
    return await client.create(PODS, {"metadata": {"name": "p"}}, "default", name="p", options=EVICTION)


async def test_a_budget_that_is_used_up_refuses() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await running_pod(client)
        await budget(client, 0)
        with pytest.raises(TooManyRequests) as refused:
            await evict(client)
        assert refused.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
        assert refused.value.details is not None
        assert refused.value.details["causes"] == [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget b needs 1 healthy pods and has 1 currently",
            }
        ]


async def test_an_eviction_takes_from_the_budget_and_tells_why() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await running_pod(client)
        await budget(client, 1)
        assert (await evict(client))["status"] == "Success"
        status = (await client.get(BUDGETS, "b", "default"))["status"]
        assert status["disruptionsAllowed"] == 0
        assert list(status["disruptedPods"]) == ["p"]
        evicted = await client.get(PODS, "p", "default")
        assert evicted["metadata"]["deletionTimestamp"]
        assert "DisruptionTarget" in [c["type"] for c in evicted["status"]["conditions"]]


async def test_pods_that_do_not_run_need_no_budget() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await client.create(PODS, pod("p"))
        await budget(client, 0)
        await evict(client)
        with pytest.raises(NotFound):
            await client.get(PODS, "p", "default")


# --- metadata in writes of the status ---------------------------------------------------------------------------------


async def test_the_status_of_a_deployment_changes_no_labels() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        body = {
            "metadata": {"name": "d", "namespace": "default", "labels": {"own": "yes"}},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
        }
        await client.create(DEPLOYMENTS, body)
        patch = {"metadata": {"labels": {"own": "no"}, "annotations": {"x": "y"}}, "status": {"replicas": 1}}
        patched = await client.patch(DEPLOYMENTS, "d", patch, "default", options=STATUS)
    assert patched["metadata"]["labels"] == {"own": "yes"}
    assert patched["metadata"]["annotations"] == {"x": "y"}
    assert patched["status"]["replicas"] == 1


async def test_the_status_of_a_pod_changes_no_owners() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        owner = {"apiVersion": "v1", "kind": "ReplicationController", "name": "rc", "uid": "u", "controller": True}
        made = pod("p")
        made["metadata"]["ownerReferences"] = [owner]
        await client.create(PODS, made)
        patch = {"metadata": {"ownerReferences": None, "labels": {"own": "no"}}, "status": {"phase": "Running"}}
        patched = await client.patch(PODS, "p", patch, "default", options=STATUS)
    assert patched["metadata"]["ownerReferences"] == [owner]
    assert patched["metadata"]["labels"]["own"] == "no"


# --- metadata that counts as desired state ---------------------------------------------------------------------------


async def test_annotations_of_a_deployment_raise_its_generation() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        body = {
            "metadata": {"name": "d", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
        }
        await client.create(DEPLOYMENTS, body)
        seen = []
        for key, options in (("labels", None), ("annotations", None), ("annotations", STATUS)):
            patch = {"metadata": {key: {"x": f"{len(seen)}"}}}
            patched = await client.patch(DEPLOYMENTS, "d", patch, "default", options=options or WriteOptions())
            seen.append(patched["metadata"]["generation"])
    assert seen == [1, 2, 2]
