"""The README's five-minute tour, line by line, against a fresh server with real pods."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.docker_server import docker_server
from tests.support.server_process import ROOT

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
    assert "requests served" in done.stdout or "request " in done.stdout


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
