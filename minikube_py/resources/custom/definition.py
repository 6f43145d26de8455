"""Reads a CustomResourceDefinition object, valid or not: names, versions, scale paths and conditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minikube_py.objects.conditions import is_true
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR

DEFINITIONS = GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions")
CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


@dataclass(frozen=True)
class ScalePaths:
    """Where a custom object keeps what its scale subresource shows: keys from the top. selector is () without one."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] = ()


def keys_of(path: str) -> tuple[str, ...]:
    """The keys of a path of plain names, such as `.spec.replicas`."""
    return tuple(key for key in path.strip(".").split(".") if key)


def scale_paths(version: Mapping[str, Any]) -> ScalePaths | None:
    scale = (version.get("subresources") or {}).get("scale")
    if not scale:
        return None
    return ScalePaths(
        keys_of(scale.get("specReplicasPath") or ""),
        keys_of(scale.get("statusReplicasPath") or ""),
        keys_of(scale.get("labelSelectorPath") or ""),
    )


def spec_of(definition: Object) -> Object:
    return definition.get("spec") or {}


def versions_of(definition: Object) -> list[Object]:
    return spec_of(definition).get("versions") or []


def storage_version(definition: Object) -> str:
    """The name of the version that objects are stored in; '' when none is marked."""
    return next((v.get("name", "") for v in versions_of(definition) if v.get("storage")), "")


def schema_of(version: Object) -> Object | None:
    return (version.get("schema") or {}).get("openAPIV3Schema")


def is_established(definition: Object) -> bool:
    return is_true((definition.get("status") or {}).get("conditions"), "Established")


def is_terminating(definition: Object) -> bool:
    return bool(definition["metadata"].get("deletionTimestamp"))
