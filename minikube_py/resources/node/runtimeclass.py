"""RuntimeClasses: checks, what may change, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources import object_warnings
from minikube_py.resources.core.affinity_rules import validate_tolerations
from minikube_py.resources.core.resource_rules import validate_resource_requirements
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, text
from minikube_py.resources.value_rules import validate_dns1123_label, validate_labels


def validate(runtime_class: Object, errors: FieldErrors) -> None:
    validate_dns1123_label(runtime_class.get("handler", ""), Path("handler"), errors)
    overhead = (runtime_class.get("overhead") or {}).get("podFixed")
    if overhead:
        validate_resource_requirements({"limits": overhead}, None, Path("overhead.podFixed"), errors)
    scheduling = runtime_class.get("scheduling") or {}
    validate_labels(scheduling.get("nodeSelector"), Path("scheduling.nodeSelector"), errors)
    tolerations = scheduling.get("tolerations") or []
    validate_tolerations(tolerations, Path("scheduling.tolerations"), errors)
    for index, toleration in enumerate(tolerations):
        if toleration in tolerations[:index]:
            errors.duplicate(Path("scheduling.tolerations").index(index), toleration)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    errors.immutable(Path("handler"), new.get("handler"), old.get("handler"))


def row(runtime_class: Object) -> list[Any]:
    return [meta.name(runtime_class), runtime_class.get("handler", ""), age(runtime_class)]


RULES = KindRules(
    warnings=object_warnings.of_runtime_class,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, text("Handler", "The underlying runtime and configuration that handles pods of this class."), AGE),
    row=row,
    allows_unconditional_update=False,
)
