"""The README's five-minute tour, line by line, against a fresh server with real pods."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.docker_server import docker_server
from tests.support.server_process import ROOT
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.client]


def tour_commands() -> list[str]:
    """The lines behind `$ ` of the console blocks between the tour's marks."""
    text = (ROOT / "README.md").read_text()
    tour = text.partition("<!-- tour: begin -->")[2].partition("<!-- tour: end -->")[0]
    blocks = re.findall(r"```console\n(.*?)```", tour, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_every_line_of_the_tour_works(tmp_path: Path) -> None:
    commands = tour_commands()
    assert len(commands) > 15
    script = "set -euo pipefail\n" + "".join(f"echo {_quoted('$ ' + c)}\n{c}\n" for c in commands)
    with docker_server(tmp_path / "data") as server:
        environment = {**os.environ, "MKUBE_DATA_DIR": str(tmp_path / "data")}
        done = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{server.mkube.output}"
    assert "Hello mkube" in done.stdout


def test_the_pod_examples_do_what_they_say(tmp_path: Path) -> None:
    with docker_server(tmp_path / "data") as server:
        server.kubectl("apply", "-f", str(ROOT / "examples" / "guestbook"), "-f", str(ROOT / "examples" / "pods"))
        for pod in ("sidecar", "ambassador", "adapter"):
            server.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=60s")
        wait_for(
            lambda: "served" in server.kubectl("logs", "sidecar", "-c", "log-streamer"), "the sidecar streams the log"
        )
        wait_for(lambda: "store reached" in server.kubectl("logs", "ambassador", "-c", "app"), "the store is reached")
        metrics = "http://localhost:9100/cgi-bin/metrics"
        page = server.kubectl("exec", "adapter", "-c", "app", "--", "wget", "-q", "-O", "-", metrics)
        assert "# TYPE app_jobs_done gauge" in page


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
