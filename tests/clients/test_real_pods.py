"""What programs in real pods see, and clients of the pods: the points that Kubernetes' own node tests look at."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support.docker_server import docker_server
from tests.support.images import TEST_IMAGE, ensure_test_image
from tests.support.server_process import TestServer

pytestmark = [pytest.mark.docker, pytest.mark.client]

Fields = dict[str, Any]
PATIENCE_SECONDS = 60.0
MODES = "stat -L -c '%a %u %g' /v/k /v /v/..data; cat /v/k"
OWN = {"securityContext": {"runAsUser": 1000, "fsGroup": 1001}}
TOKEN = "stat -L -c '%a %u %g' /var/run/secrets/kubernetes.io/serviceaccount/token"
SOURCES: dict[str, Fields] = {
    "config": {"configMap": {"name": "c", "defaultMode": 0o440}},
    "secret": {"secret": {"secretName": "s", "defaultMode": 0o440}},
    "projected-config": {"projected": {"sources": [{"configMap": {"name": "c"}}], "defaultMode": 0o440}},
    "projected-secret": {"projected": {"sources": [{"secret": {"name": "s"}}], "defaultMode": 0o440}},
    "downward": {
        "downwardAPI": {
            "items": [{"path": "k", "fieldRef": {"fieldPath": "metadata.namespace"}}],
            "defaultMode": 0o440,
        }
    },
}


def pod(name: str, script: str, container: Fields | None = None, volume: Fields | None = None, **spec: Any) -> Fields:
    """A pod of one container; the volume is at /v."""
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]} if volume is not None else {}
    base = {"name": "c", "image": TEST_IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [base | mounts | (container or {})],
            **({"volumes": [{"name": "v", **volume}]} if volume is not None else {}),
            **spec,
        },
    }


def sub_path(at: str) -> Fields:
    return {"volumeMounts": [{"name": "v", "mountPath": at, "subPath": "k"}]}


def memory_limit(amount: str) -> Fields:
    return {"resources": {"limits": {"memory": amount}}}


def variables(**values: str) -> Fields:
    return {"env": [{"name": name, "value": value} for name, value in values.items()]}


MEMORY = {"emptyDir": {"medium": "Memory"}}
SMALL = {"emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}
SIZE = "df -k /v | tail -1 | awk '{print $2}'"
SHM = "kernel/shm_rmid_forced"

SEEN: list[tuple[Fields, str]] = [
    *((pod(f"{name}-group", MODES, volume=source, **OWN), "") for name, source in SOURCES.items()),
    (pod("disk", "stat -c '%a %u %g' /v", volume={"emptyDir": {}}, **OWN), "2777 0 1001"),
    (pod("memory", "stat -c '%a %u %g' /v; grep -c ' /v tmpfs' /proc/mounts", volume=MEMORY, **OWN), "2777 0 1001\n1"),
    (pod("memory-of-pod", SIZE, memory_limit("32Mi"), MEMORY), "32768"),
    (pod("memory-of-volume", SIZE, memory_limit("32Mi"), SMALL), "4096"),
    (pod("token", TOKEN), "644 0 0"),
    (pod("token-user", TOKEN, securityContext={"runAsUser": 1000, "runAsGroup": 7}), "600 1000 0"),
    (pod("token-group", TOKEN, **OWN), "640 1000 1001"),
    (pod("over-resolv", "cat /etc/resolv.conf", sub_path("/etc/resolv.conf"), SOURCES["config"]), "value"),
    (pod("over-hosts", "cat /etc/hosts", sub_path("/etc/hosts"), SOURCES["secret"]), "value"),
    (
        pod("expansion", "echo $BOTH", variables(A="a", BOTH="$(A);;$$(A) $(NONE) $(LATER)", LATER="x")),
        "a;;$(A) $(NONE) $(LATER)",
    ),
    (
        pod("sysctl", f"cat /proc/sys/{SHM}", securityContext={"sysctls": [{"name": SHM, "value": "1"}]}),
        "1",
    ),
    (
        pod("groups", "id -u; id -G", securityContext={"runAsUser": 1000, "supplementalGroups": [60000]}),
        "1000\n1000 50 60000",
    ),
    (
        pod("fqdn", "hostname; cat /etc/hostname", hostname="h", subdomain="sub", setHostnameAsFQDN=True),
        "h.sub.default.svc.cluster.local\nh.sub.default.svc.cluster.local",
    ),
    (
        pod("aliases", "tail -2 /etc/hosts", hostAliases=[{"ip": "192.0.2.7", "hostnames": ["foo", "bar"]}]),
        "# Entries added by HostAliases.\n192.0.2.7\tfoo\tbar",
    ),
    (pod("ipc", "readlink /proc/self/ns/ipc", hostIPC=True), os.readlink("/proc/self/ns/ipc")),
    (pod("no-new", "grep NoNewPrivs /proc/self/status", {"securityContext": {"allowPrivilegeEscalation": False}}),
     "NoNewPrivs:\t1"),
    (pod("of-pod", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true",
         resources={"limits": {"memory": "64Mi"}}), str(64 * 1024 * 1024)),
]  # fmt: skip


def expected_modes(name: str) -> str:
    """The volume as its group sees it: setgid, and sticky where it is in memory, as all but ConfigMaps are."""
    root = "2777" if name == "config" else "3777"
    return f"440 0 1001\n{root} 0 1001\n2755 0 1001\n{'default' if name == 'downward' else 'value'}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    client = docker.APIClient(version="auto")
    ensure_test_image(client)
    client.close()
    with docker_server(Path(tmp_path_factory.mktemp("real")) / "data", "--nodes", "2") as started:
        started.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=30s")
        apply(started, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "value"}})
        apply(started, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "value"}})
        until(lambda: started.kubectl("get", "serviceaccount", "default", "--ignore-not-found"))
        yield started


def apply(server: TestServer, *objects: Fields) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    server.kubectl("apply", "-f", "-", text=json.dumps(listed))


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline
    return found


def get(server: TestServer, name: str) -> Fields:
    return dict(json.loads(server.kubectl("get", "pod", name, "-o", "json")))


def reasons(server: TestServer, name: str) -> list[str]:
    selector = f"involvedObject.name={name}"
    found = server.kubectl("get", "events", "--field-selector", selector, "-o", "jsonpath={.items[*].reason}")
    return found.split()


def waiting_reason(server: TestServer, name: str) -> str:
    path = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    return server.kubectl("get", "pod", name, "-o", path)


def test_what_programs_see(server: TestServer) -> None:
    apply(server, *(made for made, _ in SEEN))
    names = [made["metadata"]["name"] for made, _ in SEEN]
    targets = [f"pod/{name}" for name in names]
    server.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", *targets, "--timeout=90s")
    seen = {name: server.kubectl("logs", name).rstrip("\n") for name in names}
    expected = {made["metadata"]["name"]: text for made, text in SEEN}
    expected |= {f"{name}-group": expected_modes(name) for name in SOURCES}
    assert seen == expected


def test_a_pod_that_is_being_debugged_can_be_changed(server: TestServer) -> None:
    apply(server, pod("debugged", "sleep 1000"))
    server.kubectl("wait", "--for=condition=Ready", "pod/debugged", "--timeout=60s")
    server.kubectl(
        "debug", "debugged", f"--image={TEST_IMAGE}", "--image-pull-policy=IfNotPresent", "--", "sleep", "99"
    )
    server.kubectl("label", "pod", "debugged", "a=b")
    server.kubectl("patch", "pod", "debugged", "-p", '{"spec":{"activeDeadlineSeconds":900}}')
    until(lambda: get(server, "debugged")["status"]["observedGeneration"] == 3)


def test_an_image_volume_that_cannot_be_pulled_says_so(server: TestServer) -> None:
    source = {"image": {"reference": "mkube-test/none:1", "pullPolicy": "Never"}}
    apply(server, pod("no-image", "true", volume=source))
    until(lambda: waiting_reason(server, "no-image") == "ErrImageNeverPull")
    until(lambda: {"ErrImageNeverPull", "Failed"} <= set(reasons(server, "no-image")))


def test_a_probe_that_is_led_away_passes_with_a_warning(server: TestServer) -> None:
    answer = "HTTP/1.1 302 Found\\r\\nLocation: http://0.0.0.0/\\r\\nContent-Length: 4\\r\\n\\r\\naway"
    script = f"while true; do printf '{answer}' | nc -l -p 8080 > /dev/null; done"
    probe = {
        "httpGet": {"path": "/", "port": 8080},
        "periodSeconds": 1,
        "initialDelaySeconds": 1,
        "failureThreshold": 9,
    }
    apply(server, pod("led-away", script, {"livenessProbe": probe}))
    until(lambda: "ProbeWarning" in reasons(server, "led-away"))
    assert get(server, "led-away")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_running_means_that_the_post_start_hook_has_ended(server: TestServer) -> None:
    hook = {
        "lifecycle": {
            "postStart": {"exec": {"command": ["sh", "-c", "touch /v/begun; until test -e /v/go; do :; done"]}}
        }
    }
    made = pod("hooked", "sleep 1000", hook, {"emptyDir": {}})
    made["spec"]["containers"].append({**made["spec"]["containers"][0], "name": "second", "lifecycle": None})
    made["spec"]["containers"].reverse()
    apply(server, made)
    until(lambda: server.kubectl("exec", "hooked", "-c", "second", "--", "ls", "/v", check=False).strip() == "begun")
    assert get(server, "hooked")["status"]["phase"] == "Pending"
    server.kubectl("exec", "hooked", "-c", "second", "--", "touch", "/v/go")
    server.kubectl("wait", "--for=condition=Ready", "pod/hooked", "--timeout=30s")


def test_one_container_ends_and_all_begin_anew(server: TestServer) -> None:
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
    script = "if test -e /v/done; then sleep 1000; else until test -e /v/other; do :; done; touch /v/done; exit 42; fi"
    made = pod("anew", script, {"restartPolicyRules": rules, "restartPolicy": "Never"}, {"emptyDir": {}})
    first = {"name": "i", "image": TEST_IMAGE, "command": ["true"]}
    made["spec"] |= {
        "initContainers": [first, {**first, "name": "s", "command": ["sleep", "99"], "restartPolicy": "Always"}]
    }
    other = {"name": "other", "command": ["sh", "-c", "touch /v/other; sleep 1000"]}
    made["spec"]["containers"].append({**first, **other, "volumeMounts": [{"name": "v", "mountPath": "/v"}]})
    apply(server, made)

    def counts() -> list[int]:
        status = get(server, "anew")["status"]
        lists = (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])
        return [entry["restartCount"] for entry in lists]

    until(lambda: counts() == [1, 1, 1, 1])
    server.kubectl("wait", "--for=condition=Ready", "pod/anew", "--timeout=60s")


def test_a_runtime_class_names_a_runtime_of_the_engine(server: TestServer) -> None:
    for name in ("runc", "none-such"):
        apply(
            server,
            {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": name},
        )
        apply(server, pod(f"by-{name}", "true", runtimeClassName=name))
    server.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/by-runc", "--timeout=60s")
    until(lambda: "FailedCreatePodSandBox" in reasons(server, "by-none-such"))
    assert "none-such" in server.kubectl("events", "--for", "pod/by-none-such")
