"""A server's life as its user sees it: a crash in the middle of work, stop, down, delete, and nothing left behind."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.docker_server import docker_server
from tests.support.server_process import ROOT, ProcessFailed, TestServer, running_server
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.client]

GUESTBOOK = str(ROOT / "examples" / "guestbook")


def containers(label: str) -> dict[str, str]:
    """Name to id of the running containers with a label."""
    command = ["docker", "ps", "--no-trunc", "--filter", f"label={label}", "--format", "{{.Names}} {{.ID}}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in output.splitlines())


def cluster_label(server: TestServer) -> str:
    identity = json.loads((server.data_dir / "cluster.json").read_text())
    return f"io.mkube.cluster={identity['clusterUID']}"


def pod_facts(server: TestServer) -> list[tuple[str, str, int]]:
    """(name, address, restarts) of every pod."""
    pods = json.loads(server.kubectl("get", "pods", "-o", "json"))["items"]
    return sorted(
        (p["metadata"]["name"], p["status"]["podIP"], sum(c["restartCount"] for c in p["status"]["containerStatuses"]))
        for p in pods
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestServer]:
    with docker_server(tmp_path / "data") as started:
        yield started


def deploy_guestbook(server: TestServer) -> None:
    server.kubectl("apply", "-f", GUESTBOOK)
    for name in ("store", "frontend"):
        server.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")


def test_pods_outlive_a_crash_and_a_stop_untouched(server: TestServer) -> None:
    deploy_guestbook(server)
    label = cluster_label(server)
    before, facts = containers(label), pod_facts(server)
    assert len(before) == 8

    server.mkube.kill()
    server.start()
    server.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=30s")
    wait_for(lambda: server.kubectl("get", "pods", "--no-headers").count("1/1") == 4, "all pods are ready")
    assert containers(label) == before
    assert pod_facts(server) == facts
    assert "ok" in server.kubectl("exec", "deployment/frontend", "--", "wget", "-q", "-O", "-",
                                  "http://store:6379/cgi-bin/add?again")  # fmt: skip

    assert "keep running" in server.run("stop")
    assert server.mkube.process.wait(10) == 0
    assert containers(label) == before
    server.start()
    assert pod_facts(server) == facts


def test_a_rollout_goes_on_after_a_crash(server: TestServer) -> None:
    deploy_guestbook(server)
    server.kubectl("set", "env", "deployment/frontend", "ROUND=2")
    server.mkube.kill()
    server.start()
    server.kubectl("rollout", "status", "deployment/frontend", "--timeout=90s")
    newest = json.loads(server.kubectl("get", "deployment", "frontend", "-o", "json"))
    assert newest["status"]["updatedReplicas"] == 3
    wait_for(
        lambda: len(json.loads(server.kubectl("get", "pods", "-l", "tier=frontend", "-o", "json"))["items"]) == 3,
        "only the new pods are left",
    )


def test_down_keeps_the_data_and_delete_keeps_nothing(tmp_path: Path) -> None:
    with docker_server(tmp_path / "data") as server:
        deploy_guestbook(server)
        label = cluster_label(server)
        assert "Removed 8 containers" in server.run("down")
        assert containers(label) == {}
        assert (tmp_path / "data" / "db" / "state.db").exists()

        server.start()
        wait_for(lambda: len(containers(label)) == 8, "the kept pods run again")
        for name in ("store", "frontend"):
            server.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
        server.run("delete", "--yes")
        assert not (tmp_path / "data").exists()
        assert containers(label) == {}
    assert "mkube-" + label.partition("=")[2][:8] not in nft_tables()
    assert label.partition("=")[2] not in links()


def nft_tables() -> str:
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout


def links() -> str:
    return subprocess.run(["ip", "-d", "link"], capture_output=True, text=True, check=True).stdout


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--container-runtime", "fake") as server:
        second = TestServer(server.data_dir, ("--container-runtime", "fake"))
        with pytest.raises(ProcessFailed, match="another mkube server"):
            second.start()
        assert "ok" in server.kubectl("get", "--raw", "/readyz")


def test_ranges_of_another_cluster_are_not_taken(server: TestServer, tmp_path: Path) -> None:
    server.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=30s")
    second = TestServer(tmp_path / "second", server.flags)
    with pytest.raises(ProcessFailed, match="of another mkube cluster: choose others with --cluster-cidr"):
        second.start()


def traces(cluster_id: str) -> list[str]:
    """What the machine still has of a cluster: containers, interfaces, tables."""
    commands = (
        ["docker", "ps", "-aq", "--filter", f"label=io.mkube.cluster={cluster_id}"],
        ["sh", "-c", f"grep -l 'mkube {cluster_id} ' /sys/class/net/*/ifalias || true"],
        ["sh", "-c", f"nft list tables | grep {cluster_id[:8]} || true"],
    )
    found = [subprocess.run(one, capture_output=True, text=True, check=True).stdout for one in commands]
    return "".join(found).split("\n")[:-1]


def run_something(server: TestServer) -> None:
    server.kubectl("create", "deployment", "something", "--image=busybox:stable", "--", "sleep", "1000")
    server.kubectl("rollout", "status", "deployment/something", "--timeout=60s")


def test_what_a_removed_cluster_left_goes_at_the_next_start(server: TestServer, tmp_path: Path) -> None:
    """A server was killed and its data directory removed by hand; another cluster is stopped, yet may go on."""
    run_something(server)
    stays = cluster_label(server).partition("=")[2]
    ranges = ("--cluster-cidr", "10.145.0.0/16", "--service-cidr", "10.146.0.0/16", "--cluster-dns", "10.146.0.10")
    with running_server(tmp_path / "lost", *ranges) as lost:
        run_something(lost)
        goes = cluster_label(lost).partition("=")[2]
        lost.mkube.kill()
        subprocess.run(["rm", "-rf", lost.data_dir], check=False, capture_output=True)
        server.mkube.stop()
        before = traces(stays)
        assert len(before) == 6
        assert len(traces(goes)) == 6
        assert "had left on this machine" in TestServer(tmp_path / "none").run("delete", "--yes")
        assert traces(goes) == []
        assert traces(stays) == before
    server.start()
    server.kubectl("rollout", "status", "deployment/something", "--timeout=60s")
