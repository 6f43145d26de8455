"""The nftables text: what changes is applied in an order that the kernel accepts, and nothing else."""

from dataclasses import replace

from minikube_py.proxy.backends.conntrack import stale_udp_targets
from minikube_py.proxy.backends.nft_model import TableModel, TableNames, build_model, change_text, full_text
from minikube_py.proxy.backends.protocol import Endpoint, RuleSet, ServicePort

NAMES = TableNames("mkube-test", "mkube-1")
ONE, TWO = Endpoint("10.42.0.5", 80, True), Endpoint("10.42.0.6", 80)
WEB = ServicePort("default", "web", "", "tcp", 80, ("10.43.0.20",), endpoints=(ONE, TWO), local_endpoints=(ONE,))


def model(*services: ServicePort) -> TableModel:
    return build_model(RuleSet(services=services, cluster_cidr="10.42.0.0/16"))


def test_equal_models_need_no_change() -> None:
    assert change_text(NAMES, model(WEB), model(WEB)) == ""


def test_a_new_service_touches_no_other() -> None:
    other = replace(WEB, name="other", cluster_ips=("10.43.0.21",))
    text = change_text(NAMES, model(WEB), model(WEB, other))
    assert "10.43.0.21" in text
    assert "10.43.0.20" not in text
    assert "flush" not in text


def test_a_removed_service_is_unreferenced_before_its_chain_is_deleted() -> None:
    lines = change_text(NAMES, model(WEB), model()).splitlines()
    kinds = [" ".join(line.split()[:2]) for line in lines]
    assert kinds == ["delete element", "delete element", "flush chain", "delete chain"]


def test_affinity_sets_go_after_the_rules_that_use_them() -> None:
    sticky = replace(WEB, affinity_seconds=60)
    lines = change_text(NAMES, model(sticky), model(WEB)).splitlines()
    flushes = [at for at, line in enumerate(lines) if line.startswith("flush")]
    set_deletions = [at for at, line in enumerate(lines) if line.startswith("delete set")]
    assert len(set_deletions) == 2
    assert max(flushes) < min(set_deletions)


def test_affinity_keeps_its_sets_when_an_endpoint_is_added() -> None:
    before, after = replace(WEB, endpoints=(ONE,), affinity_seconds=60), replace(WEB, affinity_seconds=60)
    assert "delete set" not in change_text(NAMES, model(before), model(after))


def test_without_endpoints_the_address_is_refused_or_dropped() -> None:
    assert model(replace(WEB, endpoints=())).maps["no_endpoints"] == {"10.43.0.20 . tcp . 80": "goto refuse"}
    only_elsewhere = replace(WEB, endpoints=(TWO,), local_endpoints=(), internal_local_only=True)
    assert model(only_elsewhere).maps["no_endpoints"] == {"10.43.0.20 . tcp . 80": "drop"}


def test_an_external_local_policy_keeps_the_client_address() -> None:
    local = replace(WEB, node_port=30080, external_local_only=True)
    chain = next(rules for name, rules in model(local).chains.items() if name.startswith("ext-"))
    assert chain[-1] == "meta l4proto tcp dnat ip to 10.42.0.5:80"
    nowhere = replace(local, local_endpoints=())
    chain = next(rules for name, rules in model(nowhere).chains.items() if name.startswith("ext-"))
    assert chain[-1] == "drop"


def test_the_full_text_begins_with_a_clean_table() -> None:
    lines = full_text(NAMES, model(WEB)).splitlines()
    assert lines[:3] == ["add table ip mkube-test", "delete table ip mkube-test", "add table ip mkube-test"]


def test_udp_flows_to_forget() -> None:
    udp = replace(WEB, protocol="udp", node_port=30053)
    before, after = RuleSet(services=(udp,)), RuleSet(services=(replace(udp, endpoints=(ONE,)),))
    assert stale_udp_targets(before, after) == {("10.43.0.20", 80, TWO.ip), ("", 30053, TWO.ip)}
    assert stale_udp_targets(after, after) == set()
    assert ("10.43.0.20", 80, "") in stale_udp_targets(RuleSet(), after)
    assert stale_udp_targets(RuleSet(services=(WEB,)), RuleSet()) == set()
