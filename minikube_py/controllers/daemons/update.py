"""Decides which daemon pods a rolling update deletes, and where it starts a second one; pure.

Source: pkg/controller/daemon/update.go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minikube_py.controllers.workloads.pods import is_active, is_available
from minikube_py.controllers.workloads.revisions import REVISION_LABEL
from minikube_py.controllers.workloads.rollout import scaled_value
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import is_deleting, labels


@dataclass
class UpdateStep:
    delete: list[Object] = field(default_factory=list)
    create_on: list[str] = field(default_factory=list)


def limits(daemon_set: Object, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; never both 0."""
    rolling = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = scaled_value(rolling.get("maxSurge", 0), desired, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", 1), desired, round_up=True)
    return surge, unavailable if surge or unavailable else 1


def is_new(pod: Object, digest: str) -> bool:
    return labels(pod).get(REVISION_LABEL) == digest


def plan_update(daemon_set: Object, by_node: Mapping[str, Sequence[Object]], digest: str, desired: int) -> UpdateStep:
    """The next step towards pods of the revision `digest` on every node."""
    surge, unavailable = limits(daemon_set, desired)
    minimum = daemon_set["spec"].get("minReadySeconds", 0)
    if surge:
        return _with_surge(by_node, digest, surge, minimum)
    return _with_gaps(by_node, digest, unavailable, minimum)


def _with_gaps(by_node: Mapping[str, Sequence[Object]], digest: str, most_unavailable: int, minimum: int) -> UpdateStep:
    step = UpdateStep()
    missing = 0
    available: list[Object] = []
    for pods in by_node.values():
        new, old = _newest(pods, digest)
        if old is None and new is None:
            missing += 1  # the pod is still to be created, or going away
        elif new is not None:
            missing += not is_available(new, minimum)
        elif old is not None:
            if is_available(old, minimum):
                available.append(old)
            else:
                # A pod that doesn't work anyway is replaced whatever the limit.
                step.delete.append(old)
                missing += 1
    step.delete += available[: max(most_unavailable - missing, 0)]
    return step


def _with_surge(by_node: Mapping[str, Sequence[Object]], digest: str, surge: int, minimum: int) -> UpdateStep:
    step = UpdateStep()
    surging = 0
    candidates: list[str] = []
    for node, pods in by_node.items():
        new, old = _newest(pods, digest)
        if old is None:
            continue
        if new is None:
            if not is_available(old, minimum):
                step.create_on.append(node)
                step.delete.append(old)
            else:
                candidates.append(node)
        elif is_available(new, minimum):
            step.delete.append(old)
        else:
            surging += 1
    step.create_on += candidates[: max(surge - surging, 0)]
    return step


def _newest(pods: Sequence[Object], digest: str) -> tuple[Object | None, Object | None]:
    """(the pod of the new revision, the one of an old revision) that is not on its way out."""
    living = [pod for pod in pods if is_active(pod) and not is_deleting(pod)]
    new = next((pod for pod in living if is_new(pod, digest)), None)
    old = next((pod for pod in living if not is_new(pod, digest)), None)
    return new, old
