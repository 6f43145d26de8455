"""Stock kubectl and custom resources: define, wait, create, print, explain, scale, refuse, delete."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cluster import HttpsCluster, https_cluster
from tests.support.kubectl import Kubectl

pytestmark = pytest.mark.client

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cron}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What is wanted.
            required: [cron]
            x-kubernetes-validations:
            - rule: "!has(self.replicas) || self.replicas < 10"
              message: too many replicas
            properties:
              cron: {type: string, pattern: '^[0-9* ]+$', description: When it runs.}
              replicas: {type: integer, default: 1}
          status:
            type: object
            properties: {replicas: {type: integer}}
"""
TAB = """
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: mine}
spec: {cron: "5 0 * * *"}
"""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[HttpsCluster]:
    async with https_cluster(tmp_path) as running:
        yield running


async def test_custom_resources_from_definition_to_deletion(cluster: HttpsCluster) -> None:
    kubectl = Kubectl(cluster.kubeconfig)
    name = "crd/crontabs.stable.example.com"
    assert "created" in await kubectl("apply", "-f", "-", stdin=DEFINITION)
    assert "condition met" in await kubectl("wait", "--for=condition=Established", name, "--timeout=10s")
    assert "crontab.stable.example.com/mine created" in await kubectl("apply", "-f", "-", stdin=TAB)
    assert "unchanged" in await kubectl("apply", "-f", "-", stdin=TAB)
    assert (await kubectl("get", "ct")).split()[:5] == ["NAME", "SPEC", "AGE", "mine", "5"]
    assert "crontabs" in await kubectl("api-resources", "--api-group=stable.example.com")
    explained = await kubectl("explain", "ct.spec.cron")
    assert "When it runs." in explained
    assert "metadata\t<ObjectMeta>" in await kubectl("explain", "ct")

    await kubectl("scale", "ct/mine", "--replicas=3")
    assert await kubectl("get", "ct", "mine", "-o", "jsonpath={.spec.replicas}") == "3"
    await kubectl("patch", "ct", "mine", "--type=merge", "--subresource=status", "-p", '{"status":{"replicas":2}}')
    assert await kubectl("get", "ct", "mine", "-o", "jsonpath={.status.replicas}") == "2"

    wrong = await kubectl.fails("apply", "-f", "-", stdin=TAB.replace("5 0", "at 5"))
    assert "spec.cron in body should match '^[0-9* ]+$'" in wrong
    wrong = await kubectl.fails("patch", "ct", "mine", "--type=merge", "-p", '{"spec":{"replicas":11}}')
    assert "spec: Invalid value: too many replicas" in wrong
    wrong = await kubectl.fails("apply", "-f", "-", stdin=TAB.replace("cron:", "typo: 1, cron:"))
    assert 'unknown field "spec.typo"' in wrong
    server_side = await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=TAB)
    assert "serverside-applied" in server_side
    assert "deleted" in await kubectl("delete", name, "--timeout=10s")
    assert "could not find the requested resource" in await kubectl.fails("get", "ct")
