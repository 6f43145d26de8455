"""Checks how a container uses the pod's volumes: mounts and block devices."""

from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import validate_local_path

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIVE = ("Disabled", "Enabled", "IfPossible")
_Items = list[Object] | tuple[()]


def validate_mounts(
    container: Object, devices: _Items, volumes: dict[str, Object], path: Path, errors: FieldErrors
) -> None:
    device_paths = {device.get("name", ""): device.get("devicePath", "") for device in devices}
    used: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        at = path.index(index)
        name, target = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            errors.required(at.child("name"))
        if name not in volumes:
            errors.not_found(at.child("name"), name)
        if not target:
            errors.required(at.child("mountPath"))
        if target in used:
            errors.invalid(at.child("mountPath"), target, "must be unique")
        used.add(target)
        if name in device_paths:
            errors.invalid(at.child("name"), name, "must not already exist in volumeDevices")
        if target in device_paths.values():
            errors.invalid(at.child("mountPath"), target, "must not already exist as a path in volumeDevices")
        if mount.get("subPathExpr") and mount.get("subPath"):
            why = "subPathExpr and subPath are mutually exclusive"
            errors.invalid(at.child("subPathExpr"), mount["subPathExpr"], why)
        for key in ("subPath", "subPathExpr"):
            if mount.get(key):
                validate_local_path(mount[key], path.child(key), errors)
        _validate_propagation(mount, container, path, errors)


def _validate_propagation(mount: Object, container: Object, path: Path, errors: FieldErrors) -> None:
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        at = path.child("mountPropagation")
        errors.optional_enum(at, propagation, PROPAGATIONS)
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            errors.forbidden(at, "Bidirectional mount propagation is available only to privileged containers")
    recursive = mount.get("recursiveReadOnly")
    if recursive is None or recursive == "Disabled":
        return
    at = path.child("recursiveReadOnly")
    if recursive not in RECURSIVE:
        errors.not_supported(at, recursive, RECURSIVE)
        return
    if not mount.get("readOnly"):
        errors.forbidden(at, "may only be specified when readOnly is true")
    if propagation not in (None, "None"):
        errors.forbidden(at, "may only be specified when mountPropagation is None or not specified")


def validate_devices(
    devices: _Items, mounts: _Items, volumes: dict[str, Object], path: Path, errors: FieldErrors
) -> None:
    mount_paths = {mount.get("name", ""): mount.get("mountPath", "") for mount in mounts}
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(devices):
        at = path.index(index)
        name, target = device.get("name", ""), device.get("devicePath", "")
        if not name:
            errors.required(at.child("name"))
        if name in names:
            errors.invalid(at.child("name"), name, "must be unique")
        volume = volumes.get(name)
        if volume is None:
            errors.not_found(at.child("name"), name)
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.invalid(at.child("name"), name, why)
        if not target:
            errors.required(at.child("devicePath"))
        if target in paths:
            errors.invalid(at.child("devicePath"), target, "must be unique")
        if ".." in target.split("/"):
            errors.invalid(at.child("devicePath"), target, "can not contain backsteps ('..')")
        else:
            paths.add(target)
        if name in mount_paths:
            errors.invalid(at.child("name"), name, "must not already exist in volumeMounts")
        if target in mount_paths.values():
            errors.invalid(at.child("devicePath"), target, "must not already exist as a path in volumeMounts")
        if name:
            names.add(name)
