"""Checks the disks of clouds, networks and appliances, which pods and persistent volumes name in the same words."""

import re
from collections.abc import Callable

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path

_IQN = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}
_ISCSI_LENGTH = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters"
    " if iscsi.initiatorName is specified."
)
DiskCheck = Callable[[Object, Path, FieldErrors], None]


def needs(*keys: str) -> DiskCheck:
    """A check that these fields are set."""

    def check(source: Object, path: Path, errors: FieldErrors) -> None:
        for key in keys:
            if not source.get(key):
                errors.required(path.child(key))

    return check


def _partition(*keys: str) -> DiskCheck:
    def check(source: Object, path: Path, errors: FieldErrors) -> None:
        needs(*keys)(source, path, errors)
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            errors.invalid(path.child("partition"), partition, meta.range_message(1, 255))

    return check


def _nfs(source: Object, path: Path, errors: FieldErrors) -> None:
    needs("server", "path")(source, path, errors)
    if not source.get("path", "").startswith("/"):
        errors.invalid(path.child("path"), source.get("path", ""), "must be an absolute path")


def _iscsi(source: Object, path: Path, errors: FieldErrors) -> None:
    needs("targetPortal", "iqn")(source, path, errors)
    if source.get("iqn"):
        _check_iqn(source["iqn"], path.child("iqn"), errors)
    if not 0 <= (source.get("lun") or 0) <= 255:
        errors.invalid(path.child("lun"), source["lun"], meta.range_message(0, 255))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        errors.required(path.child("secretRef"))
    if source.get("initiatorName") is not None:
        _check_iqn(source["initiatorName"], path.child("initiatorname"), errors)


def _check_iqn(name: str, path: Path, errors: FieldErrors) -> None:
    pattern = _IQN.get(name[:3])
    if pattern is None:
        errors.invalid(path, name, "must be valid format starting with iqn, eui, or naa")
    elif pattern.search(name) is None:
        errors.invalid(path, name, "must be valid format")


def validate_iscsi_name_length(source: Object, name: str, path: Path, errors: FieldErrors) -> None:
    if source.get("initiatorName") is not None and len(f"{name}:{source.get('targetPortal', '')}") > 64:
        errors.invalid(path, name, _ISCSI_LENGTH)


def _flocker(source: Object, path: Path, errors: FieldErrors) -> None:
    name, uuid = source.get("datasetName", ""), source.get("datasetUUID", "")
    if not name and not uuid:
        errors.required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        errors.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        errors.invalid(path.child("datasetName"), name, "must not contain '/'")


def _fc(source: Object, path: Path, errors: FieldErrors) -> None:
    names, ids = source.get("targetWWNs") or [], source.get("wwids") or []
    if not names and not ids:
        errors.required(path.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both")
    if names and ids:
        errors.invalid(path.child("targetWWNs"), names, "targetWWNs and wwids can not be specified simultaneously")
    if names:
        if source.get("lun") is None:
            errors.required(path.child("lun"), "lun is required if targetWWNs is specified")
        elif not 0 <= source["lun"] <= 255:
            errors.invalid(path.child("lun"), source["lun"], meta.range_message(0, 255))


def _flex(source: Object, path: Path, errors: FieldErrors) -> None:
    needs("driver")(source, path, errors)
    for key in source.get("options") or {}:
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            errors.invalid(path.child("options").key(key), key, "kubernetes.io and k8s.io namespaces are reserved")


def _quobyte(source: Object, path: Path, errors: FieldErrors) -> None:
    why = "must be a host:port pair or multiple pairs separated by commas"
    registry = source.get("registry", "")
    if not registry:
        errors.required(path.child("registry"), why)
    elif len(source.get("tenant", "")) >= 65:
        errors.required(path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters")
    elif any(pair.count(":") != 1 and "]:" not in pair for pair in registry.split(",")):
        errors.invalid(path.child("registry"), registry, why)
    needs("volume")(source, path, errors)


def _azure_disk(source: Object, path: Path, errors: FieldErrors) -> None:
    needs("diskName", "diskURI")(source, path, errors)
    errors.optional_enum(path.child("cachingMode"), source.get("cachingMode"), ("None", "ReadOnly", "ReadWrite"))
    kind, uri = source.get("kind"), source.get("diskURI", "")
    errors.optional_enum(path.child("kind"), kind, ("Dedicated", "Managed", "Shared"))
    managed = (
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
    )  # fmt: skip
    blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        errors.not_supported(path.child("diskURI"), uri, (managed,))
    if kind is not None and kind != "Managed" and not uri.startswith("https://"):
        errors.not_supported(path.child("diskURI"), uri, (blob,))


def _cinder(source: Object, path: Path, errors: FieldErrors) -> None:
    needs("volumeID")(source, path, errors)
    if source.get("secretRef") is not None:
        needs("name")(source["secretRef"], path.child("secretRef"), errors)


def _storageos(source: Object, path: Path, errors: FieldErrors) -> None:
    name = source.get("volumeName", "")
    if not name:
        errors.required(path.child("volumeName"))
    else:
        errors.invalid_each(path.child("volumeName"), name, meta.dns1123_label(name))
    if source.get("volumeNamespace"):
        space = source["volumeNamespace"]
        errors.invalid_each(path.child("volumeNamespace"), space, meta.dns1123_label(space))
    if source.get("secretRef") is not None:
        needs("name")(source["secretRef"], path.child("secretRef"), errors)


DISKS: dict[str, DiskCheck] = {
    "gcePersistentDisk": _partition("pdName"),
    "awsElasticBlockStore": _partition("volumeID"),
    "nfs": _nfs,
    "iscsi": _iscsi,
    "glusterfs": needs("endpoints", "path"),
    "flocker": _flocker,
    "rbd": needs("monitors", "image"),
    "cinder": _cinder,
    "cephfs": needs("monitors"),
    "quobyte": _quobyte,
    "fc": _fc,
    "flexVolume": _flex,
    "azureFile": needs("secretName", "shareName"),
    "vsphereVolume": needs("volumePath"),
    "photonPersistentDisk": needs("pdID"),
    "portworxVolume": needs("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _storageos,
    "scaleIO": needs("gateway", "system", "volumeName"),
}
