"""Load balancer addresses: what a Service has stays its own over restarts, and a new range replaces it."""

from minikube_py.cloud.load_balancer_addresses import AddressLoadBalancers
from minikube_py.objects.errors import Object


def service(name: str, *addresses: str) -> Object:
    status = {"loadBalancer": {"ingress": [{"ip": one, "ipMode": "VIP"} for one in addresses]}}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"type": "LoadBalancer"},
        "status": status,
    }


def first(status: Object | None) -> str:
    assert status is not None
    return str(status["ingress"][0]["ip"])


async def test_a_restart_keeps_every_address() -> None:
    old, new = service("old", "10.44.0.1"), service("new")
    balancers = AddressLoadBalancers("10.44.0.0/24", lambda: [new, old])
    assert first(await balancers.ensure(new, [])) == "10.44.0.2"
    assert first(await balancers.get(old)) == "10.44.0.1"
    assert first(await balancers.ensure(old, [])) == "10.44.0.1"


async def test_another_range_gives_another_address() -> None:
    moved = service("moved", "10.44.0.1")
    balancers = AddressLoadBalancers("10.50.0.0/24", lambda: [moved])
    assert await balancers.get(moved) is None
    assert first(await balancers.ensure(moved, [])) == "10.50.0.1"


async def test_what_a_service_was_given_is_taken_before_its_status_says_so() -> None:
    one, two = service("one"), service("two")
    balancers = AddressLoadBalancers("10.44.0.0/24", lambda: [one, two])
    assert first(await balancers.ensure(one, [])) == "10.44.0.1"
    assert first(await balancers.ensure(two, [])) == "10.44.0.2"
    await balancers.delete(one)
    assert first(await balancers.ensure(one, [])) == "10.44.0.1"
