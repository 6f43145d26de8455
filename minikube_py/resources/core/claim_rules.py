"""Checks the spec of a PersistentVolumeClaim, also where it is a template for claims.

Source: kubernetes pkg/apis/core/validation (ValidatePersistentVolumeClaimSpec).
"""

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import validate_annotations, validate_label_selector, validate_labels

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
SINGLE_WRITER = "may not use ReadWriteOncePod with other access modes"


def validate_claim_template(template: Object, path: Path, errors: FieldErrors) -> None:
    """A volumeClaimTemplate of an ephemeral volume."""
    metadata = template.get("metadata") or {}
    at = path.child("metadata")
    validate_annotations(metadata.get("annotations"), at.child("annotations"), errors)
    validate_labels(metadata.get("labels"), at.child("labels"), errors)
    for key in metadata:
        if key not in ("annotations", "labels", "creationTimestamp"):
            errors.forbidden(at.child(key), "cannot be set")
    validate_claim_spec(template.get("spec") or {}, path.child("spec"), errors)


def validate_claim_spec(spec: Object, path: Path, errors: FieldErrors) -> None:
    validate_access_modes(spec, path.child("accessModes"), errors, "at least 1 access mode is required")
    validate_label_selector(spec.get("selector"), path.child("selector"), errors)
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    at = path.child("resources").key("storage")
    if storage is None:
        errors.required(at)
    elif quantity.parse(storage).nanos <= 0:
        errors.invalid(at, storage, "must be greater than zero")
    class_name = spec.get("storageClassName")
    if class_name:
        errors.invalid_each(path.child("storageClassName"), class_name, meta.dns1123_subdomain(class_name))
    errors.optional_enum(path.child("volumeMode"), spec.get("volumeMode"), VOLUME_MODES)
    if spec.get("dataSource") is not None:
        _validate_data_source(spec["dataSource"], path.child("dataSource"), errors)
    if spec.get("dataSourceRef") is not None:
        _validate_data_source_ref(spec, path, errors)
    attributes = spec.get("volumeAttributesClassName")
    if attributes:
        at = path.child("volumeAttributesClassName")
        errors.invalid_each(at, attributes, meta.dns1123_subdomain(attributes))


def validate_access_modes(spec: Object, path: Path, errors: FieldErrors, why: str) -> None:
    modes = spec.get("accessModes") or []
    if not modes:
        errors.required(path, why)
    for mode in modes:
        if mode not in ACCESS_MODES:
            errors.not_supported(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and any(mode in ACCESS_MODES[:3] for mode in modes):
        errors.forbidden(path, SINGLE_WRITER)


def _validate_data_source(source: Object, path: Path, errors: FieldErrors) -> None:
    for key in ("name", "kind"):
        if not source.get(key):
            errors.required(path.child(key))
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        errors.invalid(
            path, source.get("kind", ""), "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        )
    if group:
        errors.invalid_each(path.child("apiGroup"), group, meta.dns1123_subdomain(group))


def _validate_data_source_ref(spec: Object, path: Path, errors: FieldErrors) -> None:
    at = path.child("dataSourceRef")
    ref = spec["dataSourceRef"]
    _validate_data_source(ref, at, errors)
    if ref.get("namespace"):
        errors.invalid_each(at.child("namespace"), ref["namespace"], meta.dns1123_label(ref["namespace"]))
        if spec.get("dataSource") is not None:
            why = "may not be specified when dataSourceRef.namespace is specified"
            errors.invalid(path.child("dataSource"), spec["dataSource"], why)
    elif spec.get("dataSource") is not None and any(
        (spec["dataSource"].get(key) or "") != (ref.get(key) or "") for key in ("apiGroup", "kind", "name")
    ):
        errors.invalid(path, at.text, "must match dataSourceRef")
