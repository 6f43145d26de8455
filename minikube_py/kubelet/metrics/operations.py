"""Counts what the kubelet has its container runtime do, under the kubelet's names for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from minikube_py.kubelet.runtimes.protocol import RuntimeFailure
from minikube_py.prometheus import Family, Histogram, Sample, exponential

_BOUNDS = exponential(0.005, 2.5, 14)
_START_BOUNDS = (
    0.5,
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    20,
    30,
    45,
    60,
    120,
    180,
    240,
    300,
    360,
    480,
    600,
    900,
    1200,
    1800,
    2700,
    3600,
)
_LABELS = ("operation_type",)


class OperationCounts:
    """Plain numbers by operation type: run_podsandbox, start_container, stop_container, pull_image, ..."""

    def __init__(self) -> None:
        self._durations: dict[str, Histogram] = {}
        self._errors: dict[str, int] = {}
        self._pods_seen: dict[str, float] = {}
        self._starts = Histogram(_START_BOUNDS)

    def pod_seen(self, uid: str) -> None:
        """A pod has come to the node that does not run yet."""
        self._pods_seen[uid] = perf_counter()

    def pod_runs(self, uid: str) -> None:
        """Its status says so; told again, it changes nothing."""
        seen = self._pods_seen.pop(uid, None)
        if seen is not None:
            self._starts.observe(perf_counter() - seen)

    def pod_left(self, uid: str) -> None:
        self._pods_seen.pop(uid, None)

    @contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """Count one call to the runtime, and its failure."""
        began = perf_counter()
        try:
            yield
        except RuntimeFailure:
            self._errors[operation] = self._errors.get(operation, 0) + 1
            raise
        finally:
            self._durations.setdefault(operation, Histogram(_BOUNDS)).observe(perf_counter() - began)

    def families(self) -> Iterator[Family]:
        total = Family("kubelet_runtime_operations_total", "counter", "Calls to the container runtime.", _LABELS)
        failed = Family("kubelet_runtime_operations_errors_total", "counter", "Those that failed.", _LABELS)
        lasted = Family("kubelet_runtime_operations_duration_seconds", "histogram", "How long they took.", _LABELS)
        for operation, histogram in self._durations.items():
            total.add(operation, value=histogram.count)
            failed.add(operation, value=self._errors.get(operation, 0))
            lasted.add(operation, value=histogram)
        yield from (total, failed, lasted)
        for name in ("kubelet_pod_start_duration_seconds", "kubelet_pod_start_total_duration_seconds"):
            yield Family(name, "histogram", "From a pod's coming to its running.", (), [Sample((), self._starts)])
        for name, operation in (("pods", "run_podsandbox"), ("containers", "start_container")):
            counted = self._durations.get(operation)
            started = Family(f"kubelet_started_{name}_total", "counter", f"{name.capitalize()} started.")
            started.add(value=counted.count if counted else 0)
            yield started
