"""Runs `mkube server` and `mkube agent` as processes of their own, as a user does, and stops them by their id."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MKUBE = (sys.executable, "-m", "minikube_py.cli.main")
READY_SECONDS = 60


class ProcessFailed(Exception):
    """The process ended, or did not get ready; the text is what it printed."""


@dataclass
class MkubeProcess:
    """One running command. `lines` are what it has printed so far."""

    arguments: Sequence[str]
    ready_text: str
    environment: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Returns once the process has printed its ready line. Raises ProcessFailed."""
        environment = {**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*MKUBE, *self.arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._is_ready.wait(READY_SECONDS)
        if self.ready_text not in self.output:
            self.kill()
            raise ProcessFailed(self.output)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if self.ready_text in line:
                self._is_ready.set()
        self._is_ready.set()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM, then wait; the exit code. One that has ended already is only cleaned up."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessFailed(f"did not stop in {timeout} s:\n{self.output}") from None
        self._close()
        return code

    def kill(self) -> None:
        """SIGKILL: a crash."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()


@dataclass
class TestServer:
    """A server on its own data directory and a free port."""

    __test__ = False

    data_dir: Path
    flags: tuple[str, ...] = ()
    port: int = 0
    kubectl_program: str = "kubectl"

    def start(self) -> None:
        if hasattr(self, "mkube"):
            self.mkube.stop()
        arguments = ("server", "--data-dir", str(self.data_dir), "--https-listen-port", str(self.port), *self.flags)
        self.mkube = MkubeProcess(arguments, "kubeconfig")
        self.mkube.start()
        if not self.port:
            self.port = int(self.url.rpartition(":")[2])

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "kubeconfig"

    @property
    def url(self) -> str:
        for line in self.kubeconfig.read_text().splitlines():
            _, found, value = line.partition("server:")
            if found:
                return value.strip().strip('"')
        raise ProcessFailed("the kubeconfig names no server")

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True, timeout: float = 120) -> str:
        """Run stock kubectl; what it printed (standard error too when it failed and check is False)."""
        done = subprocess.run(
            [self.kubectl_program, "--kubeconfig", str(self.kubeconfig), *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            if check:
                raise ProcessFailed(f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}\n{self.mkube.output}")
            return done.stdout + done.stderr
        return done.stdout

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run another mkube command on this data directory."""
        command = [*MKUBE, *arguments, "--data-dir", str(self.data_dir)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode != 0:
            raise ProcessFailed(f"mkube {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout + done.stderr


@contextlib.contextmanager
def running_server(data_dir: Path, *flags: str) -> Iterator[TestServer]:
    """A started server; at the end everything that it made is deleted."""
    server = TestServer(data_dir, flags)
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessFailed):
            server.mkube.stop()
        server.run("delete", "--yes", "--volumes")
