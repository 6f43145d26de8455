"""ControllerRevisions: snapshots of a template that never change."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, age, text


def validate(revision: Object, errors: FieldErrors) -> None:
    if revision.get("data") is None:
        errors.required(Path("data"), "data is mandatory")
    errors.not_negative(Path("revision"), revision.get("revision"))


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    errors.immutable(Path("data"), new.get("data"), old.get("data"))


def row(revision: Object) -> list[Any]:
    owner = meta.controller_of(revision)
    shown = NONE
    if owner is not None:
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        kind = str(owner.get("kind", "")).lower()
        shown = f"{kind}.{group}/{owner.get('name', '')}" if group else f"{kind}/{owner.get('name', '')}"
    return [meta.name(revision), shown, revision.get("revision") or 0, age(revision)]


RULES = KindRules(
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        text("Controller", "Controller of the object"),
        text("Revision", "Revision indicates the revision of the state represented by Data."),
        AGE,
    ),
    row=row,
)
