"""Cluster IPs and node ports: given out, checked, released, and found again at start."""

import pytest

from minikube_py.apiserver.allocators import ServiceAllocator
from minikube_py.objects.errors import InternalError, Invalid, Object
from minikube_py.resources.kind import GVR
from tests.support.cluster import test_cluster

SERVICES = GVR("", "v1", "services")


def service(name: str, **spec: object) -> Object:
    spec.setdefault("ports", [{"port": 80}])
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def test_a_service_gets_an_address_of_the_range_and_keeps_it() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        made = await client.create(SERVICES, service("a"))
        assert made["spec"]["clusterIP"].startswith("10.43.")
        assert made["spec"]["clusterIPs"] == [made["spec"]["clusterIP"]]
        assert made["spec"]["ipFamilies"] == ["IPv4"]
        assert made["spec"]["ipFamilyPolicy"] == "SingleStack"
        replacement = service("a", ports=[{"port": 81}])
        changed = await client.update(SERVICES, replacement)
        assert changed["spec"]["clusterIP"] == made["spec"]["clusterIP"]


async def test_an_address_belongs_to_one_service_until_it_is_deleted() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await client.create(SERVICES, service("a", clusterIP="10.43.0.9"))
        with pytest.raises(Invalid) as refused:
            await client.create(SERVICES, service("b", clusterIP="10.43.0.9"))
        assert "failed to allocate IP 10.43.0.9: provided IP is already allocated" in refused.value.message
        await client.delete(SERVICES, "a", "default")
        again = await client.create(SERVICES, service("b", clusterIP="10.43.0.9"))
        assert again["spec"]["clusterIPs"] == ["10.43.0.9"]


async def test_an_address_outside_the_range_is_refused() -> None:
    async with test_cluster() as cluster:
        with pytest.raises(Invalid) as refused:
            await cluster.client().create(SERVICES, service("a", clusterIP="192.168.0.1"))
        text = "the provided IP (192.168.0.1) is not in the valid range. The range of valid IPs is 10.43.0.0/16"
        assert text in refused.value.message


async def test_node_ports_come_and_go_with_the_type() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        ports = [{"port": 80, "nodePort": 30080}, {"name": "u", "port": 80, "protocol": "UDP"}]
        ports[0]["name"] = "t"
        made = await client.create(SERVICES, service("a", type="NodePort", ports=ports))
        assert [p["nodePort"] for p in made["spec"]["ports"]] == [30080, 30080]
        with pytest.raises(Invalid) as refused:
            await client.create(SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
        assert refused.value.message == (
            'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated'
        )
        made["spec"]["type"] = "ClusterIP"
        changed = await client.update(SERVICES, made)
        assert all("nodePort" not in port for port in changed["spec"]["ports"])
        taken = await client.create(SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))
        assert taken["spec"]["ports"][0]["nodePort"] == 30080


async def test_a_node_port_outside_the_range_is_refused() -> None:
    async with test_cluster() as cluster:
        with pytest.raises(Invalid) as refused:
            await cluster.client().create(SERVICES, service("a", type="NodePort", ports=[{"port": 1, "nodePort": 80}]))
        assert "The range of valid ports is 30000-32767" in refused.value.message


async def test_a_refused_service_leaves_nothing_taken() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        with pytest.raises(Invalid):
            await client.create(SERVICES, service("a", clusterIP="10.43.0.9", ports=[{"port": 0}]))
        await client.create(SERVICES, service("b", clusterIP="10.43.0.9"))


async def test_external_names_and_headless_services_get_no_address() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        external = await client.create(SERVICES, service("a", type="ExternalName", externalName="example.org"))
        assert "clusterIP" not in external["spec"]
        headless = await client.create(SERVICES, service("b", clusterIP="None", selector={"a": "b"}))
        assert headless["spec"]["clusterIPs"] == ["None"]
        assert headless["spec"]["ipFamilies"] == ["IPv4"]


def test_a_restart_knows_what_is_in_use() -> None:
    stored = {"metadata": {"name": "a"}, "spec": {"type": "ClusterIP", "clusterIPs": ["10.43.0.9"]}}
    allocator = ServiceAllocator()
    allocator.load([stored])
    wanted = {"metadata": {"name": "b"}, "spec": {"clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"]}}
    with pytest.raises(Invalid):
        allocator.before_create(wanted)


def test_a_full_range_says_so() -> None:
    allocator = ServiceAllocator(["10.0.0.0/30"])
    for name in ("a", "b"):
        allocator.before_create({"metadata": {"name": name}, "spec": {"type": "ClusterIP"}})
    with pytest.raises(Exception, match="range is full"):
        allocator.before_create({"metadata": {"name": "c"}, "spec": {"type": "ClusterIP"}})


def test_when_the_first_range_is_full_further_ones_are_used() -> None:
    more: list[str] = []
    allocator = ServiceAllocator(["10.0.0.0/30"], further=lambda: more)
    for _ in range(2):
        allocator.before_create(service("a"))
    with pytest.raises(InternalError, match="range is full"):
        allocator.before_create(service("a"))
    more.append("10.0.9.0/30")
    given = set()
    for _ in range(2):
        one = service("a")
        allocator.before_create(one)
        given.add(one["spec"]["clusterIP"])
    assert given == {"10.0.9.1", "10.0.9.2"}
    allocator.release({"10.0.9.1"})
    one = service("a")
    allocator.before_create(one)
    assert one["spec"]["clusterIP"] == "10.0.9.1"


def test_a_range_that_comes_back_knows_what_is_in_use() -> None:
    more = ["10.0.9.0/30"]
    allocator = ServiceAllocator(["10.0.0.0/24"], further=lambda: more)
    allocator.before_create(service("a", clusterIP="10.0.9.1", clusterIPs=["10.0.9.1"]))
    more.clear()
    with pytest.raises(Invalid, match="is not in the valid range"):
        allocator.before_create(service("a", clusterIP="10.0.9.2", clusterIPs=["10.0.9.2"]))
    more.append("10.0.9.0/30")
    with pytest.raises(Invalid, match="already allocated"):
        allocator.before_create(service("a", clusterIP="10.0.9.1", clusterIPs=["10.0.9.1"]))
