"""Admission policies and their bindings, validating and mutating: defaults, checks, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.admissionregistration.match_rules import (
    FAILURE_POLICIES,
    default_match,
    validate_match_conditions,
    validate_match_resources,
    validate_param_kind,
    validate_param_ref,
)
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, UNSET, age, number, text

SPEC = Path("spec")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
MAX_AUDITS = 20
ACTIONS = ("Audit", "Deny", "Warn")


def default_policy(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    default_match(spec.get("matchConstraints"))


def default_mutating_policy(policy: Object) -> None:
    default_policy(policy)
    policy["spec"].setdefault("reinvocationPolicy", "Never")


def default_binding(binding: Object) -> None:
    default_match(binding.setdefault("spec", {}).get("matchResources"))


def _validate_shared(spec: Object, errors: FieldErrors) -> None:
    errors.enum(SPEC.child("failurePolicy"), spec.get("failurePolicy"), FAILURE_POLICIES)
    if spec.get("paramKind") is not None:
        validate_param_kind(spec["paramKind"], SPEC.child("paramKind"), errors)
    constraints, at = spec.get("matchConstraints"), SPEC.child("matchConstraints")
    if constraints is None:
        errors.required(at)
    else:
        validate_match_resources(constraints, at, errors)
        if not constraints.get("resourceRules"):
            errors.required(at.child("resourceRules"))
    conditions, has_params = spec.get("matchConditions") or [], spec.get("paramKind") is not None
    validate_match_conditions(conditions, SPEC.child("matchConditions"), errors, has_params=has_params)
    names: set[str] = set()
    for index, variable in enumerate(spec.get("variables") or ()):
        where = SPEC.child("variables").index(index)
        name = variable.get("name", "")
        if not name:
            errors.required(where.child("name"), "name is not specified")
        else:
            if meta.c_identifier(name):
                errors.invalid(where.child("name"), name, "name is not a valid CEL identifier")
            if name in names:
                errors.duplicate(where.child("name"), name)
            names.add(name)
        if not (variable.get("expression") or "").strip():
            errors.required(where.child("expression"), "expression is not specified")


def validate_policy(policy: Object, errors: FieldErrors) -> None:
    from minikube_py.resources.admissionregistration.policy_expressions import check_validations  # noqa: PLC0415  heavy

    spec = policy.get("spec") or {}
    _validate_shared(spec, errors)
    check_validations(spec, SPEC, errors)
    validations, audits = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not audits:
        errors.required(SPEC.child("validations"), "validations or auditAnnotations must contain at least one item")
    for index, validation in enumerate(validations):
        at = SPEC.child("validations").index(index)
        if not (validation.get("expression") or "").strip():
            errors.required(at.child("expression"), "expression is not specified")
        message = validation.get("message") or ""
        if "\n" in message.strip():
            errors.invalid(at.child("message"), message, "message must not contain line breaks")
        errors.optional_enum(at.child("reason"), validation.get("reason"), REASONS)
    if len(audits) > MAX_AUDITS:
        why = f"must not have more than {MAX_AUDITS} auditAnnotations"
        errors.invalid(SPEC.child("auditAnnotations"), f"{len(audits)} auditAnnotations", why)
    keys: set[str] = set()
    for index, audit in enumerate(audits):
        at = SPEC.child("auditAnnotations").index(index)
        key = audit.get("key", "")
        if key in keys:
            errors.duplicate(at.child("key"), key)
        keys.add(key)
        errors.invalid_each(at.child("key"), key, meta.qualified_name(f"{meta.name(policy)}/{key}"))
        if not (audit.get("valueExpression") or "").strip():
            errors.required(at.child("valueExpression"), "valueExpression is not specified")


def validate_mutating_policy(policy: Object, errors: FieldErrors) -> None:
    from minikube_py.resources.admissionregistration.policy_expressions import check_mutations  # noqa: PLC0415  heavy

    spec = policy.get("spec") or {}
    _validate_shared(spec, errors)
    check_mutations(spec, SPEC, errors)
    mutations = spec.get("mutations") or []
    if not mutations:
        errors.required(SPEC.child("mutations"), "mutations must contain at least one item")
    for index, mutation in enumerate(mutations):
        at = SPEC.child("mutations").index(index)
        type_ = mutation.get("patchType", "")
        errors.enum(at.child("patchType"), type_, ("ApplyConfiguration", "JSONPatch"))
        key = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}.get(type_)
        if key and not ((mutation.get(key) or {}).get("expression") or "").strip():
            errors.required(at.child(key, "expression"), "expression is not specified")
    policy_ = spec.get("reinvocationPolicy")
    errors.enum(SPEC.child("reinvocationPolicy"), policy_, ("IfNeeded", "Never"))


def _validate_binding(binding: Object, errors: FieldErrors) -> Object:
    spec: Object = binding.get("spec") or {}
    name = spec.get("policyName", "")
    if not name:
        errors.required(SPEC.child("policyName"))
    else:
        errors.invalid_each(SPEC.child("policyName"), name, meta.dns1123_subdomain(name))
    if spec.get("paramRef") is not None:
        validate_param_ref(spec["paramRef"], SPEC.child("paramRef"), errors)
    if spec.get("matchResources") is not None:
        validate_match_resources(spec["matchResources"], SPEC.child("matchResources"), errors)
    return spec


def validate_binding(binding: Object, errors: FieldErrors) -> None:
    spec = _validate_binding(binding, errors)
    actions, at = spec.get("validationActions") or [], SPEC.child("validationActions")
    if not actions:
        errors.required(at, "at least one validation action is required")
    for index, action in enumerate(actions):
        if action not in ACTIONS:
            errors.not_supported(at.index(index), action, ACTIONS)
        if action in actions[:index]:
            errors.duplicate(at.index(index), action)
    if {"Deny", "Warn"} <= set(actions):
        why = "must not contain both Deny and Warn (repeating the same validation failure information in the API"
        errors.invalid(at, actions, f"{why} response and headers serves no purpose)")


def validate_mutating_binding(binding: Object, errors: FieldErrors) -> None:
    _validate_binding(binding, errors)


def validate_policy_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_policy(new, errors)


def validate_mutating_policy_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_mutating_policy(new, errors)


def validate_binding_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_binding(new, errors)


def validate_mutating_binding_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_mutating_binding(new, errors)


def _param_kind(spec: Object) -> str:
    kind = spec.get("paramKind")
    return UNSET if kind is None else f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}"


def policy_row(policy: Object) -> list[Any]:
    spec = policy.get("spec") or {}
    return [meta.name(policy), len(spec.get("validations") or ()), _param_kind(spec), age(policy)]


def mutating_policy_row(policy: Object) -> list[Any]:
    spec = policy.get("spec") or {}
    return [meta.name(policy), len(spec.get("mutations") or ()), _param_kind(spec), age(policy)]


def binding_row(binding: Object) -> list[Any]:
    spec = binding.get("spec") or {}
    ref = spec.get("paramRef")
    shown = UNSET
    if ref is not None:
        shown = f"{ref['namespace']}/{ref.get('name', '')}" if ref.get("namespace") else f"*/{ref.get('name', '')}"
    return [meta.name(binding), spec.get("policyName", ""), shown, age(binding)]


_PARAM_KIND = text("ParamKind", "The kind of the policy's parameters.")
BINDING_COLUMNS = (
    NAME,
    text("PolicyName", "The policy that is bound."),
    text("ParamRef", "The parameters that are used."),
    AGE,
)
POLICY_RULES = KindRules(
    default=default_policy,
    validate=validate_policy,
    validate_update=validate_policy_update,
    columns=(NAME, number("Validations", "The number of validations."), _PARAM_KIND, AGE),
    row=policy_row,
    has_generation=True,
    allows_unconditional_update=False,
    status_changes_metadata=False,
)
MUTATING_POLICY_RULES = KindRules(
    default=default_mutating_policy,
    validate=validate_mutating_policy,
    validate_update=validate_mutating_policy_update,
    columns=(NAME, number("Mutations", "The number of mutations."), _PARAM_KIND, AGE),
    row=mutating_policy_row,
    has_generation=True,
    allows_unconditional_update=False,
)
BINDING_RULES = KindRules(
    default=default_binding,
    validate=validate_binding,
    validate_update=validate_binding_update,
    columns=BINDING_COLUMNS,
    row=binding_row,
    has_generation=True,
    allows_unconditional_update=False,
)
MUTATING_BINDING_RULES = KindRules(
    default=default_binding,
    validate=validate_mutating_binding,
    validate_update=validate_mutating_binding_update,
    columns=BINDING_COLUMNS,
    row=binding_row,
    has_generation=True,
    allows_unconditional_update=False,
)
