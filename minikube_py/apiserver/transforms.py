"""Puts objects into the forms a client may ask for instead: Table, PartialObjectMetadata and their lists."""

from collections.abc import Sequence
from typing import Any

from minikube_py.apiserver.codecs import not_acceptable
from minikube_py.objects import meta
from minikube_py.objects.errors import BadRequest, Object
from minikube_py.resources.kind import Column, ResourceKind
from minikube_py.resources.printing import AGE, NAME, age

_META = "meta.k8s.io/"
_DEFAULT_COLUMNS = (NAME, AGE)


def partial(obj: Object, version: str = "v1") -> Object:
    """PartialObjectMetadata: the metadata alone."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": _META + version,
        "metadata": obj.get("metadata") or {},
    }


def partial_list(objects: Sequence[Object], metadata: Object, version: str = "v1") -> Object:
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": _META + version,
        "metadata": metadata,
        "items": [partial(obj, version) for obj in objects],
    }


def table(
    kind: ResourceKind, objects: Sequence[Object], metadata: Object, version: str = "v1", include: str = "Metadata"
) -> Object:
    """What `kubectl get` prints. include is None, Metadata or Object: what each row carries beside its cells."""
    return {
        "kind": "Table",
        "apiVersion": _META + version,
        "metadata": metadata,
        "columnDefinitions": [_definition(column) for column in columns_of(kind)],
        "rows": [table_row(kind, obj, version, include) for obj in objects],
    }


def columns_of(kind: ResourceKind) -> Sequence[Column]:
    return kind.rules.columns or _DEFAULT_COLUMNS


def _definition(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def table_row(kind: ResourceKind, obj: Object, version: str, include: str) -> Object:
    """One object as a row."""
    row: Object = {"cells": _cells(kind, obj)}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial(obj, version)
    return row


def _cells(kind: ResourceKind, obj: Object) -> list[Any]:
    if kind.rules.row is not None:
        return kind.rules.row(obj)
    return [meta.name(obj), age(obj)]


def check_include(include: str | None) -> str:
    if include in (None, "", "Metadata"):
        return "Metadata"
    if include not in ("None", "Object"):
        raise BadRequest(f"unrecognized includeObject value: {include}")
    return include


def shape(kind: ResourceKind, obj: Object, transform: tuple[str, str], include: str | None) -> Object:
    """The object, or what it is transformed to; transform is (form, version of meta.k8s.io). Raises NotAcceptable."""
    form, version = transform
    if form == "Table":
        metadata = {"resourceVersion": (obj.get("metadata") or {}).get("resourceVersion", "")}
        return table(kind, [obj], metadata, version, check_include(include))
    if form == "PartialObjectMetadata":
        return partial(obj, version)
    if form:
        raise not_acceptable()
    return obj
