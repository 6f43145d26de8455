"""Remembers a Job's recent failures, and how long its next pods have to wait for that."""

from collections.abc import Iterable
from dataclasses import dataclass

from minikube_py import clock
from minikube_py.controllers.workloads.pods import ready_condition
from minikube_py.objects.errors import Object

_FIRST_SECONDS = 10.0
_LONGEST_SECONDS = 600.0


@dataclass
class FailureRecord:
    """Failures since the last success, and when the last one was."""

    failures: int = 0
    last: float = 0.0

    def note(self, succeeded: Iterable[Object], failed: Iterable[Object]) -> None:
        last_success = max((finished_at(pod) for pod in succeeded), default=None)
        times = sorted(finished_at(pod) for pod in failed)
        if last_success is not None:
            self.failures = 0
            times = [time for time in times if time > last_success]
        self.failures += len(times)
        if times:
            self.last = max(self.last, times[-1])

    def seconds_left(self) -> float:
        if not self.failures:
            return 0.0
        wait = min(_FIRST_SECONDS * float(2 ** min(self.failures - 1, 20)), _LONGEST_SECONDS)
        return self.last + wait - clock.seconds()


def finished_at(pod: Object) -> float:
    """When the pod's last container ended (else: it stopped being ready, or was to be deleted), in epoch seconds."""
    status = pod.get("status") or {}
    ends = [
        clock.parse(ended["finishedAt"]).timestamp()
        for container in status.get("containerStatuses") or ()
        if (ended := (container.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    if ends:
        return max(ends)
    ready = ready_condition(pod)
    if ready is not None and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return clock.parse(ready["lastTransitionTime"]).timestamp()
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        asked = clock.parse(metadata["deletionTimestamp"]).timestamp()
        return asked - (metadata.get("deletionGracePeriodSeconds") or 0)
    return clock.parse(metadata["creationTimestamp"]).timestamp()
