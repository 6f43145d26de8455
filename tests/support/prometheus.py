"""Reads Prometheus' text with the library's own parser."""

import math
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Metrics:
    """All samples of one reading."""

    samples: dict[str, list[tuple[dict[str, str], float]]]
    types: dict[str, str]

    def value(self, name: str, /, **labels: str) -> float:
        """The only sample with (at least) these labels."""
        (found,) = self.values(name, **labels)
        return found

    def values(self, name: str, /, **labels: str) -> list[float]:
        listed = self.samples.get(name, [])
        return [value for own, value in listed if all(own.get(key) == wanted for key, wanted in labels.items())]

    def total(self, name: str, /, **labels: str) -> float:
        return math.fsum(self.values(name, **labels))


def parse(text: str) -> Metrics:
    """Also checks that no family comes twice and that histograms add up."""
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    types: dict[str, str] = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in types, f"{family.name} comes twice"
        types[family.name] = family.type
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    for name, listed in samples.items():
        keys = [tuple(sorted(labels.items())) for labels, _ in listed]
        assert len(keys) == len(set(keys)), f"{name} has the same labels twice"
    metrics = Metrics(samples, types)
    for name in [name for name, kind in types.items() if kind == "histogram"]:
        counts = metrics.total(f"{name}_count")
        assert counts == metrics.total(f"{name}_bucket", le="+Inf")
    return metrics
