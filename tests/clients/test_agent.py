"""A second node in a process of its own: joined by token, running pods, reached through its own connection."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minikube_py.bootstrap.host_claims import DIRECTORY as HOST_CLAIMS
from tests.support.docker_server import docker_server
from tests.support.prometheus import parse
from tests.support.server_process import MKUBE, ROOT, MkubeProcess, ProcessFailed, TestServer
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.client]


@contextmanager
def joined_agent(server: TestServer, data_dir: Path, name: str) -> Iterator[MkubeProcess]:
    command = shlex.split(server.run("token", "create"))
    assert command[:2] == ["mkube", "agent"]
    agent = MkubeProcess((*command[1:], "--data-dir", str(data_dir), "--node-name", name), "has joined")
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()
        subprocess.run([*MKUBE, "delete", "--yes", "--data-dir", str(data_dir)], cwd=ROOT, check=True)


def run_pod(server: TestServer, name: str, node: str, script: str) -> None:
    override = json.dumps({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 1}})
    server.kubectl(
        "run", name, "--image=busybox:stable", f"--overrides={override}", "--command", "--", "sh", "-c", script
    )
    server.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def test_an_agent_joins_runs_pods_and_outlives_the_server(tmp_path: Path) -> None:
    with docker_server(tmp_path / "server") as server, joined_agent(server, tmp_path / "agent", "worker"):
        server.kubectl("wait", "--for=condition=Ready", "node/worker", "--timeout=30s")
        run_pod(server, "there", "worker", "echo hello from worker; exec httpd -f -p 8080 -h /etc")
        assert server.kubectl("logs", "there") == "hello from worker\n"
        assert server.kubectl("exec", "there", "--", "hostname") == "there\n"
        address = json.loads(server.kubectl("get", "pod", "there", "-o", "json"))["status"]["podIP"]

        first = json.loads(server.kubectl("get", "nodes", "-o", "json"))["items"]
        other = next(n["metadata"]["name"] for n in first if n["metadata"]["name"] != "worker")
        run_pod(server, "here", other, "exec sleep 1000")
        page = server.kubectl("exec", "here", "--", "wget", "-q", "-O", "-", f"http://{address}:8080/passwd")
        assert "root" in page
        assert "worker" in server.kubectl("top", "node")
        assert {line.split()[0] for line in server.kubectl("top", "pod").splitlines()[1:]} == {"there", "here"}
        found = parse(server.kubectl("get", "--raw", "/api/v1/nodes/worker/proxy/metrics/cadvisor"))
        assert found.value("container_network_receive_bytes_total", pod="there") > 0

        server.mkube.kill()
        server.start()
        wait_for(lambda: "hello" in server.kubectl("logs", "there", check=False), "the agent has dialled in again")
        status = json.loads(server.kubectl("get", "pod", "there", "-o", "json"))["status"]
        assert status["containerStatuses"][0]["restartCount"] == 0
        assert status["podIP"] == address


def test_a_bad_token_says_what_is_wrong(tmp_path: Path) -> None:
    with docker_server(tmp_path / "server") as server:
        whole = server.run("token", "create", "--quiet").strip()
        wrong_cluster = "K10" + "0" * 64 + whole[67:]
        unknown = whole[:-4] + "zzzz"
        for token, text in (
            (whole[:40], "CA hash"),
            (wrong_cluster, "cluster"),
            (unknown, "does not know this join token"),
        ):
            agent = MkubeProcess(
                ("agent", "--server", server.url, "--token", token, "--data-dir", str(tmp_path / "agent")), "has joined"
            )
            with pytest.raises(ProcessFailed, match=text):
                agent.start()
        noted = [file.read_text() for file in HOST_CLAIMS.glob("*.json")]
        assert [text for text in noted if str(tmp_path / "agent") in text] == []  # it made nothing on this machine
