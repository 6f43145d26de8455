"""Checks the expressions of ValidatingAdmissionPolicies against the types that they match; its warnings are status.

Source: pkg/controller/validatingadmissionpolicystatus; apiserver plugin/policy/validating/typechecking.go.
"""

from collections.abc import Iterator, Mapping, Sequence

from minikube_py.controllers.context import ControllerContext, KindSource
from minikube_py.controllers.workloads.writing import write_status
from minikube_py.objects.cel.values import CelType
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import generation
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.resources.cel_types import SchemaTypes
from minikube_py.resources.kind import GVK, GVR, ResourceKind

POLICIES = GVR("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
_MOST_TYPES = 10


class ValidatingAdmissionPolicyStatus:
    name = "validatingadmissionpolicy-status"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("validatingadmissionpolicy-status-controller")
        self._policies = context.informers.informer(POLICIES)
        self._kinds = context.kinds

    def sources(self) -> Sequence[Source]:
        return (Source(self._policies),)

    async def reconcile(self, key: Key) -> float | None:
        policy = self._policies.cache.get(*key)
        if policy is None or (policy.get("status") or {}).get("observedGeneration") == generation(policy):
            return None
        warnings = type_warnings(policy, self._kinds)
        checked: Object = {"expressionWarnings": warnings} if warnings else {}
        before = policy.get("status") or {}
        status = {**before, "observedGeneration": generation(policy), "typeChecking": checked}
        await write_status(self._client, self._policies, policy, status)
        return None


def type_warnings(policy: Object, kinds: KindSource) -> list[Object]:
    """status.typeChecking.expressionWarnings: one entry an expression, with a text for each kind it does not fit."""
    spec = policy.get("spec") or {}
    found = _matched_kinds(spec, kinds)
    if not found:
        return []
    params = _param_kind(spec, kinds)
    warnings = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for key in ("expression", "messageExpression"):
            texts = list(_check(validation.get(key) or "", spec, found, params)) if validation.get(key) else []
            if texts:
                warnings.append({"fieldRef": f"spec.validations[{index}].{key}", "warning": "\n".join(texts)})
    return warnings


def _check(text: str, spec: Object, kinds: Sequence[ResourceKind], params: ResourceKind | None) -> Iterator[str]:
    from minikube_py.resources.admissionregistration.expressions import (  # noqa: PLC0415  brings the evaluator
        Scope,
        base_types,
        compile_in,
        compile_variables,
        environment,
    )

    for kind in kinds:
        types = base_types()
        typed = {"object": _type_of(kind, types)}
        typed["oldObject"] = typed["object"]
        if params is not None:
            typed["params"] = _type_of(params, types)
        scope = Scope(has_params=params is not None)
        variables = compile_variables(spec.get("variables") or (), scope, schemas=types, typed=typed)[1]
        found = compile_in(environment(scope, variables, schemas=types, typed=typed), text)
        if found.error:
            why = found.error.removeprefix("compilation failed: ")
            yield f"{kind.group}/{kind.version}, Kind={kind.kind}: {why}\n"


def _type_of(kind: ResourceKind, types: SchemaTypes) -> CelType:
    if kind.custom_schema is not None:
        return types.custom(kind.custom_schema.raw, kind.kind)
    return types.definition(kind.schema)


def _param_kind(spec: Object, kinds: KindSource) -> ResourceKind | None:
    wanted: Mapping[str, str] = spec.get("paramKind") or {}
    group, _, version = (wanted.get("apiVersion") or "").rpartition("/")
    gvk = GVK(group, version, wanted.get("kind") or "")
    return next((kind for kind in kinds.all() if kind.gvk == gvk), None) if wanted else None


def _matched_kinds(spec: Object, kinds: KindSource) -> list[ResourceKind]:
    """The kinds that the rules name without wildcards, at most ten a rule."""
    by_resource = {kind.gvr: kind for kind in kinds.all()}
    found: dict[GVK, ResourceKind] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        if any("*" in text for text in (*groups, *versions)):
            continue
        resources = sorted(text for text in rule.get("resources") or () if "*" not in text and "/" not in text)
        named = (
            by_resource.get(GVR(group, version, resource))
            for group in sorted(groups)
            for version in sorted(versions)
            for resource in resources
        )
        for kind in [kind for kind in named if kind is not None][:_MOST_TYPES]:
            found[kind.gvk] = kind
    return [found[gvk] for gvk in sorted(found)]
