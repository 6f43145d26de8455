"""Which Docker engine is used, and whether it is on this machine."""

import hashlib
import json
from pathlib import Path

import pytest

from minikube_py.kubelet.runtimes.docker_engine import EngineAddress, resolve_address
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any Docker settings."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write_context(home: Path, name: str, host: str) -> None:
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker" / "contexts" / "meta" / digest / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": name}))


def test_an_explicit_address_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///other.sock")
    assert resolve_address("unix:///mine.sock").url == "unix:///mine.sock"
    assert resolve_address().url == "unix:///other.sock"


def test_the_environment_brings_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", "/certs")
    assert resolve_address() == EngineAddress(
        "tcp://engine:2376", "/certs/ca.pem", "/certs/cert.pem", "/certs/key.pem", True
    )


def test_other_schemes_are_refused() -> None:
    with pytest.raises(RuntimeFailure, match="neither unix:// nor tcp://"):
        resolve_address("ssh://host")


def test_the_current_context_is_used(home: Path) -> None:
    write_context(home, "colima", "unix:///home/me/.colima/default/docker.sock")
    assert resolve_address().url == "unix:///home/me/.colima/default/docker.sock"


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("unix:///var/run/docker.sock", True),
        ("unix:///tmp/second-engine/docker.sock", True),
        ("unix:///run/user/1000/docker.sock", False),
        ("unix:///home/me/.docker/desktop/docker.sock", False),
        ("tcp://127.0.0.1:2375", False),
    ],
)
def test_local_engines(url: str, is_local: bool) -> None:
    assert EngineAddress(url).is_local_engine is is_local
