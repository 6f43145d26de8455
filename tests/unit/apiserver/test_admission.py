import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from minikube_py.apiserver.admission.catalog import PLUGINS, build_admission
from minikube_py.apiserver.admission.context import AdmissionContext
from minikube_py.apiserver.admission.protocol import AdmissionPlugin
from minikube_py.bootstrap.certificates import make_key
from minikube_py.objects.errors import Forbidden, Invalid, NotFound, Object
from minikube_py.resources.kind import GVR
from tests.support.admission import admission_context, admission_request, run
from tests.support.identity import binding, user
from tests.support.object_reader import DictReader

NAMESPACES = GVR("", "v1", "namespaces")
ACCOUNTS = GVR("", "v1", "serviceaccounts")
PRIORITY_CLASSES = GVR("scheduling.k8s.io", "v1", "priorityclasses")
LIMIT_RANGES = GVR("", "v1", "limitranges")
NODE = user("system:node:a", "system:nodes")


@pytest.fixture
def reader() -> DictReader:
    reader = DictReader()
    reader.add(NAMESPACES, {"metadata": {"name": "web"}, "status": {"phase": "Active"}})
    reader.add(NAMESPACES, {"metadata": {"name": "going"}, "status": {"phase": "Terminating"}})
    reader.add(ACCOUNTS, {"metadata": {"name": "default", "namespace": "web"}})
    return reader


@pytest.fixture
def context(reader: DictReader) -> AdmissionContext:
    return admission_context(reader)


def plugin(context: AdmissionContext, name: str) -> AdmissionPlugin:
    return next(entry.make for entry in PLUGINS if entry.name == name)(context)


def pod(**spec: Any) -> Object:
    return {"metadata": {"name": "p", "namespace": "web"}, "spec": {"containers": [{"name": "c"}], **spec}}


# -- catalog


def test_names_and_order(context: AdmissionContext) -> None:
    assert [p.name for p in build_admission(context)] == [entry.name for entry in PLUGINS if entry.is_default]
    limits = [{"type": "Server", "qps": 1, "burst": 1}]
    context.configuration = {"EventRateLimit": {"limits": limits}}
    assert [entry.make(context).name for entry in PLUGINS] == [entry.name for entry in PLUGINS]
    assert "PodSecurity" not in [p.name for p in build_admission(context, disable=["PodSecurity"])]
    assert "ExtendedResourceToleration" in [
        p.name for p in build_admission(context, enable=["ExtendedResourceToleration"])
    ]
    with pytest.raises(ValueError, match="no admission plugin"):
        build_admission(context, disable=["Nonsense"])


# -- NamespaceLifecycle


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_immortal_namespaces(context: AdmissionContext, name: str) -> None:
    made = admission_request("DELETE", "namespaces", namespace=name, name=name)
    with pytest.raises(Forbidden, match=f'namespaces "{name}" is forbidden: this namespace may not be deleted'):
        await run(plugin(context, "NamespaceLifecycle"), made)
    # One of a deleted collection is named by the object alone.
    made = admission_request("DELETE", "namespaces", None, {"metadata": {"name": name}}, name="-")
    made.info = replace(made.info, name="", namespace="")
    with pytest.raises(Forbidden, match="may not be deleted"):
        await run(plugin(context, "NamespaceLifecycle"), made)


async def test_nothing_new_in_namespaces_that_go_or_are_missing(context: AdmissionContext) -> None:
    lifecycle = plugin(context, "NamespaceLifecycle")
    config_map = {"metadata": {"name": "c", "namespace": "going"}}
    with pytest.raises(Forbidden) as refused:
        await run(lifecycle, admission_request("CREATE", "configmaps", config_map))
    assert refused.value.message == (
        'configmaps "c" is forbidden: unable to create new content in namespace going because it is being terminated'
    )
    assert refused.value.details["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace going is being terminated",
            "field": "metadata.namespace",
        }
    ]
    with pytest.raises(NotFound, match='namespaces "none" not found'):
        await run(lifecycle, admission_request("CREATE", "configmaps", {"metadata": {"namespace": "none"}}))
    await run(lifecycle, admission_request("UPDATE", "configmaps", config_map, config_map))
    await run(lifecycle, admission_request("DELETE", "configmaps", None, config_map))
    await run(lifecycle, admission_request("CREATE", "configmaps", {"metadata": {"namespace": "web"}}))


# -- ServiceAccount


async def test_a_pod_gets_account_token_and_pull_secrets(context: AdmissionContext, reader: DictReader) -> None:
    reader.objects[ACCOUNTS, "web", "default"]["imagePullSecrets"] = [{"name": "pull"}]
    made = pod(initContainers=[{"name": "i"}])
    await run(plugin(context, "ServiceAccount"), admission_request("CREATE", "pods", made))
    spec = made["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    [volume] = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert len(volume["name"]) == len("kube-api-access-") + 5
    sources = volume["projected"]["sources"]
    assert sources[0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert [next(iter(s)) for s in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]
    mount = {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    assert spec["containers"][0]["volumeMounts"] == [mount]
    assert spec["initContainers"][0]["volumeMounts"] == [mount]


@pytest.mark.parametrize(
    ("account", "of_pod", "mounted"),
    [
        (None, None, True),
        (False, None, False),
        (True, None, True),
        (False, True, True),
        (True, False, False),
        (None, False, False),
    ],
)
async def test_automount(
    context: AdmissionContext, reader: DictReader, account: bool | None, of_pod: bool | None, mounted: bool
) -> None:
    if account is not None:
        reader.objects[ACCOUNTS, "web", "default"]["automountServiceAccountToken"] = account
    made = pod() if of_pod is None else pod(automountServiceAccountToken=of_pod)
    await run(plugin(context, "ServiceAccount"), admission_request("CREATE", "pods", made))
    assert ("volumes" in made["spec"]) is mounted


async def test_a_mount_of_ones_own_is_kept(context: AdmissionContext) -> None:
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    made = pod(containers=[{"name": "c", "volumeMounts": [{"name": "mine", "mountPath": path}]}])
    await run(plugin(context, "ServiceAccount"), admission_request("CREATE", "pods", made))
    assert made["spec"]["containers"][0]["volumeMounts"] == [{"name": "mine", "mountPath": path}]
    assert "volumes" not in made["spec"]


async def test_unknown_account(context: AdmissionContext) -> None:
    text = 'pods "p" is forbidden: error looking up service account web/x: serviceaccount "x" not found'
    with pytest.raises(Forbidden) as refused:
        await run(plugin(context, "ServiceAccount"), admission_request("CREATE", "pods", pod(serviceAccountName="x")))
    assert refused.value.message == text


async def test_the_default_account_is_waited_for(context: AdmissionContext, reader: DictReader) -> None:
    account = reader.objects[ACCOUNTS, "web", "default"]
    reader.remove(ACCOUNTS, "default", "web")
    made = pod()
    write = asyncio.create_task(run(plugin(context, "ServiceAccount"), admission_request("CREATE", "pods", made)))
    await asyncio.sleep(0)
    reader.add(ACCOUNTS, account)
    await write
    assert made["spec"]["serviceAccountName"] == "default"


async def test_accounts_that_insist_on_their_secrets(context: AdmissionContext, reader: DictReader) -> None:
    account = reader.objects[ACCOUNTS, "web", "default"]
    account["metadata"]["annotations"] = {"kubernetes.io/enforce-mountable-secrets": "true"}
    account["secrets"] = [{"name": "listed"}]
    service_account = plugin(context, "ServiceAccount")
    volume = {"name": "v", "secret": {"secretName": "listed"}}
    await run(service_account, admission_request("CREATE", "pods", pod(volumes=[volume])))
    other = {"name": "v", "secret": {"secretName": "other"}}
    with pytest.raises(Forbidden, match='secretName="other" is not allowed because service account'):
        await run(service_account, admission_request("CREATE", "pods", pod(volumes=[other])))


# -- LimitRanger


LIMITS = {
    "metadata": {"name": "l", "namespace": "web"},
    "spec": {
        "limits": [
            {
                "type": "Container",
                "default": {"cpu": "500m", "memory": "1Gi"},
                "defaultRequest": {"cpu": "100m"},
                "max": {"cpu": "2"},
                "min": {"cpu": "50m"},
                "maxLimitRequestRatio": {"memory": "2"},
            },
            {"type": "Pod", "max": {"cpu": "3"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "10Gi"}, "min": {"storage": "1Gi"}},
        ]
    },
}


def container(name: str, requests: Object, limits: Object) -> Object:
    return {"name": name, "resources": {"requests": requests, "limits": limits}}


async def test_limit_range_defaults(context: AdmissionContext, reader: DictReader) -> None:
    reader.add(LIMIT_RANGES, LIMITS)
    made = pod(containers=[{"name": "c", "resources": {"limits": {"cpu": "1"}}}])
    await plugin(context, "LimitRanger").mutate(admission_request("CREATE", "pods", made))
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "100m"},
    }
    note = "LimitRanger plugin set: cpu request for container c; memory limit for container c"
    assert made["metadata"]["annotations"] == {"kubernetes.io/limit-ranger": note}


@pytest.mark.parametrize(
    ("containers", "why"),
    [
        (
            [container("c", {"cpu": "1", "memory": "1Gi"}, {"cpu": "4", "memory": "1Gi"})],
            "[maximum cpu usage per Container is 2, but limit is 4, maximum cpu usage per Pod is 3, but limit is 4]",
        ),
        (
            [container("c", {"cpu": "10m", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"})],
            "minimum cpu usage per Container is 50m, but request is 10m",
        ),
        (
            [container("c", {"cpu": "1", "memory": "300Mi"}, {"cpu": "1", "memory": "1Gi"})],
            "memory max limit to request ratio per Container is 2, but provided ratio is 3.413333",
        ),
        (
            [container(n, {"cpu": "2", "memory": "1"}, {"cpu": "2", "memory": "1"}) for n in "ab"],
            "maximum cpu usage per Pod is 3, but limit is 4",
        ),
    ],
)
async def test_limit_ranges_refuse(
    context: AdmissionContext, reader: DictReader, containers: list[Object], why: str
) -> None:
    reader.add(LIMIT_RANGES, LIMITS)
    with pytest.raises(Forbidden) as refused:
        await run(plugin(context, "LimitRanger"), admission_request("CREATE", "pods", pod(containers=containers)))
    assert refused.value.message == f'pods "p" is forbidden: {why}'


async def test_limit_ranges_on_claims_leave_stored_values_alone(context: AdmissionContext, reader: DictReader) -> None:
    reader.add(LIMIT_RANGES, LIMITS)
    ranger = plugin(context, "LimitRanger")

    def claim(size: str) -> Object:
        resources = {"requests": {"storage": size}}
        return {"metadata": {"name": "c", "namespace": "web"}, "spec": {"resources": resources}}

    with pytest.raises(Forbidden, match="maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi"):
        await run(ranger, admission_request("CREATE", "persistentvolumeclaims", claim("20Gi")))
    await run(ranger, admission_request("UPDATE", "persistentvolumeclaims", claim("20Gi"), claim("20Gi")))


# -- Priority, tolerations, classes, finalizers


async def test_priority(context: AdmissionContext, reader: DictReader) -> None:
    reader.add(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 1000})
    priority = plugin(context, "Priority")
    plain, high = pod(), pod(priorityClassName="high")
    await run(priority, admission_request("CREATE", "pods", plain))
    assert (plain["spec"]["priority"], plain["spec"]["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    await run(priority, admission_request("CREATE", "pods", high))
    assert high["spec"]["priority"] == 1000
    with pytest.raises(Forbidden, match="no PriorityClass with name none was found"):
        await run(priority, admission_request("CREATE", "pods", pod(priorityClassName="none")))
    with pytest.raises(Forbidden, match=r"the integer value of priority \(7\) must not be provided in pod spec"):
        await run(priority, admission_request("CREATE", "pods", pod(priorityClassName="high", priority=7)))
    reader.add(PRIORITY_CLASSES, {"metadata": {"name": "usual"}, "value": 5, "globalDefault": True})
    by_default = pod()
    await run(priority, admission_request("CREATE", "pods", by_default))
    assert (by_default["spec"]["priorityClassName"], by_default["spec"]["priority"]) == ("usual", 5)
    second = {"metadata": {"name": "second"}, "value": 6, "globalDefault": True}
    with pytest.raises(Forbidden, match="PriorityClass usual is already marked as default"):
        await run(priority, admission_request("CREATE", "priorityclasses.scheduling.k8s.io", second))


async def test_default_tolerations(context: AdmissionContext) -> None:
    made = pod(tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}])
    await run(plugin(context, "DefaultTolerationSeconds"), admission_request("CREATE", "pods", made))
    assert [t["key"] for t in made["spec"]["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    assert made["spec"]["tolerations"][1]["tolerationSeconds"] == 300
    everything = pod(tolerations=[{"operator": "Exists"}])
    await run(plugin(context, "DefaultTolerationSeconds"), admission_request("CREATE", "pods", everything))
    assert everything["spec"]["tolerations"] == [{"operator": "Exists"}]


async def test_default_storage_class(context: AdmissionContext, reader: DictReader) -> None:
    classes = GVR("storage.k8s.io", "v1", "storageclasses")
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    reader.add(classes, {"metadata": {"name": "old", "annotations": mark, "creationTimestamp": "2026-01-01T00:00:00Z"}})
    reader.add(classes, {"metadata": {"name": "new", "annotations": mark, "creationTimestamp": "2026-02-01T00:00:00Z"}})
    reader.add(classes, {"metadata": {"name": "other", "creationTimestamp": "2026-03-01T00:00:00Z"}})

    async def chosen(spec: Object) -> object:
        claim = {"metadata": {"name": "c", "namespace": "web"}, "spec": spec}
        made = admission_request("CREATE", "persistentvolumeclaims", claim)
        await run(plugin(context, "DefaultStorageClass"), made)
        return claim["spec"].get("storageClassName")

    assert await chosen({}) == "new"
    assert await chosen({"storageClassName": ""}) == ""
    assert await chosen({"storageClassName": "other"}) == "other"


async def test_protection_finalizers(context: AdmissionContext) -> None:
    claim = {"metadata": {"name": "c", "namespace": "web"}}
    protection = plugin(context, "StorageObjectInUseProtection")
    await run(protection, admission_request("CREATE", "persistentvolumeclaims", claim))
    await run(protection, admission_request("CREATE", "persistentvolumeclaims", claim))
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


async def test_new_nodes_are_tainted(context: AdmissionContext) -> None:
    node: Object = {"metadata": {"name": "n"}}
    await run(plugin(context, "TaintNodesByCondition"), admission_request("CREATE", "nodes", node))
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_runtime_class(context: AdmissionContext, reader: DictReader) -> None:
    runtime = plugin(context, "RuntimeClass")
    found = {
        "metadata": {"name": "kata"},
        "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {"nodeSelector": {"kata": "yes"}, "tolerations": [{"key": "kata", "operator": "Exists"}]},
    }
    reader.add(GVR("node.k8s.io", "v1", "runtimeclasses"), found)
    made = pod(runtimeClassName="kata", nodeSelector={"disk": "ssd"})
    await run(runtime, admission_request("CREATE", "pods", made))
    assert made["spec"]["overhead"] == {"cpu": "250m"}
    assert made["spec"]["nodeSelector"] == {"kata": "yes", "disk": "ssd"}
    for spec, why in (
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        ({"overhead": {"cpu": "1"}}, "Pod Overhead set without corresponding RuntimeClass"),
        ({"runtimeClassName": "kata", "overhead": {"cpu": "1"}}, "doesn't match RuntimeClass's defined Overhead"),
        ({"runtimeClassName": "kata", "nodeSelector": {"kata": "no"}}, "conflict: runtimeClass.scheduling"),
    ):
        with pytest.raises(Forbidden, match=why):
            await run(runtime, admission_request("CREATE", "pods", pod(**spec)))


async def test_bindings_carry_the_nodes_zone(context: AdmissionContext, reader: DictReader) -> None:
    labels = {"topology.kubernetes.io/zone": "z1", "kubernetes.io/hostname": "n"}
    reader.add(GVR("", "v1", "nodes"), {"metadata": {"name": "n", "labels": labels}})
    binding: Object = {"metadata": {"name": "p", "namespace": "web"}, "target": {"kind": "Node", "name": "n"}}
    await run(plugin(context, "PodTopologyLabels"), admission_request("CREATE", "pods/binding", binding))
    assert binding["metadata"]["labels"] == {"topology.kubernetes.io/zone": "z1"}


# -- certificates


def signing_request(common_name: str, *organizations: str, signer: str) -> Object:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject)).sign(make_key(), hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM)
    return {"metadata": {"name": "csr"}, "spec": {"signerName": signer, "request": base64.b64encode(pem).decode()}}


CSRS = "certificatesigningrequests.certificates.k8s.io"


async def test_nobody_gets_into_the_masters_group_by_certificate(context: AdmissionContext) -> None:
    restriction = plugin(context, "CertificateSubjectRestriction")
    good = signing_request("bob", "dev", signer="kubernetes.io/kube-apiserver-client")
    await run(restriction, admission_request("CREATE", CSRS, good))
    bad = signing_request("bob", "system:masters", signer="kubernetes.io/kube-apiserver-client")
    with pytest.raises(Forbidden, match="signer with system:masters group is not allowed"):
        await run(restriction, admission_request("CREATE", CSRS, bad))


@pytest.mark.parametrize(
    ("name", "subresource", "status", "words"),
    [
        ("CertificateApproval", "approval", {}, "user not permitted to approve requests with signerName"),
        ("CertificateSigning", "status", {"certificate": "x"}, "user not permitted to sign requests with signerName"),
    ],
)
async def test_approving_and_signing_need_the_verb(
    context: AdmissionContext, name: str, subresource: str, status: Object, words: str
) -> None:
    old = signing_request("system:node:a", signer="kubernetes.io/kube-apiserver-client-kubelet")
    new = {**old, "status": status}
    controller = user("system:serviceaccount:kube-system:certificate-controller", "system:serviceaccounts")
    path = f"{CSRS}/{subresource}"
    await run(plugin(context, name), admission_request("UPDATE", path, new, old, user=controller))
    with pytest.raises(Forbidden, match=words):
        await run(plugin(context, name), admission_request("UPDATE", path, new, old, user=user("bob")))


# -- NodeRestriction


def node_object(name: str, *, labels: Object | None = None, **spec: Any) -> Object:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}


@pytest.mark.parametrize(
    ("operation", "path", "obj", "old", "why"),
    [
        ("CREATE", "nodes", node_object("b"), None, 'node "a" is not allowed to modify node "b"'),
        ("UPDATE", "nodes/status", node_object("b"), node_object("b"), 'is not allowed to modify node "b"'),
        ("CREATE", "nodes", node_object("a", labels={"kubernetes.io/hostname": "a", "my/label": "x"}), None, ""),
        (
            "CREATE",
            "nodes",
            node_object("a", labels={"node-restriction.kubernetes.io/x": "y", "a.k8s.io/b": "c"}),
            None,
            'node "a" is not allowed to set the following labels: a.k8s.io/b, node-restriction.kubernetes.io/x',
        ),
        ("UPDATE", "nodes", node_object("a", taints=[]), node_object("a", taints=[{"key": "k"}]), "modify taints"),
        (
            "UPDATE",
            "nodes",
            node_object("a", labels={"kubernetes.io/role": "x"}),
            node_object("a"),
            "is not allowed to modify labels: kubernetes.io/role",
        ),
        ("UPDATE", "nodes/status", node_object("a"), node_object("a"), ""),
        ("CREATE", "pods", pod(nodeName="a"), None, 'node "a" can only create mirror pods'),
        ("UPDATE", "pods", pod(nodeName="a"), pod(nodeName="a"), "can only create and delete mirror pods"),
        ("UPDATE", "pods/status", pod(nodeName="a"), pod(nodeName="a"), ""),
        (
            "UPDATE",
            "pods/status",
            pod(nodeName="b"),
            pod(nodeName="b"),
            'node "a" can only update pod status for pods with spec.nodeName set to itself',
        ),
        ("UPDATE", "pods/ephemeralcontainers", pod(), pod(), "unexpected pod subresource"),
        (
            "CREATE",
            "leases.coordination.k8s.io",
            {"metadata": {"name": "b", "namespace": "kube-node-lease"}},
            None,
            "can only access node lease with the same name as the requesting node",
        ),
        (
            "CREATE",
            "leases.coordination.k8s.io",
            {"metadata": {"name": "a", "namespace": "kube-node-lease"}},
            None,
            "",
        ),
        (
            "CREATE",
            CSRS,
            signing_request("system:node:b", signer="kubernetes.io/kube-apiserver-client-kubelet"),
            None,
            "can only create a node CSR with CN=system:node:a",
        ),
        (
            "CREATE",
            CSRS,
            signing_request("system:node:a", signer="kubernetes.io/kube-apiserver-client-kubelet"),
            None,
            "",
        ),
    ],
)
async def test_a_node_writes_only_its_own(
    context: AdmissionContext, operation: str, path: str, obj: Object, old: Object | None, why: str
) -> None:
    made = admission_request(operation, path, obj, old, user=NODE)
    if not why:
        await run(plugin(context, "NodeRestriction"), made)
        return
    with pytest.raises(Forbidden) as refused:
        await run(plugin(context, "NodeRestriction"), made)
    assert why in refused.value.message


async def test_a_node_gets_tokens_for_its_own_pods_only(context: AdmissionContext, reader: DictReader) -> None:
    pods = GVR("", "v1", "pods")
    reader.add(pods, pod(nodeName="a"))
    reader.add(pods, {"metadata": {"name": "far", "namespace": "web"}, "spec": {"nodeName": "b"}})
    restriction = plugin(context, "NodeRestriction")

    async def ask(**reference: str) -> None:
        body = {"metadata": {}, "spec": {"boundObjectRef": reference} if reference else {}}
        made = admission_request("CREATE", "serviceaccounts/token", body, user=NODE, namespace="web", name="default")
        await run(restriction, made)

    await ask(kind="Pod", apiVersion="v1", name="p", uid="uid-p")
    with pytest.raises(Forbidden, match="node requested token not bound to a pod"):
        await ask()
    with pytest.raises(Forbidden, match="without a uid"):
        await ask(kind="Pod", apiVersion="v1", name="p")
    with pytest.raises(Forbidden, match="scheduled on a different node"):
        await ask(kind="Pod", apiVersion="v1", name="far", uid="uid-far")


async def test_others_are_not_restricted(context: AdmissionContext) -> None:
    await run(plugin(context, "NodeRestriction"), admission_request("CREATE", "nodes", node_object("any")))


# -- PodCertificateSigning


async def test_pod_certificates_are_answered_by_those_who_may_sign(context: AdmissionContext) -> None:
    signing, path = plugin(context, "PodCertificateSigning"), "podcertificaterequests.certificates.k8s.io/status"
    old = {"metadata": {"name": "r", "namespace": "web"}, "spec": {"signerName": "example.com/s"}}
    new = {**old, "status": {"conditions": [{"type": "Denied"}]}}
    jane = user("jane")
    await run(signing, admission_request("UPDATE", path, {**old, "status": {}}, old, user=jane))
    with pytest.raises(Invalid) as refused:
        await run(signing, admission_request("UPDATE", path, new, old, user=jane))
    assert refused.value.message == (
        'PodCertificateRequest.certificates.k8s.io "r" is invalid: spec.signerName: Forbidden: '
        'User "jane" is not permitted to "sign" for signer "example.com/s"'
    )
    sign = {"verbs": ["sign"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"]}
    for names in (["example.com/s"], ["example.com/*"]):
        context.rbac.observe(
            "clusterroles", {"metadata": {"name": "sign"}, "rules": [{**sign, "resourceNames": names}]}
        )
        subject = {"kind": "User", "name": "jane"}
        context.rbac.observe(
            "clusterrolebindings", binding("ClusterRoleBinding", "b", ("ClusterRole", "sign"), subject)
        )
        await run(signing, admission_request("UPDATE", path, new, old, user=jane))
