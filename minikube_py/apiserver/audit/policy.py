"""Reads an audit policy and says for each request how much of it is logged.

Source: audit.k8s.io/v1 Policy; matching as in apiserver pkg/audit/policy, checks as in pkg/apis/audit/validation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from minikube_py.apiserver import yaml_codec
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import ApiError
from minikube_py.objects.meta import dns1123_subdomain

REQUEST_RECEIVED = "RequestReceived"
RESPONSE_STARTED = "ResponseStarted"
RESPONSE_COMPLETE = "ResponseComplete"
PANIC = "Panic"
STAGES = (REQUEST_RECEIVED, RESPONSE_STARTED, RESPONSE_COMPLETE, PANIC)
_GROUP = "audit.k8s.io"
_POLICY_FIELDS = frozenset(("apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"))
_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")
_RULE_FIELDS = frozenset((*_LISTS, "level", "resources", "omitManagedFields"))
_RESOURCE_FIELDS = frozenset(("group", "resources", "resourceNames"))


class Level(IntEnum):
    """How much is logged; each level includes those before it."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    def __str__(self) -> str:
        return _LEVEL_NAMES[self]


_LEVEL_NAMES = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
_LEVELS = {name: level for level, name in _LEVEL_NAMES.items()}


class PolicyError(ValueError):
    """A policy that can't be used; the text says what is wrong with which field."""


@dataclass(frozen=True)
class Verdict:
    """What is logged of one request."""

    level: Level
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False


@dataclass(frozen=True)
class ResourceRule:
    """Resources of one group: `pods`, `pods/log`, `pods/*`, `*/scale`, `*`; no names means all of them."""

    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]

    def matches(self, info: RequestInfo) -> bool:
        if self.group != info.group:
            return False
        if not self.resources:
            return True
        if self.names and info.name not in self.names:
            return False
        whole = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        wanted = {whole, "*", f"{info.resource}/*"}
        if info.subresource:
            wanted.add(f"*/{info.subresource}")
        return any(resource in wanted for resource in self.resources)


@dataclass(frozen=True)
class Rule:
    """One rule; an empty part restricts nothing."""

    verdict: Verdict
    users: frozenset[str]
    groups: frozenset[str]
    verbs: frozenset[str]
    namespaces: frozenset[str]
    resources: tuple[ResourceRule, ...]
    urls: tuple[str, ...]

    def matches(self, user: UserInfo, info: RequestInfo) -> bool:
        if self.users and user.name not in self.users:
            return False
        if self.groups and self.groups.isdisjoint(user.groups):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return self._matches_resource(info)
        if self.urls:
            return not info.is_resource and any(_matches_url(info.path, url) for url in self.urls)
        return True

    def _matches_resource(self, info: RequestInfo) -> bool:
        if not info.is_resource or (self.namespaces and info.namespace not in self.namespaces):
            return False
        return not self.resources or any(rule.matches(info) for rule in self.resources)


def _matches_url(path: str, pattern: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


@dataclass(frozen=True)
class AuditPolicy:
    """The first rule that matches decides; a request that none matches is not logged."""

    rules: tuple[Rule, ...]

    def judge(self, user: UserInfo, info: RequestInfo) -> Verdict:
        for rule in self.rules:
            if rule.matches(user, info):
                return rule.verdict
        return _NOTHING


_NOTHING = Verdict(Level.NONE)


# --- reading ---------------------------------------------------------------------------------------------------------


def load_policy(path: Path) -> AuditPolicy:
    """Raises PolicyError with one sentence for a file that can't be read or is no policy."""
    try:
        tree, duplicates = yaml_codec.load(path.read_bytes())
    except OSError as error:
        raise PolicyError(f"cannot read the audit policy {path}: {error.strerror or error}") from None
    except ApiError as error:
        raise PolicyError(f"the audit policy {path} is not YAML: {error.message}") from None
    try:
        if duplicates:
            raise PolicyError(f"duplicate field {duplicates[0]}")
        return parse_policy(tree)
    except PolicyError as error:
        raise PolicyError(f"the audit policy {path} can't be used: {error}") from None


def parse_policy(tree: Any) -> AuditPolicy:
    """A decoded Policy. Raises PolicyError."""
    if not isinstance(tree, dict):
        raise PolicyError("it is not an object")
    if tree.get("kind") != "Policy" or tree.get("apiVersion") != f"{_GROUP}/v1":
        found = f"{tree.get('apiVersion', '')}, {tree.get('kind', '')}"
        raise PolicyError(f"it must be of kind Policy and apiVersion {_GROUP}/v1, not {found}")
    _check_fields(tree, _POLICY_FIELDS, "")
    rules = _objects(tree.get("rules"), "rules")
    if not rules:
        raise PolicyError("rules: Required value: a policy without rules logs nothing")
    omitted = _stages(tree, "omitStages")
    drops_managed_fields = _boolean(tree.get("omitManagedFields"), "omitManagedFields") or False
    defaults = Verdict(Level.NONE, frozenset(omitted), drops_managed_fields)
    return AuditPolicy(tuple(_rule(rule, f"rules[{index}]", defaults) for index, rule in enumerate(rules)))


def _rule(rule: Mapping[str, Any], path: str, defaults: Verdict) -> Rule:
    _check_fields(rule, _RULE_FIELDS, path)
    lists = {name: _strings(rule.get(name), f"{path}.{name}") for name in _LISTS}
    resources = tuple(_resources(rule.get("resources"), f"{path}.resources"))
    urls = lists["nonResourceURLs"]
    _check_urls(urls, f"{path}.nonResourceURLs")
    if urls and (resources or lists["namespaces"]):
        raise PolicyError(f"{path}.nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs")
    own = _boolean(rule.get("omitManagedFields"), f"{path}.omitManagedFields")
    verdict = Verdict(
        _level(rule.get("level"), f"{path}.level"),
        defaults.omit_stages | set(_stages(rule, f"{path}.omitStages")),
        defaults.omit_managed_fields if own is None else own,
    )
    return Rule(
        verdict,
        users=frozenset(lists["users"]),
        groups=frozenset(lists["userGroups"]),
        verbs=frozenset(lists["verbs"]),
        namespaces=frozenset(lists["namespaces"]),
        resources=resources,
        urls=urls,
    )


def _level(value: Any, path: str) -> Level:
    if value in (None, ""):
        raise PolicyError(f"{path}: Required value")
    if not isinstance(value, str) or value not in _LEVELS:
        raise PolicyError(f'{path}: Unsupported value: "{value}": supported values: {_quoted(_LEVELS)}')
    return _LEVELS[value]


def _stages(tree: Mapping[str, Any], path: str) -> tuple[str, ...]:
    stages = _strings(tree.get("omitStages"), path)
    for index, stage in enumerate(stages):
        if stage not in STAGES:
            raise PolicyError(f'{path}[{index}]: Invalid value: "{stage}": allowed stages are {",".join(STAGES)}')
    return stages


def _resources(value: Any, path: str) -> Iterator[ResourceRule]:
    for index, item in enumerate(_objects(value, path)):
        place = f"{path}[{index}]"
        _check_fields(item, _RESOURCE_FIELDS, place)
        group = item.get("group") or ""
        if not isinstance(group, str) or (group and dns1123_subdomain(group)):
            raise PolicyError(f'{place}.group: Invalid value: "{group}": must be a group name without a version')
        resources = _strings(item.get("resources"), f"{place}.resources")
        names = _strings(item.get("resourceNames"), f"{place}.resourceNames")
        if names and not resources:
            raise PolicyError(f"{place}.resourceNames: using resourceNames requires at least one resource")
        yield ResourceRule(group, resources, names)


def _check_urls(urls: Sequence[str], path: str) -> None:
    for index, url in enumerate(urls):
        if url == "*":
            continue
        if not url.startswith("/"):
            raise PolicyError(f"{path}[{index}]: non-resource URL rules must begin with a '/' character")
        if "*" in url[:-1]:
            raise PolicyError(
                f"{path}[{index}]: non-resource URL wildcards '*' must be the final character of the rule"
            )


def _check_fields(tree: Mapping[str, Any], known: frozenset[str], path: str) -> None:
    for name in tree:
        if name not in known:
            raise PolicyError(f'unknown field "{path}.{name}"' if path else f'unknown field "{name}"')


def _objects(value: Any, path: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise PolicyError(f"{path}: must be a list of objects")
    return value


def _strings(value: Any, path: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise PolicyError(f"{path}: must be a list of strings")
    return tuple(value)


def _boolean(value: Any, path: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise PolicyError(f"{path}: must be true or false")
    return value


def _quoted(names: Mapping[str, Any]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(names))
