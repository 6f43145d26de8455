from typing import Any

import pytest

from minikube_py.apiserver.admission.pod_security import PodSecurity
from minikube_py.objects.errors import Forbidden, Invalid, Object
from minikube_py.resources.kind import GVR
from minikube_py.resources.pod_security import violations
from tests.support.admission import admission_context, admission_request, run
from tests.support.object_reader import DictReader

NAMESPACES, PODS = GVR("", "v1", "namespaces"), GVR("", "v1", "pods")
LABEL = "pod-security.kubernetes.io/"
GOOD_CONTAINER = {
    "name": "c",
    "image": "i",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


def container(name: str = "c", **security: Any) -> Object:
    return {"name": name, "image": "i", "securityContext": security}


def pod(*containers: Object, **spec: Any) -> Object:
    made = {"containers": list(containers) or [{"name": "c", "image": "i"}], **spec}
    return {"metadata": {"name": "p", "namespace": "web"}, "spec": made}


@pytest.fixture
def reader() -> DictReader:
    return DictReader()


@pytest.fixture
def security(reader: DictReader) -> PodSecurity:
    return PodSecurity(admission_context(reader))


def label(reader: DictReader, **labels: str) -> None:
    reader.add(NAMESPACES, {"metadata": {"name": "web", "labels": {LABEL + k: v for k, v in labels.items()}}})


async def test_restricted_refuses_in_kubernetes_words(security: PodSecurity, reader: DictReader) -> None:
    label(reader, enforce="restricted")
    with pytest.raises(Forbidden) as refused:
        await run(security, admission_request("CREATE", "pods", pod()))
    assert refused.value.message == (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container '
        '"c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must '
        'set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set '
        'securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set '
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )
    await run(security, admission_request("CREATE", "pods", pod(GOOD_CONTAINER)))


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (pod(container(privileged=True)), 'privileged (container "c" must not set securityContext.privileged=true)'),
        (pod(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)"),
        (
            pod(volumes=[{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {"path": "/x"}}]),
            'hostPath volumes (volumes "a", "b")',
        ),
        (
            pod({"name": "c", "ports": [{"hostPort": 80}, {"hostPort": 443}]}),
            'hostPort (container "c" uses hostPorts 443, 80)',
        ),
        (
            pod(container(capabilities={"add": ["NET_RAW", "CHOWN"]})),
            'non-default capabilities (container "c" must not include "NET_RAW" in securityContext.capabilities.add)',
        ),
        (
            pod(container(seccompProfile={"type": "Unconfined"}), securityContext={"seccompProfile": {"type": "X"}}),
            'seccompProfile (pod and container "c" must not set securityContext.seccompProfile.type to "Unconfined", '
            '"X")',
        ),
        (pod(securityContext={"sysctls": [{"name": "kernel.msgmax"}]}), "forbidden sysctls (kernel.msgmax)"),
        (
            pod(container(seLinuxOptions={"type": "spc_t", "user": "u"})),
            'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; '
            "user may not be set)",
        ),
        (
            pod(container(procMount="Unmasked")),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            pod({"name": "c", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}),
            'probe or lifecycle host (container "c" uses probe or lifecycle host "10.0.0.1")',
        ),
        (
            pod(container(appArmorProfile={"type": "Unconfined"})),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
        ),
        (
            pod(container(windowsOptions={"hostProcess": True})),
            'hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)',
        ),
    ],
)
def test_baseline(bad: Object, text: str) -> None:
    assert [str(v) for v in violations(bad, "baseline")] == [text]
    assert violations(bad, "privileged") == []


def test_every_kind_of_container_counts() -> None:
    for key in ("initContainers", "ephemeralContainers"):
        assert [v.reason for v in violations(pod(**{key: [container("x", privileged=True)]}), "baseline")] == [
            "privileged"
        ]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            {"volumes": [{"name": "v", "nfs": {}}, {"name": "w", "hostPath": {}}]},
            'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")',
        ),
        ({"securityContext": {"runAsUser": 0}}, "runAsUser=0 (pod must not set runAsUser=0)"),
        (
            {"securityContext": {"runAsNonRoot": False}},
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
    ],
)
def test_restricted(spec: Object, text: str) -> None:
    assert [str(v) for v in violations(pod(GOOD_CONTAINER, **spec), "restricted")] == [text]


def test_older_versions_know_less() -> None:
    sysctl = pod(securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]})
    assert violations(sysctl, "baseline", 31)
    assert not violations(sysctl, "baseline", 32)
    assert not violations(sysctl, "baseline", 99)
    root = pod(GOOD_CONTAINER, securityContext={"runAsUser": 0})
    assert not violations(root, "restricted", 22)


def test_a_user_namespace_relaxes_who_may_be_root() -> None:
    root = pod(GOOD_CONTAINER, hostUsers=False, securityContext={"runAsUser": 0, "runAsNonRoot": False})
    assert violations(root, "restricted") == []
    assert len(violations(root, "restricted", 34)) == 2


async def test_warnings_for_pods_and_templates(security: PodSecurity, reader: DictReader) -> None:
    label(reader, warn="baseline", **{"warn-version": "v1.30"})
    made = await run(security, admission_request("CREATE", "pods", pod(hostNetwork=True)))
    assert made.warnings == ['would violate PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)']
    template = {"spec": {"hostNetwork": True, "containers": []}}
    deployment = {"metadata": {"name": "d", "namespace": "web"}, "spec": {"template": template}}
    made = await run(security, admission_request("CREATE", "deployments.apps", deployment))
    assert made.warnings == ['would violate PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)']


async def test_enforcing_a_level_also_warns_of_it_on_templates(security: PodSecurity, reader: DictReader) -> None:
    label(reader, enforce="baseline")
    template = {"spec": {"hostNetwork": True, "containers": []}}
    job = {"metadata": {"name": "d", "namespace": "web"}, "spec": {"template": template}}
    made = await run(security, admission_request("CREATE", "jobs.batch", job))
    assert made.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)']


async def test_updates_that_change_nothing_of_note_pass(security: PodSecurity, reader: DictReader) -> None:
    label(reader, enforce="restricted")
    old = pod()
    await run(security, admission_request("UPDATE", "pods", pod(), old))
    await run(security, admission_request("UPDATE", "pods/status", pod(), old))
    other = pod({"name": "c", "image": "other"})
    with pytest.raises(Forbidden):
        await run(security, admission_request("UPDATE", "pods", other, old))
    debug = pod(ephemeralContainers=[{"name": "debug"}])
    with pytest.raises(Forbidden):
        await run(security, admission_request("UPDATE", "pods/ephemeralcontainers", debug, old))


async def test_namespace_labels(security: PodSecurity, reader: DictReader) -> None:
    def namespace(**labels: str) -> Object:
        return {"metadata": {"name": "web", "labels": {LABEL + k: v for k, v in labels.items()}}}

    with pytest.raises(Invalid) as refused:
        await run(security, admission_request("CREATE", "namespaces", namespace(enforce="strict", audit="x")))
    assert refused.value.message == (
        'Namespace "web" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": '
        "must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/audit]: "
        'Invalid value: "x": must be one of privileged, baseline, restricted]'
    )
    for name in ("b", "a", "z"):
        reader.add(PODS, {**pod(hostNetwork=True), "metadata": {"name": name, "namespace": "web"}})
    reader.add(PODS, {**pod(container(privileged=True)), "metadata": {"name": "x", "namespace": "web"}})
    made = admission_request("UPDATE", "namespaces", namespace(enforce="baseline"), namespace())
    assert (await run(security, made)).warnings == [
        'existing pods in namespace "web" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 2 other pods): host namespaces",
        "x: privileged",
    ]
    relaxed = admission_request("UPDATE", "namespaces", namespace(enforce="baseline"), namespace(enforce="restricted"))
    assert (await run(security, relaxed)).warnings == []


async def test_audit_level_annotates_pods_and_templates_also_refused_ones(
    security: PodSecurity, reader: DictReader
) -> None:
    label(reader, enforce="baseline", audit="restricted")
    bad = admission_request("CREATE", "pods", pod(container(privileged=True)))
    with pytest.raises(Forbidden):
        await run(security, bad)
    assert bad.audit_annotations[LABEL + "enforce-policy"] == "baseline:latest"
    assert bad.audit_annotations[LABEL + "audit-violations"].startswith(
        'would violate PodSecurity "restricted:latest": privileged (container "c"'
    )
    template = {"metadata": {"name": "d"}, "spec": {"template": pod()}}
    deployment = admission_request("CREATE", "deployments.apps", template, namespace="web")
    await run(security, deployment)
    assert list(deployment.audit_annotations) == [LABEL + "audit-violations"]
    good = admission_request("CREATE", "pods", pod(GOOD_CONTAINER))
    await run(security, good)
    assert good.audit_annotations == {LABEL + "enforce-policy": "baseline:latest"}
