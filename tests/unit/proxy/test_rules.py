"""Service rules from objects: which endpoints, which addresses, which ports."""

from typing import Any

import pytest

from minikube_py.proxy.backends.protocol import Endpoint, HostPort, RuleSet, ServicePort
from minikube_py.proxy.rules import NodeView, build_rules
from tests.support.dns_sources import endpoint, endpoint_slice, service

NODE = NodeView("here", "10.42.0.0/16", "10.42.0.0/24")
WEB = service("web", clusterIP="10.43.0.20", clusterIPs=["10.43.0.20"])


def rules(services: list[Any], slices: list[Any] | None = None, pods: list[Any] | None = None) -> RuleSet:
    return build_rules(services, slices or [], pods or [], NODE)


def only(found: RuleSet) -> ServicePort:
    assert len(found.services) == 1
    return found.services[0]


def ips(endpoints: tuple[Endpoint, ...]) -> list[str]:
    return [one.ip for one in endpoints]


def test_the_slice_port_of_the_same_name_is_the_target() -> None:
    pieces = [
        endpoint_slice("web", endpoint("10.42.0.5", nodeName="here"), endpoint("10.42.1.6", nodeName="there")),
        endpoint_slice("web", endpoint("10.42.0.9"), ports=[{"name": "other", "port": 1}]),
        endpoint_slice("elsewhere", endpoint("10.42.0.8")),
    ]
    found = only(rules([WEB], pieces))
    assert found.endpoints == (Endpoint("10.42.0.5", 8080, True), Endpoint("10.42.1.6", 8080, False))
    assert ips(found.local_endpoints) == ["10.42.0.5"]
    assert (found.protocol, found.port, found.cluster_ips) == ("tcp", 80, ("10.43.0.20",))


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([endpoint("1.1.1.1"), endpoint("1.1.1.2", ready=False)], ["1.1.1.1"]),
        ([endpoint("1.1.1.1", ready=None)], ["1.1.1.1"]),
        ([endpoint("1.1.1.1", ready=False, serving=True, terminating=True)], ["1.1.1.1"]),
        ([endpoint("1.1.1.1"), endpoint("1.1.1.2", ready=False, serving=True, terminating=True)], ["1.1.1.1"]),
        ([endpoint("1.1.1.1", ready=False, serving=False, terminating=True)], []),
        ([endpoint("1.1.1.1", ready=False, serving=True)], []),
    ],
)
def test_ready_endpoints_else_those_still_serving(endpoints: list[Any], expected: list[str]) -> None:
    assert ips(only(rules([WEB], [endpoint_slice("web", *endpoints)])).endpoints) == expected


def test_the_local_choice_is_made_among_local_endpoints_only() -> None:
    leaving = endpoint("10.42.0.5", ready=False, serving=True, terminating=True, nodeName="here")
    piece = endpoint_slice("web", leaving, endpoint("10.42.1.6", nodeName="there"))
    found = only(rules([WEB], [piece]))
    assert ips(found.endpoints) == ["10.42.1.6"]
    assert ips(found.local_endpoints) == ["10.42.0.5"]


def test_an_endpoint_in_two_slices_counts_once_and_ready_wins() -> None:
    pieces = [endpoint_slice("web", endpoint("1.1.1.1", ready=False)), endpoint_slice("web", endpoint("1.1.1.1"))]
    assert ips(only(rules([WEB], pieces)).endpoints) == ["1.1.1.1"]


@pytest.mark.parametrize(
    "ignored",
    [
        service("web", clusterIP="None", clusterIPs=["None"]),
        service("web", type="ExternalName", externalName="example.com"),
        service("web", clusterIP=""),
        service("web", clusterIP="fd00::1", clusterIPs=["fd00::1"]),
        {**WEB, "metadata": {**WEB["metadata"], "labels": {"service.kubernetes.io/service-proxy-name": "mine"}}},
    ],
)
def test_services_without_a_virtual_address_of_ours(ignored: Any) -> None:
    assert rules([ignored]).services == ()


def test_node_ports_need_the_type() -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    assert only(rules([service("a", clusterIP="1.1.1.1", ports=ports)])).node_port == 0
    assert only(rules([service("a", clusterIP="1.1.1.1", ports=ports, type="NodePort")])).node_port == 30080


def test_policies_and_affinity() -> None:
    found = only(
        rules(
            [
                service(
                    "a",
                    clusterIP="1.1.1.1",
                    type="NodePort",
                    externalTrafficPolicy="Local",
                    internalTrafficPolicy="Local",
                    sessionAffinity="ClientIP",
                )
            ]
        )
    )
    assert (found.external_local_only, found.internal_local_only, found.affinity_seconds) == (True, True, 10_800)
    config = {"clientIP": {"timeoutSeconds": 60}}
    timed = service("a", clusterIP="1.1.1.1", sessionAffinity="ClientIP", sessionAffinityConfig=config)
    assert only(rules([timed])).affinity_seconds == 60


def test_load_balancer_addresses_and_ranges() -> None:
    balancer = service("a", clusterIP="1.1.1.1", type="LoadBalancer", loadBalancerSourceRanges=[" 10.0.0.0/8"])
    balancer["status"] = {"loadBalancer": {"ingress": [{"ip": "5.5.5.5"}, {"ip": "6.6.6.6", "ipMode": "Proxy"}]}}
    found = only(rules([balancer]))
    assert (found.load_balancer_ips, found.source_ranges) == (("5.5.5.5",), ("10.0.0.0/8",))


def pod(**status: Any) -> Any:
    ports = [{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}, {"containerPort": 81}]
    return {
        "metadata": {"uid": "u1", "name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"podIP": "10.42.0.5", "phase": "Running", **status},
    }


def test_host_ports_of_running_pods() -> None:
    assert rules([], pods=[pod()]).host_ports == (HostPort("u1", "tcp", 8080, "10.42.0.5", 80),)
    assert rules([], pods=[pod(phase="Succeeded")]).host_ports == ()
    assert rules([], pods=[pod(podIP="")]).host_ports == ()
    on_host = pod()
    on_host["spec"]["hostNetwork"] = True
    assert rules([], pods=[on_host]).host_ports == ()


def test_the_node_answers_cluster_dns_itself() -> None:
    listener = Endpoint("10.42.0.1", 53)
    node = NodeView("here", "10.42.0.0/16", "10.42.0.0/24", dns_ip="10.43.0.10", dns_endpoint=listener)
    published = service("kube-dns", namespace="kube-system", clusterIP="10.43.0.10")
    found = build_rules([published], [], [], node).services
    assert [(one.protocol, one.port, one.endpoints) for one in found] == [
        ("udp", 53, (listener,)),
        ("tcp", 53, (listener,)),
    ]


def test_order_of_the_objects_does_not_matter() -> None:
    other = service("other", clusterIP="10.43.0.21")
    piece = endpoint_slice("web", endpoint("1.1.1.2"), endpoint("1.1.1.1"))
    turned = endpoint_slice("web", endpoint("1.1.1.1"), endpoint("1.1.1.2"))
    assert rules([WEB, other], [piece]) == rules([other, WEB], [turned])


def hinted(ip: str, node: str, zone: str = "", *, same: bool = False, **more: Any) -> Any:
    hints = {"forZones": [{"name": zone}]} if zone else {}
    if same:
        hints["forNodes"] = [{"name": node}]
    return {**endpoint(ip, nodeName=node, **more), "hints": hints}


@pytest.mark.parametrize(
    ("zone", "endpoints", "expected"),
    [
        # Meant for this zone; for another one only; this node has no zone; one endpoint without hints.
        ("a", [hinted("1.1.1.1", "x", "a"), hinted("1.1.1.2", "y", "b")], ["1.1.1.1"]),
        ("c", [hinted("1.1.1.1", "x", "a"), hinted("1.1.1.2", "y", "b")], ["1.1.1.1", "1.1.1.2"]),
        ("", [hinted("1.1.1.1", "x", "a"), hinted("1.1.1.2", "y", "b")], ["1.1.1.1", "1.1.1.2"]),
        ("a", [hinted("1.1.1.1", "x", "a"), endpoint("1.1.1.2")], ["1.1.1.1", "1.1.1.2"]),
        # The node goes before the zone, and the zone is the next best.
        (
            "a",
            [hinted("1.1.1.1", "here", "a", same=True), hinted("1.1.1.2", "y", "a", same=True)],
            ["1.1.1.1"],
        ),
        ("a", [hinted("1.1.1.1", "x", "a", same=True), hinted("1.1.1.2", "y", "b", same=True)], ["1.1.1.1"]),
        # What isn't ready is no hint and no target.
        ("a", [hinted("1.1.1.1", "x", "a", ready=False), hinted("1.1.1.2", "y", "b")], ["1.1.1.2"]),
    ],
)
def test_endpoints_that_are_meant_for_this_node_or_zone(zone: str, endpoints: list[Any], expected: list[str]) -> None:
    here = NodeView("here", "10.42.0.0/16", "10.42.0.0/24", zone=zone)
    assert ips(only(build_rules([WEB], [endpoint_slice("web", *endpoints)], [], here)).endpoints) == expected
