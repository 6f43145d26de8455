"""A server with real pods for tests: address ranges of its own, so that it can run beside a user's cluster."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.server_process import ROOT, TestServer, running_server

EXAMPLE_IMAGE = "busybox:stable"
RANGES = (
    "--cluster-cidr", "10.142.0.0/16", "--service-cidr", "10.143.0.0/16", "--cluster-dns", "10.143.0.10",
    "--load-balancer-cidr", "10.144.0.0/24",
)  # fmt: skip


@contextmanager
def example_image() -> Iterator[None]:
    """The image of the examples, taken away again when it was not there before."""
    existed = subprocess.run(["docker", "image", "inspect", EXAMPLE_IMAGE], capture_output=True, check=False)
    subprocess.run([ROOT / "examples" / "images" / "build"], check=True, capture_output=True)
    try:
        yield
    finally:
        if existed.returncode != 0:
            subprocess.run(["docker", "rmi", EXAMPLE_IMAGE], check=False, capture_output=True)


@contextmanager
def docker_server(data_dir: Path, *flags: str) -> Iterator[TestServer]:
    with example_image(), running_server(data_dir, *RANGES, *flags) as server:
        yield server
