"""Checks what admission webhooks and policies share: rules, selectors, match conditions, parameters.

Source: kubernetes pkg/apis/admissionregistration/validation.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import validate_label_selector

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
SCOPES = ("*", "Cluster", "Namespaced")
MAX_CONDITIONS = 64


def default_rules(rules: list[Object] | None) -> None:
    for rule in rules or ():
        rule.setdefault("scope", "*")


def default_match(constraints: Object | None) -> None:
    """Defaults of MatchResources."""
    if constraints is None:
        return
    constraints.setdefault("matchPolicy", "Equivalent")
    constraints.setdefault("namespaceSelector", {})
    constraints.setdefault("objectSelector", {})
    default_rules(constraints.get("resourceRules"))
    default_rules(constraints.get("excludeResourceRules"))


def _validate_wildcard(values: list[Any], what: str, path: Path, errors: FieldErrors) -> None:
    if not values:
        errors.required(path)
    elif len(values) > 1 and "*" in values:
        errors.invalid(path, values, f"if '*' is present, must not specify other {what}")
    for index, value in enumerate(values):
        if value == "":
            errors.required(path.index(index))


def validate_rule(rule: Object, path: Path, errors: FieldErrors, *, subresources: bool = True) -> None:
    """A RuleWithOperations."""
    operations = rule.get("operations") or []
    if not operations:
        errors.required(path.child("operations"))
    elif len(operations) > 1 and "*" in operations:
        why = "if '*' is present, must not specify other operations"
        errors.invalid(path.child("operations"), operations, why)
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            errors.not_supported(path.child("operations").index(index), operation, OPERATIONS)
    groups, versions = rule.get("apiGroups") or [], rule.get("apiVersions") or []
    if not groups:
        errors.required(path.child("apiGroups"))
    elif len(groups) > 1 and "*" in groups:
        why = "if '*' is present, must not specify other API groups"
        errors.invalid(path.child("apiGroups"), groups, why)
    _validate_wildcard(versions, "API versions", path.child("apiVersions"), errors)
    _validate_resources(rule.get("resources") or [], path.child("resources"), errors, subresources=subresources)
    scope = rule.get("scope")
    errors.optional_enum(path.child("scope"), scope, SCOPES)


def _validate_resources(resources: list[str], path: Path, errors: FieldErrors, *, subresources: bool) -> None:
    if not resources:
        errors.required(path)
    with_wildcard_sub: set[str] = set()
    with_wildcard_main: set[str] = set()
    for index, text in enumerate(resources):
        main, slash, sub = text.partition("/")
        at = path.index(index)
        if not text:
            errors.required(at)
        if text == "*/*" and len(resources) > 1:
            errors.invalid(path, resources, "if '*/*' is present, must not specify other resources")
        if sub == "*":
            with_wildcard_sub.add(main)
        elif main in with_wildcard_sub and slash:
            errors.invalid(at, text, f"if '{main}/*' is present, must not specify {text}")
        if main == "*" and slash:
            with_wildcard_main.add(sub)
        elif sub in with_wildcard_main and slash:
            errors.invalid(at, text, f"if '*/{sub}' is present, must not specify {text}")
        if slash and not subresources:
            errors.invalid(at, text, "must not specify subresources")
    if "*" in resources and any("/" not in r and r != "*" for r in resources):
        why = "if '*' is present, must not specify other resources without subresources"
        errors.invalid(path, resources, why)


def validate_match_conditions(
    conditions: list[Object], path: Path, errors: FieldErrors, *, has_params: bool = False
) -> None:
    if conditions:
        from minikube_py.resources.admissionregistration.expressions import check_conditions  # noqa: PLC0415  heavy

        check_conditions(conditions[:MAX_CONDITIONS], path, errors, has_params=has_params)
    if len(conditions) > MAX_CONDITIONS:
        errors.too_many(path, len(conditions), MAX_CONDITIONS)
    names: set[str] = set()
    for index, condition in enumerate(conditions):
        at = path.index(index)
        if not (condition.get("expression") or "").strip():
            errors.required(at.child("expression"))
        name = condition.get("name", "")
        if not name:
            errors.required(at.child("name"))
            continue
        errors.invalid_each(at.child("name"), name, meta.qualified_name(name))
        if name in names:
            errors.duplicate(at.child("name"), name)
        names.add(name)


def validate_match_resources(constraints: Object, path: Path, errors: FieldErrors) -> None:
    errors.enum(path.child("matchPolicy"), constraints.get("matchPolicy"), MATCH_POLICIES)
    for key in ("namespaceSelector", "objectSelector"):
        if constraints.get(key) is None:
            errors.required(path.child(key))
        else:
            validate_label_selector(constraints[key], path.child(key), errors)
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(constraints.get(key) or ()):
            at = path.child(key).index(index)
            validate_rule(rule, at, errors)
            for i, name in enumerate(rule.get("resourceNames") or ()):
                errors.invalid_each(at.child("resourceNames").index(i), name, meta.path_segment_name(name))


def validate_param_kind(kind: Object, path: Path, errors: FieldErrors) -> None:
    if not kind.get("apiVersion"):
        errors.required(path.child("apiVersion"))
    elif kind["apiVersion"].count("/") > 1:
        errors.invalid(
            path.child("apiVersion"), kind["apiVersion"], f"unexpected GroupVersion string: {kind['apiVersion']}"
        )
    if not kind.get("kind"):
        errors.required(path.child("kind"))
    else:
        name = kind["kind"]
        for message in meta.dns1035_label(name.lower()):
            errors.invalid(path.child("kind"), name, f"may have mixed case, but should otherwise match: {message}")


def validate_param_ref(ref: Object, path: Path, errors: FieldErrors) -> None:
    name, selector = ref.get("name", ""), ref.get("selector")
    if name:
        errors.invalid_each(path.child("name"), name, meta.path_segment_name(name))
        if selector is not None:
            errors.forbidden(path.child("name"), "name and selector are mutually exclusive")
    elif selector is None:
        errors.required(path, "one of name or selector must be specified")
    validate_label_selector(selector, path.child("selector"), errors)
    action = ref.get("parameterNotFoundAction")
    if action is None:
        errors.required(path.child("parameterNotFoundAction"))
    elif action not in ("Allow", "Deny"):
        errors.not_supported(path.child("parameterNotFoundAction"), action, ("Deny", "Allow"))
