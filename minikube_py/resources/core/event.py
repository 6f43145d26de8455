"""Events, which core/v1 and events.k8s.io/v1 serve from one store: conversion, checks, columns and field selectors.

Source: kubernetes pkg/apis/core/validation/events.go, pkg/apis/events/v1/conversion.go. Stored as core/v1.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import Column, KindRules
from minikube_py.resources.printing import NAME, since, text

_RENAMED = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)


_FIXED = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type", "eventTime",
    "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip


def to_storage(event: Object) -> None:
    """From the field names of events.k8s.io to those of core."""
    for core, modern in _RENAMED:
        if modern in event:
            event[core] = event.pop(modern)


def from_storage(event: Object) -> None:
    """From the field names of core to those of events.k8s.io."""
    for core, modern in _RENAMED:
        if core in event:
            event[modern] = event.pop(core)


def validate_core(event: Object, errors: FieldErrors) -> None:
    """An event written through core/v1."""
    _validate(event, errors)


def _validate(event: Object, errors: FieldErrors) -> None:
    """What every event must be. One with an eventTime may stand in another namespace than what it is about."""
    namespace = meta.namespace(event)
    involved = (event.get("involvedObject") or {}).get("namespace") or ""
    is_modern = bool(event.get("eventTime"))
    if involved:
        matches = is_modern or namespace == involved
    else:
        matches = namespace in (("default", "kube-system") if is_modern else ("default",))
    if not matches:
        errors.invalid(Path("involvedObject.namespace"), involved, "does not match event.namespace")
    if not is_modern:
        return
    controller = event.get("reportingComponent") or ""
    if not controller:
        errors.required(Path("reportingController"))
    errors.invalid_each(Path("reportingController"), controller, meta.qualified_name(controller))
    for key in ("reportingInstance", "action", "reason"):
        value = event.get(key) or ""
        if not value:
            errors.required(Path(key))
        if len(value.encode()) > 128:
            errors.invalid(Path(key), "", "can have at most 128 characters")
    if len((event.get("message") or "").encode()) > 1024:
        errors.invalid(Path("message"), "", "can have at most 1024 characters")


def validate_modern(event: Object, errors: FieldErrors) -> None:
    """An event written through events.k8s.io/v1."""
    core = dict(event)
    to_storage(core)
    _validate(core, errors)


def validate_modern_create(event: Object, errors: FieldErrors) -> None:
    """What is left of the old form belongs to old clients: a new event of the new group has none of it."""
    errors.invalid_each(Path("metadata.name"), meta.name(event), meta.dns1123_subdomain(meta.name(event)))
    if not event.get("eventTime"):
        errors.required(Path("eventTime"))
    _validate_series(event, errors)
    if event.get("type") not in ("Normal", "Warning"):
        errors.invalid(Path("type"), "", f"has invalid value: {event.get('type') or ''}")
    if event.get("deprecatedFirstTimestamp"):
        errors.invalid(Path("firstTimestamp"), "", "needs to be unset")
    if event.get("deprecatedLastTimestamp"):
        errors.invalid(Path("lastTimestamp"), "", "needs to be unset")
    if event.get("deprecatedCount"):
        errors.invalid(Path("count"), "", "needs to be unset")
    if any((event.get("deprecatedSource") or {}).values()):
        errors.invalid(Path("source"), "", "needs to be unset")


def validate_modern_update(new: Object, old: Object, errors: FieldErrors) -> None:
    fresh, stored = dict(new), dict(old)
    to_storage(fresh)
    to_storage(stored)
    if fresh.get("series") != stored.get("series"):
        _validate_series(new, errors)
    for key in _FIXED:
        name = "reportingController" if key == "reportingComponent" else key
        errors.immutable(Path(name), fresh.get(key) or None, stored.get(key) or None)


def _validate_series(event: Object, errors: FieldErrors) -> None:
    series = event.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        errors.invalid(Path("series.count"), "", "should be at least 2")
    if not series.get("lastObservedTime"):
        errors.required(Path("series.lastObservedTime"))


def _source(event: Object) -> str:
    source = event.get("source") or {}
    parts = [source.get("component") or event.get("reportingComponent") or ""]
    host = source.get("host") or event.get("reportingInstance")
    return ", ".join([*parts, host] if host else parts)


def core_row(event: Object) -> list[Any]:
    series, involved = event.get("series") or {}, event.get("involvedObject") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    return [
        since(last),
        event.get("type") or "",
        event.get("reason") or "",
        f"{str(involved.get('kind') or '').lower()}/{involved.get('name') or ''}",
        involved.get("fieldPath") or "",
        _source(event),
        str(event.get("message") or "").strip(),
        since(first),
        series.get("count") or event.get("count") or 1,
        meta.name(event),
    ]


def modern_row(event: Object) -> list[Any]:
    core = dict(event)
    to_storage(core)
    return core_row(core)


def core_fields(event: Object) -> dict[str, str]:
    involved = event.get("involvedObject") or {}
    keys = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    found = {f"involvedObject.{key}": involved.get(key) or "" for key in keys}
    component = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
    found |= {
        "reason": event.get("reason") or "",
        "reportingComponent": event.get("reportingComponent") or "",
        "source": component,
        "type": event.get("type") or "",
    }
    return found


def modern_fields(event: Object) -> dict[str, str]:
    core = dict(event)
    to_storage(core)
    found = core_fields(core)
    involved = {k: v for k, v in found.items() if k.startswith("involvedObject.")}
    modern = {f"regarding.{key.partition('.')[2]}": value for key, value in involved.items()}
    return {**found, **modern, "reportingController": found["reportingComponent"]}


FIELD_ALIASES = {
    "reportingController": "reportingComponent",
    **{
        f"regarding.{key}": f"involvedObject.{key}"
        for key in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
}


COLUMNS = (
    text("Last Seen", "The time at which the most recent occurrence of this event was recorded."),
    text("Type", "Type of this event (Normal, Warning)."),
    text("Reason", "Why the action was taken."),
    text("Object", "The object that this event is about."),
    text("Subobject", "The part of the object that this event is about.", wide=True),
    text("Source", "The component reporting this event.", wide=True),
    text("Message", "A human-readable description of the status of this operation."),
    text("First Seen", "The time at which the event was first recorded.", wide=True),
    Column("Count", type="integer", description="The number of times this event has occurred.", priority=1),
    Column(NAME.name, format=NAME.format, description=NAME.description, priority=1),
)

CORE_RULES = KindRules(
    validate=validate_core,
    columns=COLUMNS,
    row=core_row,
    fields=core_fields,
    allows_create_on_update=True,
    name_check=meta.path_segment_name,
)
MODERN_RULES = KindRules(
    validate=validate_modern,
    validate_create=validate_modern_create,
    validate_update=validate_modern_update,
    columns=COLUMNS,
    row=modern_row,
    fields=modern_fields,
    field_aliases=FIELD_ALIASES,
    to_storage=to_storage,
    from_storage=from_storage,
    allows_create_on_update=True,
    name_check=meta.path_segment_name,
)
