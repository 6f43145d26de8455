"""Says which PersistentVolume serves a claim; pure rules that the scheduler and the volume controller share.

Source: component-helpers storage/volume (FindMatchingVolume), pkg/controller/volume/persistentvolume.
"""

from collections.abc import Callable, Iterable

from minikube_py.objects import quantity
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import LabelSelector

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"


def class_of(claim: Object) -> str:
    return str(claim["spec"].get("storageClassName") or "")


def is_bound(claim: Object) -> bool:
    annotations = claim["metadata"].get("annotations") or {}
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations


def match_volume(
    claim: Object, volumes: Iterable[Object], accepts: Callable[[Object], bool] | None = None
) -> Object | None:
    """The smallest free volume that serves the claim, preferring one reserved for it."""
    wanted = quantity.parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))
    best: tuple[quantity.Quantity, Object] | None = None
    for volume in volumes:
        spec, metadata = volume["spec"], volume["metadata"]
        if metadata.get("deletionTimestamp"):
            continue
        size = quantity.parse((spec.get("capacity") or {}).get("storage", "0"))
        if size < wanted or not _suits(claim, volume) or (accepts is not None and not accepts(volume)):
            continue
        reference = spec.get("claimRef")
        if reference:
            if is_reserved_for(reference, claim):
                return volume
            continue
        if (volume.get("status") or {}).get("phase") not in ("Available", None, ""):
            continue
        if best is None or size < best[0]:
            best = size, volume
    return best[1] if best is not None else None


def is_reserved_for(reference: Object, claim: Object) -> bool:
    metadata = claim["metadata"]
    if (reference.get("namespace"), reference.get("name")) != (metadata.get("namespace"), metadata["name"]):
        return False
    return not reference.get("uid") or reference["uid"] == metadata.get("uid")


def _suits(claim: Object, volume: Object) -> bool:
    wanted, spec = claim["spec"], volume["spec"]
    if (wanted.get("volumeName") or volume["metadata"]["name"]) != volume["metadata"]["name"]:
        return False
    if (wanted.get("volumeMode") or "Filesystem") != (spec.get("volumeMode") or "Filesystem"):
        return False
    if class_of(claim) != str(spec.get("storageClassName") or ""):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    if wanted.get("volumeAttributesClassName", "") != spec.get("volumeAttributesClassName", ""):
        return False
    selector = wanted.get("selector")
    return selector is None or LabelSelector.from_dict(selector).matches(volume["metadata"].get("labels"))
