"""PersistentVolumeClaims: defaults, checks, what may change once bound, columns."""

from typing import Any

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources import object_warnings
from minikube_py.resources.core.claim_rules import validate_claim_spec
from minikube_py.resources.core.pod_update import difference
from minikube_py.resources.core.resource_rules import validate_resource_name, validate_resource_quantity
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, UNSET, age, text

SPEC, STATUS = Path("spec"), Path("status")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_SHORT_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def default(claim: Object) -> None:
    spec = claim.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    if not (claim.get("status") or {}).get("phase"):
        claim.setdefault("status", {})["phase"] = "Pending"
    _align_data_sources(spec)


def _align_data_sources(spec: Object) -> None:
    """The old and the new field say the same where both can."""
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and ref is None:
        spec["dataSourceRef"] = dict(source)
    elif source is None and ref is not None and not ref.get("namespace"):
        group, kind = ref.get("apiGroup") or "", ref.get("kind")
        if (group, kind) in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")):
            spec["dataSource"] = {key: ref[key] for key in ("apiGroup", "kind", "name") if key in ref}


def prepare_create(claim: Object) -> None:
    claim["status"] = {"phase": "Pending"}


def validate(claim: Object, errors: FieldErrors) -> None:
    validate_claim_spec(claim.get("spec") or {}, SPEC, errors)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    fresh, stored = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    if not stored.get("volumeName"):
        stored["volumeName"] = fresh.get("volumeName")
    is_bound = (old.get("status") or {}).get("phase") == "Bound"
    _validate_request(fresh, stored, is_bound, errors)
    if stored.get("storageClassName") is None:
        beta = meta.annotations(old).get(CLASS_ANNOTATION)
        if not is_bound or (beta is not None and beta == fresh.get("storageClassName")):
            stored["storageClassName"] = fresh.get("storageClassName")
    attributes = fresh.get("volumeAttributesClassName")
    if not attributes and stored.get("volumeAttributesClassName") and is_bound:
        at = SPEC.child("volumeAttributesClassName")
        errors.forbidden(at, "update from non-nil value to nil is forbidden")
    stored["volumeAttributesClassName"] = attributes
    fresh["resources"] = stored["resources"] = None
    errors.immutable(SPEC.child("volumeMode"), fresh.get("volumeMode"), stored.get("volumeMode"))
    if not is_same(fresh, stored):
        why = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        errors.forbidden(SPEC, f"{why}\n{difference(stored, fresh)}")


def _validate_request(fresh: Object, stored: Object, is_bound: bool, errors: FieldErrors) -> None:
    new, old = fresh.get("resources") or {}, stored.get("resources") or {}
    if is_same(new, old):
        return
    before, after = (old.get("requests") or {}).get("storage"), (new.get("requests") or {}).get("storage")
    rest = [{**r, "requests": {**(r.get("requests") or {}), "storage": None}} for r in (new, old)]
    if not is_bound or not is_same(rest[0], rest[1]):
        why = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        errors.forbidden(SPEC, f"{why}\n{difference(old, new, 'resources')}")
    elif before is not None and after is not None and quantity.parse(after).nanos < quantity.parse(before).nanos:
        errors.forbidden(SPEC.child("resources", "requests", "storage"), "field can not be less than previous value")


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    status = new.get("status") or {}
    if (new.get("resourceVersion") or meta.resource_version(new)) == "":
        errors.required(Path("resourceVersion"))
    if not (new.get("spec") or {}).get("accessModes"):
        errors.required(SPEC.child("accessModes"), "at least 1 access mode is required")
    for key in ("capacity", "allocatedResources"):
        for name, amount in (status.get(key) or {}).items():
            at = STATUS.child(key).key(name)
            validate_resource_name(name, at, errors)
            validate_resource_quantity(name, amount, at, errors)


def short_modes(modes: list[str] | None) -> str:
    """Access modes as tables abbreviate them, in a fixed order and each once."""
    return ",".join(short for mode, short in _SHORT_MODES.items() if mode in (modes or ()))


def storage_class(obj: Object) -> str:
    found = meta.annotations(obj).get(CLASS_ANNOTATION)
    return str(found if found is not None else (obj.get("spec") or {}).get("storageClassName") or "")


def row(claim: Object) -> list[Any]:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    is_assigned = bool(spec.get("volumeName"))
    return [
        meta.name(claim),
        "Terminating" if meta.is_deleting(claim) else status.get("phase") or "",
        spec.get("volumeName") or "",
        (status.get("capacity") or {}).get("storage", "0") if is_assigned else "",
        short_modes(status.get("accessModes")) if is_assigned else "",
        storage_class(claim),
        spec.get("volumeAttributesClassName") or UNSET,
        age(claim),
        spec.get("volumeMode") or UNSET,
    ]


RULES = KindRules(
    warnings=object_warnings.of_claim,
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(
        NAME,
        text("Status", "Phase represents the current phase of PersistentVolumeClaim."),
        text("Volume", "VolumeName is the binding reference to the PersistentVolume backing this claim."),
        text("Capacity", "Capacity represents the actual resources of the underlying volume."),
        text("Access Modes", "AccessModes contains the actual access modes the volume backing the PVC has."),
        text("StorageClass", "StorageClass of the pvc"),
        text("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
        AGE,
        text("VolumeMode", "VolumeMode defines what type of volume is required by the claim.", wide=True),
    ),
    row=row,
)
