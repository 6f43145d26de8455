"""The Docker engine goes away and comes back: pods come back with it, whether their processes ended or not."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support.docker_server import RANGES, remove_leftovers
from tests.support.images import TEST_IMAGE, ensure_test_image
from tests.support.server_process import TestServer, running_server
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.client]

WEB = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: {TEST_IMAGE}
        command: [sh, -c, "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www"]
        readinessProbe: {{httpGet: {{port: 80}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
"""


class Engine:
    """A Docker engine of the test's own, which shares nothing with the machine's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.url = f"unix://{directory}/docker.sock"

    def start(self) -> None:
        command = ["dockerd", "--host", self.url, "--bridge", "none", "--iptables=false", "--ip-masq=false"]
        for flag, name in (("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")):
            command += [flag, str(self._directory / name)]
        # Where nothing reaps orphans, a killed containerd looks alive to the next engine.
        (self._directory / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        log = (self._directory / "log").open("ab")
        self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        log.close()
        wait_for(self._answers, "the engine answers", 60)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._directory / "log").read_text()[-2000:]
        done = subprocess.run(["docker", "-H", self.url, "version"], capture_output=True, check=False)
        return done.returncode == 0

    def stop(self) -> None:
        """As `systemctl stop docker`: containers are stopped too."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def kill(self) -> None:
        """A crash of the engine and of the containerd that it runs."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(60)


@pytest.fixture
def engine() -> Iterator[Engine]:
    # Sockets have short paths, and overlay file systems want a real disk.
    with tempfile.TemporaryDirectory(prefix="mkube-engine-", dir="/var/tmp", ignore_cleanup_errors=True) as directory:
        made = Engine(Path(directory))
        made.start()
        client = docker.APIClient(base_url=made.url, version="auto")
        ensure_test_image(client)
        client.close()
        try:
            yield made
        finally:
            made.stop()
            subprocess.run(["umount", "-l", f"{directory}/data"], capture_output=True, check=False)


@pytest.fixture
def server(engine: Engine, tmp_path: Path) -> Iterator[TestServer]:
    remove_leftovers()
    with running_server(tmp_path / "data", *RANGES, "--docker-host", engine.url) as started:
        yield started


def ready_pods(server: TestServer) -> list[tuple[str, str]]:
    """(name, address) of the pods that are Ready."""
    pods = json.loads(server.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return sorted((p["metadata"]["name"], p["status"]["podIP"]) for p in pods if is_ready(p))


def is_ready(pod: dict[str, Any]) -> bool:
    return any((c["type"], c["status"]) == ("Ready", "True") for c in pod["status"].get("conditions", ()))


def answer(server: TestServer) -> str:
    address = server.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    done = subprocess.run(["curl", "-s", "-m", "3", f"http://{address}/"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_pods_come_back_with_the_engine(server: TestServer, engine: Engine, how: str) -> None:
    server.kubectl("apply", "-f", "-", text=WEB)
    before = wait_for(lambda: (found := ready_pods(server)) and len(found) == 2 and found, "the pods are ready", 60)
    getattr(engine, how)()
    wait_for(lambda: not answer(server) or how == "kill", "the engine's end has stopped the pods")
    assert len(json.loads(server.kubectl("get", "pods", "-o", "json"))["items"]) == 2
    engine.start()
    wait_for(lambda: len(ready_pods(server)) == 2 and answer(server), "the pods are ready again", 90)
    after = ready_pods(server)
    assert [name for name, _ in after] == [name for name, _ in before], "a pod was replaced"
    assert wait_for(lambda: answer(server), "the Service leads to a pod") in [name for name, _ in after]
