"""FlowSchemas and PriorityLevelConfigurations: defaults, checks, columns.

Source: kubernetes pkg/apis/flowcontrol.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, age, text

SPEC = Path("spec")
MAX_PRECEDENCE = 10000
SUBJECTS = ("Group", "ServiceAccount", "User")


def default_schema(schema: Object) -> None:
    spec = schema.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def validate_schema(schema: Object, errors: FieldErrors) -> None:
    spec = schema.get("spec") or {}
    precedence = spec.get("matchingPrecedence") or 0
    if precedence <= 0:
        errors.invalid(SPEC.child("matchingPrecedence"), precedence, "must be a positive value")
    elif precedence > MAX_PRECEDENCE:
        why = f"must not be greater than {MAX_PRECEDENCE}"
        errors.invalid(SPEC.child("matchingPrecedence"), precedence, why)
    elif precedence == 1 and meta.name(schema) != "exempt":
        errors.invalid(
            SPEC.child("matchingPrecedence"), precedence, "only the schema named 'exempt' may have matchingPrecedence 1"
        )
    method = spec.get("distinguisherMethod")
    if method is not None:
        at = SPEC.child("distinguisherMethod")
        errors.optional_enum(at, method.get("type", ""), ("ByNamespace", "ByUser"))
    name, at = (
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        SPEC.child("priorityLevelConfiguration", "name"),
    )
    if not name:
        errors.required(at, "must reference a priority level")
    else:
        errors.invalid_each(at, name, meta.dns1123_subdomain(name))
    for index, rule in enumerate(spec.get("rules") or ()):
        _validate_rule(rule, SPEC.child("rules").index(index), errors)


def _validate_rule(rule: Object, path: Path, errors: FieldErrors) -> None:
    subjects = rule.get("subjects") or []
    if not subjects:
        errors.required(path.child("subjects"), "subjects must contain at least one value")
    for index, subject in enumerate(subjects):
        errors.optional_enum(path.child("subjects").index(index).child("kind"), subject.get("kind", ""), SUBJECTS)
    resources, others = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not resources and not others:
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, resource in enumerate(resources):
        at = path.child("resourceRules").index(index)
        for key in ("verbs", "apiGroups", "resources"):
            if not resource.get(key):
                errors.required(at.child(key))
        if not resource.get("namespaces") and not resource.get("clusterScope"):
            why = "resource rules that are not cluster scoped must supply at least one namespace"
            errors.required(at.child("namespaces"), why)
    for index, other in enumerate(others):
        at = path.child("nonResourceRules").index(index)
        for key in ("verbs", "nonResourceURLs"):
            if not other.get(key):
                errors.required(at.child(key))


def validate_schema_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_schema(new, errors)


def schema_row(schema: Object) -> list[Any]:
    spec = schema.get("spec") or {}
    dangling = get_condition((schema.get("status") or {}).get("conditions"), "Dangling")
    return [
        meta.name(schema),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence") or 0,
        (spec.get("distinguisherMethod") or {}).get("type") or NONE,
        age(schema),
        "?" if dangling is None else dangling.get("status", "?"),
    ]


def default_level(level: Object) -> None:
    spec = level.setdefault("spec", {})
    if spec.get("type") == "Exempt":
        exempt = spec.setdefault("exempt", {})
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    limited = spec.get("limited")
    if limited is None:
        return
    limited.setdefault("nominalConcurrencyShares", 30)
    limited.setdefault("lendablePercent", 0)
    response = limited.setdefault("limitResponse", {})
    if response.get("type") == "Queue" and response.get("queuing") is not None:
        for key, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
            if not response["queuing"].get(key):
                response["queuing"][key] = value


def validate_level(level: Object, errors: FieldErrors) -> None:
    spec = level.get("spec") or {}
    type_, limited = spec.get("type", ""), spec.get("limited")
    if type_ == "Exempt":
        if limited is not None:
            errors.forbidden(SPEC.child("limited"), "must be nil if the type is not Limited")
    elif type_ == "Limited":
        if spec.get("exempt") is not None:
            errors.forbidden(SPEC.child("exempt"), "must be nil if the type is Limited")
        if limited is None:
            errors.required(SPEC.child("limited"), "must not be empty when type is Limited")
        else:
            _validate_limited(limited, SPEC.child("limited"), errors)
    else:
        errors.not_supported(SPEC.child("type"), type_, ("Exempt", "Limited"))


def _validate_limited(limited: Object, path: Path, errors: FieldErrors) -> None:
    errors.not_negative(path.child("nominalConcurrencyShares"), limited.get("nominalConcurrencyShares"))
    lendable = limited.get("lendablePercent") or 0
    if not 0 <= lendable <= 100:
        errors.invalid(path.child("lendablePercent"), lendable, "must be between 0 and 100, inclusive")
    response, at = limited.get("limitResponse") or {}, path.child("limitResponse")
    type_, queuing = response.get("type", ""), response.get("queuing")
    if type_ == "Reject":
        if queuing is not None:
            errors.forbidden(at.child("queuing"), "must be nil if limited.limitResponse.type is not Limited")
    elif type_ != "Queue":
        errors.not_supported(at.child("type"), type_, ("Queue", "Reject"))
    elif queuing is None:
        errors.required(at.child("queuing"), "must not be empty if limited.limitResponse.type is Limited")
    else:
        for key in ("queueLengthLimit", "queues", "handSize"):
            if (queuing.get(key) or 0) <= 0:
                errors.invalid(at.child("queuing", key), queuing.get(key) or 0, "must be positive")


def validate_level_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_level(new, errors)


def level_row(level: Object) -> list[Any]:
    spec = level.get("spec") or {}
    part = spec.get("limited") or spec.get("exempt") or {}
    queuing = (part.get("limitResponse") or {}).get("queuing") or {}
    shares = part.get("nominalConcurrencyShares")
    return [
        meta.name(level),
        spec.get("type", ""),
        NONE if shares is None else shares,
        *(queuing.get(key) or NONE for key in ("queues", "handSize", "queueLengthLimit")),
        age(level),
    ]


SCHEMA_RULES = KindRules(
    default=default_schema,
    validate=validate_schema,
    validate_update=validate_schema_update,
    columns=(
        NAME,
        text("PriorityLevel", "The priority level that matching requests get."),
        text("MatchingPrecedence", "Which schema is looked at first: the lowest number."),
        text("DistinguisherMethod", "How flows are told apart."),
        AGE,
        text("MissingPL", "Whether the priority level does not exist."),
    ),
    row=schema_row,
    has_generation=True,
    name_check=meta.path_segment_name,
    status_changes_metadata=False,
)
LEVEL_RULES = KindRules(
    default=default_level,
    validate=validate_level,
    validate_update=validate_level_update,
    columns=(
        NAME,
        text("Type", "Whether this level is limited."),
        text("NominalConcurrencyShares", "The share of the server's seats."),
        text("Queues", "The number of queues."),
        text("HandSize", "How many queues a flow may use."),
        text("QueueLengthLimit", "How many requests may wait in one queue."),
        AGE,
    ),
    row=level_row,
    has_generation=True,
    name_check=meta.path_segment_name,
    status_changes_metadata=False,
)
