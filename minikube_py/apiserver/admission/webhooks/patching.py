"""Applies the JSON patch of a mutating webhook.

Source: apiserver pkg/admission/plugin/webhook/mutating/dispatcher.go.
"""

from typing import Any

from minikube_py.apiserver.admission.changed_objects import decoded_again
from minikube_py.objects.errors import InternalError, Object
from minikube_py.objects.patch import MAX_OPERATIONS, Unfit, apply_operations
from minikube_py.resources.kind import ResourceKind


def changed_by(name: str, obj: Object | None, kind: ResourceKind, patch: list[Any]) -> Object:
    """A patched and defaulted copy. Raises InternalError."""
    if obj is None:
        why = f'admission webhook "{name}" attempted to modify the object, which is not supported for this operation'
        raise InternalError.of(why)
    if len(patch) > MAX_OPERATIONS:
        raise InternalError.of(f'admission webhook "{name}" sent a patch of more than {MAX_OPERATIONS} operations')
    try:
        changed = apply_operations(obj, patch)
    except Unfit as error:
        raise InternalError.of(str(error)) from None
    if not isinstance(changed, dict):
        raise InternalError.of(f'admission webhook "{name}" made something else than an object')
    return decoded_again(changed, kind)
