"""IngressClasses: checks and columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, age, text
from minikube_py.resources.value_rules import validate_domain_prefixed_path

SPEC = Path("spec")
MAX_CONTROLLER = 250


def default(ingress_class: Object) -> None:
    parameters = ingress_class.setdefault("spec", {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def validate(ingress_class: Object, errors: FieldErrors) -> None:
    spec = ingress_class.get("spec") or {}
    controller, at = spec.get("controller", ""), SPEC.child("controller")
    if len(controller) > MAX_CONTROLLER:
        errors.too_long(at, MAX_CONTROLLER)
    validate_domain_prefixed_path(controller, at, errors)
    parameters, at = spec.get("parameters"), SPEC.child("parameters")
    if parameters is None:
        return
    for key in ("kind", "name"):
        if not parameters.get(key):
            errors.required(at.child(key))
    scope = parameters.get("scope")
    errors.enum(at.child("scope"), scope, ("Cluster", "Namespace"))
    if scope == "Namespace" and not parameters.get("namespace"):
        errors.required(at.child("namespace"), "`parameters.scope` is set to 'Namespace'")
    if scope == "Cluster" and parameters.get("namespace") is not None:
        errors.forbidden(at.child("namespace"), "`parameters.scope` is set to 'Cluster'")


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    errors.immutable(SPEC.child("controller"), fresh.get("controller"), stored.get("controller"))
    validate(new, errors)


def row(ingress_class: Object) -> list[Any]:
    spec = ingress_class.get("spec") or {}
    ref = spec.get("parameters")
    shown = NONE
    if ref is not None:
        shown = f"{ref.get('kind', '')}.{ref['apiGroup']}" if ref.get("apiGroup") else ref.get("kind", "")
        shown = f"{shown}/{ref.get('name', '')}"
    return [meta.name(ingress_class), spec.get("controller", ""), shown, age(ingress_class)]


RULES = KindRules(
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        text("Controller", "Controller that is responsible for handling this class"),
        text("Parameters", "A reference to a resource with additional parameters"),
        AGE,
    ),
    row=row,
    has_generation=True,
)
