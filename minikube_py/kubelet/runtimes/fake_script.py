"""Reads what a pod's annotations say of a simulated container: how its run goes and what it uses."""

from collections.abc import Mapping
from dataclasses import dataclass

from minikube_py import clock
from minikube_py.kubelet.runtimes.protocol import ContainerState
from minikube_py.objects import quantity

PREFIX = "fake.mkube.io/"
_NANO = 1_000_000_000
_WINDOW_SECONDS = 15.0


def scripted(annotations: Mapping[str, str], container: str, key: str) -> str | None:
    """The value for one container, else the pod's."""
    return annotations.get(f"{PREFIX}{key}.{container}", annotations.get(f"{PREFIX}{key}"))


def amount(annotations: Mapping[str, str], container: str, key: str) -> int:
    """A quantity in units of 10^-9; 0 for none, and for text that is no quantity."""
    try:
        return quantity.parse(scripted(annotations, container, key) or "0").nanos
    except ValueError:
        return 0


@dataclass
class SimulatedUse:
    """The counters of one simulated container: they grow at the rate that the annotations name."""

    cpu_ns: float = 0.0
    counted_at: float = 0.0

    def read(self, container: ContainerState, annotations: Mapping[str, str]) -> dict[str, float]:
        """Numbers in the form of `container_cgroups.read_numbers`, with the use per second."""
        now = clock.seconds()
        cores = amount(annotations, container.name, "cpu")
        memory = amount(annotations, container.name, "memory") // _NANO
        self.cpu_ns += max(now - (self.counted_at or container.started_at), 0.0) * cores
        self.counted_at = now
        return {
            "time": now,
            "started_at": container.started_at,
            "cpu_ns": self.cpu_ns,
            "cpu_nano_cores": cores,
            "window": min(max(now - container.started_at, 0.0), _WINDOW_SECONDS),
            "memory_bytes": memory,
            "working_set_bytes": memory,
            "rss_bytes": memory,
            "pids": 1,
        }
