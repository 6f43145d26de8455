"""Prunes, drops nulls, checks embedded metadata and sets defaults, in place, as a structural schema says.

Source: apiextensions-apiserver pkg/apiserver/schema/{pruning,defaulting,objectmeta}.
"""

from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.custom.structural import META_FIELDS, OBJECT_META, Structural
from minikube_py.resources.schema import check_definition
from minikube_py.resources.schema_check import SchemaReport, keeping_reset


def clean(obj: Object, root: Structural, *, keeps_unknown: bool = False) -> SchemaReport:
    """What decoding does to an object of a custom kind: unknown fields and stray nulls go, metadata is checked.

    keeps_unknown is for CRDs with spec.preserveUnknownFields, whose objects are not pruned.
    """
    unknown: list[str] = []
    cleaner = _Cleaner(unknown)
    wrong = cleaner.metadata(obj, "")
    if not keeps_unknown:
        cleaner.object(obj, root, "", is_resource=True)
        drop_nulls(obj, root)
    wrong = wrong or cleaner.wrong
    return SchemaReport(wrong, tuple(sorted(unknown)))


class _Cleaner:
    """One pass. `wrong` is the first error of embedded metadata that can't be read."""

    def __init__(self, unknown: list[str]) -> None:
        self.unknown = unknown
        self.wrong = ""

    def metadata(self, obj: Object, path: str) -> str:
        """Checks the metadata of a resource against ObjectMeta; gives Go's text of a type error."""
        value = obj.get("metadata")
        if value is None:
            obj.pop("metadata", None)
            return ""
        report = keeping_reset(value if not path else None, lambda: check_definition(OBJECT_META, value))
        prefix = f"{path}.metadata." if path else "metadata."
        self.unknown.extend(prefix + field for field in report.unknown_fields)
        return report.type_error

    def value(self, value: Any, place: Structural | None, path: str) -> None:
        if isinstance(value, dict):
            if place is None:
                for key in list(value):
                    self.unknown.append(f"{path}.{key}" if path else key)
                    del value[key]
                return
            self.object(value, place, path, is_resource=place.embedded)
        elif isinstance(value, list):
            items = place.items if place is not None else None
            if place is not None and place.preserve and items is None:
                return
            for index, child in enumerate(value):
                self.value(child, items, f"{path}[{index}]")

    def object(self, value: Object, place: Structural, path: str, *, is_resource: bool) -> None:
        if is_resource and path:
            self._embedded(value, path)
        properties, additional = place.properties, place.additional
        for key in list(value):
            if is_resource and key in META_FIELDS:
                continue
            child = properties.get(key)
            if child is not None:
                self.value(value[key], child, f"{path}.{key}" if path else key)
            elif additional is not None:
                self.value(value[key], additional, f"{path}.{key}" if path else key)
            elif place.preserve:
                continue
            elif place.allows_additional:
                self.value(value[key], None, f"{path}.{key}" if path else key)
            else:
                self.unknown.append(f"{path}.{key}" if path else key)
                del value[key]

    def _embedded(self, value: Object, path: str) -> None:
        for key in ("apiVersion", "kind"):
            if key in value and not isinstance(value[key], str):
                self.wrong = self.wrong or f"{path}.{key}: Invalid value: {value[key]!r}: must be a string"
        if isinstance(value.get("metadata"), (dict, list, str, int, float)):
            wrong = self.metadata(value, path)
            if wrong:
                self.wrong = self.wrong or f"{path}.metadata: Invalid value: {wrong}"


def drop_nulls(value: Any, place: Structural | None) -> None:
    """Nulls of fields that are not nullable and have no default go, as if they had not been sent."""
    if isinstance(value, dict):
        for key in list(value):
            child = place.child(key) if place is not None else None
            if value[key] is None:
                if child is not None and not child.nullable and not child.has_default:
                    del value[key]
            elif child is not None:
                drop_nulls(value[key], child)
    elif isinstance(value, list) and place is not None and place.items is not None:
        for item in value:
            drop_nulls(item, place.items)


def default(value: Any, place: Structural) -> None:
    """Sets the schema's defaults: for missing keys, and for nulls where null is not allowed."""
    if not place.any_default:
        return
    if isinstance(value, dict):
        for key, child in place.properties.items():
            if child.has_default and (key not in value or (value[key] is None and not child.nullable)):
                value[key] = deep_copy(child.default)
        for key, held in value.items():
            found = place.properties.get(key)
            if found is None:
                found = place.additional
                if found is not None and held is None and not found.nullable:
                    held = value[key] = deep_copy(found.default)
            if found is not None:
                default(held, found)
    elif isinstance(value, list) and place.items is not None:
        for index, item in enumerate(value):
            if item is None and not place.items.nullable:
                item = value[index] = deep_copy(place.items.default)
            default(item, place.items)


def clean_part(value: Any, place: Structural) -> None:
    """Prunes a value that is only a part of an object, such as a default, in place."""
    _Cleaner([]).value(value, place, "")
