"""Reads PodSecurity's configuration: levels for namespaces without labels, and whom the checks leave alone.

Source: pod-security.admission.config.k8s.io/v1 PodSecurityConfiguration.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEVELS = ("privileged", "baseline", "restricted")
VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")
_MODES = ("enforce", "audit", "warn")
_EXEMPTIONS = ("usernames", "namespaces", "runtimeClasses")


@dataclass(frozen=True)
class PodSecuritySettings:
    """defaults are keyed as the labels are, without their prefix."""

    defaults: Mapping[str, str] = field(default_factory=dict)
    usernames: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


def read_settings(configuration: Mapping[str, Any]) -> PodSecuritySettings:
    """Raises ValueError with one sentence."""
    unknown = configuration.keys() - {"apiVersion", "kind", "defaults", "exemptions"}
    if unknown:
        raise ValueError(f"the configuration of PodSecurity has the unknown field {min(unknown)}")
    defaults = _texts(configuration.get("defaults"), "defaults")
    for key, value in defaults.items():
        mode, dash, rest = key.partition("-")
        if mode not in _MODES or (dash and rest != "version"):
            raise ValueError(f"the configuration of PodSecurity has the unknown field defaults.{key}")
        is_good = value == "latest" or VERSION.fullmatch(value) if dash else value in LEVELS
        if not is_good:
            wanted = '"latest" or "v1.x"' if dash else f"one of {', '.join(LEVELS)}"
            raise ValueError(f'the configuration of PodSecurity: defaults.{key} "{value}" must be {wanted}')
    exemptions = configuration.get("exemptions") or {}
    if not isinstance(exemptions, dict) or exemptions.keys() - set(_EXEMPTIONS):
        raise ValueError(f"the exemptions of PodSecurity may be {', '.join(_EXEMPTIONS)}")
    lists = [_names(exemptions.get(name), name) for name in _EXEMPTIONS]
    return PodSecuritySettings(defaults, *lists)


def _texts(value: Any, name: str) -> dict[str, str]:
    value = value or {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"the configuration of PodSecurity: {name} must be an object of strings")
    return value


def _names(value: Any, name: str) -> frozenset[str]:
    value = value or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"the configuration of PodSecurity: exemptions.{name} must be a list of strings")
    return frozenset(value)
