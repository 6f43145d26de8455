"""PodTemplates: a pod template as an object of its own."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core import pod_warnings
from minikube_py.resources.core.pod_template import default_pod_template, validate_pod_template
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import NAME, container_cells, format_labels, text


def default(obj: Object) -> None:
    default_pod_template(obj.setdefault("template", {}))


def validate(obj: Object, errors: FieldErrors) -> None:
    validate_pod_template(obj.get("template") or {}, Path("template"), errors)


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate(new, errors)


def row(obj: Object) -> list[Any]:
    template = obj.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    return [meta.name(obj), *container_cells(template.get("spec") or {}), format_labels(labels)]


RULES = KindRules(
    warnings=lambda obj: pod_warnings.of_template(obj, "template"),
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        text("Containers", "Names of each container in the template."),
        text("Images", "Images referenced by each container in the template."),
        text("Pod Labels", "The labels for the pod template."),
    ),
    row=row,
    has_generation=True,
)
