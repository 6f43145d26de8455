"""Counts what the scheduler does, and shows it in Prometheus' form under kube-scheduler's names.

Source: pkg/scheduler/metrics/metrics.go.
"""

from collections.abc import Iterable, Iterator

from minikube_py.prometheus import Family, Histogram, Sample, exponential, single
from minikube_py.scheduler.queue import SchedulingQueue

_ATTEMPT_BOUNDS = exponential(0.001, 2, 15)
_WHOLE_BOUNDS = exponential(0.01, 2, 20)
_COUNT_BOUNDS = exponential(1, 2, 5)


class SchedulerCounts:
    """Plain numbers of all profiles; `families` is a prometheus.Collector."""

    def __init__(self, profiles: Iterable[str], queue: SchedulingQueue) -> None:
        self._queue = queue
        self.attempts = {
            (profile, result): Histogram(_ATTEMPT_BOUNDS)
            for profile in profiles
            for result in ("scheduled", "unschedulable", "error")
        }
        self.whole = Histogram(_WHOLE_BOUNDS)
        self.attempts_a_pod = Histogram(_COUNT_BOUNDS)
        self.victims = Histogram(_COUNT_BOUNDS)
        self.preemptions = 0

    def decided(self, profile: str, is_scheduled: bool, seconds: float) -> None:
        """One pod was decided on."""
        self.attempts[profile, "scheduled" if is_scheduled else "unschedulable"].observe(seconds)

    def failed(self, profile: str) -> None:
        """A decision could not be written down."""
        self.attempts[profile, "error"].observe(0.0)

    def bound(self, attempts: int, seconds: float) -> None:
        """A pod has its node, so long after it came and after so many attempts."""
        self.whole.observe(seconds)
        self.attempts_a_pod.observe(attempts)

    def preempted(self, victims: int) -> None:
        """A node was chosen for a pod although others have to go."""
        self.preemptions += 1
        self.victims.observe(victims)

    def families(self) -> Iterator[Family]:
        by_result = ("profile", "result")
        attempts = Family("scheduler_schedule_attempts_total", "counter", "Attempts to schedule a pod.", by_result)
        durations = Family(
            "scheduler_scheduling_attempt_duration_seconds", "histogram", "How long an attempt took.", by_result
        )
        algorithm = Histogram(_ATTEMPT_BOUNDS)
        for (profile, result), histogram in self.attempts.items():
            attempts.add(profile, result, value=histogram.count)
            durations.add(profile, result, value=histogram)
            algorithm.add(histogram)
        yield from (attempts, durations)
        yield _histogram("scheduler_scheduling_algorithm_duration_seconds", "How long decisions took.", algorithm)
        pending = Family("scheduler_pending_pods", "gauge", "Pods that wait for a node.", ("queue",))
        for name, number in self._queue.pending().items():
            pending.add(name, value=number)
        yield pending
        yield Family(
            "scheduler_pod_scheduling_sli_duration_seconds", "histogram", "From a pod's coming to its node.",
            ("attempts",), [Sample(("",), self.whole)],
        )  # fmt: skip
        yield _histogram("scheduler_pod_scheduling_attempts", "Attempts that pods needed.", self.attempts_a_pod)
        yield _histogram("scheduler_preemption_victims", "Pods that had to go, a preemption.", self.victims)
        yield single("scheduler_preemption_attempts_total", "counter", "Preemptions.", self.preemptions)


def _histogram(name: str, help_: str, histogram: Histogram) -> Family:
    return Family(name, "histogram", help_, (), [Sample((), histogram)])
