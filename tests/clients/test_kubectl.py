"""Stock kubectl against the API server alone: what it prints, also on wrong input, is what Kubernetes prints."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cluster import HttpsCluster, https_cluster
from tests.support.echo_node import EchoNode
from tests.support.kubectl import Kubectl

pytestmark = pytest.mark.client

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: nginx}]}
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\n"


@pytest.fixture(scope="module")
def pki_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kubectl")


@pytest.fixture
async def cluster(pki_directory: Path) -> AsyncIterator[HttpsCluster]:
    async with https_cluster(pki_directory, EchoNode()) as running:
        yield running


@pytest.fixture
def kubectl(cluster: HttpsCluster) -> Kubectl:
    return Kubectl(cluster.kubeconfig)


async def test_version_and_resources(kubectl: Kubectl) -> None:
    version = json.loads(await kubectl("version", "-o", "json"))["serverVersion"]
    assert version["gitVersion"].startswith("v1.37.")
    names = await kubectl("api-resources", "-o", "name")
    assert {"pods", "deployments.apps", "roles.rbac.authorization.k8s.io"} <= set(names.split())
    again = await kubectl("api-resources", "-o", "name")
    assert again == names
    assert "apps/v1\n" in await kubectl("api-versions")


async def test_apply_get_diff_delete(kubectl: Kubectl) -> None:
    assert await kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web created\n"
    assert await kubectl("apply", "-f", "-", stdin=WEB) == "deployment.apps/web unchanged\n"
    more = WEB.replace("replicas: 2", "replicas: 3")
    diff = await kubectl.run("diff", "-f", "-", stdin=more)
    assert diff.code == 1
    assert "-  replicas: 2\n+  replicas: 3\n" in diff.out
    assert await kubectl("apply", "-f", "-", stdin=more) == "deployment.apps/web configured\n"
    header, row = (await kubectl("get", "deploy", "-o", "wide")).splitlines()
    assert header.split() == "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR".split()
    assert row.split()[:2] == ["web", "0/3"]
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "3"
    assert "replicas: 3" in await kubectl("get", "deploy", "web", "-o", "yaml")
    assert await kubectl("get", "deploy", "-l", "app=other", "-o", "name") == ""
    assert await kubectl("delete", "deploy", "web") == 'deployment.apps "web" deleted\n'
    missing = 'Error from server (NotFound): deployments.apps "web" not found\n'
    assert await kubectl.fails("get", "deploy", "web") == missing


async def test_server_side_apply_conflicts(kubectl: Kubectl) -> None:
    out = await kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=CONFIG)
    assert out == "configmap/a serverside-applied\n"
    other = CONFIG.replace("'1'", "'2'")
    err = await kubectl.fails("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=other)
    assert 'Apply failed with 1 conflict: conflict with "one": .data.x' in err
    await kubectl("apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", "-", stdin=other)
    assert await kubectl("get", "cm", "a", "-o", "jsonpath={.data.x}") == "2"


async def test_imperative_commands(kubectl: Kubectl) -> None:
    assert await kubectl("create", "configmap", "a", "--from-literal=x=1") == "configmap/a created\n"
    assert await kubectl("create", "deployment", "web", "--image=nginx") == "deployment.apps/web created\n"
    assert await kubectl("scale", "deploy/web", "--replicas=4") == "deployment.apps/web scaled\n"
    assert await kubectl("expose", "deploy/web", "--port=80") == "service/web exposed\n"
    assert await kubectl("label", "cm", "a", "tier=low") == "configmap/a labeled\n"
    assert await kubectl("annotate", "cm", "a", "note=hi") == "configmap/a annotated\n"
    assert await kubectl("set", "image", "deploy/web", "nginx=nginx:2") == "deployment.apps/web image updated\n"
    assert await kubectl("patch", "cm", "a", "-p", '{"data":{"other":"2"}}') == "configmap/a patched\n"
    assert "nginx:2" in await kubectl("describe", "deploy", "web")
    edited = await kubectl("edit", "cm", "a", EDITOR="sed -i s/other:/new:/")
    assert edited == "configmap/a edited\n"
    assert json.loads(await kubectl("get", "cm", "a", "-o", "json"))["data"] == {"x": "1", "new": "2"}
    replaced = await kubectl("replace", "-f", "-", stdin=CONFIG)
    assert replaced == "configmap/a replaced\n"
    assert await kubectl("get", "cm", "a", "-o", "jsonpath={.data}") == '{"x":"1"}'


async def test_dry_run_shows_defaults_and_stores_nothing(kubectl: Kubectl) -> None:
    out = await kubectl("apply", "--dry-run=server", "-o", "yaml", "-f", "-", stdin=WEB)
    assert "progressDeadlineSeconds: 600" in out
    assert await kubectl("get", "deploy", "-o", "name") == ""


async def test_explain(kubectl: Kubectl) -> None:
    out = await kubectl("explain", "pod.spec.containers.ports.containerPort")
    assert "FIELD: containerPort <integer>" in out
    assert "Number of port to expose on the pod's IP address" in out
    assert "<[]Container> -required-" in await kubectl("explain", "deploy.spec.template.spec", "--recursive")


async def test_wrong_fields_and_values(kubectl: Kubectl) -> None:
    unknown = WEB.replace("replicas: 2", "replica: 2")
    err = await kubectl.fails("create", "-f", "-", stdin=unknown)
    assert err == (
        'Error from server (BadRequest): error when creating "STDIN": Deployment in version "v1" cannot be handled as '
        'a Deployment: strict decoding error: unknown field "spec.replica"\n'
    )
    wrong = WEB.replace("replicas: 2", "replicas: two")
    err = await kubectl.fails("create", "-f", "-", stdin=wrong)
    assert err == (
        'Error from server (BadRequest): error when creating "STDIN": Deployment in version "v1" cannot be handled as '
        "a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32\n"
    )
    warned = await kubectl.run("create", "--validate=warn", "-f", "-", stdin=unknown)
    assert warned.err == 'Warning: unknown field "spec.replica"\n'
    assert warned.out == "deployment.apps/web created\n"


async def test_objects_without_effect_say_so(kubectl: Kubectl) -> None:
    made = await kubectl.run("create", "ingress", "web", "--rule=example.org/=web:80")
    assert made.err == "Warning: mkube stores this Ingress, but no controller serves it, unless you run one\n"
    assert made.out == "ingress.networking.k8s.io/web created\n"
    await kubectl.run("label", "ingress", "web", "a=b")
    assert (await kubectl.run("delete", "ingress", "web")).err == ""


async def test_invalid_objects(kubectl: Kubectl) -> None:
    err = await kubectl.fails(
        "create", "-f", "-", stdin=WEB.replace("{app: web}}\n    spec", "{app: other}}\n    spec")
    )
    assert err == (
        'The Deployment "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"other"}: '
        "`selector` does not match template `labels`\n"
    )
    err = await kubectl.fails("create", "-f", "-", stdin=CONFIG.replace("name: a", "name: A_b"))
    assert err.startswith('The ConfigMap "A_b" is invalid: metadata.name: Invalid value: "A_b": a lowercase RFC 1123')
    err = await kubectl.fails("create", "-n", "nowhere", "-f", "-", stdin=CONFIG)
    assert err == 'Error from server (NotFound): error when creating "STDIN": namespaces "nowhere" not found\n'
    await kubectl("create", "-f", "-", stdin=CONFIG)
    err = await kubectl.fails("create", "-f", "-", stdin=CONFIG)
    assert err == 'Error from server (AlreadyExists): error when creating "STDIN": configmaps "a" already exists\n'
    err = await kubectl.fails("get", "pods", "--field-selector=spec.colour=red")
    assert err.endswith("field label not supported: spec.colour\n")


async def test_who_may_do_what(kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "delete", "nodes") == "yes\n"
    err = await kubectl.fails("get", "secrets", "--as=jane")
    assert err == (
        'Error from server (Forbidden): secrets is forbidden: User "jane" cannot list resource "secrets" in API group '
        '"" in the namespace "default"\n'
    )
    denied = await kubectl.run("auth", "can-i", "list", "secrets", "--as=jane")
    assert (denied.code, denied.out) == (1, "no\n")
    token = (await kubectl("create", "token", "default")).strip()
    assert token.count(".") == 2
    assert "system:admin" in await kubectl("auth", "whoami")


async def test_watch_prints_changes(kubectl: Kubectl, cluster: HttpsCluster) -> None:
    process = await asyncio.create_subprocess_exec(
        "kubectl", "get", "ns", "-w", "-o", "name", env=kubectl.environment({}), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    seen = {(await process.stdout.readline()).decode().strip() for _ in range(4)}
    assert "namespace/default" in seen
    await kubectl("create", "ns", "late")
    assert (await process.stdout.readline()).decode() == "namespace/late\n"
    process.terminate()
    await process.wait()


async def test_wait_and_chunks(kubectl: Kubectl) -> None:
    for name in ("a", "b", "c"):
        await kubectl("create", "configmap", name)
    listed = await kubectl("get", "cm", "--chunk-size=1", "-o", "name")
    assert listed.split() == ["configmap/a", "configmap/b", "configmap/c"]
    await kubectl("wait", "--for=jsonpath={.metadata.name}=a", "cm/a", "--timeout=10s")
    await kubectl("delete", "cm", "--all")
    assert await kubectl("get", "cm", "-o", "name") == ""


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def pod(cluster: HttpsCluster, kubectl: Kubectl) -> str:
    await kubectl("run", "p", "--image=i")
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"},
    }
    path = "/api/v1/namespaces/default/pods/p/binding"
    await kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
    await kubectl("patch", "pod", "p", "--subresource=status", "-p", '{"status":{"phase":"Running"}}')
    return "p"


WEBSOCKET_AND_SPDY = pytest.mark.parametrize("websockets", ["true", "false"])


async def test_logs(kubectl: Kubectl, pod: str) -> None:
    assert await kubectl("logs", pod) == "one\ntwo\n"
    err = await kubectl.fails("logs", pod, "-c", "none")
    assert "container none is not valid for pod p" in err


@WEBSOCKET_AND_SPDY
async def test_exec(kubectl: Kubectl, pod: str, websockets: str) -> None:
    choice = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
    assert await kubectl("exec", pod, "--", "echo", "hello", **choice) == "hello\n"
    assert await kubectl("exec", "-i", pod, "--", "cat", stdin="over\n", **choice) == "over\n"
    failed = await kubectl.run("exec", pod, "--", "exit", "3", **choice)
    assert failed.code == 3
    assert failed.err == "leaving\ncommand terminated with exit code 3\n"


@WEBSOCKET_AND_SPDY
async def test_attach(kubectl: Kubectl, pod: str, websockets: str) -> None:
    choice = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
    assert await kubectl("attach", "-i", pod, stdin="typed\n", **choice) == "typed\n"


@WEBSOCKET_AND_SPDY
async def test_port_forward(kubectl: Kubectl, pod: str, websockets: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "kubectl", "port-forward", pod, ":80",
        env=kubectl.environment({"KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets}),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    port = int(line.split(":")[1].split(" ")[0])
    for text in (b"first", b"second"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text)
        assert await reader.read(100) == text.upper()
        writer.close()
        await writer.wait_closed()
    process.terminate()
    await process.wait()
