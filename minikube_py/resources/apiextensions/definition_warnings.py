"""What Kubernetes warns of in the schemas of CustomResourceDefinitions.

Source: apiextensions-apiserver pkg/registry/customresourcedefinition/strategy.go.
"""

from collections.abc import Iterator
from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.resources.custom.formats import supported

_SCHEMAS = ("items", "not", "additionalProperties", "additionalItems")
_LISTS = ("allOf", "anyOf", "oneOf")
_MAPS = ("properties", "patternProperties", "definitions")


def of_definition(definition: Object) -> list[str]:
    """Formats that nothing checks, and sets whose items can't be told apart."""
    formats: list[str] = []
    sets: set[str] = set()
    for version in (definition.get("spec") or {}).get("versions") or ():
        for schema in _all((version.get("schema") or {}).get("openAPIV3Schema")):
            format_ = schema.get("format")
            if format_ and not supported(format_, schema.get("type") or ""):
                formats.append(f'unrecognized format "{format_}"')
            type_ = (schema.get("items") or {}).get("type") if isinstance(schema.get("items"), dict) else None
            if schema.get("x-kubernetes-list-type") == "set" and type_ in ("object", "array"):
                sets.add(
                    f'x-kubernetes-list-type: set for items of type "{type_}" is not supported by server-side apply or '
                    "CEL validation rules"
                )
    return [*formats, *sorted(sets)]


def _all(schema: Any) -> Iterator[Object]:
    """A schema and all in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key in _SCHEMAS:
        yield from _all(schema.get(key))
    for key in _LISTS:
        for child in schema.get(key) or ():
            yield from _all(child)
    for key in _MAPS:
        for child in (schema.get(key) or {}).values():
            yield from _all(child)
