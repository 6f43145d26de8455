"""Pods: defaults, checks, immutability, status, columns and field selectors."""

from minikube_py import clock
from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core import pod_table, pod_warnings
from minikube_py.resources.core.container_rules import validate_image_spacing
from minikube_py.resources.core.label_keys import merge_label_keys
from minikube_py.resources.core.pod_defaults import default_pod
from minikube_py.resources.core.pod_qos import qos_class
from minikube_py.resources.core.pod_template import validate_pod_spec
from minikube_py.resources.core.pod_update import MIRROR, SPEC, validate_spec_update
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.value_rules import validate_canonical_ip, validate_label_name

ANNOTATIONS = Path("metadata.annotations")
STATUS = Path("status")
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_SYSTEM_CONDITIONS = frozenset(("PodScheduled", "Ready", "Initialized", "ContainersReady"))


def prepare_create(pod: Object) -> None:
    """A new pod is Pending, with its quality of service told from its resources, and selects by the labels it has."""
    spec = pod.get("spec") or {}
    status: Object = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastTransitionTime": clock.rfc3339(),
            }
        ]
    pod["status"] = status
    if spec.get("affinity") or spec.get("topologySpreadConstraints"):
        merge_label_keys(pod)


def validate_create(pod: Object, errors: FieldErrors) -> None:
    """What holds for a new pod only."""
    spec = pod.get("spec") or {}
    if spec.get("ephemeralContainers"):
        errors.forbidden(SPEC.child("ephemeralContainers"), "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.forbidden(SPEC.child("nodeName"), "cannot be set until all schedulingGates have been cleared")


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate_annotation_update(new, old, errors)
    validate_spec_update(new, old, errors)


def validate_whole(pod: Object, errors: FieldErrors) -> None:
    """A pod that may exist already: everything but what only a new one must not have."""
    spec = pod.get("spec") or {}
    _validate_annotations(pod, errors)
    validate_pod_spec(spec, SPEC, errors, pod_name=meta.name(pod), is_pod=True)
    if not spec.get("serviceAccountName"):
        for index, volume in enumerate(spec.get("volumes") or ()):
            for i, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    at = SPEC.child("volumes").index(index).child("projected", "sources").index(i)
                    why = "must not be specified when serviceAccountName is not set"
                    errors.forbidden(at.child("serviceAccountToken"), why)
    for key in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            validate_image_spacing(container, SPEC.child(key).index(index), errors)


def _validate_annotations(pod: Object, errors: FieldErrors) -> None:
    annotations = meta.annotations(pod)
    if MIRROR in annotations and not (pod.get("spec") or {}).get("nodeName"):
        why = "must set spec.nodeName if mirror pod annotation is set"
        errors.invalid(ANNOTATIONS.key(MIRROR), annotations[MIRROR], why)
    cost = annotations.get(DELETION_COST)
    if cost is not None and not _is_int32(cost):
        errors.invalid(ANNOTATIONS.key(DELETION_COST), cost, "must be a 32bit integer")


def _is_int32(text: str) -> bool:
    digits = text.removeprefix("-")
    if not digits.isdigit() or not digits.isascii() or (len(digits) > 1 and digits[0] == "0") or text == "-0":
        return False
    return -(2**31) <= int(text) < 2**31


def validate_annotation_update(new: Object, old: Object, errors: FieldErrors) -> None:
    before, after = meta.annotations(old).get(MIRROR), meta.annotations(new).get(MIRROR)
    if before is not None and after != before:
        errors.forbidden(ANNOTATIONS.key(MIRROR), "may not remove or update mirror pod annotation")
    elif before is None and after is not None:
        errors.forbidden(ANNOTATIONS.key(MIRROR), "may not add mirror pod annotation")
    if meta.annotations(new) != meta.annotations(old):
        _validate_annotations(new, errors)


def validate_status(new: Object, old: Object, errors: FieldErrors) -> None:
    validate_annotation_update(new, old, errors)
    fresh, stored = new.get("status") or {}, old.get("status") or {}
    for index, condition in enumerate(fresh.get("conditions") or ()):
        if condition.get("type") not in _SYSTEM_CONDITIONS:
            at = Path("metadata.conditions").index(index).child("Type")
            validate_label_name(condition.get("type", ""), at, errors)
    nominated = fresh.get("nominatedNodeName") or ""
    if nominated and nominated != stored.get("nominatedNodeName"):
        errors.invalid_each(STATUS.child("nominatedNodeName"), nominated, meta.dns1123_subdomain(nominated))
    if stored.get("qosClass"):
        errors.immutable(STATUS.child("qosClass"), fresh.get("qosClass"), stored.get("qosClass"))
    _validate_transitions(fresh, stored, old.get("spec") or {}, errors)
    for key in ("podIPs", "hostIPs"):
        _validate_ips(fresh.get(key) or [], STATUS.child(key), errors)
    hosts = fresh.get("hostIPs") or []
    if hosts and hosts[0].get("ip") != fresh.get("hostIP"):
        at = STATUS.child("hostIPs").index(0).child("ip")
        errors.invalid(at, hosts[0].get("ip", ""), "must be equal to `hostIP`")


def _may_restart_all(container: Object) -> bool:
    return any(rule.get("action") == "RestartAllContainers" for rule in container.get("restartPolicyRules") or ())


def _validate_transitions(fresh: Object, stored: Object, spec: Object, errors: FieldErrors) -> None:
    """A container that ended for good stays ended, unless the end of one may restart all."""
    if any(_may_restart_all(c) for key in ("containers", "initContainers") for c in spec.get(key) or ()):
        return
    policies = {
        c.get("name"): c.get("restartPolicy")
        for key in ("containers", "initContainers")
        for c in spec.get(key) or ()
        if c.get("restartPolicy") or c.get("restartPolicyRules")
    }
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        policy = "Never" if key.startswith("ephemeral") else spec.get("restartPolicy")
        if policy == "Always":
            continue
        states = {c.get("name"): c.get("state") or {} for c in fresh.get(key) or ()}
        for index, container in enumerate(stored.get(key) or ()):
            terminated = (container.get("state") or {}).get("terminated")
            name = container.get("name")
            if terminated is None or name in policies:
                continue
            if terminated.get("exitCode") and policy == "OnFailure":
                continue
            if name in states and states[name].get("terminated") is None:
                at = STATUS.child(key).index(index).child("state")
                errors.forbidden(at, "may not be transitioned to non-terminated state")


def _validate_ips(entries: list[Object], path: Path, errors: FieldErrors) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        ip = entry.get("ip", "")
        validate_canonical_ip(ip, path.index(index), errors)
        if ip in seen:
            errors.duplicate(path.index(index), entry)
        seen.add(ip)
    families = [":" in ip for ip in seen]
    if len(entries) > 1 and (len(entries) > 2 or len(set(families)) != 2):
        errors.invalid(path, entries, "may specify no more than one IP for each IP family")


def grace_seconds(pod: Object) -> int:
    """How long a pod gets to stop: nothing when it never started or has ended."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Failed", "Succeeded"):
        return 0
    grace = spec.get("terminationGracePeriodSeconds")
    return 30 if grace is None else int(grace)


def fields(pod: Object) -> dict[str, str]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    ips = status.get("podIPs") or []
    return {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase") or "",
        "status.podIP": (ips[0].get("ip") if ips else status.get("podIP")) or "",
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


RULES = KindRules(
    warnings=pod_warnings.of_pod,
    default=default_pod,
    prepare_create=prepare_create,
    validate=validate_whole,
    validate_create=validate_create,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=pod_table.COLUMNS,
    row=pod_table.row,
    fields=fields,
    has_generation=True,
    default_grace_seconds=grace_seconds,
    status_keeps=("ownerReferences",),
)
