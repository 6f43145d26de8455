"""Declares `mkube server`'s flags about who may do what and how that is logged, and makes settings of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from minikube_py.cli.options import flag
from minikube_py.config import AuditConfig, ConfigError

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)
_FLAGS = (
    flag(
        "--audit-policy-file", type=_FILE, default=None, metavar="FILE", help="Which requests to log (audit.k8s.io/v1)."
    ),
    flag("--audit-log-path", default="", metavar="FILE", help="Where to log them; - is standard output."),
    flag("--audit-log-maxsize", type=int, default=100, metavar="MEGABYTES", help="When to begin a new audit log file."),
    flag(
        "--audit-log-maxbackup", type=int, default=0, metavar="COUNT", help="How many old audit logs to keep; 0: all."
    ),
    flag(
        "--audit-log-maxage", type=int, default=0, metavar="DAYS", help="How long to keep old audit logs; 0: for ever."
    ),
)


def access_flags(function: F) -> F:
    for option in reversed(_FLAGS):
        function = option(function)
    return function


def access_settings(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The ServerConfig fields that these flags set. Raises ConfigError."""
    return {"audit": _audit(flags)}


def _audit(flags: Mapping[str, Any]) -> AuditConfig | None:
    policy, path = flags["audit_policy_file"], flags["audit_log_path"]
    if policy is None and not path:
        return None
    if policy is None:
        raise ConfigError("--audit-log-path needs --audit-policy-file, which says what is logged")
    if not path:
        raise ConfigError("--audit-policy-file needs --audit-log-path, which says where to log (- is standard output)")
    path = path if path == "-" else str(Path(path).absolute())
    sizes = (flags["audit_log_maxsize"], flags["audit_log_maxbackup"], flags["audit_log_maxage"])
    return AuditConfig(policy.absolute(), path, *sizes)
