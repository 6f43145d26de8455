"""HorizontalPodAutoscalers: defaults, checks and columns of v2, and conversion to and from v1.

Source: kubernetes pkg/apis/autoscaling. Stored as v2; what v1 can't say travels in annotations, as in Kubernetes.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, UNKNOWN, UNSET, age, text
from minikube_py.resources.value_rules import validate_label_selector

SPEC = Path("spec")
_PREFIX = "autoscaling.alpha.kubernetes.io/"
_KEPT = (("spec", "metrics", "metrics"), ("spec", "behavior", "behavior"))
_KEPT_STATUS = (("status", "conditions", "conditions"), ("status", "currentMetrics", "current-metrics"))
TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
SHOWN = 2


def default_v1(scaler: Object) -> None:
    scaler.setdefault("spec", {}).setdefault("minReplicas", 1)


def default(scaler: Object) -> None:
    spec = scaler.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is None:
        return
    up = behavior.setdefault("scaleUp", {})
    up.setdefault("stabilizationWindowSeconds", 0)
    up.setdefault("selectPolicy", "Max")
    up.setdefault(
        "policies",
        [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    )
    down = behavior.setdefault("scaleDown", {})
    down.setdefault("selectPolicy", "Max")
    down.setdefault("policies", [{"type": "Percent", "value": 100, "periodSeconds": 15}])


def prepare_create(scaler: Object) -> None:
    scaler.pop("status", None)


def to_storage(scaler: Object) -> None:
    """v1 to v2."""
    spec = scaler.setdefault("spec", {})
    annotations = dict(meta.annotations(scaler))
    metrics: list[Object] = []
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    for part, key, name in (*_KEPT, *_KEPT_STATUS):
        raw = annotations.pop(_PREFIX + name, None)
        if raw is None:
            continue
        try:
            value = orjson.loads(raw)
        except ValueError:
            continue
        if key == "metrics":
            metrics += value
        else:
            scaler.setdefault(part, {})[key] = value
    if metrics:
        spec["metrics"] = metrics
    _set_annotations(scaler, annotations)
    status = scaler.get("status")
    if status and status.get("currentCPUUtilizationPercentage") is not None:
        current = {"averageUtilization": status.pop("currentCPUUtilizationPercentage")}
        entry = {"type": "Resource", "resource": {"name": "cpu", "current": current}}
        status["currentMetrics"] = [entry, *(status.get("currentMetrics") or ())]


def from_storage(scaler: Object) -> None:
    """v2 to v1."""
    spec, status = scaler.setdefault("spec", {}), scaler.get("status") or {}
    annotations = dict(meta.annotations(scaler))
    metrics = list(spec.pop("metrics", None) or ())
    for index, metric in enumerate(metrics):
        target = (metric.get("resource") or {}).get("target") or {}
        if (metric.get("resource") or {}).get("name") == "cpu" and target.get("averageUtilization") is not None:
            spec["targetCPUUtilizationPercentage"] = target["averageUtilization"]
            del metrics[index]
            break
    current = list(status.pop("currentMetrics", None) or ())
    for index, metric in enumerate(current):
        value = ((metric.get("resource") or {}).get("current") or {}).get("averageUtilization")
        if (metric.get("resource") or {}).get("name") == "cpu" and value is not None:
            status["currentCPUUtilizationPercentage"] = value
            del current[index]
            break
    kept = {"metrics": metrics, "current-metrics": current}
    kept["behavior"], kept["conditions"] = spec.pop("behavior", None), status.pop("conditions", None)
    for name, value in kept.items():
        if value:
            annotations[_PREFIX + name] = orjson.dumps(value).decode()
    _set_annotations(scaler, annotations)


def _set_annotations(scaler: Object, annotations: dict[str, str]) -> None:
    metadata = scaler["metadata"] = dict(scaler.get("metadata") or {})
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations


def scales_from_zero(metrics: Iterable[Object] | None) -> bool:
    """Whether a metric exists that can be measured without pods."""
    return any(metric.get("type") in ("Object", "External") for metric in metrics or ())


def validate(scaler: Object, errors: FieldErrors) -> None:
    spec = scaler.get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if low is not None and low < 0:
        errors.invalid(SPEC.child("minReplicas"), low, "must be greater than or equal to 0")
    if low == 0 and not scales_from_zero(spec.get("metrics")):
        why = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.forbidden(SPEC.child("metrics"), why)
    if high < 1:
        errors.invalid(SPEC.child("maxReplicas"), high, "must be greater than 0")
    if low is not None and high < low:
        errors.invalid(SPEC.child("maxReplicas"), high, "must be greater than or equal to `minReplicas`")
    _validate_reference(spec.get("scaleTargetRef") or {}, SPEC.child("scaleTargetRef"), errors)
    for index, metric in enumerate(spec.get("metrics") or ()):
        _validate_metric(metric, SPEC.child("metrics").index(index), errors)
    for key in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(key)
        if rules is not None:
            _validate_scaling(rules, SPEC.child("behavior", key), errors)


def validate_v1(scaler: Object, errors: FieldErrors) -> None:
    spec = scaler.get("spec") or {}
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None and percent < 1:
        at = SPEC.child("metrics").index(0).child("resource", "target", "averageUtilization")
        errors.invalid(at, percent, "must be greater than 0")
    modern = {**scaler, "spec": dict(spec), "status": {}}
    to_storage(modern)
    # What annotations bring along is not looked at, but that it lets the target go down to zero.
    kept = [metric for metric in modern["spec"].get("metrics") or () if spec.get("minReplicas") == 0]
    validate({**scaler, "spec": {**spec, "metrics": kept}}, errors)


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate(new, errors)


def validate_v1_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_v1(new, errors)


def _validate_reference(ref: Object, path: Path, errors: FieldErrors) -> None:
    for key in ("kind", "name"):
        value = ref.get(key, "")
        if not value:
            errors.required(path.child(key))
        else:
            errors.invalid_each(path.child(key), value, meta.path_segment_name(value))


def _validate_metric(metric: Object, path: Path, errors: FieldErrors) -> None:
    type_ = metric.get("type", "")
    if not type_:
        errors.required(path.child("type"), "must specify a metric source type")
    elif type_ not in TYPES:
        errors.not_supported(path.child("type"), type_, TYPES)
    found = [name for name, key in _SOURCES.items() if metric.get(key) is not None]
    for name in found:
        if name != type_ and len(found) > 1:
            errors.forbidden(path.child(_SOURCES[name]), "must populate the given metric source only")
    if type_ in TYPES and type_ not in found:
        errors.required(path.child(_SOURCES[type_]), "must populate information for the given metric source")
    for name in found:
        if name == type_:
            _validate_source(metric[_SOURCES[name]], name, path.child(_SOURCES[name]), errors)


def _validate_source(source: Object, type_: str, path: Path, errors: FieldErrors) -> None:
    if type_ in ("Resource", "ContainerResource"):
        if not source.get("name"):
            errors.required(path.child("name"), "must specify a resource name")
        if type_ == "ContainerResource" and not source.get("container"):
            errors.required(path.child("container"), "must specify a container")
    else:
        metric = source.get("metric") or {}
        if not metric.get("name"):
            errors.required(path.child("metric", "name"), "must specify a metric name")
        validate_label_selector(metric.get("selector"), path.child("metric", "selector"), errors)
        if type_ == "Object":
            _validate_reference(source.get("describedObject") or {}, path.child("describedObject"), errors)
    target, at = source.get("target") or {}, path.child("target")
    if target.get("type") not in ("Utilization", "Value", "AverageValue"):
        errors.invalid(at.child("type"), target.get("type", ""), "must be either Utilization, Value, or AverageValue")
    for key in ("value", "averageValue"):
        if target.get(key) is not None and quantity.parse(target[key]).nanos <= 0:
            errors.invalid(at.child(key), target[key], "must be positive")
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        errors.invalid(at.child("averageUtilization"), utilization, "must be greater than 0")
    if type_ in ("Resource", "ContainerResource"):
        if target.get("averageValue") is None and utilization is None:
            why = "must set either a target raw value or a target utilization"
            errors.required(at.child("averageUtilization"), why)
        elif target.get("averageValue") is not None and utilization is not None:
            why = "may not set both a target raw value and a target utilization"
            errors.forbidden(at.child("averageValue"), why)
    elif target.get("value") is None and target.get("averageValue") is None:
        errors.required(at.child("averageValue"), "must set either a target value for metric or a per-pod target")


def _validate_scaling(rules: Object, path: Path, errors: FieldErrors) -> None:
    window = rules.get("stabilizationWindowSeconds")
    at = path.child("stabilizationWindowSeconds")
    errors.not_negative(at, window)
    if window is not None and window > 3600:
        errors.invalid(at, window, "must be less than or equal to 3600")
    errors.optional_enum(path.child("selectPolicy"), rules.get("selectPolicy"), ("Disabled", "Max", "Min"))
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.parse(tolerance).nanos < 0:
        errors.invalid(path.child("tolerance"), tolerance, "must be greater or equal to zero")
    policies, at = rules.get("policies") or [], path.child("policies")
    if not policies:
        errors.required(at, "must specify at least one Policy")
    for index, policy in enumerate(policies):
        where = at.index(index)
        errors.optional_enum(where.child("type"), policy.get("type", ""), ("Percent", "Pods"))
        for key in ("value", "periodSeconds"):
            if (policy.get(key) or 0) <= 0:
                errors.invalid(where.child(key), policy.get(key) or 0, "must be greater than zero")
        if (policy.get("periodSeconds") or 0) > 1800:
            why = "must be less than or equal to 1800"
            errors.invalid(where.child("periodSeconds"), policy["periodSeconds"], why)


def _target(metric: Object, current: Object | None) -> str:
    """One metric as `current/target`, with the resource's name in front of it."""
    key = _SOURCES.get(metric.get("type", ""))
    if key is None:
        return "<unknown type>"
    source = metric.get(key) or {}
    now = ((current or {}).get(key) or {}).get("current") or {}
    target = source.get("target") or {}
    prefix = f"{source.get('name', '')}: " if key in ("resource", "containerResource") else ""
    if key in ("resource", "containerResource") and target.get("averageValue") is None:
        value = now.get("averageUtilization")
        goal = target.get("averageUtilization")
        shown = UNKNOWN if value is None else f"{value}%"
        return f"{prefix}{shown}/{'<auto>' if goal is None else f'{goal}%'}"
    if target.get("averageValue") is not None:
        suffix = " (avg)" if key in ("external", "object") else ""
        return f"{prefix}{now.get('averageValue') or UNKNOWN}/{target['averageValue']}{suffix}"
    return f"{prefix}{now.get('value') or UNKNOWN}/{target.get('value', '')}"


def _targets(spec: Object, status: Object) -> str:
    metrics, current = spec.get("metrics") or [], status.get("currentMetrics") or []
    if not metrics:
        return NONE
    shown = [_target(m, current[i] if i < len(current) else None) for i, m in enumerate(metrics[:SHOWN])]
    joined = ", ".join(shown)
    return f"{joined} + {len(metrics) - SHOWN} more..." if len(metrics) > SHOWN else joined


def row(scaler: Object) -> list[Any]:
    spec, status = scaler.get("spec") or {}, scaler.get("status") or {}
    ref = spec.get("scaleTargetRef") or {}
    return [
        meta.name(scaler),
        f"{ref.get('kind', '')}/{ref.get('name', '')}",
        _targets(spec, status),
        UNSET if spec.get("minReplicas") is None else str(spec["minReplicas"]),
        spec.get("maxReplicas") or 0,
        status.get("currentReplicas") or 0,
        age(scaler),
    ]


def row_v1(scaler: Object) -> list[Any]:
    modern = {**scaler, "spec": dict(scaler.get("spec") or {}), "status": dict(scaler.get("status") or {})}
    to_storage(modern)
    return row(modern)


COLUMNS = (
    NAME,
    text("Reference", "The scaled object."),
    text("Targets", "The metrics that the number of replicas is calculated from."),
    text("MinPods", "The lower limit for the number of replicas."),
    text("MaxPods", "The upper limit for the number of replicas."),
    text("Replicas", "The current number of replicas."),
    AGE,
)
RULES = KindRules(
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    columns=COLUMNS,
    row=row,
)
V1_RULES = KindRules(
    default=default_v1,
    prepare_create=prepare_create,
    validate=validate_v1,
    validate_update=validate_v1_update,
    columns=COLUMNS,
    row=row_v1,
    to_storage=to_storage,
    from_storage=from_storage,
)
