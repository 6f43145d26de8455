"""A Service of type LoadBalancer with real pods: its address answers for the host and for pods, and is given back."""

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.docker_server import docker_server
from tests.support.server_process import ROOT, TestServer
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.client]

GUESTBOOK = str(ROOT / "examples" / "guestbook")


def fetch(url: str) -> tuple[int, str]:
    """(status, body); 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def address(server: TestServer, name: str) -> str:
    return server.kubectl("get", "service", name, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}").strip()


def test_the_address_works_and_honours_the_service(tmp_path: Path) -> None:
    with docker_server(tmp_path / "data") as server:
        server.kubectl("apply", "-f", GUESTBOOK)
        server.kubectl("rollout", "status", "deployment/frontend", "--timeout=60s")
        server.kubectl(
            "expose", "deployment/frontend", "--name=public", "--type=LoadBalancer", "--port=8000",
            "--target-port=8080", "--overrides", json.dumps({"spec": {"externalTrafficPolicy": "Local"}}),
        )  # fmt: skip
        server.kubectl("wait", "service/public", "--for=jsonpath={.status.loadBalancer.ingress}", "--timeout=10s")
        ip = address(server, "public")
        assert ip.startswith("10.144.0.")
        assert ip in server.kubectl("get", "service", "public")
        url = f"http://{ip}:8000/"
        wait_for(lambda: fetch(url)[0] == 200, "the address answers")
        assert "Guestbook" in server.kubectl("exec", "deployment/store", "--", "wget", "-q", "-O", "-", url)
        assert "Guestbook" in fetch("http://127.0.0.1:8000/")[1]
        described = server.kubectl("describe", "service", "public")
        assert "EnsuredLoadBalancer" in described

        health = server.kubectl("get", "service", "public", "-o", "jsonpath={.spec.healthCheckNodePort}").strip()
        count = json.loads(fetch(f"http://127.0.0.1:{health}/")[1])["localEndpoints"]
        assert count == int(server.kubectl("get", "deployment", "frontend", "-o", "jsonpath={.spec.replicas}"))
        server.kubectl("scale", "deployment/frontend", "--replicas=0")
        wait_for(lambda: fetch(f"http://127.0.0.1:{health}/")[0] == 503, "the health check says no")
        server.kubectl("scale", "deployment/frontend", "--replicas=1")
        wait_for(lambda: fetch(url)[0] == 200, "the address answers again")

        patch = json.dumps({"spec": {"loadBalancerSourceRanges": ["198.51.100.0/24"]}})
        server.kubectl("patch", "service", "public", "-p", patch)
        wait_for(lambda: fetch(url)[0] == 0, "others are kept out")
        assert fetch("http://127.0.0.1:8000/")[0] == 0
        server.kubectl("delete", "service", "public", "--timeout=10s")
        wait_for(lambda: ip not in nft(), "no rule is left")


def nft() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
