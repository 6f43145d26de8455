"""Compiles the expressions of admission policies: when they are written, to refuse what can't be, and to run them.

Source: apiserver pkg/admission/plugin/policy/{validating,mutating}/plugin.go; the limits of
pkg/apis/admissionregistration/validation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from minikube_py.objects.cel.values import CelType
from minikube_py.objects.errors import Object
from minikube_py.resources.admissionregistration.expressions import (
    BOOL,
    NULL,
    OBJECT,
    PATCHES,
    STRING,
    Compiled,
    Scope,
    compile_condition,
    compile_in,
    compile_variables,
    environment,
    report,
)
from minikube_py.resources.fields import FieldErrors, Path

_MUTATIONS = {"ApplyConfiguration": ("applyConfiguration", OBJECT), "JSONPatch": ("jsonPatch", PATCHES)}


@dataclass(frozen=True)
class Validation:
    """One entry of spec.validations."""

    raw: Object
    expression: Compiled
    message: Compiled | None


@dataclass(frozen=True)
class Mutation:
    """One entry of spec.mutations. patch_type is ApplyConfiguration or JSONPatch."""

    patch_type: str
    expression: Compiled


@dataclass(frozen=True)
class PolicyExpressions:
    """Everything of a policy that is CEL. audits are (key, expression)."""

    conditions: tuple[tuple[str, Compiled], ...]
    variables: Mapping[str, Compiled]
    validations: tuple[Validation, ...] = ()
    audits: tuple[tuple[str, Compiled], ...] = ()
    mutations: tuple[Mutation, ...] = ()


def compile_policy(spec: Object) -> PolicyExpressions:
    """Compiles a stored policy; what does not compile fails when it is run."""
    has_params, is_mutating = spec.get("paramKind") is not None, "mutations" in spec
    scope = Scope(has_params, is_mutating=is_mutating)
    conditions = tuple(
        (c.get("name") or "", compile_condition(c.get("expression") or "", has_params))
        for c in spec.get("matchConditions") or ()
    )
    variables, types = compile_variables(spec.get("variables") or (), scope)
    if is_mutating:
        mutations = tuple(_mutation(raw, scope, types) for raw in spec.get("mutations") or ())
        return PolicyExpressions(conditions, variables, mutations=mutations)
    return PolicyExpressions(
        conditions,
        variables,
        tuple(_validation(raw, scope, types) for raw in spec.get("validations") or ()),
        tuple((raw.get("key") or "", _audit(raw, scope, types)) for raw in spec.get("auditAnnotations") or ()),
    )


def _validation(raw: Object, scope: Scope, types: Mapping[str, CelType]) -> Validation:
    expression = compile_in(environment(scope, types), (raw.get("expression") or "").strip(), (BOOL,))
    text = (raw.get("messageExpression") or "").strip()
    if not text:
        return Validation(raw, expression, None)
    return Validation(raw, expression, compile_in(environment(_without_authorizer(scope), types), text, (STRING,)))


def _audit(raw: Object, scope: Scope, types: Mapping[str, CelType]) -> Compiled:
    return compile_in(environment(scope, types), (raw.get("valueExpression") or "").strip(), (STRING, NULL))


def _mutation(raw: Object, scope: Scope, types: Mapping[str, CelType]) -> Mutation:
    patch_type = raw.get("patchType") or ""
    key, wanted = _MUTATIONS.get(patch_type, ("", OBJECT))
    text = ((raw.get(key) or {}).get("expression") or "").strip()
    return Mutation(patch_type, compile_in(environment(scope, types), text, (wanted,)))


def _without_authorizer(scope: Scope) -> Scope:
    return Scope(scope.has_params, has_authorizer=False, is_mutating=scope.is_mutating)


# --- checks when a policy is written ---------------------------------------------------------------------------------


def _check_variables(spec: Object, scope: Scope, path: Path, errors: FieldErrors) -> Mapping[str, CelType]:
    variables = spec.get("variables") or ()
    compiled, types = compile_variables(variables, scope)
    for index, variable in enumerate(variables):
        if (variable.get("expression") or "").strip():
            found = compiled[variable.get("name") or ""]
            report(found, path.child("variables").index(index).child("expression"), errors)
    return types


def check_validations(spec: Object, path: Path, errors: FieldErrors) -> None:
    """The expressions of a ValidatingAdmissionPolicy. Match conditions are checked where all their fields are."""
    scope = Scope(spec.get("paramKind") is not None)
    types = _check_variables(spec, scope, path, errors)
    for index, raw in enumerate(spec.get("validations") or ()):
        at, found = path.child("validations").index(index), _validation(raw, scope, types)
        if found.expression.text:
            report(found.expression, at.child("expression"), errors)
        if found.message is not None:
            report(found.message, at.child("messageExpression"), errors)
    for index, raw in enumerate(spec.get("auditAnnotations") or ()):
        if (raw.get("valueExpression") or "").strip():
            at = path.child("auditAnnotations").index(index).child("valueExpression")
            report(_audit(raw, scope, types), at, errors, raw["valueExpression"])


def check_mutations(spec: Object, path: Path, errors: FieldErrors) -> None:
    """The expressions of a MutatingAdmissionPolicy."""
    scope = Scope(spec.get("paramKind") is not None, is_mutating=True)
    types = _check_variables(spec, scope, path, errors)
    for index, raw in enumerate(spec.get("mutations") or ()):
        found = _mutation(raw, scope, types)
        if found.expression.text:
            key = _MUTATIONS[found.patch_type][0]
            report(found.expression, path.child("mutations").index(index).child(key, "expression"), errors)
