"""The cluster autoscaler on a Docker engine: a further node for real pods that fit nowhere, and nothing of it left."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.docker_server import EXAMPLE_IMAGE, docker_server
from tests.support.server_process import TestServer
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.client]


def manifest() -> str:
    """Two pods that each want most of this machine."""
    cpu = f"{int((os.cpu_count() or 1) * 700)}m"
    container = {
        "name": "c", "image": EXAMPLE_IMAGE, "command": ["sleep", "1000000"], "resources": {"requests": {"cpu": cpu}},
    }  # fmt: skip
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "big"}},
        "template": {
            "metadata": {"labels": {"app": "big"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
        },
    }
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "big"}, "spec": spec})


def further_nodes(server: TestServer) -> list[str]:
    return server.kubectl("get", "nodes", "-l", "mkube.io/node-group=engine", "-o", "name").split()


def on_this_host(word: str) -> list[str]:
    """The lines about something, of containers, interfaces and nftables."""
    commands = (
        ["docker", "ps", "-a", "--format", '{{.Names}} {{.Label "io.mkube.node"}}'],
        ["ip", "-d", "link"],
        ["nft", "list", "tables"],
    )
    output = "\n".join(subprocess.run(c, capture_output=True, text=True, check=True).stdout for c in commands)
    return [line for line in output.splitlines() if word in line]


def test_a_node_comes_for_pods_that_fit_nowhere_and_goes_without_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    path.write_text(manifest())
    flags = ("--autoscale-nodes", "0:1", "--scale-down-unneeded-time", "5s")
    with docker_server(tmp_path / "data", *flags) as server:
        server.kubectl("apply", "-f", str(path))
        server.kubectl("rollout", "status", "deployment/big", "--timeout=60s")
        (node,) = further_nodes(server)
        node = node.removeprefix("node/")
        assert "TriggeredScaleUp" in server.kubectl("get", "events")
        pods = json.loads(server.kubectl("get", "pods", "-o", "json"))["items"]
        (moved,) = [p["metadata"]["name"] for p in pods if p["spec"]["nodeName"] == node]
        assert "uid=0" in server.kubectl("exec", moved, "--", "id")
        assert on_this_host(node)

        server.mkube.kill()
        server.start()
        wait_for(lambda: "uid=0" in server.kubectl("exec", moved, "--", "id", check=False), "the pod is taken over")
        assert further_nodes(server) == [f"node/{node}"]

        server.kubectl("scale", "deployment/big", "--replicas=0")
        wait_for(lambda: not further_nodes(server), "the node goes")
        wait_for(lambda: not on_this_host(node), "nothing of it is left")
        assert "node removed by cluster autoscaler" in server.kubectl("get", "events")
