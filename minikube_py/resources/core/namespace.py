"""Namespaces: the name label, the finalizer of namespace deletion, and phases."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.metadata import STANDARD_FINALIZERS
from minikube_py.resources.printing import AGE, NAME, age, text

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
FINALIZERS = Path("spec.finalizers")


def default(namespace: Object) -> None:
    metadata = namespace.setdefault("metadata", {})
    if metadata.get("name"):
        labels = metadata.get("labels") or {}
        metadata["labels"] = {**labels, NAME_LABEL: metadata["name"]}
    if not (namespace.get("status") or {}).get("phase"):
        namespace.setdefault("status", {})["phase"] = "Active"


def prepare_create(namespace: Object) -> None:
    default(namespace)
    namespace["status"] = {"phase": "Active"}
    spec = namespace.setdefault("spec", {})
    if FINALIZER not in (spec.get("finalizers") or ()):
        spec["finalizers"] = [*(spec.get("finalizers") or ()), FINALIZER]


def prepare_update(new: Object, old: Object) -> None:
    """Only the finalize subresource changes the finalizers of the spec."""
    new["spec"] = {**(new.get("spec") or {}), "finalizers": list((old.get("spec") or {}).get("finalizers") or ())}
    if not new["spec"]["finalizers"]:
        del new["spec"]["finalizers"]


def validate(namespace: Object, errors: FieldErrors) -> None:
    for name in (namespace.get("spec") or {}).get("finalizers") or ():
        validate_finalizer(name, FINALIZERS, errors)


def validate_finalizer(name: str, path: Path, errors: FieldErrors) -> None:
    """A finalizer in `spec.finalizers`, where plain names are for Kubernetes only."""
    errors.invalid_each(path, name, meta.qualified_name(name))
    if "/" not in name and name not in STANDARD_FINALIZERS:
        errors.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")


def validate_finalize(new: Object, _old: Object, errors: FieldErrors) -> None:
    """A change through the finalize subresource."""
    for index, name in enumerate((new.get("spec") or {}).get("finalizers") or ()):
        validate_finalizer(name, FINALIZERS.index(index), errors)


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    phase = (new.get("status") or {}).get("phase", "")
    path = Path("status.Phase")
    if not meta.is_deleting(new):
        if phase != "Active":
            errors.invalid(path, phase, "may only be 'Active' if `deletionTimestamp` is empty")
    elif phase != "Terminating":
        errors.invalid(path, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")


def row(namespace: Object) -> list[Any]:
    return [meta.name(namespace), (namespace.get("status") or {}).get("phase") or "", age(namespace)]


def fields(namespace: Object) -> dict[str, str]:
    return {"status.phase": (namespace.get("status") or {}).get("phase") or ""}


RULES = KindRules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_status=validate_status,
    columns=(NAME, text("Status", "The status of the namespace"), AGE),
    row=row,
    fields=fields,
    name_check=meta.dns1123_label,
)
