"""A server with real pods for tests: address ranges of its own, so that it can run beside a user's cluster."""

import json
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


def remove_leftovers() -> None:
    """Interfaces in these ranges that a test run left behind when it was cut off."""
    listed = subprocess.run(["ip", "-j", "-4", "addr"], capture_output=True, text=True, check=True).stdout
    for link in json.loads(listed):
        if link["ifname"].startswith("mkube-") and any(a["local"].startswith("10.142.") for a in link["addr_info"]):
            subprocess.run(["ip", "link", "delete", link["ifname"]], check=False)
            subprocess.run(["ip", "link", "delete", link["ifname"].replace("mkube-", "mksvc-")], check=False)


@contextmanager
def docker_server(data_dir: Path, *flags: str) -> Iterator[TestServer]:
    remove_leftovers()
    with example_image(), running_server(data_dir, *RANGES, *flags) as server:
        yield server
