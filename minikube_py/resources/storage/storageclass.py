"""StorageClasses and VolumeAttributesClasses: defaults, checks, what may change, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources import object_warnings
from minikube_py.resources.core.volume_rules import validate_csi_driver_name
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, UNSET, age, text
from minikube_py.resources.value_rules import validate_label_name

DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class",
)  # fmt: skip
MAX_PARAMETERS, MAX_PARAMETERS_SIZE = 512, 256 * 1024
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")


def default(storage_class: Object) -> None:
    storage_class.setdefault("reclaimPolicy", "Delete")
    storage_class.setdefault("volumeBindingMode", "Immediate")


def validate(storage_class: Object, errors: FieldErrors) -> None:
    provisioner = storage_class.get("provisioner", "")
    if not provisioner:
        errors.required(Path("provisioner"))
    else:
        errors.invalid_each(Path("provisioner"), provisioner, meta.qualified_name(provisioner.lower()))
    validate_parameters(storage_class.get("parameters") or {}, errors, needs_one=False)
    policy = storage_class.get("reclaimPolicy")
    if policy:
        errors.optional_enum(Path("reclaimPolicy"), policy, ("Delete", "Retain"))
    mode = storage_class.get("volumeBindingMode")
    if mode is None:
        errors.required(Path("volumeBindingMode"))
    else:
        errors.optional_enum(Path("volumeBindingMode"), mode, BINDING_MODES)
    _validate_topologies(storage_class.get("allowedTopologies") or (), errors)


def validate_parameters(parameters: dict[str, str], errors: FieldErrors, *, needs_one: bool) -> None:
    path = Path("parameters")
    if len(parameters) > MAX_PARAMETERS:
        errors.too_long(path, MAX_PARAMETERS)
        return
    for key in parameters:
        if not key:
            errors.invalid(path, key, "field can not be empty.")
    if sum(len(k) + len(v) for k, v in parameters.items()) > MAX_PARAMETERS_SIZE:
        errors.too_long(path, MAX_PARAMETERS_SIZE)
    if needs_one and not parameters:
        errors.required(path, "must contain at least one key/value pair")


def _validate_topologies(terms: list[Object] | tuple[()], errors: FieldErrors) -> None:
    for index, term in enumerate(terms):
        at = Path("allowedTopologies").index(index).child("matchLabelExpressions")
        keys: set[str] = set()
        for i, requirement in enumerate(term.get("matchLabelExpressions") or ()):
            where = at.index(i)
            key, values = requirement.get("key", ""), requirement.get("values") or []
            if not values:
                errors.required(where.child("values"))
            for j, value in enumerate(values):
                if value in values[:j]:
                    errors.duplicate(where.child("values").index(j), value)
            validate_label_name(key, where.child("key"), errors)
            if key in keys:
                errors.duplicate(where.child("key"), key)
            keys.add(key)
        if any(is_same(term, earlier) for earlier in terms[:index]):
            errors.duplicate(at, "")


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    for key in ("parameters", "provisioner", "reclaimPolicy"):
        if not is_same(new.get(key), old.get(key)):
            errors.forbidden(Path(key), f"updates to {key} are forbidden.")
    errors.immutable(Path("volumeBindingMode"), new.get("volumeBindingMode"), old.get("volumeBindingMode"))


def is_default(storage_class: Object) -> bool:
    annotations = meta.annotations(storage_class)
    return any(annotations.get(key) == "true" for key in DEFAULT_ANNOTATIONS)


def row(storage_class: Object) -> list[Any]:
    name = meta.name(storage_class)
    return [
        f"{name} (default)" if is_default(storage_class) else name,
        storage_class.get("provisioner", ""),
        storage_class.get("reclaimPolicy") or "Delete",
        storage_class.get("volumeBindingMode") or UNSET,
        bool(storage_class.get("allowVolumeExpansion")),
        age(storage_class),
    ]


def validate_attributes(attributes: Object, errors: FieldErrors) -> None:
    validate_csi_driver_name(attributes.get("driverName", ""), Path("driverName"), errors)
    validate_parameters(attributes.get("parameters") or {}, errors, needs_one=True)


def validate_attributes_update(new: Object, old: Object, errors: FieldErrors) -> None:
    for key in ("driverName", "parameters"):
        if not is_same(new.get(key), old.get(key)):
            errors.forbidden(Path(key), f"updates to {key} are forbidden.")


def attributes_row(attributes: Object) -> list[Any]:
    name = meta.name(attributes)
    shown = f"{name} (default)" if is_default(attributes) else name
    return [shown, attributes.get("driverName", ""), age(attributes)]


RULES = KindRules(
    warnings=object_warnings.of_storage_class,
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        text("Provisioner", "The type of the provisioner."),
        text("ReclaimPolicy", "What happens to volumes of this class when they are released."),
        text("VolumeBindingMode", "When volumes of this class are provisioned and bound."),
        text("AllowVolumeExpansion", "Whether the storage class allows volumes to expand."),
        AGE,
    ),
    row=row,
)
ATTRIBUTES_RULES = KindRules(
    validate=validate_attributes,
    validate_update=validate_attributes_update,
    columns=(NAME, text("DriverName", "Name of the CSI driver."), AGE),
    row=attributes_row,
)
