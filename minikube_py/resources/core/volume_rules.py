"""Checks the volumes of a pod: one source each, and what every source needs.

Source: kubernetes pkg/apis/core/validation (validateVolumeSource). The sources that persistent volumes have as well are
in disk_rules.py.
"""

from collections.abc import Callable
from typing import Any

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources.core.claim_rules import validate_claim_template
from minikube_py.resources.core.disk_rules import DISKS, validate_iscsi_name_length
from minikube_py.resources.core.field_refs import VOLUME_FIELDS, validate_field_ref, validate_resource_field_ref
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import (
    validate_dns1123_label,
    validate_domain_prefixed_path,
    validate_label_selector,
    validate_local_non_reserved_path,
    validate_local_path,
    validate_no_backsteps,
)

MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
# In the order Kubernetes looks at them: the first one found counts, the others are too many.
SOURCES = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
    "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip


def validate_volumes(volumes: list[Object], pod_name: str, path: Path, errors: FieldErrors) -> dict[str, Object]:
    """Checks all volumes and gives the sound ones by name, for the mounts to refer to."""
    sound: dict[str, Object] = {}
    names: set[str] = set()
    created = {f"{pod_name}-{v.get('name', '')}" for v in volumes if v.get("ephemeral")} if pod_name else set()
    for index, volume in enumerate(volumes):
        at = path.index(index)
        found = FieldErrors()
        _validate_source(volume, pod_name, at, found)
        name = volume.get("name", "")
        if not name:
            found.required(at.child("name"))
        else:
            validate_dns1123_label(name, at.child("name"), found)
        if name in names:
            found.duplicate(at.child("name"), name)
        if found:
            errors.extend(found.causes)
        else:
            names.add(name)
            sound[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in created:
            why = "must not reference a PVC that gets created for an ephemeral volume"
            errors.invalid(at.child("persistentVolumeClaim", "claimName"), claim, why)
    return sound


def _validate_source(volume: Object, pod_name: str, path: Path, errors: FieldErrors) -> None:
    chosen = ""
    for key in SOURCES:
        source = volume.get(key)
        if source is None:
            continue
        if chosen:
            errors.forbidden(path.child(key), "may not specify more than 1 volume type")
            continue
        chosen = key
        check = _CHECKS.get(key) or DISKS.get(key)
        if check is not None:
            check(source, path.child(key), errors)
    if not chosen:
        errors.required(path, "must specify a volume type")
    name = volume.get("name", "")
    if chosen == "iscsi":
        validate_iscsi_name_length(volume["iscsi"], name, path.child("name"), errors)
    if chosen == "ephemeral" and pod_name and name:
        claim = f"{pod_name}-{name}"
        for message in meta.dns1123_subdomain(claim):
            errors.invalid(path.child("name"), name, f'PVC name "{claim}": {message}')


def _check_empty_dir(source: Object, path: Path, errors: FieldErrors) -> None:
    limit = source.get("sizeLimit")
    if limit is not None and quantity.parse(limit).nanos < 0:
        errors.forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity")


def _check_host_path(source: Object, path: Path, errors: FieldErrors) -> None:
    if not source.get("path"):
        errors.required(path.child("path"))
        return
    validate_no_backsteps(source["path"], path.child("path"), errors)
    errors.optional_enum(path.child("type"), source.get("type"), HOST_PATH_TYPES)


def _check_git_repo(source: Object, path: Path, errors: FieldErrors) -> None:
    if not source.get("repository"):
        errors.required(path.child("repository"))
    validate_local_path(source.get("directory", ""), path.child("directory"), errors)


def check_mode(mode: Any, path: Path, errors: FieldErrors) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        errors.invalid(path, mode, MODE_TEXT)


def _check_secret(source: Object, path: Path, errors: FieldErrors) -> None:
    if not source.get("secretName"):
        errors.required(path.child("secretName"))
    _check_key_items(source, path, errors)


def _check_config_map(source: Object, path: Path, errors: FieldErrors) -> None:
    if not source.get("name"):
        errors.required(path.child("name"))
    _check_key_items(source, path, errors)


def _check_key_items(source: Object, path: Path, errors: FieldErrors) -> None:
    check_mode(source.get("defaultMode"), path.child("defaultMode"), errors)
    for index, item in enumerate(source.get("items") or ()):
        _check_key_to_path(item, path.child("items").index(index), errors)


def _check_key_to_path(item: Object, path: Path, errors: FieldErrors) -> None:
    if not item.get("key"):
        errors.required(path.child("key"))
    if not item.get("path"):
        errors.required(path.child("path"))
    validate_local_non_reserved_path(item.get("path", ""), path.child("path"), errors)
    check_mode(item.get("mode"), path.child("mode"), errors)


def _check_claim(source: Object, path: Path, errors: FieldErrors) -> None:
    if not source.get("claimName"):
        errors.required(path.child("claimName"))


def _check_downward(source: Object, path: Path, errors: FieldErrors) -> None:
    check_mode(source.get("defaultMode"), path.child("defaultMode"), errors)
    for item in source.get("items") or ():
        _check_downward_file(item, path, errors)


def _check_downward_file(item: Object, path: Path, errors: FieldErrors) -> None:
    if not item.get("path"):
        errors.required(path.child("path"))
    validate_local_non_reserved_path(item.get("path", ""), path.child("path"), errors)
    field_ref, resource_ref = item.get("fieldRef"), item.get("resourceFieldRef")
    if field_ref is not None:
        validate_field_ref(field_ref, VOLUME_FIELDS, path.child("fieldRef"), errors)
        if resource_ref is not None:
            why = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.invalid(path, "resource", why)
    elif resource_ref is not None:
        validate_resource_field_ref(resource_ref, path.child("resourceFieldRef"), errors, in_volume=True)
    else:
        errors.required(path, "one of fieldRef and resourceFieldRef is required")
    check_mode(item.get("mode"), path.child("mode"), errors)


def _check_projected(source: Object, path: Path, errors: FieldErrors) -> None:
    check_mode(source.get("defaultMode"), path.child("defaultMode"), errors)
    seen: set[str] = set()
    for index, part in enumerate(source.get("sources") or ()):
        at = path.child("sources").index(index)
        kinds = [key for key in _PROJECTIONS if part.get(key) is not None]
        for key in kinds:
            _PROJECTIONS[key](part[key], path, at.child(key), errors)
            _check_unique_paths(key, part[key], seen, path, errors)
        if len(kinds) > 1:
            errors.forbidden(at, "may not specify more than 1 volume type per source")


def _check_unique_paths(key: str, part: Object, seen: set[str], path: Path, errors: FieldErrors) -> None:
    if key == "clusterTrustBundle":
        used = [part.get("path", "")]
    elif key == "podCertificate":
        used = [part[k] for k in ("credentialBundlePath", "keyPath", "certificateChainPath") if part.get(k)]
    else:
        used = [item["path"] for item in part.get("items") or () if item.get("path")]
    for target in used:
        if target in seen:
            shown = part.get("name", "") if key in ("secret", "configMap") else target
            errors.invalid(path, shown, "conflicting duplicate paths")
        seen.add(target)


def _project_keys(part: Object, _path: Path, at: Path, errors: FieldErrors) -> None:
    if not part.get("name"):
        errors.required(at.child("name"))
    for index, item in enumerate(part.get("items") or ()):
        _check_key_to_path(item, at.child("items").index(index), errors)


def _project_downward(part: Object, _path: Path, at: Path, errors: FieldErrors) -> None:
    for item in part.get("items") or ():
        _check_downward_file(item, at, errors)


def _project_token(part: Object, path: Path, at: Path, errors: FieldErrors) -> None:
    seconds = part.get("expirationSeconds") or 0
    if seconds < 600:
        errors.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes")
    if seconds > 2**32:
        errors.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds")
    if not part.get("path"):
        errors.required(path.child("path"))
    else:
        validate_local_non_reserved_path(part["path"], path.child("path"), errors)


def _project_trust_bundle(part: Object, _path: Path, at: Path, errors: FieldErrors) -> None:
    name, signer = part.get("name"), part.get("signerName")
    if name is not None and signer is not None:
        errors.invalid(at, part, "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            errors.required(at.child("name"), "must be a valid object name")
        if part.get("labelSelector") is not None:
            why = "labelSelector must be unset if name is specified"
            errors.invalid(at.child("labelSelector"), part["labelSelector"], why)
    elif signer is not None:
        if not signer:
            errors.required(at.child("signerName"), "must be a valid signer name")
        validate_domain_prefixed_path(signer, at.child("signerName"), errors)
        validate_label_selector(part.get("labelSelector"), at.child("labelSelector"), errors)
    else:
        errors.required(at, "either name or signerName must be specified")
    if not part.get("path"):
        errors.required(at.child("path"))
    validate_local_non_reserved_path(part.get("path", ""), at.child("path"), errors)


KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")


def _project_certificate(part: Object, _path: Path, at: Path, errors: FieldErrors) -> None:
    validate_domain_prefixed_path(part.get("signerName", ""), at.child("signerName"), errors)
    if part.get("keyType", "") not in KEY_TYPES:
        errors.not_supported(at.child("keyType"), part.get("keyType", ""), KEY_TYPES)
    seconds = part.get("maxExpirationSeconds")
    if seconds is not None and seconds < 3600:
        errors.invalid(at.child("maxExpirationSeconds"), seconds, "if provided, maxExpirationSeconds must be >= 3600")
    if seconds is not None and seconds > 91 * 86400:
        why = "if provided, maxExpirationSeconds must be <= 7862400"
        errors.invalid(at.child("maxExpirationSeconds"), seconds, why)
    used = 0
    for key in ("credentialBundlePath", "keyPath", "certificateChainPath"):
        if part.get(key):
            used += 1
            validate_local_non_reserved_path(part[key], at.child(key), errors)
    if not used:
        errors.required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath")


def _check_csi(source: Object, path: Path, errors: FieldErrors) -> None:
    validate_csi_driver_name(source.get("driver", ""), path.child("driver"), errors)
    secret = source.get("nodePublishSecretRef")
    if secret is not None:
        at = path.child("nodePublishSecretRef", "name")
        if not secret.get("name"):
            errors.required(at)
        else:
            errors.invalid_each(at, secret["name"], meta.dns1123_subdomain(secret["name"]))


def validate_csi_driver_name(name: str, path: Path, errors: FieldErrors) -> None:
    if not name:
        errors.required(path)
    if len(name) > 63:
        errors.too_long(path, 63)
    errors.invalid_each(path, name, meta.dns1123_subdomain(name.lower()))


def _check_ephemeral(source: Object, path: Path, errors: FieldErrors) -> None:
    if source.get("volumeClaimTemplate") is None:
        errors.required(path.child("volumeClaimTemplate"))
    else:
        validate_claim_template(source["volumeClaimTemplate"], path.child("volumeClaimTemplate"), errors)


def _check_image(source: Object, path: Path, errors: FieldErrors) -> None:
    if not source.get("reference"):
        errors.required(path.child("reference"))
    errors.enum(path.child("pullPolicy"), source.get("pullPolicy"), ("Always", "IfNotPresent", "Never"))


_Check = Callable[[Object, Path, FieldErrors], None]
_CHECKS: dict[str, _Check] = {
    "emptyDir": _check_empty_dir,
    "hostPath": _check_host_path,
    "gitRepo": _check_git_repo,
    "secret": _check_secret,
    "configMap": _check_config_map,
    "persistentVolumeClaim": _check_claim,
    "downwardAPI": _check_downward,
    "projected": _check_projected,
    "csi": _check_csi,
    "ephemeral": _check_ephemeral,
    "image": _check_image,
}
_PROJECTIONS: dict[str, Callable[[Object, Path, Path, FieldErrors], None]] = {
    "secret": _project_keys,
    "configMap": _project_keys,
    "downwardAPI": _project_downward,
    "serviceAccountToken": _project_token,
    "clusterTrustBundle": _project_trust_bundle,
    "podCertificate": _project_certificate,
}
