"""What Kubernetes' conformance tests of kubectl ask: of the kubectl that is installed, and of the newest one."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.go_programs import build_kubectl
from tests.support.server_process import TestServer, running_server

pytestmark = pytest.mark.client

CONTROLLER = """
apiVersion: v1
kind: ReplicationController
metadata: {name: agnhost-primary, labels: {app: agnhost, role: primary}}
spec:
  replicas: 1
  selector: {app: agnhost, role: primary}
  template:
    metadata: {labels: {app: agnhost, role: primary}}
    spec: {containers: [{name: agnhost-primary, image: agnhost, ports: [{name: agnhost-server, containerPort: 6379}]}]}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: agnhost-primary, labels: {app: agnhost, role: primary}}
spec:
  ports: [{port: 6379, targetPort: agnhost-server}]
  selector: {app: agnhost, role: primary}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    with running_server(tmp_path_factory.mktemp("kubectl"), "--container-runtime", "fake") as started:
        yield started


@pytest.fixture(autouse=True, params=["installed", "newest"])
def program(server: TestServer, request: pytest.FixtureRequest) -> str:
    """Which kubectl the test runs."""
    newest = request.param == "newest"
    server.kubectl_program = str(build_kubectl()) if newest else "kubectl"
    return server.kubectl_program


class Namespace:
    """kubectl in a namespace of the test's own."""

    def __init__(self, server: TestServer, name: str) -> None:
        self.server, self.name = server, name
        server.kubectl("create", "namespace", name)

    def __call__(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        return self.server.kubectl("--namespace", self.name, *arguments, text=text, check=check)

    def errors(self, *arguments: str) -> str:
        """What a command that succeeds says on standard error."""
        command = [self.server.kubectl_program, "--kubeconfig", str(self.server.kubeconfig), "-n", self.name]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=60).stderr

    def json(self, *arguments: str) -> "dict[str, object]":
        found: dict[str, object] = json.loads(self(*arguments, "-o", "json"))
        return found

    def primary(self) -> str:
        """A replication controller and its Service; the name of its running pod."""
        self("create", "-f", "-", text=CONTROLLER)
        self("create", "-f", "-", text=SERVICE)
        self("wait", "--for=jsonpath={.status.readyReplicas}=1", "rc/agnhost-primary", "--timeout=60s")
        return self("get", "pods", "-l", "app=agnhost", "-o", "jsonpath={.items[0].metadata.name}")


@pytest.fixture
def kubectl(server: TestServer, request: pytest.FixtureRequest) -> Namespace:
    return Namespace(server, re.sub("[^a-z0-9]+", "-", request.node.name).strip("-")[:60])


def assert_lines(output: str, required: Sequence[Sequence[str]]) -> None:
    """Each group of words stands in the output, in this order, the words of a group in one line."""
    lines = iter(output.splitlines())
    for words in required:
        for line in lines:
            if all(word in line for word in words):
                break
        else:
            raise AssertionError(f"no line with {words} after the ones before it in:\n{output}")


def test_versions_and_cluster(server: TestServer) -> None:
    assert "v1" in server.kubectl("api-versions").splitlines()
    info = re.sub(r"\x1b\[[0-9;]*m", "", server.kubectl("cluster-info"))
    assert "Kubernetes control plane is running at https://127.0.0.1:" in info
    version = server.kubectl("version")
    assert "Client Version: " in version
    assert "Server Version: v1.37" in version


def test_describe(kubectl: Namespace) -> None:
    pod = kubectl.primary()
    name, namespace = ("Name:", "agnhost-primary"), ("Namespace:", kubectl.name)
    assert_lines(kubectl("describe", "pod", pod), [
        name, namespace, ("Node:",), ("Labels:", "app=agnhost"), ("role=primary",), ("Annotations:",),
        ("Status:", "Running"), ("IP:",), ("Controlled By:", "ReplicationController/agnhost-primary"),
        ("Image:", "agnhost"), ("State:", "Running"), ("QoS Class:", "BestEffort"),
    ])  # fmt: skip
    assert_lines(kubectl("describe", "rc", "agnhost-primary"), [
        name, namespace, ("Selector:", "app=agnhost,role=primary"), ("Labels:", "app=agnhost"), ("role=primary",),
        ("Annotations:",), ("Replicas:", "1 current", "1 desired"),
        ("Pods Status:", "1 Running", "0 Waiting", "0 Succeeded", "0 Failed"), ("Pod Template:",),
        ("Image:", "agnhost"), ("Events:",), ("SuccessfulCreate",),
    ])  # fmt: skip
    assert_lines(kubectl("describe", "service", "agnhost-primary"), [
        name, namespace, ("Labels:", "app=agnhost"), ("role=primary",), ("Annotations:",),
        ("Selector:", "app=agnhost", "role=primary"), ("Type:", "ClusterIP"), ("IP:",),
        ("Port:", "<unset>", "6379/TCP"), ("Endpoints:", ":6379"), ("Session Affinity:", "None"),
    ])  # fmt: skip
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    assert_lines(kubectl("describe", "node", node), [
        ("Name:", node), ("Labels:",), ("Annotations:",), ("CreationTimestamp:",), ("Conditions:",),
        ("Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"), ("Addresses:",),
        ("Capacity:",), ("Kernel Version:",), ("OS Image:",), ("Architecture:",), ("Container Runtime Version:",),
        ("Kubelet Version:",), ("Non-terminated Pods:",), ("Allocated resources:",),
    ])  # fmt: skip
    described = kubectl("describe", "namespace", kubectl.name)
    assert_lines(described, [("Name:", kubectl.name), ("Labels:",), ("Annotations:",), ("Status:", "Active")])
    kubectl("create", "cronjob", "cron", "--image=busybox", "--schedule=*/1 * * * *", "--", "true")
    assert_lines(kubectl("describe", "cronjob", "cron"), [
        ("Name:", "cron"), namespace, ("Schedule:", "*/1 * * * *"), ("Concurrency Policy:", "Allow"),
        ("Suspend:", "False"),
        ("Successful Job History Limit:", "3"), ("Failed Job History Limit:", "1"),
        ("Starting Deadline Seconds:", "<unset>"), ("Image:", "busybox"), ("Last Schedule Time:",), ("Active Jobs:",),
        ("Events:",),
    ])  # fmt: skip


def test_diff_and_dry_run(kubectl: Namespace) -> None:
    kubectl("create", "deployment", "httpd", "--image=httpd:1")
    live = json.loads(kubectl("get", "deployment", "httpd", "-o", "json"))
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:1"
    differs = kubectl("diff", "-f", "-", text=json.dumps(live), check=False)
    assert "httpd:1" in differs
    assert "busybox:1" in differs
    kubectl("run", "pod", "--image=httpd:1", "--labels=run=pod")
    patch = '{"spec":{"containers":[{"name":"pod","image":"busybox:1"}]}}'
    assert kubectl("patch", "pod", "pod", "-p", patch, "--dry-run=server") == "pod/pod patched\n"
    assert kubectl("get", "pod", "pod", "-o", "jsonpath={.spec.containers[0].image}") == "httpd:1"


def test_expose(kubectl: Namespace) -> None:
    kubectl.primary()
    kubectl("expose", "rc", "agnhost-primary", "--name=rm2", "--port=1234", "--target-port=6379")
    kubectl("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        kubectl("wait", "--for=jsonpath={.subsets[0].ports[0].port}=6379", f"endpoints/{name}", "--timeout=30s")
        assert kubectl("get", "service", name, "-o", "jsonpath={.spec.ports[0].port}") == str(port)


def test_label_annotate_patch_replace(kubectl: Namespace) -> None:
    pod = kubectl.primary()
    assert kubectl("label", "pods", pod, "testing-label=testing-label-value") == f"pod/{pod} labeled\n"
    assert "testing-label-value" in kubectl("get", "pod", pod, "-L", "testing-label")
    assert kubectl("label", "pods", pod, "testing-label-") == f"pod/{pod} unlabeled\n"
    assert "testing-label-value" not in kubectl("get", "pod", pod, "-L", "testing-label")
    kubectl("patch", "pod", pod, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    assert kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.annotations.x}") == "y"
    live = json.loads(kubectl("get", "pod", pod, "-o", "json"))
    live["spec"]["containers"][0]["image"] = "busybox:2"
    assert kubectl("replace", "-f", "-", text=json.dumps(live)) == f"pod/{pod} replaced\n"
    assert kubectl("get", "pod", pod, "-o", "jsonpath={.spec.containers[0].image}") == "busybox:2"


def test_run_and_scale(kubectl: Namespace) -> None:
    assert (
        kubectl("run", "once", "--restart=Never", "--pod-running-timeout=2m0s", "--image=httpd") == "pod/once created\n"
    )
    assert kubectl("get", "pod", "once", "-o", "jsonpath={.spec.restartPolicy}") == "Never"
    kubectl.primary()
    kubectl("scale", "rc", "agnhost-primary", "--replicas=2", "--timeout=1m")
    kubectl("wait", "--for=jsonpath={.status.readyReplicas}=2", "rc/agnhost-primary", "--timeout=60s")
    kubectl("scale", "rc", "agnhost-primary", "--current-replicas=2", "--replicas=1")
    kubectl("wait", "--for=jsonpath={.status.replicas}=1", "rc/agnhost-primary", "--timeout=60s")
    refused = kubectl("scale", "rc", "agnhost-primary", "--current-replicas=7", "--replicas=1", check=False)
    assert "Expected replicas to be 7, was 1" in refused


def test_apply_to_what_exists(kubectl: Namespace) -> None:
    kubectl("create", "-f", "-", text=CONTROLLER)
    labelled = CONTROLLER.replace("role: primary}}\nspec", "role: primary, apply-test: ADDED}}\nspec", 1)
    kubectl("apply", "-f", "-", text=labelled)
    assert "ADDED" in kubectl("get", "rc", "agnhost-primary", "-o", "jsonpath={.metadata.labels}")
    open_service = SERVICE.replace("spec:\n", "spec:\n  type: NodePort\n")
    kubectl("create", "-f", "-", text=open_service)
    port = kubectl("get", "svc", "agnhost-primary", "-o", "jsonpath={.spec.ports[0].nodePort}")
    kubectl("apply", "-f", "-", text=open_service)
    assert kubectl("get", "svc", "agnhost-primary", "-o", "jsonpath={.spec.ports[0].nodePort}") == port


def test_quotas_and_more_creators(kubectl: Namespace) -> None:
    kubectl("create", "quota", "million", "--hard=pods=1000000,services=1000000")
    assert kubectl("get", "quota", "million", "-o", "jsonpath={.spec.hard}") == '{"pods":"1M","services":"1M"}'
    kubectl("create", "quota", "scopes", "--hard=pods=1000000", "--scopes=BestEffort,NotTerminating")
    wrong = kubectl("create", "quota", "scopes2", "--hard=hard=pods=1000000", "--scopes=Foo", check=False)
    assert "error" in wrong
    for command in (
        "secret generic s --from-literal=a=b", "configmap c --from-literal=a=b", "serviceaccount sa", "job j --image=x",
        "role r --verb=get --resource=pods", "rolebinding b --role=r --serviceaccount=default:sa",
        "poddisruptionbudget p --min-available=1 --selector=a=b", "ingress i --rule=foo.com/bar=svc:80",
        "service clusterip cl --tcp=80", "service nodeport np --tcp=80", "service externalname ex --external-name=x.y",
        "deployment d --image=x --replicas=0",
    ):  # fmt: skip
        kind = command.split()[0]
        assert kubectl("create", *command.split()).endswith(" created\n"), kind


@pytest.fixture
def proxied(server: TestServer, program: str, request: pytest.FixtureRequest) -> "Iterator[subprocess.Popen[str]]":
    environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}
    process = subprocess.Popen(
        [program, "proxy", *request.param], stdout=subprocess.PIPE, text=True, env=environment
    )  # fmt: skip
    yield process
    process.terminate()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize("proxied", [("--port=0", "--disable-filter=true")], indirect=True)
def test_proxy_on_a_port(proxied: "subprocess.Popen[str]") -> None:
    assert proxied.stdout is not None
    found = re.search(r"127\.0\.0\.1:(\d+)", proxied.stdout.readline())
    assert found
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
    connection.request("GET", "/api/")
    assert json.loads(connection.getresponse().read())["versions"] == ["v1"]
    connection.close()


PROXY_SOCKET = f"{tempfile.gettempdir()}/mkube-test-{os.getpid()}.sock"
"""Not in the test's own directory, whose path may be too long for a socket."""


@pytest.mark.parametrize("proxied", [(f"--unix-socket={PROXY_SOCKET}",)], indirect=True, ids=["socket"])
def test_proxy_on_a_unix_socket(proxied: "subprocess.Popen[str]") -> None:
    assert proxied.stdout is not None
    assert PROXY_SOCKET in proxied.stdout.readline()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(PROXY_SOCKET)
        Path(PROXY_SOCKET).unlink()
        connection.sendall(b"GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert b'"versions"' in answer


# --- definitions -----------------------------------------------------------------------------------------------------

FOO_SCHEMA = """
description: Foo CRD for Testing
type: object
properties:
  spec:
    type: object
    description: Specification of Foo
    properties:
      bars:
        description: List of Bars and their specs.
        type: array
        items:
          type: object
          required: [name]
          properties:
            name: {description: Name of Bar., type: string}
            age: {description: Age of Bar., type: string}
            feeling: {description: Whether Bar is feeling great., type: string, enum: [Great, Down]}
            bazs: {description: List of Bazs., items: {type: string}, type: array}
  status:
    description: Status of Foo
    type: object
    properties: {bars: {type: array, items: {type: object, properties: {bazs: {type: array, items: {type: string}}}}}}
"""
KEEPING_SCHEMA = """
description: preserve-unknown-properties in nested field for Testing
type: object
properties:
  spec: {description: Specification of Waldo, type: object, x-kubernetes-preserve-unknown-fields: true,
         properties: {dummy: {description: Dummy property., type: object}}}
  status: {description: Status of Waldo, type: object, x-kubernetes-embedded-resource: true,
           x-kubernetes-preserve-unknown-fields: true,
           properties: {bars: {description: List of Bars., type: array, items: {type: object}}}}
"""


@contextlib.contextmanager
def defined(kubectl: Namespace, word: str, schema: str) -> Iterator[None]:
    indented = "".join(f"\n            {line}" for line in schema.strip().splitlines())
    kubectl("create", "-f", "-", text=f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {word}s.{word}.example.com}}
spec:
  group: {word}.example.com
  scope: Namespaced
  names: {{plural: {word}s, singular: {word}, kind: {word.capitalize()}, listKind: {word.capitalize()}List}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {indented}
""")  # fmt: skip
    definition = f"crd/{word}s.{word}.example.com"
    kubectl("wait", "--for=condition=Established", definition, "--timeout=30s")
    yield
    kubectl("delete", definition, "--timeout=30s")


def custom(word: str, rest: str) -> str:
    return (
        f'{{"apiVersion":"{word}.example.com/v1","kind":"{word.capitalize()}","metadata":{{"name":"test-cr"}}{rest}}}'
    )


def test_definitions_with_a_schema(kubectl: Namespace) -> None:
    with defined(kubectl, "foo", FOO_SCHEMA):
        judge_foos(kubectl)


def judge_foos(kubectl: Namespace) -> None:
    good = custom("foo", ',"spec":{"bars":[{"name":"test-bar","feeling":"Great"}]}')
    kubectl("create", "-f", "-", text=good)
    kubectl("delete", "foos", "test-cr")
    kubectl("apply", "-f", "-", text=good)
    kubectl("delete", "foos", "test-cr")
    for verb in ("create", "apply"):
        unknown = kubectl(verb, "-f", "-", text=custom("foo", ',"spec":{"foo":true}'), check=False)
        assert 'unknown field "spec.foo"' in unknown
        value = kubectl(
            verb,
            "-f",
            "-",
            text=custom("foo", ',"spec":{"bars":[{"name":"b","feeling":"NonExistentValue"}]}'),
            check=False,
        )
        assert 'Unsupported value: "NonExistentValue"' in value
        missing = kubectl(verb, "-f", "-", text=custom("foo", ',"spec":{"bars":[{"age":"10"}]}'), check=False)
        assert "spec.bars[0].name: Required value" in missing
    explained = {
        "foos": r"DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines.*spec.*<Object>"
        r".*Specification of Foo",
        "foos.metadata": r"DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>"
        r".*CreationTimestamp is a timestamp",
        "foos.spec": r"DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*List of Bars and their specs",
        "foos.spec.bars": r"(FIELD|RESOURCE):.*bars.*<\[\]Object>.*DESCRIPTION:.*List of Bars and their specs"
        r".*FIELDS:.*bazs.*<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar",
    }
    for path, pattern in explained.items():
        matches(kubectl("explain", path), pattern)
    assert "does not exist" in kubectl("explain", "foos.spec.bars2", check=False)


def matches(text: str, pattern: str) -> None:
    assert re.search(pattern, text, re.S), text


def test_definitions_that_keep_everything(kubectl: Namespace) -> None:
    with defined(kubectl, "empty", "type: object\nx-kubernetes-preserve-unknown-fields: true"):
        anything = custom("empty", ',"a":{"b":[{"c":"d"}]}')
        for verb in ("create", "apply"):
            kubectl(verb, "-f", "-", text=anything)
            kubectl("delete", "emptys", "test-cr")
        matches(kubectl("explain", "emptys"), r"KIND:.*Empty.*VERSION:.*v1.*DESCRIPTION:.*<empty>")
    with defined(kubectl, "waldo", KEEPING_SCHEMA):
        inside = custom("waldo", ',"spec":{"b":[{"c":"d"}]}')
        for verb in ("create", "apply"):
            kubectl(verb, "-f", "-", text=inside)
            kubectl("delete", "waldos", "test-cr")
        matches(kubectl("explain", "waldos"), r"DESCRIPTION:.*preserve-unknown-properties in nested field for Testing")
        outside = kubectl("create", "-f", "-", text=custom("waldo", ',"other":1'), check=False)
        assert 'unknown field "other"' in outside


def test_warnings(kubectl: Namespace) -> None:
    """A rollout with something odd in it works, and says what is odd; an update that leaves it as it is does not."""
    odd = ["--overrides", '{"spec":{"nodeSelector":{"beta.kubernetes.io/os":"linux"}}}']
    warning = (
        'Warning: spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'
    )
    assert warning in kubectl.errors("run", "odd", "--image=x", *odd)
    assert kubectl.errors("label", "pod", "odd", "a=b") == ""
    kubectl("create", "deployment", "web", "--image=x", "--replicas=0")
    patch = '{"spec":{"template":{"spec":{"nodeSelector":{"beta.kubernetes.io/os":"linux"}}}}}'
    assert "Warning: spec.template.spec.nodeSelector" in kubectl.errors("patch", "deploy", "web", "-p", patch)
    assert kubectl.errors("label", "deploy", "web", "a=b") == ""
    assert "Warning: spec.template.spec.nodeSelector" in kubectl.errors("annotate", "deploy", "web", "a=b")
