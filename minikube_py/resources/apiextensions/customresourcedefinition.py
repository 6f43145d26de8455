"""CustomResourceDefinitions: defaults, checks of names, versions and schemas, what may change, columns.

Source: apiextensions-apiserver pkg/apis/apiextensions.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.conditions import is_true
from minikube_py.objects.errors import Object
from minikube_py.resources.admissionregistration.webhooks import validate_client_config
from minikube_py.resources.apiextensions.definition_warnings import of_definition
from minikube_py.resources.apiextensions.version_rules import validate_version_schema
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import NAME, text

SPEC = Path("spec")
APPROVED = "api-approved.kubernetes.io"
SCOPES = ("Cluster", "Namespaced")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")


def default(definition: Object) -> None:
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        if not names.get("singular"):
            names["singular"] = names["kind"].lower()
        if not names.get("listKind"):
            names["listKind"] = f"{names['kind']}List"
    conversion = spec.setdefault("conversion", {})
    if not conversion.get("strategy"):
        conversion["strategy"] = "None"
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def prepare_create(definition: Object) -> None:
    """The storage version is remembered from the first moment: objects may be stored in it."""
    spec = definition.get("spec") or {}
    stored = [version.get("name", "") for version in spec.get("versions") or () if version.get("storage")]
    definition["status"] = {
        "conditions": [],
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored,
    }


def prepare_update(new: Object, _old: Object) -> None:
    """A new storage version is added to those that objects may be stored in."""
    status = new.get("status")
    if not status:
        return
    stored = list(status.get("storedVersions") or ())
    for version in (new.get("spec") or {}).get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            new["status"] = {**status, "storedVersions": [*stored, version.get("name")]}


def validate(definition: Object, errors: FieldErrors) -> None:
    spec = definition.get("spec") or {}
    expected = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}"
    if meta.name(definition) != expected:
        why = 'must be spec.names.plural+"."+spec.group'
        errors.invalid(Path("metadata.name"), meta.name(definition), why)
    _validate_spec(spec, errors)
    _validate_stored(definition, spec, errors)
    _validate_approval(definition, spec, errors)


def _validate_spec(spec: Object, errors: FieldErrors) -> None:
    group, at = spec.get("group", ""), SPEC.child("group")
    if not group:
        errors.required(at)
    else:
        problems = meta.dns1123_subdomain(group)
        errors.invalid_each(at, group, problems)
        if not problems and "." not in group:
            errors.invalid(at, group, "should be a domain with at least one dot")
    errors.enum(SPEC.child("scope"), spec.get("scope"), SCOPES)
    _validate_versions(spec, spec.get("versions") or [], errors)
    _validate_names(spec.get("names") or {}, SPEC.child("names"), errors)
    _validate_conversion(spec.get("conversion") or {}, SPEC.child("conversion"), errors)
    if spec.get("preserveUnknownFields"):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.invalid(SPEC.child("preserveUnknownFields"), True, why)


def _validate_versions(spec: Object, versions: list[Object], errors: FieldErrors) -> None:
    path = SPEC.child("versions")
    stored = [version for version in versions if version.get("storage")]
    names: set[str] = set()
    for index, version in enumerate(versions):
        at = path.index(index)
        name = version.get("name", "")
        if name in names:
            errors.invalid(path, versions, "must contain unique version names")
        names.add(name)
        errors.invalid_each(at.child("name"), name, meta.dns1035_label(name))
        warning = version.get("deprecationWarning")
        if warning is not None and not version.get("deprecated"):
            why = "can only be set for deprecated versions"
            errors.invalid(at.child("deprecationWarning"), warning, why)
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            errors.required(at.child("schema", "openAPIV3Schema"))
        else:
            validate_version_schema(version, schema, at, errors)
        _validate_subresources(version.get("subresources") or {}, at.child("subresources"), errors)
        for i, column in enumerate(version.get("additionalPrinterColumns") or ()):
            _validate_column(column, at.child("additionalPrinterColumns").index(i), errors)
    if len(stored) != 1:
        errors.invalid(path, versions, "must have exactly one version marked as storage version")


def _validate_subresources(subresources: Object, path: Path, errors: FieldErrors) -> None:
    scale = subresources.get("scale")
    if scale is None:
        return
    at = path.child("scale")
    for key, start in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value = scale.get(key, "")
        if not value:
            errors.required(at.child(key))
        elif "[" in value or not value.startswith("."):
            errors.invalid(at.child(key), value, "should be a simple json path")
        elif not value.startswith(start):
            errors.invalid(at.child(key), value, f"should be a json path under {start.removesuffix('.')}")
    selector = scale.get("labelSelectorPath")
    if selector and not selector.startswith((".spec.", ".status.")):
        why = "should be a json path under either .spec or .status"
        errors.invalid(at.child("labelSelectorPath"), selector, why)


def _validate_column(column: Object, path: Path, errors: FieldErrors) -> None:
    if not column.get("name"):
        errors.required(path.child("name"))
    type_ = column.get("type", "")
    if not type_:
        errors.required(path.child("type"), f"must be one of {','.join(COLUMN_TYPES)}")
    elif type_ not in COLUMN_TYPES:
        errors.invalid(path.child("type"), type_, f"must be one of {','.join(COLUMN_TYPES)}")
    if column.get("format") and column["format"] not in COLUMN_FORMATS:
        errors.invalid(path.child("format"), column["format"], f"must be one of {','.join(COLUMN_FORMATS)}")
    if not column.get("jsonPath"):
        errors.required(path.child("jsonPath"))


def _validate_names(names: Object, path: Path, errors: FieldErrors) -> None:
    for key in ("plural", "singular"):
        errors.invalid_each(path.child(key), names.get(key, ""), meta.dns1035_label(names.get(key, "")))
    for key in ("kind", "listKind"):
        value = names.get(key, "")
        for message in meta.dns1035_label(value.lower()):
            errors.invalid(path.child(key), value, f"may have mixed case, but should otherwise match: {message}")
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        errors.invalid(path.child("listKind"), names["listKind"], "kind and listKind may not be the same")
    for key in ("shortNames", "categories"):
        for index, name in enumerate(names.get(key) or ()):
            errors.invalid_each(path.child(key).index(index), name, meta.dns1035_label(name))


def _validate_conversion(conversion: Object, path: Path, errors: FieldErrors) -> None:
    strategy, webhook = conversion.get("strategy", ""), conversion.get("webhook")
    errors.enum(path.child("strategy"), strategy, ("None", "Webhook"))
    if strategy == "Webhook":
        if webhook is None or webhook.get("clientConfig") is None:
            errors.required(path.child("webhookClientConfig"), "required when strategy is set to Webhook")
        else:
            validate_client_config(webhook["clientConfig"], path.child("webhookClientConfig"), errors)
        if not (webhook or {}).get("conversionReviewVersions"):
            errors.required(path.child("conversionReviewVersions"))
    elif webhook is not None:
        errors.forbidden(path.child("webhookClientConfig"), "should not be set when strategy is not set to Webhook")


def _validate_stored(definition: Object, spec: Object, errors: FieldErrors) -> None:
    path = Path("status.storedVersions")
    stored = (definition.get("status") or {}).get("storedVersions") or []
    names = [version.get("name", "") for version in spec.get("versions") or ()]
    if not stored:
        errors.invalid(path, stored, "must have at least one stored version")
    for index, name in enumerate(stored):
        if name not in names:
            why = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions"
            )
            why += f" until a storage migration ensures no data remains persisted in {name} and removes {name} from"
            errors.invalid(path.index(index), name, f"{why} status.storedVersions")


def _validate_approval(definition: Object, spec: Object, errors: FieldErrors) -> None:
    group = spec.get("group", "")
    is_protected = group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))
    if not is_protected:
        return
    value = meta.annotations(definition).get(APPROVED)
    at = Path("metadata.annotations").key(APPROVED)
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not value:
        why = f'protected groups must have approval annotation "{APPROVED}", {see}'
        errors.required(at, why)
    elif not value.startswith(("https://", "http://", "unapproved")):
        why = f'protected groups must have approval annotation "{APPROVED}" with either a URL or a reason'
        errors.invalid(at, value, f'{why} starting with "unapproved", {see}')


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    if is_true((old.get("status") or {}).get("conditions"), "Established"):
        errors.immutable(SPEC.child("scope"), fresh.get("scope"), stored.get("scope"))
        new_kind, old_kind = ((s.get("names") or {}).get("kind") for s in (fresh, stored))
        errors.immutable(SPEC.child("names", "kind"), new_kind, old_kind)
    errors.immutable(SPEC.child("group"), fresh.get("group"), stored.get("group"))
    new_plural, old_plural = ((s.get("names") or {}).get("plural") for s in (fresh, stored))
    errors.immutable(SPEC.child("names", "plural"), new_plural, old_plural)


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    _validate_stored(new, new.get("spec") or {}, errors)


def row(definition: Object) -> list[Any]:
    return [meta.name(definition), meta.metadata(definition).get("creationTimestamp") or ""]


RULES = KindRules(
    warnings=of_definition,
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(NAME, text("Created At", "The server time when this object was created.")),
    row=row,
    has_generation=True,
    allows_unconditional_update=False,
)
