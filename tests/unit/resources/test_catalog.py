"""The catalog: every kind of the table, its rules, and rules that stand whatever a client sends."""

import copy

import pytest

from minikube_py.resources import catalog, schema
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import GVK, GVR, ResourceKind
from minikube_py.resources.metadata import validate_metadata
from minikube_py.resources.registry import KindRegistry
from tests.unit.resources.generating import random_object

EVERYTHING = catalog.built_in_kinds({"api/all": True})
KINDS = EVERYTHING.all()
SEEDS = range(12)


def test_every_kind_with_rules_is_in_the_table() -> None:
    known = {(kind.group, kind.kind) for kind in KINDS}
    assert set(catalog.RULES) <= known
    assert {(k.group, k.version, k.kind) for k in KINDS} >= set(catalog.VERSION_RULES)


def test_every_stored_kind_served_by_default_has_rules() -> None:
    stored = {(k.group, k.kind) for k in catalog.built_in_kinds().all() if "list" in k.verbs}
    assert stored - set(catalog.RULES) == set()


def test_only_stable_versions_are_served_by_default() -> None:
    kinds = catalog.built_in_kinds().all()
    assert {kind.version for kind in kinds if kind.group != "metrics.k8s.io"} == {"v1", "v2"}
    assert {kind.version for kind in kinds if kind.group == "metrics.k8s.io"} == {"v1beta1"}  # there is no other


@pytest.mark.parametrize(
    ("config", "served"),
    [
        ({}, False),
        ({"resource.k8s.io/v1beta2": True}, True),
        ({"api/beta": True}, True),
        ({"api/all": True, "resource.k8s.io/v1beta2": False}, False),
        ({"resource.k8s.io/v1beta2/resourceclaims": True}, True),
    ],
)
def test_runtime_config_switches_versions(config: dict[str, bool], served: bool) -> None:
    found = catalog.built_in_kinds(config).find(GVR("resource.k8s.io", "v1beta2", "resourceclaims"))
    assert (found is not None) == served


def test_events_share_one_store() -> None:
    core = EVERYTHING.find(GVR("", "v1", "events"))
    modern = EVERYTHING.find(GVR("events.k8s.io", "v1", "events"))
    assert core is not None
    assert modern is not None
    assert core.store_resource == modern.store_resource == "/events"
    assert modern.storage_gvk == GVK("", "v1", "Event")


def test_group_versions_come_in_discovery_order() -> None:
    order = catalog.built_in_kinds().group_versions()
    assert order[:3] == [("", "v1"), ("apiregistration.k8s.io", "v1"), ("apps", "v1")]
    assert order.index(("autoscaling", "v2")) < order.index(("autoscaling", "v1"))


def test_connect_subresources_have_their_options_kind() -> None:
    pods = EVERYTHING.find(GVR("", "v1", "pods"))
    assert pods is not None
    assert pods.subresources["exec"].kind == GVK("", "v1", "PodExecOptions")
    assert pods.subresources["exec"].verbs == ("create", "get")
    assert pods.subresources["eviction"].kind == GVK("policy", "v1", "Eviction")
    assert pods.short_names == ("po",)
    assert pods.categories == ("all",)


def test_a_registry_tells_of_changes_until_told_to_stop() -> None:
    registry, calls = KindRegistry(), []
    kind = ResourceKind("x.io", "v1", "Thing", "things", "thing", True, ("get",))
    stop = registry.subscribe(lambda: calls.append(len(registry.all())))
    registry.add(kind)
    assert registry.find_kind(kind.gvk) is kind
    registry.remove(kind.gvr)
    registry.remove(kind.gvr)
    stop()
    registry.add(kind)
    assert calls == [1, 0]


def test_bodies_without_a_resource_have_definitions() -> None:
    for group, version, kind in (
        ("autoscaling", "v1", "Scale"),
        ("policy", "v1", "Eviction"),
        ("", "v1", "Binding"),
        ("authentication.k8s.io", "v1", "TokenRequest"),
        ("apps", "v1", "DeleteOptions"),
        ("meta.k8s.io", "v1", "Table"),
        ("", "v1", "Status"),
        ("apps", "v1", "DeploymentList"),
    ):
        assert schema.definition_of(group, version, kind) in schema.definitions()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.kind}.{k.version}.{k.group}")
def test_rules_stand_whatever_is_sent(kind: ResourceKind) -> None:
    """Defaults applied twice change nothing more, and no check or row fails on an object that fits the schema."""
    rules = kind.rules
    for seed in SEEDS:
        obj = random_object(kind, seed)
        schema.check(kind, obj)
        rules.default(obj)
        again = copy.deepcopy(obj)
        rules.default(again)
        assert again == obj
        if rules.row is not None:
            assert len(rules.row(obj)) == len(rules.columns)
        if rules.fields is not None:
            assert all(isinstance(value, str) for value in rules.fields(obj).values())
        rules.validate_status(copy.deepcopy(obj), obj, FieldErrors())
        new = copy.deepcopy(random_object(kind, seed + 1000))
        schema.check(kind, new)
        rules.default(new)
        rules.prepare_update(new, obj)
        rules.validate_update(new, obj, FieldErrors())
        rules.prepare_create(obj)
        errors = FieldErrors()
        validate_metadata(obj, kind, errors)
        rules.validate(obj, errors)
        if rules.to_storage is not None and rules.from_storage is not None:
            rules.to_storage(obj)
            rules.from_storage(obj)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.kind}.{k.version}.{k.group}")
def test_an_unchanged_object_passes_its_immutability_rules(kind: ResourceKind) -> None:
    obj = random_object(kind, 1)
    kind.rules.default(obj)
    errors = FieldErrors()
    kind.rules.validate_update(copy.deepcopy(obj), obj, errors)
    assert [c for c in errors.causes if "immutable" in c.message or "may not change" in c.message] == []
