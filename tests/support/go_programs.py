"""Builds the Go programs of tests/clients/go once, into a cache folder outside the checkout."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1] / "clients" / "go"


def cache_folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "mkube-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def build_tests(package: str) -> Path:
    """The program of one package's tests."""
    return _build(package.replace("/", "-") + ".test", "test", "-c", f"./{package}")


def build_program(package: str, name: str, *flags: str) -> Path:
    """A command: a package of the module, or of one that it depends on."""
    return _build(name, "build", *flags, package)


def build_kubectl() -> Path:
    """The kubectl of the Kubernetes version that mkube speaks."""
    version = "-X k8s.io/component-base/version.gitVersion=v1.37.2"
    return build_program("./kubectl", "kubectl", "-ldflags", version)


def _build(name: str, command: str, *arguments: str) -> Path:
    """Go itself knows when there is nothing to do. The lock keeps two test runs from doing it twice."""
    assert shutil.which("go"), "the tests build Go programs: put Go 1.26 or newer on the PATH (Debian: golang)"
    target = cache_folder() / name
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["go", command, "-buildvcs=false", "-o", str(target), *arguments], cwd=MODULE, check=True)
    return target
