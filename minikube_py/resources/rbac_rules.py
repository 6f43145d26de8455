"""Decides what RBAC policy rules allow and which rules cover others; pure functions over rbac/v1 PolicyRule dicts.

Source: the RBAC reference page; k8s.io/component-helpers auth/rbac/validation for what "covers" means.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

PolicyRule = dict[str, Any]

EVERYTHING = "*"


class Access(NamedTuple):
    """One request as rules see it. resource includes the subresource (`pods/log`); path is set for URLs instead."""

    verb: str
    group: str = ""
    resource: str = ""
    name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A PolicyRule with its lists as sets."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]

    @classmethod
    def of(cls, rule: PolicyRule) -> "CompiledRule":
        return cls(
            frozenset(rule.get("verbs") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resources") or ()),
            frozenset(rule.get("resourceNames") or ()),
            tuple(rule.get("nonResourceURLs") or ()),
        )

    def allows(self, access: Access) -> bool:
        if access.path:
            return self._has_verb(access.verb) and any(_url_matches(url, access.path) for url in self.urls)
        return (
            self._has_verb(access.verb)
            and (EVERYTHING in self.groups or access.group in self.groups)
            and self._has_resource(access.resource)
            and (not self.names or access.name in self.names)
        )

    def _has_verb(self, verb: str) -> bool:
        return EVERYTHING in self.verbs or verb in self.verbs

    def _has_resource(self, resource: str) -> bool:
        if EVERYTHING in self.resources or resource in self.resources:
            return True
        _, slash, subresource = resource.partition("/")
        return bool(slash) and f"*/{subresource}" in self.resources


def _url_matches(pattern: str, path: str) -> bool:
    return pattern in (EVERYTHING, path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def uncovered(owned: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The parts of `wanted` that no rule of `owned` grants, each broken down to one verb on one thing."""
    owners = [CompiledRule.of(rule) for rule in owned]
    return [part for rule in wanted for part in _break_down(rule) if not any(_covers(o, part) for o in owners)]


def _break_down(rule: PolicyRule) -> list[PolicyRule]:
    verbs = rule.get("verbs") or []
    parts: list[PolicyRule] = []
    for group, resource, verb in product(rule.get("apiGroups") or [], rule.get("resources") or [], verbs):
        names = rule.get("resourceNames") or []
        part = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
        parts += [part | {"resourceNames": [name]} for name in names] if names else [part]
    parts += [{"nonResourceURLs": [u], "verbs": [v]} for u, v in product(rule.get("nonResourceURLs") or [], verbs)]
    return parts


def _covers(owner: CompiledRule, part: PolicyRule) -> bool:
    verb = part["verbs"][0]
    if EVERYTHING not in owner.verbs and verb not in owner.verbs:
        return False
    if "nonResourceURLs" in part:
        url = part["nonResourceURLs"][0]
        return any(o in (EVERYTHING, url) or (o.endswith("*") and url.startswith(o[:-1])) for o in owner.urls)
    group, resource = part["apiGroups"][0], part["resources"][0]
    if EVERYTHING not in owner.groups and group not in owner.groups:
        return False
    if not owner.resources & {EVERYTHING, resource}:
        _, slash, subresource = resource.partition("/")
        if not slash or f"*/{subresource}" not in owner.resources:
            return False
    if not owner.names:
        return True
    names = part.get("resourceNames") or []
    return bool(names) and names[0] in owner.names


def compact(parts: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Rules about the same things with their verbs put together, sorted by their text."""
    merged: dict[str, PolicyRule] = {}
    for part in parts:
        key = json.dumps({k: v for k, v in part.items() if k != "verbs"}, sort_keys=True)
        whole = merged.setdefault(key, {**part, "verbs": []})
        whole["verbs"] += [v for v in part["verbs"] if v not in whole["verbs"]]
    return sorted(merged.values(), key=describe)


def describe(rule: PolicyRule) -> str:
    """`{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`, as Kubernetes prints a rule in refusals."""
    fields = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("ResourceNames", "resourceNames"),
        ("Verbs", "verbs"),
    )
    return "{" + ", ".join(f"{label}:{quoted_list(rule[key])}" for label, key in fields if rule.get(key)) + "}"


def quoted_list(values: Iterable[str]) -> str:
    """A list of strings as Go prints it with %q: `["a" "b"]`."""
    return "[" + " ".join(json.dumps(v, ensure_ascii=False) for v in values) + "]"
