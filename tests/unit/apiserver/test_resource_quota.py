import asyncio
from typing import Any

import pytest

from minikube_py.apiserver.admission.resource_quota import RESOURCE_QUOTAS, ResourceQuota
from minikube_py.client.protocol import WriteOptions
from minikube_py.objects.errors import Conflict, Forbidden, Object
from minikube_py.resources.kind import GVR
from minikube_py.resources.quota_usage import counted_kinds, total_usage
from tests.support.admission import admission_context, admission_request, run
from tests.support.object_reader import DictReader


class StatusClient:
    """Stores quota updates in the reader, after as many conflicts as it is told to have."""

    def __init__(self, reader: DictReader) -> None:
        self.reader, self.conflicts, self.writes = reader, 0, 0

    async def update(self, gvr: GVR, obj: Object, *, options: WriteOptions) -> Object:
        assert options.subresource == "status"
        await asyncio.sleep(0)
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict.of("", "resourcequotas", obj["metadata"]["name"])
        self.writes += 1
        return self.reader.add(gvr, obj)


@pytest.fixture
def reader() -> DictReader:
    return DictReader()


@pytest.fixture
def client(reader: DictReader) -> StatusClient:
    return StatusClient(reader)


@pytest.fixture
def plugin(reader: DictReader, client: StatusClient) -> ResourceQuota:
    context = admission_context(reader)
    context.client = client  # type: ignore[assignment]
    return ResourceQuota(context)


def quota(reader: DictReader, hard: Object, used: Object | None = None, **spec: Any) -> Object:
    used = dict.fromkeys(hard, "0") if used is None else used
    status = {"hard": hard, "used": used}
    return reader.add(
        RESOURCE_QUOTAS,
        {"metadata": {"name": "q", "namespace": "web"}, "spec": {"hard": hard, **spec}, "status": status},
    )


def used(reader: DictReader) -> Object:
    return reader.objects[RESOURCE_QUOTAS, "web", "q"]["status"]["used"]


def pod(requests: Object | None = None, limits: Object | None = None, **spec: Any) -> Object:
    resources = {"requests": requests or {}, "limits": limits or {}}
    containers = [{"name": "c", "resources": resources}]
    return {"metadata": {"name": "p", "namespace": "web"}, "spec": {"containers": containers, **spec}}


async def create(plugin: ResourceQuota, path: str, obj: Object) -> None:
    await run(plugin, admission_request("CREATE", path, obj))


async def test_usage_grows_with_each_write_until_it_is_full(plugin: ResourceQuota, reader: DictReader) -> None:
    quota(reader, {"pods": "2", "requests.cpu": "1"})
    await create(plugin, "pods", pod({"cpu": "400m"}))
    await create(plugin, "pods", pod({"cpu": "400m"}))
    assert used(reader) == {"pods": "2", "requests.cpu": "800m"}
    with pytest.raises(Forbidden) as refused:
        await create(plugin, "pods", pod({"cpu": "400m"}))
    assert refused.value.message == (
        'pods "p" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=400m, used: pods=2,'
        "requests.cpu=800m, limited: pods=2,requests.cpu=1"
    )


async def test_two_writes_at_once_do_not_share_the_last_place(plugin: ResourceQuota, reader: DictReader) -> None:
    quota(reader, {"count/configmaps": "1"})
    made = [{"metadata": {"name": n, "namespace": "web"}} for n in "ab"]
    answers = await asyncio.gather(*(create(plugin, "configmaps", m) for m in made), return_exceptions=True)
    assert [type(a) for a in answers] == [type(None), Forbidden]
    assert used(reader) == {"count/configmaps": "1"}


async def test_a_conflict_is_tried_again(plugin: ResourceQuota, reader: DictReader, client: StatusClient) -> None:
    quota(reader, {"pods": "2"})
    client.conflicts = 2
    await create(plugin, "pods", pod())
    assert used(reader) == {"pods": "1"}


async def test_a_dry_run_is_checked_but_not_charged(plugin: ResourceQuota, reader: DictReader, client) -> None:
    quota(reader, {"pods": "0"})
    made = admission_request("CREATE", "pods", pod())
    made.dry_run = True
    with pytest.raises(Forbidden):
        await run(plugin, made)
    quota(reader, {"pods": "1"})
    await run(plugin, made)
    assert client.writes == 0


async def test_what_quotas_make_containers_say(plugin: ResourceQuota, reader: DictReader) -> None:
    quota(reader, {"limits.memory": "1Gi", "cpu": "1"})
    with pytest.raises(Forbidden, match="failed quota: q: must specify cpu for: c; limits"):
        await create(plugin, "pods", pod())
    await create(plugin, "pods", pod(resources={"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}))


async def test_a_quota_without_usage_yet_refuses(plugin: ResourceQuota, reader: DictReader) -> None:
    quota(reader, {"pods": "1"}, used={})
    with pytest.raises(Forbidden, match="status unknown for quota: q, resources: pods"):
        await create(plugin, "pods", pod())


async def test_services_and_claims(plugin: ResourceQuota, reader: DictReader) -> None:
    fast = "fast.storageclass.storage.k8s.io/requests.storage"
    quota(reader, {"services.nodeports": "2", "services.loadbalancers": "0", "requests.storage": "10Gi", fast: "5Gi"})
    service = {"metadata": {"name": "s", "namespace": "web"}, "spec": {"type": "NodePort", "ports": [{}, {}]}}
    await create(plugin, "services", service)
    assert used(reader)["services.nodeports"] == "2"
    balanced = {**service, "spec": {"type": "LoadBalancer", "ports": []}}
    with pytest.raises(Forbidden, match=r"requested: services.loadbalancers=1"):
        await create(plugin, "services", balanced)
    resources = {"requests": {"storage": "6Gi"}}
    claim = {
        "metadata": {"name": "c", "namespace": "web"},
        "spec": {"storageClassName": "fast", "resources": resources},
    }
    with pytest.raises(Forbidden, match=f"requested: {fast}=6Gi, used: {fast}=0, limited: {fast}=5Gi"):
        await create(plugin, "persistentvolumeclaims", claim)


async def test_updates_are_charged_for_the_difference(plugin: ResourceQuota, reader: DictReader) -> None:
    quota(reader, {"services.nodeports": "3"}, used={"services.nodeports": "2"})
    old = {"metadata": {"name": "s", "namespace": "web"}, "spec": {"type": "NodePort", "ports": [{}, {}]}}
    new = {**old, "spec": {"type": "NodePort", "ports": [{}, {}, {}]}}
    await run(plugin, admission_request("UPDATE", "services", new, old))
    assert used(reader) == {"services.nodeports": "3"}
    await run(plugin, admission_request("UPDATE", "services", old, new))
    assert used(reader) == {"services.nodeports": "3"}


@pytest.mark.parametrize(
    ("scopes", "spec", "is_charged"),
    [
        (["Terminating"], {"activeDeadlineSeconds": 5}, True),
        (["Terminating"], {}, False),
        (["NotTerminating"], {}, True),
        (["BestEffort"], {}, True),
        (["NotBestEffort"], {}, False),
        (["PriorityClass"], {"priorityClassName": "high"}, True),
        (["PriorityClass"], {}, False),
        (["BestEffort", "NotTerminating"], {"activeDeadlineSeconds": 5}, False),
    ],
)
async def test_scopes(
    plugin: ResourceQuota, reader: DictReader, scopes: list[str], spec: Object, is_charged: bool
) -> None:
    quota(reader, {"pods": "5"}, scopes=scopes)
    await create(plugin, "pods", pod(**spec))
    assert used(reader) == {"pods": "1" if is_charged else "0"}


async def test_scope_selector(plugin: ResourceQuota, reader: DictReader) -> None:
    expression = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
    quota(reader, {"pods": "5"}, scopeSelector={"matchExpressions": [expression]})
    await create(plugin, "pods", pod(priorityClassName="low"))
    await create(plugin, "pods", pod(priorityClassName="high"))
    assert used(reader) == {"pods": "1"}


def test_the_controllers_total() -> None:
    hard = {"pods": "5", "requests.cpu": "2", "count/deployments.apps": "3", "secrets": "1", "services": "1"}
    made = {"spec": {"hard": hard}}
    pods = [pod({"cpu": "250m"}), pod({"cpu": "1"}), {**pod({"cpu": "9"}), "status": {"phase": "Failed"}}]
    init = pod({"cpu": "100m"}, initContainers=[{"name": "i", "resources": {"requests": {"cpu": "300m"}}}])
    total = total_usage(made, {("", "pods"): [*pods, init], ("apps", "deployments"): [{}, {}], ("", "secrets"): []})
    assert {name: str(amount) for name, amount in total.items()} == {
        "pods": "3",
        "requests.cpu": "1550m",
        "count/deployments.apps": "2",
        "secrets": "0",
        "services": "0",
    }
    assert counted_kinds(hard) == {("", "pods"), ("apps", "deployments"), ("", "secrets"), ("", "services")}
    assert counted_kinds(["fast.storageclass.storage.k8s.io/requests.storage"]) == {("", "persistentvolumeclaims")}
