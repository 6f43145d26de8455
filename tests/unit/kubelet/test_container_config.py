"""What containers get: security, files, limits, and the node's verdict on pods; as tables."""

import base64
import json
from typing import Any

import pytest

from minikube_py.kubelet.images import credentials_of
from minikube_py.kubelet.node_object import status_patch
from minikube_py.kubelet.pod_admission import refusal, requests, resize_refusal
from minikube_py.kubelet.pod_files import (
    DnsSettings,
    ResolverConfig,
    host_names,
    hosts_text,
    parse_resolver,
    resolver_config,
)
from minikube_py.kubelet.pod_spec import REGULAR, PodContainer
from minikube_py.kubelet.resources_of import cgroup_limits
from minikube_py.kubelet.runtimes.protocol import (
    CgroupLimits,
    ImageState,
    RegistryCredentials,
    RuntimeFailure,
    Security,
)
from minikube_py.kubelet.security import merged_security
from minikube_py.kubelet.services import StartedPod
from minikube_py.objects.errors import Object
from tests.unit.kubelet.builders import container, pod, sandbox

GIB = 1024**3


def image(user: str = "") -> ImageState:
    return ImageState("sha256:1", ("i:1",), (), 1, user=user)


@pytest.mark.parametrize(
    ("of_pod", "own", "expected"),
    [
        ({}, {}, Security()),
        ({"runAsUser": 5}, {}, Security(user="5")),
        ({"runAsUser": 5, "runAsGroup": 6}, {"runAsUser": 7}, Security(user="7:6")),
        ({"runAsGroup": 6}, {}, Security(user="app:6")),
        ({"fsGroup": 9, "supplementalGroups": [8, 9]}, {}, Security(groups=(8, 9))),
        ({}, {"allowPrivilegeEscalation": False}, Security(no_new_privileges=True)),
        ({}, {"privileged": True, "allowPrivilegeEscalation": False}, Security(privileged=True)),
        ({}, {"readOnlyRootFilesystem": True}, Security(read_only_root=True)),
        (
            {},
            {"capabilities": {"add": ["CAP_NET_ADMIN"], "drop": ["ALL"]}},
            Security(add_capabilities=("NET_ADMIN",), drop_capabilities=("ALL",)),
        ),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, {}, Security()),
        ({}, {"seccompProfile": {"type": "Unconfined"}}, Security(seccomp="unconfined")),
        ({}, {"procMount": "Unmasked"}, Security(masked_paths=False)),
    ],
)
def test_security(of_pod: Object, own: Object, expected: Security) -> None:
    given = pod(securityContext=of_pod)
    assert merged_security(given, PodContainer(REGULAR, container(securityContext=own)), image("app")) == expected


@pytest.mark.parametrize(
    ("context", "user", "message"),
    [
        ({"runAsUser": 0}, "", "container's runAsUser breaks non-root policy"),
        ({}, "", "container has runAsNonRoot and image will run as root"),
        ({}, "root:root", "container has runAsNonRoot and image will run as root"),
        ({}, "app", "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root"),
    ],
)
def test_non_root(context: Object, user: str, message: str) -> None:
    given = PodContainer(REGULAR, container(securityContext={"runAsNonRoot": True, **context}))
    with pytest.raises(RuntimeFailure) as caught:
        merged_security(pod(), given, image(user))
    assert caught.value.reason == "CreateContainerConfigError"
    assert caught.value.message == f'{message} (pod: "p_ns(u)", container: c)'


def test_numeric_user_is_non_root() -> None:
    given = PodContainer(REGULAR, container(securityContext={"runAsNonRoot": True}))
    assert merged_security(pod(), given, image("1000")).user == ""


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, CgroupLimits(cpu_shares=2, oom_score_adj=1000)),
        (
            {"requests": {"cpu": "250m", "memory": "1Gi"}},
            CgroupLimits(cpu_shares=256, oom_score_adj=1000 - 1000 // 16),
        ),
        (
            {"limits": {"cpu": "500m", "memory": "64Mi"}},
            CgroupLimits(cpu_shares=512, cpu_quota_us=50_000, memory_bytes=64 * 1024**2, oom_score_adj=-997),
        ),
        ({"limits": {"cpu": "1m"}}, CgroupLimits(cpu_shares=2, cpu_quota_us=1000, oom_score_adj=999)),
    ],
)
def test_limits(resources: Object, expected: CgroupLimits) -> None:
    given = container(resources=resources)
    assert cgroup_limits(pod(containers=[given]), given, 16 * GIB) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ("p", "")),
        ({"hostname": "h"}, ("h", "")),
        ({"hostname": "h", "subdomain": "s"}, ("h", "h.s.ns.svc.cluster.local")),
        (
            {"subdomain": "s", "setHostnameAsFQDN": True},
            ("p.s.ns.svc.cluster.local", "p.s.ns.svc.cluster.local"),
        ),
    ],
)
def test_host_names(spec: Object, expected: tuple[str, str]) -> None:
    assert host_names(pod(**spec), "cluster.local") == expected


def test_long_names() -> None:
    assert len(host_names(pod(meta={"name": "x" * 80}), "d")[0]) == 63
    with pytest.raises(RuntimeFailure, match="is too long"):
        host_names(pod(subdomain="s" * 60, setHostnameAsFQDN=True), "cluster.local")


def started(given: Object) -> StartedPod:
    return StartedPod(given, sandbox(), ("192.168.0.1",))


def test_hosts() -> None:
    aliases = [{"ip": "1.2.3.4", "hostnames": ["a.local", "b.local"]}]
    text = hosts_text(started(pod(hostname="h", subdomain="s", hostAliases=aliases)), "cluster.local", "")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "\n10.0.0.1\th.s.ns.svc.cluster.local\th\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta.local\tb.local\n")
    on_host = hosts_text(started(pod(hostNetwork=True)), "cluster.local", "127.0.0.1 localhost\n")
    assert on_host == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"


HOST = ResolverConfig(("127.0.0.53", "9.9.9.9"), ("corp",), ("edns0",))
DNS = DnsSettings(("10.43.0.10",))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {},
            "search ns.svc.cluster.local svc.cluster.local cluster.local corp\n"
            "nameserver 10.43.0.10\noptions ndots:5\n",
        ),
        ({"dnsPolicy": "Default"}, "search corp\nnameserver 9.9.9.9\noptions edns0\n"),
        (
            {"hostNetwork": True, "dnsPolicy": "ClusterFirst"},
            "search corp\nnameserver 127.0.0.53\nnameserver 9.9.9.9\noptions edns0\n",
        ),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["x"]}},
            "search x\nnameserver 1.1.1.1\n",
        ),
        (
            {
                "dnsConfig": {
                    "nameservers": ["1.1.1.1"],
                    "searches": ["x", "corp"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}],
                }
            },
            "search ns.svc.cluster.local svc.cluster.local cluster.local corp x\n"
            "nameserver 10.43.0.10\nnameserver 1.1.1.1\noptions ndots:2 rotate\n",
        ),
    ],
)
def test_resolver(spec: Object, expected: str) -> None:
    assert resolver_config(pod(**spec), DNS, HOST).text() == expected


def test_parse_resolver() -> None:
    text = "# x\ndomain old\nsearch a b.\nnameserver 1.1.1.1\nnameserver ::1 # c\noptions ndots:2 rotate\n"
    assert parse_resolver(text) == ResolverConfig(("1.1.1.1", "::1"), ("a", "b"), ("ndots:2", "rotate"))


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_pull_secrets() -> None:
    auth = base64.b64encode(b"user:pa:ss").decode()
    config = {"auths": {"https://index.docker.io/v1/": {"auth": auth}, "r.example:5000": {"identitytoken": "t"}}}
    found = list(credentials_of({"data": {".dockerconfigjson": encoded(config)}}))
    assert found == [
        RegistryCredentials("user", "pa:ss", "", "index.docker.io"),
        RegistryCredentials("", "", "t", "r.example:5000"),
    ]
    old = {"data": {".dockercfg": encoded({"docker.io": {"username": "u", "password": "p"}})}}
    assert list(credentials_of(old)) == [RegistryCredentials("u", "p", "", "index.docker.io")]
    assert list(credentials_of({"data": {".dockerconfigjson": "!!"}})) == []


NODE: Object = {"metadata": {"name": "n", "labels": {"zone": "a", "size": "4"}}}
ROOM = {"cpu": "2", "memory": "1Gi", "pods": "3"}


def terms(*expressions: Object, fields: Object | None = None) -> Object:
    term: Object = {"matchExpressions": list(expressions)}
    if fields:
        term["matchFields"] = [fields]
    required = {"nodeSelectorTerms": [term]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def sysctls(*names: str) -> Object:
    return {"securityContext": {"sysctls": [{"name": name, "value": "1"} for name in names]}}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, None),
        ({"nodeSelector": {"zone": "a"}}, None),
        ({"nodeSelector": {"zone": "b"}}, "NodeAffinity"),
        (terms({"key": "zone", "operator": "In", "values": ["a", "b"]}), None),
        (terms({"key": "zone", "operator": "NotIn", "values": ["a"]}), "NodeAffinity"),
        (terms({"key": "size", "operator": "Gt", "values": ["3"]}), None),
        (terms({"key": "size", "operator": "Lt", "values": ["3"]}), "NodeAffinity"),
        (terms({"key": "disk", "operator": "Exists"}), "NodeAffinity"),
        (terms(fields={"key": "metadata.name", "operator": "In", "values": ["n"]}), None),
        ({"containers": [container(resources={"requests": {"cpu": "1500m"}})]}, "OutOfcpu"),
        ({"containers": [container(resources={"requests": {"memory": "2Gi"}})]}, "OutOfmemory"),
        ({"containers": [container(resources={"requests": {"cpu": "500m"}})]}, None),
        (sysctls("kernel.shm_rmid_forced", "net/ipv4/tcp_syncookies"), None),
        (sysctls("kernel.shm_rmid_forced", "kernel.msgmax"), "SysctlForbidden"),
        (sysctls("net.ipv4.tcp_syncookies") | {"hostNetwork": True}, "SysctlForbidden"),
        (sysctls("kernel.shm_rmid_forced") | {"hostIPC": True}, "SysctlForbidden"),
        ({"os": {"name": "linux"}, "nodeSelector": {}}, None),
        ({"os": {"name": "windows"}}, "PodOSNotSupported"),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, "PodOSSelectorNodeLabelDoesNotMatch"),
        ({"securityContext": {"supplementalGroupsPolicy": "Merge"}}, None),
        ({"securityContext": {"supplementalGroupsPolicy": "Strict"}}, "SupplementalGroupsPolicyNotSupported"),
        ({"securityContext": {"supplementalGroupsPolicy": "Strict", "runAsGroup": 5}}, None),
    ],
)
def test_refusal(spec: Object, reason: str | None) -> None:
    other = pod(containers=[container(resources={"requests": {"cpu": "1"}})])
    found = refusal(pod(**spec), NODE, [other], ROOM)
    assert (found.reason if found is not None else None) == reason


def test_refusal_of_one_pod_too_many() -> None:
    found = refusal(pod(), NODE, [pod(), pod(), pod()], ROOM)
    assert found is not None
    text = "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"
    assert (found.reason, found.message) == ("OutOfpods", text)


@pytest.mark.parametrize(
    ("mine", "other", "clashes"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, True),
        ({"hostPort": 80}, {"hostPort": 81}, False),
        ({"hostPort": 80, "protocol": "UDP"}, {"hostPort": 80}, False),
        ({"hostPort": 80, "hostIP": "1.1.1.1"}, {"hostPort": 80, "hostIP": "2.2.2.2"}, False),
        ({"hostPort": 80, "hostIP": "1.1.1.1"}, {"hostPort": 80}, True),
    ],
)
def test_host_ports(mine: Object, other: Object, clashes: bool) -> None:
    def with_port(port: Object) -> Object:
        return pod(containers=[container(ports=[{"containerPort": 1, **port}])])

    found = refusal(with_port(mine), NODE, [with_port(other)], ROOM)
    assert (found is not None and found.reason == "NodePorts") is clashes


def test_limits_of_the_pod_hold_for_containers_without_any() -> None:
    mine = container(resources={"limits": {"memory": "8Mi"}})
    whole = pod(containers=[container(), mine], resources={"limits": {"cpu": "1", "memory": "64Mi"}})
    first, second = (cgroup_limits(whole, c, 16 * GIB) for c in whole["spec"]["containers"])
    assert (first.memory_bytes, second.memory_bytes) == (64 * 1024**2, 8 * 1024**2)
    assert first.cpu_quota_us == second.cpu_quota_us == 100_000


def test_requests_of_a_pod() -> None:
    def asks(cpu: str, **more: Any) -> Object:
        return container(resources={"requests": {"cpu": cpu}}, **more)

    given = pod(
        initContainers=[asks("100m", restartPolicy="Always"), asks("900m")],
        containers=[asks("200m"), asks("300m")],
        overhead={"cpu": "10m"},
    )
    assert requests(given) == {"cpu": 1010}
    given["spec"]["resources"] = {"requests": {"cpu": "400m", "memory": "1Ki"}}
    assert requests(given) == {"cpu": 410, "memory": 1024}


def test_resize_that_never_or_not_now_fits() -> None:
    big = pod(containers=[container(resources={"requests": {"cpu": "3"}})])
    one = pod(containers=[container(resources={"requests": {"cpu": "1500m"}})])
    assert resize_refusal(big, [], ROOM) == (
        "Infeasible",
        "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000",
    )
    assert resize_refusal(one, [one], ROOM) == (
        "Deferred",
        "Node didn't have enough resource: cpu, requested: 1500, used: 1500, capacity: 2000",
    )
    assert resize_refusal(one, [], ROOM) is None


def test_node_status_patch_leaves_what_others_own() -> None:
    condition = {"type": "Ready", "status": "True", "reason": "r", "message": "m", "lastTransitionTime": "t1"}
    new = {
        "capacity": {"cpu": "4"},
        "allocatable": {"cpu": "4"},
        "nodeInfo": {"v": "1"},
        "conditions": [condition],
        "addresses": [],
        "images": [],
    }
    old = {**new, "capacity": {"cpu": "2", "x/y": "5"}, "conditions": [{**condition, "lastTransitionTime": "t0"}]}
    assert status_patch(old, new) == {"capacity": {"cpu": "4"}, "allocatable": {"x/y": "5"}}
    assert status_patch(new, new) == {}
