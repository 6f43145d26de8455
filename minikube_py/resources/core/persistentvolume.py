"""PersistentVolumes: defaults, checks, what may change, columns."""

from typing import Any

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources import object_warnings
from minikube_py.resources.core.affinity_rules import validate_node_selector
from minikube_py.resources.core.claim_rules import VOLUME_MODES, validate_access_modes
from minikube_py.resources.core.disk_rules import DISKS, needs
from minikube_py.resources.core.persistentvolumeclaim import short_modes, storage_class
from minikube_py.resources.core.pod_defaults import default_disks
from minikube_py.resources.core.resource_rules import validate_resource_name
from minikube_py.resources.core.volume_rules import HOST_PATH_TYPES, validate_csi_driver_name
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, UNSET, age, text
from minikube_py.resources.value_rules import IMMUTABLE, validate_dns1123_subdomain, validate_no_backsteps

SPEC, STATUS = Path("spec"), Path("status")
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
SOURCES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs",
    "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume",
    "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip


def default(volume: Object) -> None:
    spec = volume.setdefault("spec", {})
    if not (volume.get("status") or {}).get("phase"):
        volume.setdefault("status", {})["phase"] = "Pending"
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    spec.setdefault("volumeMode", "Filesystem")
    if spec.get("hostPath") is not None:
        spec["hostPath"].setdefault("type", "")
    default_disks(spec)


def prepare_create(volume: Object) -> None:
    volume["status"] = {"phase": "Pending"}


def validate(volume: Object, errors: FieldErrors) -> None:
    spec = volume.get("spec") or {}
    validate_access_modes(spec, SPEC.child("accessModes"), errors, "")
    capacity = spec.get("capacity") or {}
    if not capacity:
        errors.required(SPEC.child("capacity"))
    if "storage" not in capacity or len(capacity) > 1:
        errors.not_supported(SPEC.child("capacity"), capacity, ("storage",))
    for name, amount in capacity.items():
        at = SPEC.child("capacity").key(name)
        validate_resource_name(name, at, errors)
        if quantity.parse(amount).nanos <= 0:
            errors.invalid(at, amount, "must be greater than zero")
    policy = spec.get("persistentVolumeReclaimPolicy")
    errors.optional_enum(SPEC.child("persistentVolumeReclaimPolicy"), policy or None, RECLAIM_POLICIES)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        if affinity.get("required") is None:
            why = "must specify required node constraints"
            errors.required(SPEC.child("nodeAffinity", "required"), why)
        else:
            validate_node_selector(affinity["required"], SPEC.child("nodeAffinity", "required"), errors)
    _validate_sources(spec, errors)
    if spec.get("storageClassName"):
        validate_dns1123_subdomain(spec["storageClassName"], SPEC.child("storageClassName"), errors)
    errors.optional_enum(SPEC.child("volumeMode"), spec.get("volumeMode"), VOLUME_MODES)


def _validate_sources(spec: Object, errors: FieldErrors) -> None:
    found = [key for key in SOURCES if spec.get(key) is not None]
    if not found:
        errors.required(SPEC, "must specify a volume type")
    for key in found[1:]:
        errors.forbidden(SPEC.child(key), "may not specify more than 1 volume type")
    if not found:
        return
    key, source = found[0], spec[found[0]]
    at = SPEC.child(key)
    if key == "hostPath":
        needs("path")(source, at, errors)
        validate_no_backsteps(source.get("path", ""), at.child("path"), errors)
        errors.optional_enum(at.child("type"), source.get("type"), HOST_PATH_TYPES)
        if source.get("path") == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
            why = "may not be 'recycle' for a hostPath mount of '/'"
            errors.forbidden(SPEC.child("persistentVolumeReclaimPolicy"), why)
    elif key == "local":
        needs("path")(source, at, errors)
        validate_no_backsteps(source.get("path", ""), at.child("path"), errors)
        if spec.get("nodeAffinity") is None:
            errors.required(SPEC.child("nodeAffinity"), "Local volume requires node affinity")
    elif key == "csi":
        validate_csi_driver_name(source.get("driver", ""), at.child("driver"), errors)
        needs("volumeHandle")(source, at, errors)
    else:
        DISKS[key](source, at, errors)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    was, now = ({key: spec.get(key) for key in SOURCES} for spec in (stored, fresh))
    if not is_same(was, now):
        errors.forbidden(
            SPEC.child("persistentvolumesource"), "spec.persistentvolumesource is immutable after creation"
        )
    errors.immutable(SPEC.child("volumeMode"), fresh.get("volumeMode"), stored.get("volumeMode"))
    if stored.get("nodeAffinity") is not None and not is_same(stored["nodeAffinity"], fresh.get("nodeAffinity")):
        errors.invalid(SPEC.child("nodeAffinity"), fresh.get("nodeAffinity"), IMMUTABLE)


def row(volume: Object) -> list[Any]:
    spec, status = volume.get("spec") or {}, volume.get("status") or {}
    claim = spec.get("claimRef")
    return [
        meta.name(volume),
        (spec.get("capacity") or {}).get("storage", "0"),
        short_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy") or "",
        "Terminating" if meta.is_deleting(volume) else status.get("phase") or "",
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        storage_class(volume),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason") or "",
        age(volume),
        spec.get("volumeMode") or UNSET,
    ]


RULES = KindRules(
    warnings=object_warnings.of_volume,
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        text("Capacity", "The description of the persistent volume's resources and capacity."),
        text("Access Modes", "All the ways the volume can be mounted."),
        text("Reclaim Policy", "What happens to a persistent volume when released from its claim."),
        text("Status", "Whether a volume is available, bound to a claim, or released by a claim."),
        text("Claim", "The claim that the volume is bound to."),
        text("StorageClass", "StorageClass of the pv"),
        text("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
        text("Reason", "A brief string that describes any failure."),
        AGE,
        text("VolumeMode", "Whether the volume is used with a formatted filesystem or as a raw block.", wide=True),
    ),
    row=row,
    name_check=meta.dns1123_subdomain,
)
