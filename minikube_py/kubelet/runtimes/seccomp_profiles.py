"""Reads the seccomp profiles that containers name: files of the machine, where Kubernetes has them too."""

import asyncio
from dataclasses import replace
from pathlib import Path

from minikube_py.kubelet.runtimes.protocol import ContainerSpec, RuntimeFailure

DIRECTORY = Path("/var/lib/kubelet/seccomp")
PREFIX = "localhost/"
_LIMIT_BYTES = 1024 * 1024


async def with_profile(spec: ContainerSpec, directory: Path = DIRECTORY) -> ContainerSpec:
    """The engine wants a profile's text, not its name. Raises RuntimeFailure(CreateContainerError)."""
    name = spec.security.seccomp
    if not name.startswith(PREFIX):
        return spec
    try:
        text = await asyncio.to_thread(_read, directory, name.removeprefix(PREFIX))
    except (OSError, ValueError) as error:
        raise RuntimeFailure("CreateContainerError", f"cannot load seccomp profile {name!r}: {error}") from error
    return replace(spec, security=replace(spec.security, seccomp=text))


def _read(directory: Path, name: str) -> str:
    path = (directory / name).resolve()
    if not path.is_relative_to(directory.resolve()):
        raise ValueError(f"it is outside {directory}")
    with path.open(encoding="utf-8") as file:
        text = file.read(_LIMIT_BYTES)
    if not text.lstrip().startswith("{"):
        raise ValueError("it is no JSON object")
    return text
