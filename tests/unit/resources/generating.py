"""Makes random objects that fit the schema of a kind, to feed rules with anything a client may send."""

import copy
import random
from collections.abc import Iterator
from typing import Any

from minikube_py.resources.kind import ResourceKind
from minikube_py.resources.schema_table import INT_OR_STRING, MICRO_TIME, QUANTITY, TIME, Definition, resolve

WORDS = ("", "a", "Always", "TCP", "app.io/x", "10.0.0.1", "Never", "*", "not valid", "10.0.0.0/24", "ClusterIP", "/x")
AMOUNTS = ("1", "500m", "1Gi", "0", "-1", "100n", "3")


def random_object(kind: ResourceKind, seed: int) -> dict[str, Any]:
    """An object of the kind; the same for the same seed."""
    source = random.Random(f"{kind.gvk}{seed}")
    obj = _value({"$ref": kind.schema}, source, 0)
    obj |= {"apiVersion": kind.api_version, "kind": kind.kind}
    metadata = {"name": "a", "uid": "u", "resourceVersion": "1", "creationTimestamp": "2024-01-01T00:00:00Z"}
    if kind.namespaced:
        metadata["namespace"] = "default"
    obj["metadata"] = {
        **{k: v for k, v in obj.get("metadata", {}).items() if k in ("labels", "annotations")},
        **metadata,
    }
    return obj


def _value(place: Definition, source: random.Random, depth: int) -> Any:
    named = {QUANTITY: AMOUNTS, INT_OR_STRING: (0, 1, 80, "25%", "http", "x y"), TIME: ("2024-01-01T00:00:00Z",)}
    named[MICRO_TIME] = ("2024-01-01T00:00:00.000000Z",)
    ref = place.get("$ref", "")
    if ref in named:
        return source.choice(named[ref])
    body = resolve(place)
    kind = body.get("type")
    if "properties" in body:
        return _struct(body, source, depth)
    if kind == "object":
        additional = body.get("additionalProperties")
        if not isinstance(additional, dict) or depth > 9:
            return {}
        return {source.choice(WORDS[1:]): _value(additional, source, depth + 1) for _ in range(source.randint(0, 2))}
    if kind == "array":
        count = source.randint(0, 2) if depth < 9 else 0
        return [_value(body["items"], source, depth + 1) for _ in range(count)]
    if kind == "integer":
        return source.choice((0, 1, -1, 80, 70000))
    if kind == "boolean":
        return source.choice((True, False))
    if kind == "number":
        return source.choice((0, 1.5))
    if kind == "string":
        return "" if body.get("format") == "byte" else source.choice(WORDS)
    return {}


def _struct(body: Definition, source: random.Random, depth: int) -> dict[str, Any]:
    wanted = {
        key: child
        for key, child in body["properties"].items()
        if key in body.get("required", ()) or (depth < 9 and source.random() < (0.6 if depth < 3 else 0.35))
    }
    return {key: _value(child, source, depth + 1) for key, child in wanted.items()}


def changed(obj: dict[str, Any], kind: ResourceKind, source: random.Random) -> dict[str, Any]:
    """A copy of an object with a few fields that its schema knows set to something else, or taken out."""
    made = copy.deepcopy(obj)
    for _ in range(source.randint(1, 4)):
        spots = [spot for spot in _spots(made, {"$ref": kind.schema}) if spot[0] is not made or spot[1] not in _FIXED]
        container, key, place = source.choice(spots)
        if key in container and source.random() < 0.3:
            del container[key]
        else:
            container[key] = _value(place, source, 6)
    made["metadata"] = {key: value for key, value in made.get("metadata", {}).items() if value}
    return made


def misfit(obj: dict[str, Any], kind: ResourceKind, source: random.Random) -> dict[str, Any]:
    """A copy of an object with one field of a type that its schema forbids."""
    made = copy.deepcopy(obj)
    spots = [spot for spot in _spots(made, {"$ref": kind.schema}) if _wrong_values(spot[2])]
    container, key, place = source.choice(spots)
    container[key] = source.choice(_wrong_values(place))
    return made


_FIXED = ("apiVersion", "kind", "metadata")
_FOREIGN: dict[str, tuple[Any, ...]] = {
    "string": (1, True, {}, []),
    "integer": ("1", 1.5, True, {}, [], 2**63),
    "boolean": ("true", 1, {}, []),
    "array": ("x", 1, {}, True),
    "object": ("x", 1, [], True),
}


def _wrong_values(place: Definition) -> tuple[Any, ...]:
    if place.get("$ref", "") in (QUANTITY, INT_OR_STRING, TIME, MICRO_TIME):
        return ([], {})
    body = resolve(place)
    return () if body.get("x-kubernetes-preserve-unknown-fields") else _FOREIGN.get(body.get("type", ""), ())


def _spots(value: Any, place: Definition) -> Iterator[tuple[dict[str, Any], str, Definition]]:
    """Every field of every struct in a tree: (the struct, the field's name, its definition)."""
    body = resolve(place)
    if isinstance(value, dict) and "properties" in body:
        for key, child in body["properties"].items():
            yield value, key, child
            if key in value:
                yield from _spots(value[key], child)
    elif isinstance(value, dict) and isinstance(body.get("additionalProperties"), dict):
        for child in value.values():
            yield from _spots(child, body["additionalProperties"])
    elif isinstance(value, list) and "items" in body:
        for child in value:
            yield from _spots(child, body["items"])
