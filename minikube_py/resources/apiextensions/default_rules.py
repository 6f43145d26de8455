"""Checks the defaults in a custom schema: each is complete, known and valid where it stands.

Source: apiextensions-apiserver pkg/apiserver/schema/defaulting/validation.go.
"""

from minikube_py.objects.meta import deep_copy
from minikube_py.resources.custom.checks import ValueCheck
from minikube_py.resources.custom.cleaning import clean_part
from minikube_py.resources.custom.invariants import validate_embedded
from minikube_py.resources.custom.rules import RuleSet
from minikube_py.resources.custom.structural import META_FIELDS, Structural
from minikube_py.resources.fields import FieldErrors, Path


def validate_defaults(place: Structural, path: Path, errors: FieldErrors, *, in_metadata: bool = False) -> None:
    if not place.any_default:
        return
    if place.has_default:
        _validate_default(place, path.child("default"), errors, in_metadata=in_metadata)
    if place.items is not None:
        validate_defaults(place.items, path.child("items"), errors, in_metadata=in_metadata)
    for key, child in place.properties.items():
        is_meta = in_metadata or (place.embedded and key in META_FIELDS)
        validate_defaults(child, path.child("properties").key(key), errors, in_metadata=is_meta)


def _validate_default(place: Structural, path: Path, errors: FieldErrors, *, in_metadata: bool) -> None:
    value = place.default
    if not in_metadata:
        pruned = deep_copy(value)
        clean_part(pruned, place)
        if pruned != value:
            errors.invalid(path, value, "must not have unknown fields")
    found = FieldErrors()
    validate_embedded(value, place, path, found)
    if not found:
        ValueCheck.of(place).validate(value, found, path.text)
    if not found:
        RuleSet.of(place).validate(value, value, found, path)
    errors.extend(found.causes)
