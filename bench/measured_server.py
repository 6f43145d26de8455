"""Starts the servers that the benchmarks measure, each on a data directory and port of its own, and removes them."""

import json
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MKUBE = (sys.executable, "-m", "minikube_py.cli.main")
RANGES = (
    "--cluster-cidr", "10.152.0.0/16", "--service-cidr", "10.153.0.0/16", "--cluster-dns", "10.153.0.10",
    "--load-balancer-cidr", "10.154.0.0/24",
)  # fmt: skip
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60


class MeasuredServer:
    """One `mkube server` process."""

    def __init__(self, data_dir: Path, port: int, *flags: str) -> None:
        self.data_dir, self.port, self.flags = data_dir, port, flags

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Start the process; the seconds until /readyz answers 200."""
        began = time.perf_counter()
        arguments = ("server", "--data-dir", str(self.data_dir), "--https-listen-port", str(self.port), *RANGES)
        self.process = subprocess.Popen(
            [*MKUBE, *arguments, *self.flags], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        self._until(lambda: urllib.request.urlopen(f"{self.url}/readyz", context=anyone).status == 200)
        return time.perf_counter() - began

    def _until(self, holds: "object") -> None:
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while True:
            try:
                if holds():  # type: ignore[operator]
                    return
            except (OSError, urllib.error.URLError):
                pass
            if time.perf_counter() > deadline:
                raise TimeoutError("the server did not get ready")
            time.sleep(POLL_SECONDS)

    def until_node_ready(self) -> None:
        def ready() -> bool:
            nodes = self.get("/api/v1/nodes")["items"]
            conditions = [c for n in nodes for c in n.get("status", {}).get("conditions", ())]
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        self._until(ready)

    @property
    def token(self) -> str:
        return (self.data_dir / "pki" / "tokens.csv").read_text().partition(",")[0]

    def get(self, path: str) -> dict[str, object]:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        context = ssl.create_default_context(cafile=str(self.data_dir / "pki" / "server-ca.crt"))
        with urllib.request.urlopen(request, context=context) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        command = ["kubectl", "--kubeconfig", str(self.data_dir / "kubeconfig"), *arguments]
        return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(120)

    def delete(self) -> None:
        if self.process.poll() is None:
            self.stop()
        command = [*MKUBE, "delete", "--yes", "--volumes", "--data-dir", str(self.data_dir)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


@contextmanager
def measured_server(port: int, *flags: str) -> Iterator[MeasuredServer]:
    """A server that is not started yet; deleted at the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = MeasuredServer(Path(folder) / "data", port, *flags)
        try:
            yield server
        finally:
            server.delete()
