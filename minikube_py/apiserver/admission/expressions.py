"""Evaluates the expressions of policies and match conditions over a request, within their budgets.

Evaluating is a plain function. What would take long is begun anew in a thread, so that no expression holds the loop.
Source: apiserver pkg/admission/plugin/cel/{activation,condition}.go.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from minikube_py.apiserver.admission.context import NAMESPACES
from minikube_py.apiserver.admission.equivalents import Equivalents
from minikube_py.apiserver.admission.matching import Match, kind_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest, ObjectReader
from minikube_py.apiserver.authz.protocol import Authorizer, Verdict
from minikube_py.apiserver.long_work import run_large
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.cel.engine import PER_CALL_LIMIT
from minikube_py.objects.cel.library.authorization import Access, AuthorizerValue, ResourceCheck
from minikube_py.objects.cel.values import CelError, CostExceeded, EvaluationError, LazyMap
from minikube_py.objects.errors import Object
from minikube_py.resources.admissionregistration.expressions import Compiled
from minikube_py.resources.kind import GVK, GVR

T = TypeVar("T")
BUDGET, CONDITIONS_BUDGET = 10_000_000, 2_500_000
"""What the expressions of one policy, and the match conditions of one policy or webhook, may cost together."""
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
_ON_THE_LOOP = 2_000
"""Less than a millisecond."""


class _TooLongForTheLoop(Exception):
    """The evaluation has to be begun anew elsewhere."""


class OutOfBudget(CelError):
    def __init__(self) -> None:
        super().__init__(OUT_OF_BUDGET)


async def off_the_loop_when_long(decide: Callable[[int], T]) -> T:
    """decide(limit) with a small limit, and in a thread without one when that is not enough."""
    try:
        return decide(_ON_THE_LOOP)
    except _TooLongForTheLoop:
        return await run_large(decide, 0)


class Evaluation:
    """Expressions over the same variables: what they cost together is counted, composed variables are computed once.

    on_loop: how much all of it may cost before it has to move to a thread; 0 when it is in one.
    """

    def __init__(self, inputs: Mapping[str, Any], variables: Mapping[str, Compiled], on_loop: int) -> None:
        self._inputs: dict[str, Any] = dict(inputs)
        if variables:
            self._inputs["variables"] = _Variables(self, variables)
        self._on_loop = on_loop
        self._spent = 0
        self.left = BUDGET

    def run(self, compiled: Compiled) -> Any:
        """The value. Raises OutOfBudget, or CelError with the text that a decision shows."""
        if compiled.program is None:
            raise CelError(f"compilation error: {compiled.error}")
        try:
            return self.measured(compiled)
        except OutOfBudget:
            raise
        except CelError as error:
            raise CelError(f"expression '{compiled.text}' resulted in error: {error}") from None

    def measured(self, compiled: Compiled) -> Any:
        """The value, its cost taken from what is left."""
        assert compiled.program is not None
        limit = min(PER_CALL_LIMIT, self.left)
        is_short = self._on_loop and self._on_loop - self._spent < limit
        try:
            value, cost = compiled.program.measure(self._inputs, self._on_loop - self._spent if is_short else limit)
        except CostExceeded:
            if is_short:
                raise _TooLongForTheLoop from None
            if self.left < PER_CALL_LIMIT:
                raise OutOfBudget from None
            raise
        self._spent += cost
        self.left -= cost
        return value


class _Variables(LazyMap):
    """`variables`: each is computed when an expression first asks for it."""

    def __init__(self, evaluation: Evaluation, compiled: Mapping[str, Compiled]) -> None:
        self._evaluation = evaluation
        self._compiled = compiled
        self._values: dict[str, Any] = {}

    def names(self) -> frozenset[str]:
        return frozenset(self._compiled)

    def select(self, key: str) -> Any:
        if key not in self._values:
            self._values[key] = self._compute(key)
        value = self._values[key]
        if isinstance(value, CelError):
            raise value
        return value

    def _compute(self, key: str) -> Any:
        compiled = self._compiled.get(key)
        if compiled is None:
            return CelError(f"no such key: {key}")
        if compiled.program is None:
            return CelError(f'composited variable "{key}" fails to compile: {compiled.error}')
        try:
            return self._evaluation.measured(compiled)
        except OutOfBudget:
            raise
        except CelError as error:
            # What ended by its cost is absorbed by nothing, also as a part of something else.
            kind = CelError if isinstance(error, CostExceeded) else EvaluationError
            return kind(f'composited variable "{key}" fails to evaluate: {error}')


# --- what expressions see --------------------------------------------------------------------------------------------


class Inputs:
    """The variables of a request, made when the first policy matches it and again for each other version."""

    def __init__(self, request: AdmissionRequest, places: Equivalents, authorizer: Authorizer) -> None:
        self._request = request
        self._places = places
        self._authorizer = authorizer
        self._made: dict[Match, dict[str, Any]] = {}

    def forget(self) -> None:
        """The request's object has changed."""
        self._made.clear()

    async def of(self, match: Match) -> dict[str, Any]:
        """Raises InternalError where a conversion webhook fails."""
        found = self._made.get(match)
        if found is None:
            found = self._made[match] = await self._make(match)
        return found

    async def _make(self, match: Match) -> dict[str, Any]:
        request, places = self._request, self._places
        ask = _asker(self._authorizer, request.user)
        return {
            "object": await places.convert(request.obj, request.kind, match.kind),
            "oldObject": await places.convert(request.old, request.kind, match.kind),
            "request": request_value(request, match),
            "namespaceObject": namespace_value(request, places.reader),
            "authorizer": AuthorizerValue(ask),
            "authorizer.requestResource": ResourceCheck(ask, request_access(request, match.resource)),
        }


def request_value(request: AdmissionRequest, match: Match) -> Object:
    """`request`, as an AdmissionRequest without its objects."""
    info = request.info
    value: Object = {
        "kind": _kind(match.kind),
        "resource": _resource(match.resource),
        "requestKind": _kind(kind_of(request)),
        "requestResource": _resource(info.gvr),
        "operation": request.operation,
        "userInfo": request.user.to_dict(),
        "dryRun": request.dry_run,
        "options": request.options or None,
    }
    optional = (
        ("subResource", info.subresource), ("requestSubResource", info.subresource), ("name", info.name),
        ("namespace", info.name if (info.group, info.resource) == ("", "namespaces") else info.namespace),
    )  # fmt: skip
    value.update((key, text) for key, text in optional if text)
    return value


def _kind(kind: GVK) -> Object:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _resource(resource: GVR) -> Object:
    return {"group": resource.group, "version": resource.version, "resource": resource.resource}


def namespace_value(request: AdmissionRequest, reader: ObjectReader) -> Object | None:
    """`namespaceObject`; null for cluster-scoped requests and for namespaces themselves."""
    info = request.info
    if not info.namespace or (info.group, info.resource) == ("", "namespaces"):
        return None
    namespace = reader.get(NAMESPACES, info.namespace)
    if namespace is None:
        return None
    metadata = {k: v for k, v in namespace["metadata"].items() if k not in ("managedFields", "ownerReferences")}
    return {**namespace, "metadata": metadata}


def request_access(request: AdmissionRequest, resource: GVR) -> Access:
    info = request.info
    return Access(
        group=resource.group, resource=resource.resource, subresource=info.subresource, namespace=info.namespace,
        name=info.name,
    )  # fmt: skip


def _asker(authorizer: Authorizer, user: UserInfo) -> Callable[[Access], tuple[bool, str]]:
    """Asks on the loop's thread, where authorizers live, also when the expression runs elsewhere."""
    home, loop = threading.get_ident(), asyncio.get_running_loop()

    def ask(access: Access) -> tuple[bool, str]:
        if threading.get_ident() == home:
            return _authorize(authorizer, user, access)

        async def there() -> tuple[bool, str]:
            return _authorize(authorizer, user, access)

        return asyncio.run_coroutine_threadsafe(there(), loop).result()

    return ask


def _authorize(authorizer: Authorizer, user: UserInfo, access: Access) -> tuple[bool, str]:
    if access.service_account:
        namespace, _, name = access.service_account.partition(":")
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        user = UserInfo(f"system:serviceaccount:{namespace}:{name}", groups=groups)
    if access.path:
        question = RequestInfo(path=access.path, verb=access.verb)
    else:
        question = RequestInfo(
            path="", verb=access.verb, is_resource=True, group=access.group, version="*", resource=access.resource,
            subresource=access.subresource, namespace=access.namespace, name=access.name,
            field_selector=access.field_selector, label_selector=access.label_selector,
        )  # fmt: skip
    decision = authorizer.authorize(user, question)
    return decision.verdict is Verdict.ALLOW, decision.reason
