"""Checks changes of pods: what an update, the resize and the ephemeralcontainers subresource may touch.

Source: kubernetes pkg/apis/core/validation (ValidatePodUpdate, ValidatePodResize, and for ephemeral containers).
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core.affinity_rules import PREFERRED, REQUIRED, validate_tolerations
from minikube_py.resources.core.container_rules import validate_image_spacing
from minikube_py.resources.core.pod_qos import qos_class
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.value_rules import MAX_INT32

SPEC = Path("spec")
MIRROR = "kubernetes.io/config.mirror"
_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_spec_update(new: Object, old: Object, errors: FieldErrors) -> None:
    """What an ordinary update changes in the spec."""
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    for key in ("containers", "initContainers"):
        if not _validate_images(fresh.get(key) or [], stored.get(key) or [], SPEC.child(key), errors):
            return
    if not _validate_deadline(fresh, stored, errors):
        return
    validate_added_tolerations(fresh, stored, errors)
    _validate_gates(fresh, stored, errors)
    if fresh == stored:
        return
    munged = _put_back(fresh, stored)
    if stored.get("schedulingGates"):
        _validate_gated(munged, stored, errors)
    if not is_same(munged, stored):
        why = f"pod updates may not change fields other than {_UPDATABLE}\n{difference(stored, munged)}"
        errors.forbidden(SPEC, why)


def _validate_images(new: list[Object], old: list[Object], path: Path, errors: FieldErrors) -> bool:
    if len(new) != len(old):
        errors.forbidden(path, "pod updates may not add or remove containers")
        return False
    for index, container in enumerate(new):
        if not container.get("image"):
            errors.required(path.index(index).child("image"))
        validate_image_spacing(container, path.index(index), errors)
    return True


def _validate_deadline(new: Object, old: Object, errors: FieldErrors) -> bool:
    path = SPEC.child("activeDeadlineSeconds")
    fresh, stored = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if fresh is None:
        if stored is not None:
            errors.invalid(path, None, "must not update from a positive integer to nil value")
        return True
    if not 0 <= fresh <= MAX_INT32:
        errors.invalid(path, fresh, meta.range_message(0, MAX_INT32))
        return False
    if stored is not None and stored < fresh:
        errors.invalid(path, fresh, "must be less than or equal to previous value")
        return False
    return True


def validate_added_tolerations(new: Object, old: Object, errors: FieldErrors) -> None:
    """Tolerations may be added, and may change how long they last."""
    path = SPEC.child("tolerations")
    fresh = new.get("tolerations") or []
    for toleration in old.get("tolerations") or ():
        kept = {**toleration, "tolerationSeconds": None}
        if not any(is_same(kept, {**other, "tolerationSeconds": None}) for other in fresh):
            errors.forbidden(path, "existing toleration can not be modified except its tolerationSeconds")
            return
    if fresh != (old.get("tolerations") or []):
        validate_tolerations(fresh, path, errors)


def _validate_gates(new: Object, old: Object, errors: FieldErrors) -> None:
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for index, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'"
            errors.forbidden(SPEC.child("schedulingGates").index(index).child("name"), why)


def _put_back(fresh: Object, stored: Object) -> Object:
    """The new spec with the fields that may change as they were."""
    munged = dict(fresh)
    for key in ("containers", "initContainers"):
        pairs = zip(fresh.get(key) or (), stored.get(key) or (), strict=True)
        munged[key] = [{**new, "image": old.get("image")} for new, old in pairs]
    for key in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        munged[key] = stored.get(key)
    grace = stored.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        munged["terminationGracePeriodSeconds"] = grace
    return munged


def _validate_gated(munged: Object, stored: Object, errors: FieldErrors) -> None:
    """A pod that still waits at its gates may have its placement narrowed."""
    new_labels, old_labels = munged.get("nodeSelector") or {}, stored.get("nodeSelector") or {}
    for key, value in old_labels.items():
        if new_labels.get(key) != value:
            why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            errors.invalid(SPEC.child("nodeSelector"), munged.get("nodeSelector"), why)
            break
    munged["nodeSelector"] = stored.get("nodeSelector")
    new_affinity = dict(munged.get("affinity") or {})
    old_node = (stored.get("affinity") or {}).get("nodeAffinity")
    new_node = new_affinity.get("nodeAffinity")
    if not is_same(new_node, old_node):
        _validate_narrowed(new_node or {}, old_node or {}, SPEC.child("affinity", "nodeAffinity"), errors)
        new_affinity["nodeAffinity"] = old_node
        munged["affinity"] = new_affinity


def _validate_narrowed(new: Object, old: Object, path: Path, errors: FieldErrors) -> None:
    old_terms = (old.get(REQUIRED) or {}).get("nodeSelectorTerms") or []
    new_terms = (new.get(REQUIRED) or {}).get("nodeSelectorTerms") or []
    at = path.child(REQUIRED, "nodeSelectorTerms")
    if not old_terms:
        return
    if len(old_terms) != len(new_terms):
        errors.invalid(at, new_terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        return
    for index, (before, after) in enumerate(zip(old_terms, new_terms, strict=True)):
        for key in ("matchExpressions", "matchFields"):
            was, now = before.get(key) or [], after.get(key) or []
            if (not was and not now) or now[: len(was)] == was:
                continue
            errors.invalid(at.index(index), after, "only additions are allowed (no mutations or deletions)")
    if old.get(PREFERRED) is None and new.get(PREFERRED) is None:
        return


def validate_ephemeral_containers_update(new: Object, old: Object, errors: FieldErrors) -> None:
    """What the ephemeralcontainers subresource changes: containers may only be added."""
    if MIRROR in meta.annotations(old):
        errors.forbidden(Path("[]"), "static pods do not support ephemeral containers")
        return
    path = SPEC.child("ephemeralContainers")
    fresh = {c.get("name"): c for c in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    for container in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = container.get("name")
        if name not in fresh:
            errors.forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n')
        elif not is_same(container, fresh[name]):
            shown = difference(container, fresh[name])
            errors.forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n{shown}')


def validate_resize(new: Object, old: Object, errors: FieldErrors) -> None:
    """What the resize subresource changes: cpu and memory of containers and sidecars."""
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    if MIRROR in meta.annotations(old):
        errors.forbidden(Path("[]"), "static pods cannot be resized")
        return
    if (stored.get("os") or {}).get("name") == "windows":
        errors.forbidden(Path("[]"), "windows pods cannot be resized")
        return
    for key in ("containers", "initContainers"):
        if len(fresh.get(key) or ()) != len(stored.get(key) or ()):
            errors.forbidden(SPEC.child(key), "pod updates may not add or remove containers")
            return
    if qos_class(fresh) != ((old.get("status") or {}).get("qosClass") or qos_class(stored)):
        value = (old.get("status") or {}).get("qosClass", "")
        errors.invalid(SPEC, value, "Pod QOS Class may not change as a result of resizing")
    rest = dict(fresh)
    for key in ("initContainers", "containers"):
        rest[key] = [
            _resized(after, before, SPEC.child(key).index(index), key, errors)
            for index, (after, before) in enumerate(zip(fresh.get(key) or (), stored.get(key) or (), strict=True))
        ]
    if not errors and not is_same(rest, stored):
        errors.forbidden(SPEC, "only cpu and memory resources are mutable")


def _resized(after: Object, before: Object, path: Path, key: str, errors: FieldErrors) -> Object:
    """One container's change is checked; the result is the new container with cpu and memory as they were."""
    is_sidecar = key == "initContainers" and before.get("restartPolicy") == "Always"
    if key == "initContainers" and not is_sidecar:
        if not is_same(after, before):
            errors.forbidden(SPEC, "resources for non-sidecar init containers are immutable")
        return after
    new, old = after.get("resources") or {}, before.get("resources") or {}
    for part in ("requests", "limits"):
        if set(old.get(part) or ()) - set(new.get(part) or ()):
            errors.forbidden(path.child("resources", part), f"resource {part} cannot be removed")
    put_back: dict[str, Any] = {**new}
    for part in ("requests", "limits"):
        amounts = dict(new.get(part) or {})
        for name in ("cpu", "memory"):
            amounts.pop(name, None)
            if name in (old.get(part) or {}):
                amounts[name] = old[part][name]
        put_back[part] = amounts
    container = {**after, "resources": put_back, "resizePolicy": before.get("resizePolicy")}
    if not is_same(container, before):
        what = "only cpu and memory resources for sidecar containers are mutable" if is_sidecar else ""
        errors.forbidden(SPEC, what or "only cpu and memory resources are mutable")
    return container


def difference(old: Any, new: Any, path: str = "") -> str:
    """The places where two trees differ, one line each, for people to read."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return "".join(difference(old.get(k), new.get(k), f"{path}.{k}" if path else k) for k in keys)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return "".join(difference(before, after, f"{path}[{i}]") for i, (before, after) in pairs)
    if is_same(old, new):
        return ""
    return f"  {path}: {_shown(old)} -> {_shown(new)}\n"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return "nil" if value is None else str(value)
