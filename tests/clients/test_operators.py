"""Operators as people write them, unchanged and with default settings: controller-runtime, kopf, kr8s, lightkube."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.go_programs import build_program
from tests.support.server_process import TestServer, running_server

pytestmark = pytest.mark.client
HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
SITE = """
apiVersion: web.example.com/v1
kind: Site
metadata: {{name: {name}, namespace: default}}
spec: {{image: nginx, replicas: 2}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    with running_server(tmp_path_factory.mktemp("operators"), "--container-runtime", "fake") as started:
        started.kubectl("apply", "-f", str(HERE / "manifests" / "sites.yaml"))
        started.kubectl("wait", "--for=condition=Established", "crd/sites.web.example.com", "--timeout=30s")
        yield started


@contextlib.contextmanager
def running(server: TestServer, command: Sequence[str | Path], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that gets the server by KUBECONFIG. What it says is in `log`."""
    environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen([str(part) for part in command], env=environment, stdout=output, stderr=output)
        try:
            yield process
            assert process.poll() is None, "the program ended by itself"
        except BaseException:
            print(log.read_text()[-6000:])
            raise
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)


def watch_a_site_live(server: TestServer, name: str) -> None:
    """A site becomes ready, follows changes, and goes through its finalizer."""
    server.kubectl("apply", "-f", "-", text=SITE.format(name=name))
    server.kubectl("wait", "--for=condition=Ready", f"site/{name}", "--timeout=60s")
    assert server.kubectl("get", "deploy", name, "-o", "jsonpath={.status.readyReplicas}") == "2"
    row = server.kubectl("get", "sites", name, "--no-headers").split()
    assert row[1:3] == ["nginx", "2"]
    server.kubectl("scale", f"site/{name}", "--replicas=3")
    server.kubectl("wait", "--for=jsonpath={.status.ready}=3", f"site/{name}", "--timeout=60s")
    server.kubectl("delete", "deploy", name)
    server.kubectl("wait", "--for=create", f"deploy/{name}", "--timeout=60s")
    server.kubectl("wait", "--for=condition=Available", f"deploy/{name}", "--timeout=60s")
    server.kubectl("delete", "site", name, "--timeout=60s")
    assert server.kubectl("get", "cm", f"{name}-farewell", "-o", "jsonpath={.data.was}") == "nginx"
    server.kubectl("wait", "--for=delete", f"deploy/{name}", "--timeout=60s")


def test_controller_runtime(server: TestServer, tmp_path: Path) -> None:
    operator = build_program("./operator", "operator")
    with contextlib.ExitStack() as first:
        first.enter_context(running(server, [operator], tmp_path / "first.log"))
        server.kubectl("wait", "--for=create", "lease/site-operator", "--timeout=60s")
        watch_a_site_live(server, "go")
        reasons = server.kubectl("get", "events.v1.events.k8s.io", "-o", "jsonpath={.items[*].reason}").split()
        assert {"Adopted", "LeaderElection"} <= set(reasons)
        with running(server, [operator], tmp_path / "second.log"):
            first.close()
            watch_a_site_live(server, "go-again")


def test_kopf(server: TestServer, tmp_path: Path) -> None:
    program = PROGRAMS / "kopf_operator.py"
    with running(server, [sys.executable, "-m", "kopf", "run", "--namespace=default", program], tmp_path / "log"):
        watch_a_site_live(server, "kopf")
        assert "Adopted" in server.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").split()


@pytest.mark.parametrize("library", ["kr8s", "lightkube"])
def test_python_libraries(library: str, server: TestServer, tmp_path: Path) -> None:
    with running(server, [sys.executable, PROGRAMS / f"{library}_operator.py"], tmp_path / "log"):
        watch_a_site_live(server, library)
