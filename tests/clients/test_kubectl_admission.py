"""Stock kubectl with admission policies and webhooks: the examples, and the texts that a user reads."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cluster import HttpsCluster, https_cluster
from tests.support.kubectl import Kubectl
from tests.support.webhook_server import deny, webhook_server

pytestmark = pytest.mark.client

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "admission"
WEBHOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: hook}}
webhooks:
- name: no.example.com
  clientConfig: {{url: "https://localhost:{port}/no", caBundle: {bundle}}}
  rules: [{{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}}]
  sideEffects: None
  admissionReviewVersions: [v1]
"""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[HttpsCluster]:
    async with https_cluster(tmp_path) as running:
        yield running


@pytest.fixture
def kubectl(cluster: HttpsCluster) -> Kubectl:
    return Kubectl(cluster.kubeconfig)


async def test_a_policy_with_parameters(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", str(EXAMPLES / "registry-policy.yaml"))
    header, row = (await kubectl("get", "validatingadmissionpolicies")).splitlines()
    assert header.split() == ["NAME", "VALIDATIONS", "PARAMKIND", "AGE"]
    assert row.split()[:3] == ["registries", "1", "v1/ConfigMap"]
    await kubectl("run", "before", "--image=nginx")
    await kubectl("label", "namespace", "default", "registries=restricted")
    await kubectl("run", "own", "--image=registry.example.com/a:v1")
    assert await kubectl.fails("run", "foreign", "--image=nginx") == (
        "Error from server (Forbidden): pods \"foreign\" is forbidden: ValidatingAdmissionPolicy 'registries' with "
        "binding 'registries' denied request: images of other registries: nginx\n"
    )
    await kubectl("patch", "configmap", "allowed-registries", "-p", '{"data": {"list": "docker.io"}}')
    await kubectl("run", "foreign", "--image=nginx")


async def test_a_policy_that_changes_pods(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", str(EXAMPLES / "sidecar-policy.yaml"))
    await kubectl("run", "plain", "--image=nginx")
    await kubectl("run", "wants", "--image=nginx", "--labels=sidecar=wanted")
    names = "jsonpath={.items[*].spec.initContainers[*].env[*].value}"
    assert await kubectl("get", "pods", "-o", names) == "wants"


async def test_what_does_not_compile_is_refused_with_the_place(kubectl: Kubectl) -> None:
    text = (EXAMPLES / "registry-policy.yaml").read_text()
    error = await kubectl.fails(
        "apply", "-f", "-", stdin=text.replace("variables.foreign.size() ==", "foreign.size() ==")
    )
    assert (
        'The ValidatingAdmissionPolicy "registries" is invalid: spec.validations[0].expression: Invalid value: '
        "\"foreign.size() == 0\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'foreign' "
        "(in container '')\n | foreign.size() == 0\n | ^\n"
    ) in error


async def test_a_webhook(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "hook").mkdir()
    async with webhook_server(tmp_path / "hook") as hooks:
        hooks.handlers["/no"] = lambda request: deny("not today")
        await kubectl("apply", "-f", "-", stdin=WEBHOOK.format(port=hooks.port, bundle=hooks.bundle))
        denied = 'admission webhook "no.example.com" denied the request: not today\n'
        assert await kubectl.fails("create", "configmap", "m") == f"error: failed to create configmap: {denied}"
        hooks.code = 500
        assert "Internal error occurred: failed calling webhook" in await kubectl.fails("create", "configmap", "m")
        await kubectl("delete", "validatingwebhookconfigurations", "hook")
        await kubectl("create", "configmap", "m")
