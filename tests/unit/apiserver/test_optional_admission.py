"""Admission plugins that are off by default, and the file that configures plugins."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from minikube_py import clock
from minikube_py.apiserver.admission.catalog import PLUGINS, build_admission
from minikube_py.apiserver.admission.context import AdmissionContext
from minikube_py.apiserver.admission.pod_toleration_restriction import covers, merge
from minikube_py.apiserver.admission.protocol import AdmissionPlugin, AdmissionRequest
from minikube_py.apiserver.admission_configuration import load_configuration
from minikube_py.objects.errors import BadRequest, Forbidden, Object, TooManyRequests
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from tests.support.admission import admission_context, admission_request, run
from tests.support.identity import binding, user
from tests.support.object_reader import DictReader

NAMESPACES = GVR("", "v1", "namespaces")
ALPHA = "scheduler.alpha.kubernetes.io/"


@pytest.fixture
def reader() -> DictReader:
    reader = DictReader()
    reader.registry = built_in_kinds()
    return reader


def namespace(reader: DictReader, **annotations: str) -> None:
    notes = {ALPHA + key: value for key, value in annotations.items()}
    reader.add(NAMESPACES, {"metadata": {"name": "web", "annotations": notes}})


def plugin(reader: DictReader, name: str, configuration: Any = None) -> AdmissionPlugin:
    context = admission_context(reader)
    context.configuration = {name: configuration} if configuration is not None else {}
    return next(entry.make for entry in PLUGINS if entry.name == name)(context)


def pod(**spec: Any) -> Object:
    made = {"containers": [{"name": "c", "image": "i"}], **spec}
    return {"metadata": {"name": "p", "namespace": "web"}, "spec": made}


def creating(**spec: Any) -> AdmissionRequest:
    return admission_request("CREATE", "pods", pod(**spec))


def updating(new: Object, old: Object) -> AdmissionRequest:
    return admission_request("UPDATE", "pods", new, old)


# -- AlwaysPullImages


async def test_every_image_is_pulled_anew(reader: DictReader) -> None:
    made = creating(
        containers=[{"name": "c", "image": "i", "imagePullPolicy": "Never"}],
        initContainers=[{"name": "i", "image": "i"}],
        volumes=[
            {"name": "v", "image": {"reference": "r", "pullPolicy": "IfNotPresent"}},
            {"name": "w", "emptyDir": {}},
        ],
    )
    always = plugin(reader, "AlwaysPullImages")
    await run(always, made)
    assert made.obj is not None
    spec = made.obj["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == spec["initContainers"][0]["imagePullPolicy"] == "Always"
    assert spec["volumes"][0]["image"]["pullPolicy"] == "Always"


async def test_what_another_plugin_turned_back_is_refused(reader: DictReader) -> None:
    always, made = plugin(reader, "AlwaysPullImages"), creating()
    made.obj = pod(containers=[{"name": "c", "image": "i", "imagePullPolicy": "Never"}])
    with pytest.raises(Forbidden) as refused:
        await always.validate(made)
    assert refused.value.message == (
        'pods "p" is forbidden: spec.containers[0].imagePullPolicy: Unsupported value: "Never": '
        'supported values: "Always"'
    )


async def test_pods_from_before_change_in_everything_but_their_images(reader: DictReader) -> None:
    always, old = plugin(reader, "AlwaysPullImages"), pod()
    same = updating(pod(tolerations=[]), old)
    await run(always, same)
    assert same.obj is not None
    assert "imagePullPolicy" not in same.obj["spec"]["containers"][0]
    changed = updating(pod(containers=[{"name": "c", "image": "other"}]), old)
    await run(always, changed)
    assert changed.obj is not None
    assert changed.obj["spec"]["containers"][0]["imagePullPolicy"] == "Always"


# -- PodNodeSelector


async def selector(reader: DictReader, configuration: Any = None, **spec: Any) -> Any:
    made = creating(**spec)
    await run(plugin(reader, "PodNodeSelector", configuration), made)
    assert made.obj is not None
    return made.obj["spec"].get("nodeSelector")


async def test_pods_get_their_namespaces_node_selector(reader: DictReader) -> None:
    namespace(reader, **{"node-selector": "env=prod, disk=ssd"})
    assert await selector(reader, nodeSelector={"zone": "a"}) == {"env": "prod", "disk": "ssd", "zone": "a"}
    with pytest.raises(Forbidden, match="pod node label selector conflicts with its namespace node label selector"):
        await selector(reader, nodeSelector={"env": "test"})


async def test_the_clusters_selector_is_for_namespaces_that_say_nothing(reader: DictReader) -> None:
    configuration = {"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "env=dev", "web": "env=dev,zone=a"}}
    namespace(reader)
    assert await selector(reader, configuration) == {"env": "dev"}
    with pytest.raises(Forbidden, match="conflict with its namespace whitelist"):
        await selector(reader, configuration, nodeSelector={"zone": "b"})
    namespace(reader, **{"node-selector": ""})
    assert await selector(reader, configuration) is None
    namespace(reader, **{"node-selector": "env"})
    with pytest.raises(BadRequest, match=r"invalid selector: \[env\]"):
        await selector(reader, configuration)


# -- PodTolerationRestriction

SPOT = {"key": "spot", "operator": "Exists", "effect": "NoSchedule"}


async def tolerations(reader: DictReader, configuration: Any = None, **spec: Any) -> Any:
    made = creating(**spec)
    await run(plugin(reader, "PodTolerationRestriction", configuration), made)
    assert made.obj is not None
    return made.obj["spec"].get("tolerations")


async def test_pods_get_their_namespaces_tolerations_and_may_have_no_others(reader: DictReader) -> None:
    allowed = [SPOT, {"key": "gpu", "operator": "Equal", "value": "a", "effect": "NoSchedule"}]
    namespace(
        reader,
        defaultTolerations=orjson.dumps([SPOT]).decode(),
        tolerationsWhitelist=orjson.dumps(allowed).decode(),
    )
    assert await tolerations(reader) == [SPOT]
    gpu = {"key": "gpu", "value": "a", "effect": "NoSchedule"}
    assert await tolerations(reader, tolerations=[gpu]) == [gpu, SPOT]
    with pytest.raises(Forbidden, match=r"conflict with its namespace whitelist"):
        await tolerations(reader, tolerations=[{**gpu, "value": "b"}])


async def test_the_clusters_tolerations_are_for_namespaces_that_say_nothing(reader: DictReader) -> None:
    configuration = {"default": [SPOT], "whitelist": [SPOT]}
    namespace(reader)
    assert await tolerations(reader, configuration) == [SPOT]
    with pytest.raises(Forbidden, match=r"conflict with its cluster whitelist"):
        await tolerations(reader, configuration, tolerations=[{"operator": "Exists"}])
    namespace(reader, defaultTolerations="[]", tolerationsWhitelist="")
    assert await tolerations(reader, configuration, tolerations=[{"operator": "Exists"}]) == [{"operator": "Exists"}]
    namespace(reader, defaultTolerations="{")
    with pytest.raises(Forbidden, match="the annotation"):
        await tolerations(reader)


async def test_pods_with_requests_tolerate_memory_pressure(reader: DictReader) -> None:
    namespace(reader)
    container = {"name": "c", "resources": {"requests": {"cpu": "1"}}}
    found = await tolerations(reader, containers=[container])
    assert found == [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("wide", "narrow", "is_covered"),
    [
        ({"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute"}, True),
        ({"key": "a", "operator": "Exists"}, {"key": "a", "value": "b"}, True),
        ({"key": "a", "operator": "Exists"}, {"key": "b"}, False),
        ({"key": "a", "value": "1"}, {"key": "a", "operator": "Equal", "value": "1", "effect": "NoSchedule"}, True),
        ({"key": "a", "value": "1", "effect": "NoSchedule"}, {"key": "a", "value": "1"}, False),
        ({"key": "a", "value": "1"}, {"key": "a", "operator": "Exists"}, False),
        (
            {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
            {"key": "a", "operator": "Exists", "effect": "NoExecute"},
            False,
        ),
        (
            {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
            {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
            True,
        ),
    ],
)
def test_tolerations_cover_others(wide: Object, narrow: Object, is_covered: bool) -> None:
    assert covers(wide, narrow) is is_covered
    if is_covered:
        assert merge([narrow, wide]) == merge([wide, narrow]) == [wide]


# -- EventRateLimit


@pytest.fixture
def later() -> Iterator[Any]:
    moment = [1000.0]
    clock.set_source(lambda: moment[0])

    def move(seconds: float) -> None:
        moment[0] += seconds

    yield move
    clock.reset_source()


def event(component: str = "kubelet", path: str = "events", who: str = "u") -> AdmissionRequest:
    body = {"metadata": {"name": "e", "namespace": "web"}, "source": {"component": component}}
    return admission_request("CREATE", path, body, user=user(who))


async def test_events_are_limited_each_way(reader: DictReader, later: Any) -> None:
    limits = [
        {"type": "SourceAndObject", "qps": 1, "burst": 1, "cacheSize": 10},
        {"type": "User", "qps": 10, "burst": 2},
    ]
    limit = plugin(reader, "EventRateLimit", {"limits": limits})
    await run(limit, event())
    with pytest.raises(TooManyRequests) as refused:
        await run(limit, event())
    assert refused.value.message == "Too many requests: limit reached on type SourceAndObject for key kubelet"
    assert refused.value.code == 429
    with pytest.raises(TooManyRequests, match="type User for key u"):
        await run(limit, event("other", "events.events.k8s.io"))
    await run(limit, event("another", who="v"))
    later(1.0)
    await run(limit, event())


async def test_dry_runs_and_deletes_are_not_counted(reader: DictReader, later: Any) -> None:
    limit = plugin(reader, "EventRateLimit", {"limits": [{"type": "Server", "qps": 1, "burst": 1}]})
    dry = event()
    dry.dry_run = True
    for _ in range(3):
        await run(limit, dry)
        await run(limit, admission_request("DELETE", "events", None, {"metadata": {"name": "e", "namespace": "web"}}))
    await run(limit, event())


# -- OwnerReferencesPermissionEnforcement

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1"}
BLOCKING = {**OWNER, "blockOwnerDeletion": True}


def owned(*owners: Object) -> Object:
    return {"metadata": {"name": "p", "namespace": "web", "ownerReferences": list(owners)}, "spec": {}}


def enforcement(reader: DictReader, *rules: Object) -> AdmissionPlugin:
    context: AdmissionContext = admission_context(reader)
    context.rbac.observe("clusterroles", {"metadata": {"name": "own"}, "rules": list(rules)})
    subject = {"kind": "User", "name": "jane"}
    context.rbac.observe("clusterrolebindings", binding("ClusterRoleBinding", "b", ("ClusterRole", "own"), subject))
    name = "OwnerReferencesPermissionEnforcement"
    return next(entry.make for entry in PLUGINS if entry.name == name)(context)


DELETE_PODS = {"verbs": ["delete"], "apiGroups": [""], "resources": ["pods"]}
FINALIZE = {"verbs": ["update"], "apiGroups": ["apps"], "resources": ["replicasets/finalizers"]}
JANE = user("jane")


async def test_owners_are_changed_by_those_who_may_delete(reader: DictReader) -> None:
    nobody = enforcement(reader)
    with pytest.raises(Forbidden, match="cannot set an ownerRef on a resource you can't delete"):
        await run(nobody, admission_request("CREATE", "pods", owned(OWNER), user=JANE))
    await run(nobody, admission_request("CREATE", "pods", owned(), user=JANE))
    await run(nobody, admission_request("UPDATE", "pods", owned(OWNER), owned(OWNER), user=JANE))
    with pytest.raises(Forbidden):
        await run(nobody, admission_request("UPDATE", "pods", owned(), owned(OWNER), user=JANE))
    await run(nobody, admission_request("UPDATE", "pods/status", owned(OWNER), owned(), user=JANE))
    may_delete = enforcement(reader, DELETE_PODS)
    await run(may_delete, admission_request("CREATE", "pods", owned(OWNER), user=JANE))


async def test_owners_wait_for_those_who_may_finalize_them(reader: DictReader) -> None:
    may_delete = enforcement(reader, DELETE_PODS)
    refused = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
    with pytest.raises(Forbidden, match=refused):
        await run(may_delete, admission_request("CREATE", "pods", owned(BLOCKING), user=JANE))
    with pytest.raises(Forbidden, match=refused):
        await run(may_delete, admission_request("UPDATE", "pods", owned(BLOCKING), owned(OWNER), user=JANE))
    await run(may_delete, admission_request("UPDATE", "pods", owned(BLOCKING, OWNER), owned(BLOCKING), user=JANE))
    unknown = {**BLOCKING, "kind": "Nonsense"}
    with pytest.raises(Forbidden, match=r"cannot find RESTMapping for APIVersion apps/v1 Kind Nonsense"):
        await run(may_delete, admission_request("CREATE", "pods", owned(unknown), user=JANE))
    both = enforcement(reader, DELETE_PODS, FINALIZE)
    await run(both, admission_request("CREATE", "pods", owned(BLOCKING), user=JANE))


# -- DenyServiceExternalIPs


def service(*addresses: str) -> Object:
    return {"metadata": {"name": "s", "namespace": "web"}, "spec": {"externalIPs": list(addresses)}}


async def test_external_addresses_may_only_become_fewer(reader: DictReader) -> None:
    deny = plugin(reader, "DenyServiceExternalIPs")
    await run(deny, admission_request("CREATE", "services", service()))
    for made in (
        admission_request("CREATE", "services", service("1.2.3.4")),
        admission_request("UPDATE", "services", service("1.2.3.4", "5.6.7.8"), service("1.2.3.4")),
    ):
        with pytest.raises(Forbidden, match='services "s" is forbidden: Use of external IPs is denied'):
            await run(deny, made)
    await run(deny, admission_request("UPDATE", "services", service("1.2.3.4"), service("1.2.3.4", "5.6.7.8")))


# -- PodSecurity's settings

PRIVILEGED = {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": True}}]}


async def test_pod_security_has_defaults_and_exemptions(reader: DictReader) -> None:
    namespace(reader)
    exemptions = {"usernames": ["trusted"], "namespaces": ["free"], "runtimeClasses": ["vm"]}
    settings = {"defaults": {"enforce": "baseline", "enforce-version": "v1.30"}, "exemptions": exemptions}
    security = plugin(reader, "PodSecurity", settings)
    with pytest.raises(Forbidden, match=r'violates PodSecurity "baseline:v1.30"'):
        await run(security, creating(**PRIVILEGED))
    trusted = admission_request("CREATE", "pods", pod(**PRIVILEGED), user=user("trusted"))
    free = admission_request("CREATE", "pods", pod(**PRIVILEGED) | {"metadata": {"name": "p", "namespace": "free"}})
    vm = creating(runtimeClassName="vm", **PRIVILEGED)
    for made, why in ((trusted, "user"), (free, "namespace"), (vm, "runtimeClass")):
        await run(security, made)
        assert made.audit_annotations == {"pod-security.kubernetes.io/exempt": why}
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    labelled = {"metadata": {"name": "free", "labels": labels}}
    update = admission_request("UPDATE", "namespaces", labelled, {"metadata": {"name": "free"}}, name="free")
    await run(security, update)
    assert update.warnings == [
        'namespace "free" is exempt from Pod Security, and the policy (enforce=restricted:v1.30, '
        "audit=privileged:latest, warn=restricted:v1.30) will be ignored"
    ]


# -- the file


def test_the_file_names_plugins_with_their_configurations(tmp_path: Path) -> None:
    file = tmp_path / "admission.yaml"
    (tmp_path / "limits.yaml").write_text("limits: [{type: Server, qps: 1, burst: 1}]\n")
    file.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
        "- {name: EventRateLimit, path: limits.yaml}\n"
        "- {name: PodSecurity, configuration: {defaults: {warn: baseline}}}\n"
    )
    assert load_configuration(file) == {
        "EventRateLimit": {"limits": [{"type": "Server", "qps": 1, "burst": 1}]},
        "PodSecurity": {"defaults": {"warn": "baseline"}},
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "is not YAML"),
        ("kind: Other", "must be of kind AdmissionConfiguration"),
        ("plugins: [{}]", r"plugins\[0\].name: Required value"),
        ("plugins: [{name: a, config: {}}]", r'unknown field "plugins\[0\].config"'),
        ("plugins: [{name: a, configuration: []}]", "must be an object"),
        ("plugins: [{name: a}, {name: a}]", 'Duplicate value: "a"'),
        ("plugins: [{name: a, path: missing.yaml}]", "No such file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "admission.yaml"
    head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"
    file.write_text(text if "kind" in text or "a:" in text[:2] else head + text)
    with pytest.raises(ValueError, match=why):
        load_configuration(file)


@pytest.mark.parametrize(
    ("name", "configuration", "why"),
    [
        ("EventRateLimit", None, "needs limits"),
        ("EventRateLimit", {"limits": [{"type": "All", "qps": 1, "burst": 1}]}, "Unsupported value"),
        ("EventRateLimit", {"limits": [{"type": "Server", "qps": 0, "burst": 1}]}, "must be positive"),
        ("PodNodeSelector", {"podNodeSelectorPluginConfig": {"web": "a"}}, "invalid selector"),
        ("PodNodeSelector", {"other": {}}, "must be of the form"),
        ("PodTolerationRestriction", {"default": {}}, "must be a list"),
        ("PodSecurity", {"defaults": {"enforce": "strict"}}, "must be one of"),
        ("PodSecurity", {"defaults": {"enforce-version": "1.2"}}, "must be"),
        ("PodSecurity", {"defaults": {"forbid": "baseline"}}, "unknown field defaults.forbid"),
        ("PodSecurity", {"exemptions": {"users": []}}, "exemptions of PodSecurity may be"),
        ("PodSecurity", {"exemptions": {"usernames": "a"}}, "must be a list of strings"),
        ("Nonsense", {}, "no admission plugin"),
    ],
)
def test_configurations_that_a_plugin_cannot_use(reader: DictReader, name: str, configuration: Any, why: str) -> None:
    context = admission_context(reader)
    context.configuration = {} if configuration is None else {name: configuration}
    with pytest.raises(ValueError, match=why):
        build_admission(context, enable=[] if name == "Nonsense" else [name])
