"""Makes of an object that a policy or webhook has changed what the server would have decoded from a client.

Source: apiserver pkg/admission/plugin/{webhook/mutating,policy/mutating}/dispatcher.go.
"""

from minikube_py.objects.errors import InternalError, Object
from minikube_py.resources import schema
from minikube_py.resources.kind import ResourceKind


def decoded_again(obj: Object, kind: ResourceKind, *, is_strict: bool = False) -> Object:
    """The object, in place: checked, without unknown fields, defaulted. Raises InternalError."""
    if obj.get("kind") not in (None, kind.kind):
        return obj  # the body of a subresource that is no kind of its own
    report = schema.check(kind, obj)
    if report.type_error:
        raise InternalError.of(report.decode_error(kind.kind, kind.version))
    if is_strict and report.unknown_fields:
        raise InternalError.of(f"strict decoding error: {', '.join(report.warnings())}")
    kind.rules.default(obj)
    return obj
