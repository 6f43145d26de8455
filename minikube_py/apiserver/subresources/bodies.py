"""Decodes bodies of subresources whose kind is their own: Binding, Eviction, Scale, TokenRequest."""

from collections.abc import Callable, Sequence

from minikube_py.apiserver.call import ApiCall
from minikube_py.apiserver.decoding import check_body, report_fields
from minikube_py.objects.errors import Object
from minikube_py.resources import schema
from minikube_py.resources.kind import GVK
from minikube_py.resources.schema_table import definition_of

Complaints = Callable[[Sequence[str]], list[str]]
"""What is said of unknown fields; Body.complaints is one."""


def decode_body(call: ApiCall, expected: GVK) -> Object:
    """The body as an object of `expected`, checked and cleaned."""
    obj = call.body.tree()
    if obj is None:
        obj = {}
    check_body(call, obj, expected)
    check_as(call, obj, expected, call.body.complaints)
    return obj  # type: ignore[no-any-return]


def check_as(call: ApiCall, obj: Object, expected: GVK, complaints: Complaints) -> None:
    """Checks the fields of an object of another kind than the call's, as fieldValidation asks."""
    definition = definition_of(*expected)
    if definition is None:
        return
    report = schema.check_definition(definition, obj)
    report_fields(call, report, complaints(report.unknown_fields), expected)
