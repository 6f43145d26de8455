"""StorageVersionMigrations: checks, what may change, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, text

SPEC = Path("spec")


def validate(migration: Object, errors: FieldErrors) -> None:
    resource, at = (migration.get("spec") or {}).get("resource") or {}, SPEC.child("resource")
    if not resource.get("resource"):
        errors.required(at.child("resource"), "resource is required")
    if resource.get("group"):
        errors.invalid_each(at.child("group"), resource["group"], meta.dns1123_subdomain(resource["group"]))


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    errors.immutable(SPEC, new.get("spec"), old.get("spec"))


def row(migration: Object) -> list[Any]:
    resource = (migration.get("spec") or {}).get("resource") or {}
    shown = resource.get("resource", "")
    return [meta.name(migration), f"{shown}.{resource['group']}" if resource.get("group") else shown, age(migration)]


RULES = KindRules(
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, text("Resource", "The resource whose objects are rewritten."), AGE),
    row=row,
    allows_unconditional_update=False,
    status_changes_metadata=False,
)
