"""Checks references to the pod's own fields and resources: the downward API of variables and volumes."""

import re

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path

ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
KNOWN_FIELDS = frozenset(
    (*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase")
)  # fmt: skip
RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_HUGEPAGES = ("limits.hugepages-", "requests.hugepages-")
_SUBSCRIPT = re.compile(r"([a-zA-Z0-9.]+)\['(.*)'\]")
_BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_BYTES_TEXT = f"only divisor's values {', '.join(_BYTES)} are supported with the "


def validate_field_ref(ref: Object, supported: tuple[str, ...], path: Path, errors: FieldErrors) -> None:
    """An ObjectFieldSelector."""
    field_path = ref.get("fieldPath", "")
    for key in ("apiVersion", "fieldPath"):
        if not ref.get(key):
            errors.required(path.child(key))
            return
    subscript = _SUBSCRIPT.fullmatch(field_path)
    base = subscript[1] if subscript else field_path
    if ref["apiVersion"] != "v1":
        why = f"error converting fieldPath: unsupported pod version: {ref['apiVersion']}"
        errors.invalid(path.child("fieldPath"), field_path, why)
    elif subscript and base in ("metadata.annotations", "metadata.labels"):
        key = subscript[2].lower() if base == "metadata.annotations" else subscript[2]
        errors.invalid_each(path, key, meta.qualified_name(key))
    elif subscript or base not in KNOWN_FIELDS:
        why = f"error converting fieldPath: field label not supported: {field_path}"
        if subscript and base in KNOWN_FIELDS:
            why = f'error converting fieldPath: field label does not support subscript: "{field_path}"'
        errors.invalid(path.child("fieldPath"), field_path, why)
    elif base not in supported:
        errors.not_supported(path.child("fieldPath"), base, supported)


def validate_resource_field_ref(ref: Object, path: Path, errors: FieldErrors, *, in_volume: bool) -> None:
    """A ResourceFieldSelector."""
    name = ref.get("resource", "")
    if in_volume and not ref.get("containerName"):
        errors.required(path.child("containerName"))
    elif not name:
        errors.required(path.child("resource"))
    elif name not in RESOURCES and not name.startswith(_HUGEPAGES):
        errors.not_supported(path.child("resource"), name, RESOURCES)
    divisor = ref.get("divisor", "0")
    if divisor == "0":
        return
    at = path.child("divisor")
    if name.endswith(".cpu"):
        if divisor not in ("1", "1m"):
            errors.invalid(at, name, "only divisor's values 1m and 1 are supported with the cpu resource")
    elif divisor not in _BYTES:
        kind = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(name.partition(".")[2])
        if kind or name.startswith(_HUGEPAGES):
            errors.invalid(at, name, f"{_BYTES_TEXT}{kind or 'hugepages'} resource")
