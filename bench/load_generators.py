"""Load that costs less than what it measures: wrk (apt-get install wrk) for requests, a Go program for watchers."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measured_server import MeasuredServer

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@dataclass(frozen=True)
class Target:
    """A server to load: mkube or the floor."""

    url: str
    pid: int
    token: str = ""


@dataclass(frozen=True)
class Load:
    """What wrk measured: answers a second, and the server's CPU per answer in microseconds."""

    rate: float
    cpu_us: float


def need(tool: str, package: str) -> str:
    found = shutil.which(tool)
    if found is None:
        sys.exit(f"{tool} is not here: apt-get install {package}")
    return found


def wrk(target: Target, path: str, connections: int, seconds: float = 3, body: str = "") -> Load:
    """Requests over kept TLS connections: GETs, or POSTs of `body`. Exits when one is refused."""
    script = [f'wrk.headers["Authorization"] = "Bearer {target.token}"', 'wrk.headers["Accept"] = "application/json"']
    if body:
        script += ['wrk.method = "POST"', f"wrk.body = [==[{body}]==]"]
        script += ['wrk.headers["Content-Type"] = "application/json"']
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write("\n".join(script))
        file.flush()
        command = [need("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", file.name]
        before = cpu_seconds(target.pid)
        output = subprocess.run([*command, target.url + path], check=True, capture_output=True, text=True).stdout
        used = cpu_seconds(target.pid) - before
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"requests to {path} failed:\n{output}")
    count = int(re.search(r"(\d+) requests in", output)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])  # type: ignore[index]
    return Load(rate, used / max(count, 1) * 1e6)


def download_seconds(target: Target, path: str) -> float:
    """One GET by curl, without the TLS handshake."""
    command = ["curl", "--silent", "--insecure", "--fail", "--output", os.devnull, "--user-agent", "bench"]
    command += ["--header", f"Authorization: Bearer {target.token}", "--write-out", "%{time_pretransfer} %{time_total}"]
    output = subprocess.run([*command, target.url + path], check=True, capture_output=True, text=True).stdout
    start, end = output.split()
    return float(end) - float(start)


@dataclass(frozen=True)
class FanOut:
    """Lags in milliseconds, and the server's CPU per delivered event in microseconds."""

    median: float
    p99: float
    cpu_us: float


def build_watch_load(folder: Path) -> Path:
    need("go", "golang")
    subprocess.run(["go", "build", "-o", str(folder / "watch-load"), "."], cwd=HERE / "load", check=True)
    return folder / "watch-load"


def fan_out(program: Path, target: Target, watch: str, publish: str, watchers: int, rate: float) -> FanOut:
    events = max(20, int(rate * 5))
    arguments = {"watch": target.url + watch, "publish": target.url + publish, "token": target.token}
    arguments |= {"watchers": str(watchers), "rate": str(rate), "events": str(events)}
    command = [str(program), *(f"-{name}={value}" for name, value in arguments.items())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(1)
        before = cpu_seconds(target.pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        found = json.loads(process.stdout.readline())
        used = cpu_seconds(target.pid) - before
    return FanOut(found["median"], found["p99"], used / found["deliveries"] * 1e6)


@contextmanager
def floor_server(server: MeasuredServer, body_bytes: int = 4096, list_count: int = 0) -> Iterator[Target]:
    """Plain aiohttp with the measured server's own certificate."""
    port, pki = free_port(), server.data_dir / "pki"
    arguments = [str(port), str(pki / "server.crt"), str(pki / "server.key"), str(body_bytes), str(list_count)]
    process = subprocess.Popen([sys.executable, str(HERE / "floor_server.py"), *arguments])
    try:
        wait_for(lambda: socket.create_connection(("127.0.0.1", port), 1).close())
        yield Target(f"https://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def wait_for(attempt: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.perf_counter() + seconds
    while True:
        try:
            attempt()
            return
        except OSError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.02)
