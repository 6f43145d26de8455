"""Keeps the admission policies and their bindings ready: read where they are stored, compiled once a generation.

Source: apiserver pkg/admission/plugin/policy/generic/{policy_source,policy_dispatcher}.go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from minikube_py.apiserver.admission.equivalents import Equivalents
from minikube_py.apiserver.admission.matching import GROUP, Constraints, Shape
from minikube_py.apiserver.admission.protocol import AdmissionRequest, ObjectReader
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import LabelSelector
from minikube_py.resources.admissionregistration.policy_expressions import PolicyExpressions, compile_policy
from minikube_py.resources.kind import GVK, GVR, ResourceKind

_SHAPES_KEPT = 1024


class ConfigurationError(Exception):
    """A policy or binding that can't be used as it is; the policy's failurePolicy says what then."""


@dataclass(frozen=True)
class Binding:
    """A binding; constraints None: it does not limit its policy further."""

    raw: Object
    constraints: Constraints | None

    @classmethod
    def of(cls, raw: Object) -> "Binding":
        resources = (raw.get("spec") or {}).get("matchResources")
        constraints = None if resources is None else Constraints(resources, excluded="excludeResourceRules")
        return cls(raw, constraints)

    @property
    def name(self) -> str:
        name: str = self.raw["metadata"]["name"]
        return name

    @property
    def spec(self) -> Object:
        return self.raw.get("spec") or {}


@dataclass(frozen=True)
class Policy:
    """A policy, whose expressions are compiled when it first matches a request."""

    raw: Object
    constraints: Constraints

    @classmethod
    def of(cls, raw: Object) -> "Policy":
        constraints = (raw.get("spec") or {}).get("matchConstraints") or {}
        return cls(raw, Constraints(constraints, excluded="excludeResourceRules"))

    @cached_property
    def expressions(self) -> PolicyExpressions:
        return compile_policy(self.spec)

    @property
    def name(self) -> str:
        name: str = self.raw["metadata"]["name"]
        return name

    @property
    def spec(self) -> Object:
        return self.raw.get("spec") or {}

    @property
    def fails_closed(self) -> bool:
        return bool(self.spec.get("failurePolicy", "Fail") != "Ignore")

    @property
    def param_kind(self) -> GVK | None:
        kind = self.spec.get("paramKind")
        if kind is None:
            return None
        group, _, version = (kind.get("apiVersion") or "").rpartition("/")
        return GVK(group, version, kind.get("kind") or "")


@dataclass(frozen=True)
class Hook:
    policy: Policy
    bindings: tuple[Binding, ...]


class PolicyHooks:
    """The policies of one plugin that have bindings, by name. Which of them concern a kind of request is remembered."""

    def __init__(self, reader: ObjectReader, policies: GVR, bindings: str, places: Equivalents) -> None:
        self._reader = reader
        self._policies = policies
        self._bindings = GVR(GROUP, "v1", bindings)
        self._places = places
        self._at = (-1, -1)
        self._hooks: Sequence[Hook] = ()
        self._relevant: dict[Shape, Sequence[Hook]] = {}

    def relevant(self, request: AdmissionRequest) -> Sequence[Hook]:
        """The hooks whose rules can match a request, as policies and bindings are stored now."""
        reader = self._reader
        at = (reader.changed_at(self._policies), reader.changed_at(self._bindings))
        if at != self._at:
            self._rebuild(reader.list(self._policies), reader.list(self._bindings))
            self._at = at
        if not self._hooks:
            return ()
        shape = Shape.of(request, self._places)
        found = self._relevant.get(shape)
        if found is None:
            if len(self._relevant) >= _SHAPES_KEPT:
                self._relevant.clear()
            found = tuple(h for h in self._hooks if h.policy.constraints.may_match(request, self._places))
            self._relevant[shape] = found
        return found

    def _rebuild(self, policies: list[Object], bindings: list[Object]) -> None:
        kept = {_generation(hook.policy.raw): hook.policy for hook in self._hooks}
        by_policy: dict[str, list[Binding]] = {}
        for raw in bindings:
            by_policy.setdefault((raw.get("spec") or {}).get("policyName") or "", []).append(Binding.of(raw))
        self._hooks = tuple(
            Hook(kept.get(_generation(raw)) or Policy.of(raw), tuple(by_policy[raw["metadata"]["name"]]))
            for raw in policies
            if raw["metadata"]["name"] in by_policy
        )
        self._relevant.clear()


def _generation(raw: Object) -> tuple[str, int]:
    metadata = raw["metadata"]
    return metadata.get("uid") or metadata["name"], metadata.get("generation") or 0


# --- parameters ------------------------------------------------------------------------------------------------------


def find_param_kind(policy: Policy, places: Equivalents) -> ResourceKind | None:
    """The kind of the policy's parameters, None when it has none. Raises ConfigurationError for one not served."""
    wanted = policy.param_kind
    if wanted is None:
        return None
    kind = places.find_kind(wanted)
    if kind is None:
        raise ConfigurationError(
            f"failed to find resource referenced by paramKind: '{wanted.api_version}, Kind={wanted.kind}'"
        )
    return kind


def collect_params(
    kind: ResourceKind | None, ref: Object | None, request: AdmissionRequest, reader: ObjectReader
) -> list[Object | None]:
    """The parameters to evaluate a policy with, one after the other. Raises ConfigurationError."""
    if kind is None or ref is None:
        return [None]
    namespace = ref.get("namespace") or ""
    if kind.namespaced:
        namespace = namespace or request.info.namespace
        if not namespace:
            raise ConfigurationError(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    elif namespace:
        raise ConfigurationError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    found: list[Object | None] = []
    if ref.get("name"):
        param = reader.get(kind.gvr, ref["name"], namespace)
        found = [] if param is None else [param]
    else:
        selector = LabelSelector.from_dict(ref.get("selector") or {})
        every = reader.list(kind.gvr, namespace)
        found = [param for param in every if selector.matches((param["metadata"].get("labels")) or {})]
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise ConfigurationError("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found
