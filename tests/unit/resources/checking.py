"""Runs a kind's rules on an object and gives the errors as `field: message` lines."""

import copy
from typing import Any

from minikube_py.apiserver.writes import WholeObject
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import GVR, ResourceKind
from minikube_py.resources.metadata import validate_metadata

KINDS = built_in_kinds()


def kind_of(resource: str) -> ResourceKind:
    """`pods`, or `deployments.apps` in v1, or `x.group/v2`."""
    name, _, version = resource.partition("/")
    plural, _, group = name.partition(".")
    found = KINDS.find(GVR(group, version or "v1", plural))
    assert found is not None, resource
    return found


def create_errors(resource: str, obj: dict[str, Any]) -> list[str]:
    kind = kind_of(resource)
    obj = copy.deepcopy(obj)
    metadata = obj.setdefault("metadata", {})
    metadata.setdefault("name", "a")
    metadata.setdefault("uid", "u")
    if kind.namespaced:
        metadata.setdefault("namespace", "default")
    kind.rules.default(obj)
    kind.rules.prepare_create(obj)
    errors = FieldErrors()
    validate_metadata(obj, kind, errors)
    kind.rules.validate(obj, errors)
    kind.rules.validate_create(obj, errors)
    return [f"{cause.field}: {cause.message}" for cause in errors.causes]


def stored(resource: str, obj: dict[str, Any]) -> dict[str, Any]:
    """The object as the server would have stored it on create."""
    kind = kind_of(resource)
    obj = copy.deepcopy(obj)
    obj.setdefault("metadata", {}).setdefault("name", "a")
    obj["metadata"].setdefault("uid", "u")
    kind.rules.default(obj)
    kind.rules.prepare_create(obj)
    return obj


def update_errors(resource: str, new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    kind = kind_of(resource)
    new = copy.deepcopy(new)
    kind.rules.default(new)
    kind.rules.prepare_update(new, old)
    errors = FieldErrors()
    kind.rules.validate_update(new, old, errors)
    return [f"{cause.field}: {cause.message}" for cause in errors.causes]


def change_errors(resource: str, new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    """What the server says of a change of the whole object."""
    kind, form = kind_of(resource), WholeObject()
    new = copy.deepcopy(new)
    kind.rules.default(new)
    form.prepare(kind, new, old)
    errors = FieldErrors()
    form.validate(kind, new, old, errors)
    return [f"{cause.field}: {cause.message}" for cause in errors.causes]
