"""Shows work queues in Prometheus' form, under client-go's names.

Source: client-go util/workqueue metrics.go, component-base metrics/prometheus/workqueue.
"""

from collections.abc import Iterator
from typing import Any

from minikube_py.prometheus import Family
from minikube_py.reconciling.workqueue import WorkQueue

_LABELS = ("name",)


class QueueTable:
    """The queues of the running controllers by name; `families` is a prometheus.Collector."""

    def __init__(self) -> None:
        self.queues: dict[str, WorkQueue[Any]] = {}

    def families(self) -> Iterator[Family]:
        depth = Family("workqueue_depth", "gauge", "Keys that wait.", _LABELS)
        adds = Family("workqueue_adds_total", "counter", "Keys added.", _LABELS)
        retries = Family("workqueue_retries_total", "counter", "Keys added again after a failure.", _LABELS)
        waited = Family("workqueue_queue_duration_seconds", "histogram", "How long keys waited.", _LABELS)
        worked = Family("workqueue_work_duration_seconds", "histogram", "How long keys were worked on.", _LABELS)
        unfinished = Family("workqueue_unfinished_work_seconds", "gauge", "The sum over keys in work.", _LABELS)
        longest = Family("workqueue_longest_running_processor_seconds", "gauge", "The longest of them.", _LABELS)
        for name, queue in self.queues.items():
            counts, running = queue.counts, queue.counts.unfinished()
            depth.add(name, value=len(queue))
            adds.add(name, value=counts.adds)
            retries.add(name, value=counts.retries)
            waited.add(name, value=counts.waited)
            worked.add(name, value=counts.worked)
            unfinished.add(name, value=sum(running))
            longest.add(name, value=max(running, default=0.0))
        yield from (depth, adds, retries, waited, worked, unfinished, longest)
