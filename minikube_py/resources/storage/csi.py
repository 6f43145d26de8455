"""CSIDrivers, CSINodes, CSIStorageCapacities and VolumeAttachments: defaults, checks, columns."""

from typing import Any

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources import object_warnings
from minikube_py.resources.core.volume_rules import validate_csi_driver_name
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, UNSET, age, flag, join, number, text
from minikube_py.resources.value_rules import IMMUTABLE, validate_dns1123_subdomain, validate_label_selector

SPEC = Path("spec")
GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_DRIVER_IMMUTABLE = ("attachRequired", "volumeLifecycleModes")


def default_driver(driver: Object) -> None:
    spec = driver.setdefault("spec", {})
    spec.setdefault("attachRequired", True)
    spec.setdefault("podInfoOnMount", False)
    spec.setdefault("storageCapacity", False)
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]
    spec.setdefault("requiresRepublish", False)
    spec.setdefault("seLinuxMount", False)


def validate_driver(driver: Object, errors: FieldErrors) -> None:
    spec = driver.get("spec") or {}
    validate_csi_driver_name(meta.name(driver), Path("name"), errors)
    for key in ("attachRequired", "podInfoOnMount", "storageCapacity"):
        if spec.get(key) is None:
            errors.required(SPEC.child(key))
    errors.enum(SPEC.child("fsGroupPolicy"), spec.get("fsGroupPolicy"), GROUP_POLICIES)
    seen: set[str] = set()
    for index, request in enumerate(spec.get("tokenRequests") or ()):
        at = SPEC.child("tokenRequests").index(index)
        audience = request.get("audience", "")
        if audience in seen:
            errors.duplicate(at.child("audience"), audience)
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            why = "may not specify a duration less than 10 minutes"
            errors.invalid(at.child("expirationSeconds"), seconds, why)
    for mode in spec.get("volumeLifecycleModes") or ():
        errors.optional_enum(SPEC.child("volumeLifecycleModes"), mode, ("Ephemeral", "Persistent"))


def validate_driver_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate_driver(new, errors)
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    for key in _DRIVER_IMMUTABLE:
        errors.immutable(SPEC.child(key), fresh.get(key), stored.get(key))


def driver_row(driver: Object) -> list[Any]:
    spec = driver.get("spec") or {}
    return [
        meta.name(driver),
        bool(spec.get("attachRequired", True)),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        ",".join(r.get("audience", "") for r in spec.get("tokenRequests") or ()) or UNSET,
        bool(spec.get("requiresRepublish")),
        join(spec.get("volumeLifecycleModes") or ()),
        age(driver),
    ]


def validate_node(node: Object, errors: FieldErrors) -> None:
    seen: set[str] = set()
    for index, driver in enumerate((node.get("spec") or {}).get("drivers") or ()):
        at = SPEC.child("drivers").index(index)
        name = driver.get("name", "")
        validate_csi_driver_name(name, at.child("name"), errors)
        if name in seen:
            errors.duplicate(at.child("name"), name)
        seen.add(name)
        if not driver.get("nodeID"):
            errors.required(at.child("nodeID"))
        elif len(driver["nodeID"]) > 256:
            errors.invalid(at.child("nodeID"), driver["nodeID"], "must be 256 characters or less")
        count = (driver.get("allocatable") or {}).get("count")
        errors.not_negative(at.child("allocatable", "count"), count)
        for key in driver.get("topologyKeys") or ():
            if not key:
                errors.required(at)
            else:
                errors.invalid_each(at.child("topologyKeys"), key, meta.qualified_name(key))


def validate_node_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate_node(new, errors)
    fresh = {d.get("name"): d for d in (new.get("spec") or {}).get("drivers") or ()}
    for driver in (old.get("spec") or {}).get("drivers") or ():
        changed = fresh.get(driver.get("name"))
        if changed is None:
            continue
        rest = [{k: v for k, v in d.items() if k != "allocatable"} for d in (changed, driver)]
        if not is_same(rest[0], rest[1]):
            errors.invalid(Path("CSINode.Spec.Drivers"), driver, IMMUTABLE)


def node_row(node: Object) -> list[Any]:
    return [meta.name(node), len((node.get("spec") or {}).get("drivers") or ()), age(node)]


def validate_capacity(capacity: Object, errors: FieldErrors) -> None:
    validate_label_selector(capacity.get("nodeTopology"), Path("nodeTopology"), errors)
    name = capacity.get("storageClassName", "")
    validate_dns1123_subdomain(name, Path("storageClassName"), errors)
    amount = capacity.get("capacity")
    if amount is not None and quantity.parse(amount).nanos < 0:
        errors.invalid(Path("capacity"), amount, "must be greater than or equal to 0")


def validate_capacity_update(new: Object, old: Object, errors: FieldErrors) -> None:
    for key in ("nodeTopology", "storageClassName"):
        errors.immutable(Path(key), new.get(key), old.get(key))


def capacity_row(capacity: Object) -> list[Any]:
    return [meta.name(capacity), capacity.get("storageClassName", ""), capacity.get("capacity") or UNSET]


def validate_attachment(attachment: Object, errors: FieldErrors) -> None:
    spec = attachment.get("spec") or {}
    validate_csi_driver_name(spec.get("attacher", ""), SPEC.child("attacher"), errors)
    source, at = spec.get("source") or {}, SPEC.child("source")
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if name is None and inline is None:
        errors.required(at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    elif name is not None and inline is not None:
        errors.forbidden(at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    elif name is not None:
        if not name:
            errors.required(at.child("persistentVolumeName"), "must specify non empty persistentVolumeName")
        else:
            validate_dns1123_subdomain(name, at.child("persistentVolumeName"), errors)
    validate_dns1123_subdomain(spec.get("nodeName", ""), SPEC.child("nodeName"), errors)


def validate_attachment_update(new: Object, old: Object, errors: FieldErrors) -> None:
    if not is_same(new.get("spec"), old.get("spec")):
        errors.invalid(SPEC, new.get("spec"), IMMUTABLE)


def prepare_attachment(attachment: Object) -> None:
    attachment["status"] = {"attached": False}


def attachment_row(attachment: Object) -> list[Any]:
    spec, status = attachment.get("spec") or {}, attachment.get("status") or {}
    return [
        meta.name(attachment),
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName", ""),
        flag(bool(status.get("attached"))),
        age(attachment),
    ]


DRIVER_RULES = KindRules(
    default=default_driver,
    validate=validate_driver,
    validate_update=validate_driver_update,
    columns=(
        NAME,
        text("AttachRequired", "Whether volumes of this driver are attached before they are mounted."),
        text("PodInfoOnMount", "Whether the driver wants information about the pod that mounts."),
        text("StorageCapacity", "Whether the driver tells how much capacity is left."),
        text("TokenRequests", "Audiences of the service account tokens the driver needs."),
        text("RequiresRepublish", "Whether the driver wants to be called again from time to time."),
        text("Modes", "Which kinds of volumes the driver supports."),
        AGE,
    ),
    row=driver_row,
    has_generation=True,
    allows_unconditional_update=False,
)
NODE_RULES = KindRules(
    validate=validate_node,
    validate_update=validate_node_update,
    columns=(NAME, number("Drivers", "The number of CSI drivers on the node."), AGE),
    row=node_row,
    allows_unconditional_update=False,
)
CAPACITY_RULES = KindRules(
    warnings=object_warnings.of_storage_capacity,
    validate=validate_capacity,
    validate_update=validate_capacity_update,
    columns=(
        NAME,
        text("StorageClassName", "The class the capacity is for."),
        text("Capacity", "What is left."),
    ),
    row=capacity_row,
    allows_unconditional_update=False,
)
ATTACHMENT_RULES = KindRules(
    prepare_create=prepare_attachment,
    validate=validate_attachment,
    validate_update=validate_attachment_update,
    columns=(
        NAME,
        text("Attacher", "The CSI driver that attaches."),
        text("PV", "The persistent volume to attach."),
        text("Node", "The node to attach to."),
        text("Attached", "Whether the volume is attached."),
        AGE,
    ),
    row=attachment_row,
    allows_unconditional_update=False,
    status_changes_metadata=False,
)
