"""Bindings: which node a pod is given."""

from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules

TARGET = Path("target")


def validate(binding: Object, errors: FieldErrors) -> None:
    target = binding.get("target") or {}
    if target.get("kind") and target["kind"] != "Node":
        errors.not_supported(TARGET.child("kind"), target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        errors.required(TARGET.child("name"))


RULES = KindRules(validate=validate)
