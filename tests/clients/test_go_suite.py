"""client-go against a whole mkube with simulated pods: what Kubernetes' conformance tests ask, in our own words.

The tests themselves are Go: tests/clients/go/suite. Each area below is one run of that program.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.go_programs import MODULE, build_tests
from tests.support.server_process import TestServer, running_server

pytestmark = pytest.mark.client

AREAS = (
    "Matrix", "Discovery", "Fields", "Table", "Definition", "Apply", "Watch", "List", "Garbage", "Namespace", "Quota",
    "Auth", "Identity", "Service", "Events", "Workload", "Admission", "Rollout", "Replicas", "Daemon", "Generation",
)  # fmt: skip


@pytest.fixture(scope="module")
def suite() -> Path:
    return build_tests("suite")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    flags = ("--container-runtime", "fake", "--fake-nodes", "2")
    with running_server(tmp_path_factory.mktemp("suite"), *flags) as started:
        yield started


@pytest.mark.parametrize("area", AREAS)
def test_client_go(area: str, suite: Path, server: TestServer) -> None:
    done = run(suite, "-kubeconfig", str(server.kubeconfig), "-test.run", f"^Test{area}", "-test.v")
    if done.returncode != 0:
        pytest.fail(failures(done.stdout + done.stderr), pytrace=False)


def test_every_go_test_belongs_to_an_area(suite: Path) -> None:
    names = [line for line in run(suite, "-test.list", ".*").stdout.split() if line.startswith("Test")]
    assert names
    assert [name for name in names if not name.removeprefix("Test").startswith(AREAS)] == []


def run(program: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program, *arguments], cwd=MODULE / "suite", capture_output=True, text=True, timeout=900, check=False
    )


def failures(output: str) -> str:
    """The lines of failed tests, without what the others said."""
    kept = [line for line in output.splitlines() if not re.match(r"\s*(=== |--- PASS|--- SKIP)", line)]
    return "\n".join(kept)
