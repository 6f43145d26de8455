"""Checks the schema of one version of a CustomResourceDefinition, its defaults, rules and selectable fields.

Source: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go.
"""

from minikube_py.objects.errors import Object
from minikube_py.resources.apiextensions.default_rules import validate_defaults
from minikube_py.resources.apiextensions.expression_rules import validate_expressions
from minikube_py.resources.apiextensions.schema_rules import Where, validate_schema
from minikube_py.resources.apiextensions.structural_rules import validate_structural
from minikube_py.resources.custom.field_paths import resolve_field_path
from minikube_py.resources.custom.structural import Structural, parse
from minikube_py.resources.fields import FieldErrors, Path

MAX_SELECTABLE_FIELDS = 8
_AT_ROOT = (
    "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
    "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "required", "items",
    "properties", "externalDocs", "example", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
)  # fmt: skip
_GO_NAMES = {
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields", "x-kubernetes-validations": "XValidations",
}  # fmt: skip


def validate_version_schema(version: Object, schema: Object, at: Path, errors: FieldErrors) -> None:
    """`at` is the path of the version."""
    path = at.child("schema", "openAPIV3Schema")
    found = FieldErrors()
    if (version.get("subresources") or {}).get("status") is not None:
        _validate_root(schema, path, found)
    if schema.get("nullable"):
        found.forbidden(path.child("nullable"), "nullable cannot be true at the root")
    root = parse(schema)
    structural = FieldErrors()
    validate_structural(schema, path, structural)
    if not structural:
        validate_defaults(root, path, structural)
    is_sound = not structural
    found.extend(structural.causes)
    validate_schema(schema, Where(path), found, is_root=True)
    if is_sound and not found:
        validate_expressions(root, path, found)
    errors.extend(found.causes)
    _validate_selectable(version, root, at.child("selectableFields"), errors)


def _validate_root(schema: Object, path: Path, errors: FieldErrors) -> None:
    """With the status subresource, the root may not say things of the object that a status alone can't be held to."""
    if schema.get("type") != "object":
        why = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        errors.invalid(path.child("type"), schema.get("type") or "", why)
        return
    if any(value and key not in _AT_ROOT for key, value in schema.items()):
        names = " ".join(_GO_NAMES.get(key, key[0].upper() + key[1:]) for key in _AT_ROOT)
        why = f"only [{names}] fields are allowed at the root of the schema if the status subresource is enabled"
        errors.invalid(path, schema, why)


def _validate_selectable(version: Object, root: Structural, path: Path, errors: FieldErrors) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(version.get("selectableFields") or ()):
        here, text = path.index(index).child("jsonPath"), entry.get("jsonPath") or ""
        if not text:
            errors.required(here)
            continue
        try:
            resolved, place = resolve_field_path(text, root, allows_brackets=False)
        except ValueError as error:
            errors.invalid(here, text, f"is an invalid path: {error}")
            continue
        if resolved.text.partition(".")[0] == "metadata":
            errors.invalid(here, text, "must not point to fields in metadata")
        if place is None or place.type not in ("string", "boolean", "integer"):
            why = "must point to a field of type string, boolean or integer."
            errors.invalid(here, text, f"{why} Enum string fields and strings with formats are allowed.")
        if resolved.text in seen:
            errors.duplicate(here, text)
        seen.add(resolved.text)
    if len(seen) > MAX_SELECTABLE_FIELDS:
        errors.too_many(path, len(seen), MAX_SELECTABLE_FIELDS)
