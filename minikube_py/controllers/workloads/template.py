"""Hashes and compares pod templates."""

import hashlib
from typing import Any

import orjson

from minikube_py import ids
from minikube_py.controllers.workloads.stored_template import is_unset
from minikube_py.objects.errors import Object

POD_TEMPLATE_HASH = "pod-template-hash"


def template_hash(value: Any, collision_count: int | None = None) -> str:
    """A short name part that is equal for equal values, in the alphabet of generated names."""
    digest = hashlib.blake2b(orjson.dumps(normal(value), option=orjson.OPT_SORT_KEYS), digest_size=4)
    if collision_count is not None:
        digest.update(collision_count.to_bytes(8, "little", signed=True))
    number = str(int.from_bytes(digest.digest(), "little"))
    return "".join(ids.NAME_ALPHABET[ord(digit) % len(ids.NAME_ALPHABET)] for digit in number)


def same_template(one: Object, other: Object) -> bool:
    """Whether two pod templates mean the same, the hash label aside."""
    return bool(normal(_without_hash(one)) == normal(_without_hash(other)))


def normal(value: Any) -> Any:
    """The value without nulls, empty lists and objects, and zero values, which mean the same as absent."""
    if isinstance(value, dict):
        parts = ((k, normal(v)) for k, v in value.items())
        # An empty object can carry meaning (emptyDir: {}), so only metadata-like emptiness is dropped.
        return {k: v for k, v in parts if not is_unset(k, v) and not (v == {} and k in _DROPPED_WHEN_EMPTY)}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return value


_DROPPED_WHEN_EMPTY = frozenset(
    ("labels", "annotations", "securityContext", "resources", "limits", "requests", "nodeSelector", "metadata")
)


def _without_hash(template: Object) -> Object:
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    labels = dict(metadata.get("labels") or {})
    labels.pop(POD_TEMPLATE_HASH, None)
    metadata["labels"] = labels
    return {**template, "metadata": metadata}
