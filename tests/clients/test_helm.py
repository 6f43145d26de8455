"""Helm as it comes: a chart with a custom kind, hooks and a test is installed, upgraded, rolled back and removed."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.go_programs import build_program
from tests.support.server_process import TestServer, running_server

pytestmark = pytest.mark.client
CHART = Path(__file__).parent / "manifests" / "chart"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    with running_server(tmp_path_factory.mktemp("helm"), "--container-runtime", "fake") as started:
        yield started


class Helm:
    def __init__(self, server: TestServer, home: Path) -> None:
        self._program = build_program("helm.sh/helm/v3/cmd/helm", "helm")
        self._environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(home)}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self._program), *arguments]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=180, check=False
        )  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout


@pytest.fixture
def helm(server: TestServer, tmp_path: Path) -> Helm:
    return Helm(server, tmp_path)


def test_a_release_from_install_to_uninstall(server: TestServer, helm: Helm) -> None:
    chart = str(CHART)
    in_shop = ("--namespace", "shop")
    made = helm("install", "web", chart, *in_shop, "--create-namespace", "--wait", "--wait-for-jobs", "--timeout=90s")
    assert "STATUS: deployed" in made
    assert "web serves hello on v1.37." in made
    get = ("-n", "shop", "get")
    assert server.kubectl(*get, "deploy", "web", "-o", "jsonpath={.status.readyReplicas}") == "2"
    assert server.kubectl(*get, "basket", "web", "-o", "jsonpath={.spec.size}") == "10"
    data = json.loads(server.kubectl(*get, "cm", "web", "-o", "jsonpath={.data}"))
    assert data == {"message": "hello", "deployments": "served", "cluster": "kube-system"}
    assert server.kubectl(*get, "job", "web-migrate", "-o", "jsonpath={.status.succeeded}") == "1"

    assert "Phase:          Succeeded" in helm("test", "web", *in_shop, "--logs")
    assert "it answers" in helm("test", "web", *in_shop, "--logs")

    helm("upgrade", "web", chart, *in_shop, "--wait", "--set", "replicas=3,message=changed", "--timeout=90s")
    assert server.kubectl(*get, "deploy", "web", "-o", "jsonpath={.status.readyReplicas}") == "3"
    assert server.kubectl(*get, "cm", "web", "-o", "jsonpath={.data.message}") == "changed"

    failed = helm.run("upgrade", "web", chart, *in_shop, "--set", "failHook=true", "--timeout=60s")
    assert failed.returncode == 1
    assert "pre-upgrade hooks failed: 1 error occurred:" in failed.stderr
    assert "* job web-migrate failed: BackoffLimitExceeded" in failed.stderr

    helm("rollback", "web", "1", *in_shop, "--wait", "--timeout=90s")
    assert server.kubectl(*get, "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    history = json.loads(helm("history", "web", *in_shop, "-o", "json"))
    assert [entry["status"] for entry in history] == ["superseded", "superseded", "failed", "deployed"]
    assert json.loads(helm("list", *in_shop, "-o", "json"))[0]["status"] == "deployed"

    assert 'release "web" uninstalled' in helm("uninstall", "web", *in_shop, "--wait", "--timeout=90s")
    assert server.kubectl(*get, "cm", "web-bye", "-o", "jsonpath={.data.was}") == "0.1.0"
    left = server.kubectl(*get, "deploy,sts,svc,pdb,role,basket,secret,sa", "-o", "name").split()
    assert left == ["serviceaccount/default"]


def test_wrong_manifests_are_refused_before_anything_is_made(server: TestServer, helm: Helm) -> None:
    refused = helm.run("install", "bad", str(CHART), "--set", "replicas=two", "--wait", "--timeout=30s")
    assert refused.returncode == 1
    assert "unable to build kubernetes objects from release manifest" in refused.stderr or (
        "cannot be handled as a Deployment" in refused.stderr
    ), refused.stderr
    assert server.kubectl("get", "deploy", "bad", check=False).startswith("Error from server (NotFound)")


def test_dry_run_against_the_server(helm: Helm) -> None:
    shown = helm("install", "dry", str(CHART), "--dry-run=server", "--skip-crds")
    assert 'cluster: "kube-system"' in shown
    assert json.loads(helm("list", "-o", "json", "--filter", "dry")) == []
