"""Names, claims and revisions of a StatefulSet's pods; pure.

Source: pkg/controller/statefulset/stateful_set_utils.go.
"""

import re
from collections.abc import Iterable

from minikube_py.controllers.workloads.pod_control import pod_from_template
from minikube_py.controllers.workloads.pods import is_available, is_ready, phase
from minikube_py.controllers.workloads.revisions import REVISION_LABEL, template_of
from minikube_py.controllers.workloads.rollout import scaled_value
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy, is_deleting, labels, name, namespace, uid
from minikube_py.resources.kind import GVK

STATEFUL_SET = GVK("apps", "v1", "StatefulSet")
POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]+)$")


def ordinal(pod: Object) -> int:
    """The number at the end of the pod's name, -1 without one."""
    found = _NAME.match(name(pod))
    return int(found[2]) if found else -1


def is_member(owner: Object, pod: Object) -> bool:
    """Whether the pod's name is one that this StatefulSet gives."""
    found = _NAME.match(name(pod))
    return found is not None and found[1] == name(owner)


def ordinals(owner: Object) -> range:
    start = int((owner["spec"].get("ordinals") or {}).get("start") or 0)
    return range(start, start + int(owner["spec"].get("replicas", 1)))


def is_parallel(owner: Object) -> bool:
    return bool(owner["spec"].get("podManagementPolicy") == "Parallel")


def partition(owner: Object) -> int:
    rolling = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def max_unavailable(owner: Object) -> int:
    rolling = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    value = rolling.get("maxUnavailable", 1)
    return max(scaled_value(value, int(owner["spec"].get("replicas", 1)), round_up=True), 1)


def is_rolling(owner: Object) -> bool:
    return bool((owner["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def claim_name(template: Object, owner: Object, number: int) -> str:
    return f"{name(template)}-{name(owner)}-{number}"


def claims(owner: Object, number: int) -> dict[str, Object]:
    """The claims of one pod, by the name of their template."""
    made: dict[str, Object] = {}
    match = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        claim = deep_copy(template)
        claim.pop("status", None)
        metadata = claim["metadata"]
        metadata.update(name=claim_name(template, owner, number), namespace=namespace(owner))
        metadata["labels"] = {**(metadata.get("labels") or {}), **match}
        claim.update(apiVersion="v1", kind="PersistentVolumeClaim")
        made[name(template)] = claim
    return made


def build_pod(owner: Object, revision: Object, number: int) -> Object:
    """The pod of one ordinal as a revision wants it."""
    pod = pod_from_template(template_of(revision), owner, STATEFUL_SET)
    metadata, spec = pod["metadata"], pod["spec"]
    metadata.pop("generateName")
    metadata["name"] = f"{name(owner)}-{number}"
    metadata["labels"][REVISION_LABEL] = name(revision)
    spec["hostname"] = metadata["name"]
    spec["subdomain"] = owner["spec"].get("serviceName", "")
    set_identity(owner, pod, number)
    return pod


def set_identity(owner: Object, pod: Object, number: int) -> None:
    """Labels and claim volumes of the ordinal, in place."""
    own = pod["metadata"].setdefault("labels", {})
    own[POD_NAME_LABEL] = name(pod)
    own[POD_INDEX_LABEL] = str(number)
    templates = owner["spec"].get("volumeClaimTemplates") or ()
    mine = [
        {"name": name(t), "persistentVolumeClaim": {"claimName": claim_name(t, owner, number), "readOnly": False}}
        for t in templates
    ]
    taken = {name(t) for t in templates}
    spec = pod["spec"]
    volumes = mine + [volume for volume in spec.get("volumes") or () if volume["name"] not in taken]
    if volumes:
        spec["volumes"] = volumes


def has_identity(pod: Object) -> bool:
    own = labels(pod)
    return own.get(POD_NAME_LABEL) == name(pod) and own.get(POD_INDEX_LABEL) == str(ordinal(pod))


def revision_of(pod: Object) -> str:
    return labels(pod).get(REVISION_LABEL, "")


def is_running_and_ready(pod: Object) -> bool:
    return phase(pod) == "Running" and is_ready(pod)


def is_healthy(pod: Object, minimum: int) -> bool:
    """Available, and not on its way out."""
    return phase(pod) == "Running" and is_available(pod, minimum) and not is_deleting(pod)


def retention(owner: Object) -> tuple[str, str]:
    """(whenDeleted, whenScaled), each Retain or Delete."""
    policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenDeleted", "Retain"), policy.get("whenScaled", "Retain")


def claim_owners(owner: Object, pod: Object, existing: Iterable[Object]) -> list[Object] | None:
    """The owner references a claim should have by the retention policy; None when they are right already.

    whenDeleted=Delete: owned by the set; whenScaled=Delete: owned by the pod while it is being scaled away.
    """
    when_deleted, when_scaled = retention(owner)
    condemned = when_scaled == "Delete" and ordinal(pod) not in ordinals(owner)
    before = list(existing)
    kept = [ref for ref in before if ref["uid"] not in (uid(owner), uid(pod))]
    if condemned:
        wanted = [*kept, _reference(pod, "v1", "Pod")]
    elif when_deleted == "Delete":
        wanted = [*kept, _reference(owner, "apps/v1", "StatefulSet")]
    else:
        wanted = kept
    return None if {ref["uid"] for ref in wanted} == {ref["uid"] for ref in before} else wanted


def _reference(obj: Object, api_version: str, kind: str) -> Object:
    return {"apiVersion": api_version, "kind": kind, "name": name(obj), "uid": uid(obj)}
