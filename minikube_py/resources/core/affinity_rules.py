"""Checks where a pod may run: node and pod affinity, tolerations, topology spread."""

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import validate_label_name, validate_label_selector

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_SELECTOR_UNSET = "must not be specified when labelSelector is not set"
_IN_BOTH = "exists in both matchLabelKeys and labelSelector"


def validate_affinity(affinity: Object | None, path: Path, errors: FieldErrors) -> None:
    if not affinity:
        return
    node = affinity.get("nodeAffinity")
    if node is not None:
        at = path.child("nodeAffinity")
        if node.get(REQUIRED) is not None:
            validate_node_selector(node[REQUIRED], at.child(REQUIRED), errors)
        for index, term in enumerate(node.get(PREFERRED) or ()):
            where = at.child(PREFERRED).index(index)
            _validate_weight(term, where, errors)
            validate_node_selector_term(
                term.get("preference") or {}, where.child("preference"), errors, check_values=False
            )
    for key in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(key)
        if pods is None:
            continue
        at = path.child(key)
        for index, term in enumerate(pods.get(REQUIRED) or ()):
            _validate_pod_term(term, at.child(REQUIRED).index(index), errors)
        for index, term in enumerate(pods.get(PREFERRED) or ()):
            where = at.child(PREFERRED).index(index)
            _validate_weight(term, where, errors)
            _validate_pod_term(term.get("podAffinityTerm") or {}, where.child("podAffinityTerm"), errors)


def _validate_weight(term: Object, path: Path, errors: FieldErrors) -> None:
    weight = term.get("weight") or 0
    if not 1 <= weight <= 100:
        errors.invalid(path.child("weight"), weight, "must be in the range 1-100")


def validate_node_selector(selector: Object, path: Path, errors: FieldErrors) -> None:
    """A NodeSelector, which needs at least one term."""
    at = path.child("nodeSelectorTerms")
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        errors.required(at, "must have at least one node selector term")
    for index, term in enumerate(terms):
        validate_node_selector_term(term, at.index(index), errors)


def validate_node_selector_term(term: Object, path: Path, errors: FieldErrors, *, check_values: bool = True) -> None:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        at = path.child("matchExpressions").index(index)
        _validate_expression(requirement, at, errors, check_values=check_values)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        _validate_node_field(requirement, path.child("matchFields").index(index), errors)


def _validate_expression(requirement: Object, path: Path, errors: FieldErrors, *, check_values: bool) -> None:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    at = path.child("values")
    if operator in ("In", "NotIn"):
        if not values:
            errors.required(at, "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.forbidden(at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            errors.required(at, "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        errors.invalid(path.child("operator"), operator, "not a valid selector operator")
    validate_label_name(requirement.get("key", ""), path.child("key"), errors)
    if check_values:
        for index, value in enumerate(values):
            errors.invalid_each(at.index(index), value, meta.label_value(value))


def _validate_node_field(requirement: Object, path: Path, errors: FieldErrors) -> None:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    if operator not in ("In", "NotIn"):
        errors.invalid(path.child("operator"), operator, "not a valid selector operator")
    elif len(values) != 1:
        why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.required(path.child("values"), why)
    if requirement.get("key") != "metadata.name":
        errors.invalid(path.child("key"), requirement.get("key", ""), "not a valid field selector key")
        return
    for index, value in enumerate(values):
        errors.invalid_each(path.child("values").index(index), value, meta.dns1123_subdomain(value))


def _validate_pod_term(term: Object, path: Path, errors: FieldErrors) -> None:
    validate_label_selector(term.get("labelSelector"), path.child("labelSelector"), errors)
    validate_label_selector(term.get("namespaceSelector"), path.child("namespaceSelector"), errors)
    for name in term.get("namespaces") or ():
        errors.invalid_each(path.child("namespace"), name, meta.dns1123_label(name))
    _validate_label_keys(term, path, errors)
    key = term.get("topologyKey", "")
    if not key:
        errors.required(path.child("topologyKey"), "can not be empty")
    validate_label_name(key, path.child("topologyKey"), errors)


def _validate_label_keys(term: Object, path: Path, errors: FieldErrors) -> None:
    selector = term.get("labelSelector")
    for name in ("matchLabelKeys", "mismatchLabelKeys"):
        keys = term.get(name) or []
        if keys and selector is None:
            errors.forbidden(path.child(name), _SELECTOR_UNSET)
            continue
        for index, key in enumerate(keys):
            validate_label_name(key, path.child(name).index(index), errors)
    match = term.get("matchLabelKeys") or []
    if selector is not None:
        seen = set(selector.get("matchLabels") or ())
        for expression in selector.get("matchExpressions") or ():
            key = expression.get("key", "")
            if key in match and key in seen:
                errors.invalid(path.index(match.index(key)), key, _IN_BOTH)
            seen.add(key)
    for index, key in enumerate(match):
        if key in (term.get("mismatchLabelKeys") or ()):
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.invalid(path.child("matchLabelKeys").index(index), key, why)


def validate_tolerations(tolerations: list[Object], path: Path, errors: FieldErrors) -> None:
    for index, toleration in enumerate(tolerations):
        at = path.index(index)
        key, operator = toleration.get("key", ""), toleration.get("operator", "")
        value, effect = toleration.get("value", ""), toleration.get("effect", "")
        if key:
            validate_label_name(key, at.child("key"), errors)
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.invalid(at.child("operator"), operator, why)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            errors.invalid(at.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        if operator in ("", "Equal"):
            problems = meta.label_value(value)
            if problems:
                errors.invalid(at.child("operator"), value, ";".join(problems))
        elif operator == "Exists":
            if value:
                errors.invalid(at.child("operator"), value, "value must be empty when `operator` is 'Exists'")
        else:
            errors.not_supported(at.child("operator"), operator, ("Equal", "Exists"))
        if effect:
            errors.optional_enum(at.child("effect"), effect, TAINT_EFFECTS)


def validate_topology_spread(constraints: list[Object], path: Path, errors: FieldErrors) -> None:
    for index, constraint in enumerate(constraints):
        at = path.index(index)
        action, key = constraint.get("whenUnsatisfiable", ""), constraint.get("topologyKey", "")
        if (constraint.get("maxSkew") or 0) <= 0:
            errors.invalid(at.child("maxSkew"), constraint.get("maxSkew") or 0, "must be greater than zero")
        if not key:
            errors.required(at.child("topologyKey"), "can not be empty")
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            errors.not_supported(at.child("whenUnsatisfiable"), action, ("DoNotSchedule", "ScheduleAnyway"))
        rest = constraints[index + 1 :]
        if any(c.get("topologyKey", "") == key and c.get("whenUnsatisfiable", "") == action for c in rest):
            errors.duplicate(at.child("{topologyKey, whenUnsatisfiable}"), f"{{{key}, {action}}}")
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                errors.invalid(at.child("minDomains"), domains, "must be greater than zero")
            if action != "DoNotSchedule":
                why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errors.invalid(at.child("minDomains"), domains, why)
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            errors.optional_enum(at.child(name), constraint.get(name), ("Honor", "Ignore"))
        _validate_label_keys(constraint, at, errors)
        validate_label_selector(constraint.get("labelSelector"), at.child("labelSelector"), errors)
