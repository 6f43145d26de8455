"""Declares `mkube server`'s flags about who may do what and how that is logged, and makes settings of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from minikube_py.cli.options import flag
from minikube_py.config import AuditConfig, ConfigError, OidcConfig, RequestHeaderConfig

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)
# fmt: off
_FLAGS = (
    flag("--audit-policy-file", type=_FILE, default=None, metavar="FILE",
         help="Which requests to log (audit.k8s.io/v1 Policy)."),
    flag("--audit-log-path", default="", show_default=False, metavar="FILE",
         help="Where to log them; - is standard output."),
    flag("--audit-log-maxsize", type=int, default=100, metavar="MEGABYTES", help="When to begin a new audit log file."),
    flag("--audit-log-maxbackup", type=int, default=0, metavar="COUNT", help="How many old files to keep; 0 is all."),
    flag("--audit-log-maxage", type=int, default=0, metavar="DAYS", help="How long to keep old files; 0 is for ever."),
    flag("--enable-admission-plugins", default="", show_default=False, metavar="NAME,...",
         help="Admission plugins to switch on beside the default ones."),
    flag("--disable-admission-plugins", default="", show_default=False, metavar="NAME,...",
         help="Admission plugins to switch off."),
    flag("--admission-control-config-file", type=_FILE, default=None, show_default=False, metavar="FILE",
         help="What admission plugins are configured with (AdmissionConfiguration)."),
    flag("--oidc-issuer-url", default="", show_default=False, metavar="URL",
         help="An OpenID Connect issuer whose ID tokens are accepted."),
    flag("--oidc-client-id", default="", show_default=False, metavar="ID", help="The audience that they must have."),
    flag("--oidc-username-claim", default="sub", metavar="CLAIM", help="The claim that is the user's name."),
    flag("--oidc-username-prefix", default=None, show_default="the issuer and #, nothing for email", metavar="TEXT",
         help="What to put before user names; - is nothing."),
    flag("--oidc-groups-claim", default="", show_default=False, metavar="CLAIM", help="The claim that holds groups."),
    flag("--oidc-groups-prefix", default="", show_default=False, metavar="TEXT", help="What to put before groups."),
    flag("--oidc-required-claim", multiple=True, metavar="CLAIM=VALUE", help="A claim that ID tokens must have."),
    flag("--oidc-ca-file", type=_FILE, default=None, show_default="this machine's authorities", metavar="FILE",
         help="Who signed the issuer's certificate."),
    flag("--oidc-signing-algs", default="RS256", metavar="ALG,...", help="The algorithms that ID tokens may use."),
    flag("--requestheader-client-ca-file", type=_FILE, default=None, show_default="mkube's own alone", metavar="FILE",
         help="A further authority of front proxies, whose headers say who asks."),
    flag("--requestheader-allowed-names", default="front-proxy-client", metavar="NAME,...",
         help="The common names that front proxies may have; '' is any."),
    flag("--requestheader-username-headers", default="X-Remote-User", metavar="NAME,...", help="Headers with users."),
    flag("--requestheader-uid-headers", default="X-Remote-Uid", metavar="NAME,...", help="Headers with their UIDs."),
    flag("--requestheader-group-headers", default="X-Remote-Group", metavar="NAME,...", help="Headers with groups."),
    flag("--requestheader-extra-headers-prefix", default="X-Remote-Extra-", metavar="TEXT,...",
         help="How headers with more about the user begin."),
)
# fmt: on


def access_flags(function: F) -> F:
    for option in reversed(_FLAGS):
        function = option(function)
    return function


def access_settings(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The ServerConfig fields that these flags set. Raises ConfigError."""
    return {
        "audit": _audit(flags),
        "oidc": _oidc(flags),
        "request_header": _request_header(flags),
        "enable_admission_plugins": _names(flags["enable_admission_plugins"]),
        "disable_admission_plugins": _names(flags["disable_admission_plugins"]),
        "admission_config_file": flags["admission_control_config_file"],
    }


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


def _oidc(flags: Mapping[str, Any]) -> OidcConfig | None:
    if not flags["oidc_issuer_url"] and not flags["oidc_client_id"]:
        return None
    claims = {}
    for text in flags["oidc_required_claim"]:
        claim, equals, value = text.partition("=")
        if not equals or not claim:
            raise ConfigError(f"--oidc-required-claim {text!r} is not of the form CLAIM=VALUE")
        claims[claim] = value
    return OidcConfig(
        flags["oidc_issuer_url"],
        flags["oidc_client_id"],
        username_claim=flags["oidc_username_claim"],
        username_prefix=flags["oidc_username_prefix"],
        groups_claim=flags["oidc_groups_claim"],
        groups_prefix=flags["oidc_groups_prefix"],
        required_claims=claims,
        ca_file=flags["oidc_ca_file"],
        signing_algorithms=_names(flags["oidc_signing_algs"]),
    )


def _request_header(flags: Mapping[str, Any]) -> RequestHeaderConfig:
    return RequestHeaderConfig(
        flags["requestheader_client_ca_file"],
        allowed_names=_names(flags["requestheader_allowed_names"]),
        username_headers=_names(flags["requestheader_username_headers"]),
        uid_headers=_names(flags["requestheader_uid_headers"]),
        group_headers=_names(flags["requestheader_group_headers"]),
        extra_prefixes=_names(flags["requestheader_extra_headers_prefix"]),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)
