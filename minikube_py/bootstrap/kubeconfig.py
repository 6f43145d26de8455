"""Writes the admin kubeconfig, and merges it into a user's own without changing what is chosen there."""

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minikube_py.bootstrap.private_files import write_private

LOCK_SECONDS = 5.0


@dataclass(frozen=True)
class KubeconfigEntry:
    """One cluster, user and context, all under the same name. A bearer token, or a client certificate with its key."""

    server: str
    ca_pem: bytes
    token: str = field(default="", repr=False)
    client_certificate_pem: bytes = b""
    client_key_pem: bytes = field(default=b"", repr=False)
    name: str = "mkube"
    namespace: str = ""

    @property
    def cluster(self) -> dict[str, Any]:
        return {"certificate-authority-data": _base64(self.ca_pem), "server": self.server}

    @property
    def user(self) -> dict[str, Any]:
        if self.token:
            return {"token": self.token}
        return {
            "client-certificate-data": _base64(self.client_certificate_pem),
            "client-key-data": _base64(self.client_key_pem),
        }

    @property
    def context(self) -> dict[str, Any]:
        context = {"cluster": self.name, "user": self.name}
        if self.namespace:
            context["namespace"] = self.namespace
        return context


class KubeconfigError(Exception):
    """The existing kubeconfig can't be read or is in use; the text is one sentence for the user."""


def render_kubeconfig(entry: KubeconfigEntry) -> bytes:
    """A whole kubeconfig as YAML. Written by hand: every value is a JSON string, which YAML reads the same."""
    lines = ["apiVersion: v1", "kind: Config", "preferences: {}", f"current-context: {json.dumps(entry.name)}"]
    for plural, singular, body in (
        ("clusters", "cluster", entry.cluster),
        ("users", "user", entry.user),
        ("contexts", "context", entry.context),
    ):
        lines += [f"{plural}:", f"- name: {json.dumps(entry.name)}", f"  {singular}:"]
        lines += [f"    {key}: {json.dumps(value)}" for key, value in body.items()]
    return ("\n".join(lines) + "\n").encode()


def write_kubeconfig(path: Path, entry: KubeconfigEntry) -> None:
    """Write `entry` alone to `path` (0600), unless it is there already. Raises OSError."""
    content = render_kubeconfig(entry)
    if path.exists() and path.read_bytes() == content and not path.stat().st_mode & 0o077:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, content)


def merge_kubeconfig(path: Path, entry: KubeconfigEntry, *, use_context: bool = False) -> None:
    """Put `entry` into the kubeconfig at `path`, replacing entries of its name and leaving everything else.

    current-context changes only with use_context, or when the file is new. Holds kubectl's own lock file meanwhile.
    Raises KubeconfigError, OSError.
    """
    import yaml  # noqa: PLC0415  (loaded by this command only)

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = path.resolve()
    with _locked(target):
        config = _load(target)
        is_new = not config
        config.setdefault("apiVersion", "v1")
        config.setdefault("kind", "Config")
        config.setdefault("preferences", {})
        for plural, singular, body in (
            ("clusters", "cluster", entry.cluster),
            ("users", "user", entry.user),
            ("contexts", "context", entry.context),
        ):
            others = [e for e in config.get(plural) or [] if e.get("name") != entry.name]
            config[plural] = [*others, {"name": entry.name, singular: body}]
        if use_context or is_new:
            config["current-context"] = entry.name
        write_private(target, yaml.safe_dump(config, sort_keys=False).encode())


def remove_from_kubeconfig(path: Path, name: str = "mkube") -> bool:
    """Take the entries of `name` out of the kubeconfig at `path`; whether there were any."""
    import yaml  # noqa: PLC0415  (loaded by this command only)

    if not path.exists():
        return False
    target = path.resolve()
    with _locked(target):
        config = _load(target)
        found = False
        for plural in ("clusters", "users", "contexts"):
            entries = config.get(plural) or []
            kept = [e for e in entries if e.get("name") != name]
            found = found or len(kept) != len(entries)
            config[plural] = kept
        if not found:
            return False
        if config.get("current-context") == name:
            config["current-context"] = ""
        write_private(target, yaml.safe_dump(config, sort_keys=False).encode())
    return True


def _load(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415  (loaded by this command only)

    if not path.exists():
        return {}
    try:
        config = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path} is not a kubeconfig that can be read; it was left as it is.") from error
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig; it was left as it is.")
    return config


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """kubectl's lock: a file beside the kubeconfig that only one process can make."""
    lock = path.with_name(path.name + ".lock")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                raise KubeconfigError(f"{path} is locked by another program ({lock} exists).") from None
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
