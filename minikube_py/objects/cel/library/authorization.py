"""The `authorizer` variable: builds a question about access step by step, and asks it.

Source: apiserver pkg/cel/library/authz.go. A check costs 350,000, so that an expression may ask twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from minikube_py.objects.cel.overloads import Overload, overload
from minikube_py.objects.cel.values import EvaluationError, Opaque
from minikube_py.objects.meta import dns1123_label, dns1123_subdomain

_NAMES = "kubernetes.authorization."
AUTHORIZER, RESOURCE_CHECK = f"{_NAMES}Authorizer", f"{_NAMES}ResourceCheck"
_KINDS = ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision")
_OWN = " ".join(f"{_NAMES}{kind}" for kind in _KINDS)


@dataclass(frozen=True)
class Access:
    """What is asked. path is set for non-resource questions; service_account "namespace:name" asks for another user."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: str = ""


Ask: TypeAlias = Callable[[Access], tuple[bool, str]]
"""(allowed, reason)."""


@dataclass(frozen=True, eq=False)
class Question(Opaque):
    """An access question on its way, and whom to ask."""

    ask: Ask
    access: Access = Access()

    def having(self, kind: "type[Question]", **parts: str) -> "Question":
        return kind(self.ask, replace(self.access, **parts))


class AuthorizerValue(Question):
    cel_type = AUTHORIZER


class PathCheck(Question):
    cel_type = f"{_NAMES}PathCheck"


class GroupCheck(Question):
    cel_type = f"{_NAMES}GroupCheck"


class ResourceCheck(Question):
    cel_type = RESOURCE_CHECK


@dataclass(frozen=True, eq=False)
class DecisionValue(Opaque):
    is_allowed: bool
    reason: str
    error: str = ""

    cel_type = f"{_NAMES}Decision"


def _path(authorizer: Question, path: str) -> Question:
    if not path:
        raise EvaluationError("path must not be empty")
    return authorizer.having(PathCheck, path=path)


def _service_account(authorizer: Question, namespace: str, name: str) -> Question:
    for problem in dns1123_subdomain(name):
        raise EvaluationError(f"Invalid service account name: {problem}")
    for problem in dns1123_label(namespace):
        raise EvaluationError(f"Invalid service account namespace: {problem}")
    return authorizer.having(AuthorizerValue, service_account=f"{namespace}:{name}")


def _check(question: Question, verb: str) -> DecisionValue:
    try:
        allowed, reason = question.ask(replace(question.access, verb=verb))
    except ValueError as error:
        return DecisionValue(False, "", str(error))
    return DecisionValue(allowed, reason)


def _refining(name: str, part: str) -> Overload:
    def refine(question: Question, value: str) -> Question:
        return question.having(ResourceCheck, **{part: value})

    return overload(f"{RESOURCE_CHECK}.{name}(string) -> {RESOURCE_CHECK}", refine, opaque=_OWN)


def _check_cost(_args: Any, _result: Any) -> int:
    return 350_000


OVERLOADS: tuple[Overload, ...] = (
    overload(f"{AUTHORIZER}.path(string) -> {_NAMES}PathCheck", _path, opaque=_OWN),
    overload(
        f"{AUTHORIZER}.group(string) -> {_NAMES}GroupCheck",
        lambda authorizer, group: authorizer.having(GroupCheck, group=group), opaque=_OWN,
    ),
    overload(f"{AUTHORIZER}.serviceAccount(string, string) -> {AUTHORIZER}", _service_account, opaque=_OWN),
    overload(
        f"{_NAMES}GroupCheck.resource(string) -> {RESOURCE_CHECK}",
        lambda group, resource: group.having(ResourceCheck, resource=resource), opaque=_OWN,
    ),
    _refining("subresource", "subresource"),
    _refining("namespace", "namespace"),
    _refining("name", "name"),
    _refining("fieldSelector", "field_selector"),
    _refining("labelSelector", "label_selector"),
    overload(f"{RESOURCE_CHECK}.check(string) -> {_NAMES}Decision", _check, _check_cost, opaque=_OWN),
    overload(f"{_NAMES}PathCheck.check(string) -> {_NAMES}Decision", _check, _check_cost, opaque=_OWN),
    overload(f"{_NAMES}Decision.allowed() -> bool", lambda decision: decision.is_allowed, opaque=_OWN),
    overload(f"{_NAMES}Decision.reason() -> string", lambda decision: decision.reason, opaque=_OWN),
    overload(f"{_NAMES}Decision.errored() -> bool", lambda decision: bool(decision.error), opaque=_OWN),
    overload(f"{_NAMES}Decision.error() -> string", lambda decision: decision.error, opaque=_OWN),
)  # fmt: skip
