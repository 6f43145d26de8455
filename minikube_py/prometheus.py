"""Counts durations cheaply, and writes measurements in Prometheus' text form when somebody reads them.

Source: the Prometheus exposition format 0.0.4. The library is loaded with the first reading; what is counted all the
time is plain numbers.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from prometheus_client import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """How many observations lay where. bounds are upper ends, ascending; one more count is for all beyond."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.total += value
        self.counts[bisect_left(self.bounds, value)] += 1

    @property
    def count(self) -> int:
        return sum(self.counts)

    def add(self, other: "Histogram") -> None:
        """Take in another one with the same bounds."""
        self.total += other.total
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]


class Sample(NamedTuple):
    """time: epoch seconds of the measurement, where it is older than the reading."""

    labels: tuple[str, ...]
    value: float | Histogram
    time: float | None = None


@dataclass(frozen=True)
class Family:
    """One metric. kind is counter, gauge or histogram; a counter's name ends in _total, or in nothing."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    samples: list[Sample] = field(default_factory=list)

    def add(self, *labels: str, value: float | Histogram, time: float | None = None) -> None:
        self.samples.append(Sample(labels, value, time))


Collector = Callable[[], Iterable[Family]]


def single(name: str, kind: str, help_: str, value: float) -> Family:
    """A metric without labels."""
    return Family(name, kind, help_, (), [Sample((), value)])


def exponential(first: float, factor: float, count: int) -> tuple[float, ...]:
    """Bounds that grow by a factor."""
    return tuple(first * factor**step for step in range(count))


def render(families: Sequence[Family], *, has_process: bool = False) -> bytes:
    """The text of the metrics. has_process: with this process' own (CPU, memory, files)."""
    from prometheus_client import CollectorRegistry, Metric, ProcessCollector  # noqa: PLC0415 (loaded when read)
    from prometheus_client.exposition import generate_latest  # noqa: PLC0415 (loaded when read)

    class Families:
        def collect(self) -> Iterable[Metric]:
            return [_metric(Metric(f.name.removesuffix("_total"), f.help, f.kind), f) for f in families]

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families())
    if has_process:
        ProcessCollector(registry=registry)
    text = generate_latest(registry)
    for family in families:
        if family.kind == "counter" and not family.name.endswith("_total"):
            # The library names every counter so; some of Kubernetes' are not.
            for line in ("HELP", "TYPE"):
                text = text.replace(f"# {line} {family.name}_total ".encode(), f"# {line} {family.name} ".encode())
    return text


def _metric(metric: "Metric", family: Family) -> "Metric":
    for sample in family.samples:
        labels = dict(zip(family.labels, sample.labels, strict=True))
        if isinstance(sample.value, Histogram):
            _add_histogram(metric, labels, sample.value)
        else:
            metric.add_sample(family.name, labels, sample.value, timestamp=sample.time)
    return metric


def _add_histogram(metric: "Metric", labels: dict[str, str], histogram: Histogram) -> None:
    passed = 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        passed += count
        text = "+Inf" if bound == float("inf") else f"{bound:.10g}"
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": text}, passed)
    metric.add_sample(f"{metric.name}_sum", labels, histogram.total)
    metric.add_sample(f"{metric.name}_count", labels, passed)
