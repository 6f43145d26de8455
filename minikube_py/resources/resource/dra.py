"""Dynamic resource allocation: claims, templates, classes, slices and taints; checks, what may change, columns.

Source: kubernetes pkg/apis/resource/validation.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, age, text
from minikube_py.resources.value_rules import validate_dns1123_label, validate_dns1123_subdomain

SPEC = Path("spec")
MAX_REQUESTS, MAX_DEVICES, MAX_CONSUMERS = 32, 128, 256
MODES = ("All", "ExactCount")


def default_claim(claim: Object) -> None:
    _default_devices(claim.setdefault("spec", {}).get("devices"))


def default_template(template: Object) -> None:
    inner = template.setdefault("spec", {}).setdefault("spec", {})
    _default_devices(inner.get("devices"))


def _default_devices(devices: Object | None) -> None:
    for request in (devices or {}).get("requests") or ():
        exact = [request["exactly"]] if request.get("exactly") is not None else []
        for part in (*exact, *(request.get("firstAvailable") or ())):
            if not part.get("allocationMode"):
                part["allocationMode"] = "ExactCount"
            if part["allocationMode"] == "ExactCount" and not part.get("count"):
                part["count"] = 1
            for toleration in part.get("tolerations") or ():
                toleration["operator"] = toleration.get("operator") or "Equal"


def _validate_claim_spec(spec: Object, path: Path, errors: FieldErrors) -> None:
    devices, at = spec.get("devices") or {}, path.child("devices")
    requests = devices.get("requests") or []
    if len(requests) > MAX_REQUESTS:
        errors.too_many(at.child("requests"), len(requests), MAX_REQUESTS)
    names: set[str] = set()
    for index, request in enumerate(requests):
        where = at.child("requests").index(index)
        name = request.get("name", "")
        validate_dns1123_label(name, where.child("name"), errors)
        if name in names:
            errors.duplicate(where.child("name"), name)
        names.add(name)
        exact, choices = request.get("exactly"), request.get("firstAvailable") or []
        if exact is None and not choices:
            errors.required(where, "exactly one of `exactly` or `firstAvailable` is required")
        elif exact is not None and choices:
            errors.invalid(
                where, None, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
            )
        elif exact is not None:
            _validate_request(exact, where.child("exactly"), errors)
        for i, choice in enumerate(choices):
            _validate_request(choice, where.child("firstAvailable").index(i), errors)
    for index, constraint in enumerate(devices.get("constraints") or ()):
        for i, name in enumerate(constraint.get("requests") or ()):
            if name.partition("/")[0] not in names:
                where = at.child("constraints").index(index).child("requests").index(i)
                why = "must be the name of a request in the claim or the name of a request and a subrequest"
                errors.invalid(where, name, f"{why} separated by '/'")


def _validate_request(request: Object, path: Path, errors: FieldErrors) -> None:
    name = request.get("deviceClassName", "")
    if not name:
        errors.required(path.child("deviceClassName"))
    else:
        validate_dns1123_subdomain(name, path.child("deviceClassName"), errors)
    mode, count = request.get("allocationMode", ""), request.get("count") or 0
    if mode not in MODES:
        errors.not_supported(path.child("allocationMode"), mode, MODES)
    elif mode == "ExactCount" and count <= 0:
        errors.invalid(path.child("count"), count, "must be greater than zero")
    elif mode == "All" and count:
        why = "must not be specified when allocationMode is 'All'"
        errors.invalid(path.child("count"), count, why)


def validate_claim(claim: Object, errors: FieldErrors) -> None:
    _validate_claim_spec(claim.get("spec") or {}, SPEC, errors)


def validate_claim_update(new: Object, old: Object, errors: FieldErrors) -> None:
    errors.immutable(SPEC, new.get("spec"), old.get("spec"))


def validate_claim_status(new: Object, old: Object, errors: FieldErrors) -> None:
    status, before = new.get("status") or {}, old.get("status") or {}
    consumers, at = status.get("reservedFor") or [], Path("status.reservedFor")
    if len(consumers) > MAX_CONSUMERS:
        errors.too_many(at, len(consumers), MAX_CONSUMERS)
    uids: set[str] = set()
    for index, consumer in enumerate(consumers):
        for key in ("resource", "name", "uid"):
            if not consumer.get(key):
                errors.required(at.index(index).child(key))
        if consumer.get("uid") in uids:
            errors.duplicate(at.index(index).child("uid"), consumer.get("uid"))
        uids.add(consumer.get("uid", ""))
    if consumers and status.get("allocation") is None:
        errors.forbidden(at, "may not be specified when `allocated` is not set")
    if before.get("allocation") is not None and status.get("allocation") is not None:
        errors.immutable(Path("status.allocation"), status["allocation"], before["allocation"])


def claim_row(claim: Object) -> list[Any]:
    status = claim.get("status") or {}
    states = ["deleted"] if meta.is_deleting(claim) else []
    if status.get("allocation") is None:
        if not meta.is_deleting(claim):
            states.append("pending")
    else:
        states += ["allocated", "reserved"] if status.get("reservedFor") else ["allocated"]
    return [meta.name(claim), ",".join(states), age(claim)]


def validate_template(template: Object, errors: FieldErrors) -> None:
    _validate_claim_spec((template.get("spec") or {}).get("spec") or {}, SPEC.child("spec"), errors)


def validate_template_update(new: Object, old: Object, errors: FieldErrors) -> None:
    errors.immutable(SPEC, new.get("spec"), old.get("spec"))


def name_row(obj: Object) -> list[Any]:
    return [meta.name(obj), age(obj)]


def validate_slice(slice_: Object, errors: FieldErrors) -> None:
    spec = slice_.get("spec") or {}
    driver = spec.get("driver", "")
    if not driver:
        errors.required(SPEC.child("driver"))
    else:
        validate_dns1123_subdomain(driver, SPEC.child("driver"), errors)
    chosen = [k for k in ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection") if spec.get(k)]
    if len(chosen) != 1:
        why = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
        if chosen:
            errors.invalid(SPEC, "{" + ", ".join(f"`{k}`" for k in chosen) + "}", f"{why}, but multiple fields are set")
        else:
            errors.required(SPEC, why)
    pool, at = spec.get("pool") or {}, SPEC.child("pool")
    if not pool.get("name"):
        errors.required(at.child("name"))
    if (pool.get("resourceSliceCount") or 0) <= 0:
        errors.invalid(at.child("resourceSliceCount"), pool.get("resourceSliceCount") or 0, "must be greater than zero")
    errors.not_negative(at.child("generation"), pool.get("generation"))
    devices, at = spec.get("devices") or [], SPEC.child("devices")
    if len(devices) > MAX_DEVICES:
        errors.too_many(at, len(devices), MAX_DEVICES)
    names: set[str] = set()
    for index, device in enumerate(devices):
        name = device.get("name", "")
        validate_dns1123_label(name, at.index(index).child("name"), errors)
        if name in names:
            errors.duplicate(at.index(index).child("name"), name)
        names.add(name)


def validate_slice_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate_slice(new, errors)
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    for key in ("driver", "nodeName"):
        errors.immutable(SPEC.child(key), fresh.get(key), stored.get(key))
    names = [(s.get("pool") or {}).get("name") for s in (fresh, stored)]
    errors.immutable(SPEC.child("pool", "name"), names[0], names[1])


def slice_row(slice_: Object) -> list[Any]:
    spec = slice_.get("spec") or {}
    pool = (spec.get("pool") or {}).get("name", "")
    return [meta.name(slice_), spec.get("nodeName") or NONE, spec.get("driver", ""), pool, age(slice_)]


def slice_fields(slice_: Object) -> dict[str, str]:
    spec = slice_.get("spec") or {}
    return {"spec.nodeName": spec.get("nodeName") or "", "spec.driver": spec.get("driver") or ""}


NAME_COLUMNS = (NAME, AGE)
CLAIM_RULES = KindRules(
    default=default_claim,
    validate=validate_claim,
    validate_update=validate_claim_update,
    validate_status=validate_claim_status,
    columns=(NAME, text("State", "Whether the claim is allocated and reserved."), AGE),
    row=claim_row,
    status_changes_metadata=False,
)
TEMPLATE_RULES = KindRules(
    default=default_template,
    validate=validate_template,
    validate_update=validate_template_update,
    columns=NAME_COLUMNS,
    row=name_row,
)
CLASS_RULES = KindRules(columns=NAME_COLUMNS, row=name_row, has_generation=True)
SLICE_RULES = KindRules(
    validate=validate_slice,
    validate_update=validate_slice_update,
    columns=(
        NAME,
        text("Node", "The node that provides the devices."),
        text("Driver", "The driver that manages the devices."),
        text("Pool", "The pool the devices belong to."),
        AGE,
    ),
    row=slice_row,
    fields=slice_fields,
    has_generation=True,
)
