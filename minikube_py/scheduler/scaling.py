"""Brings raw scores to 0..100."""

from collections.abc import Sequence

from minikube_py.scheduler.framework import MAX_SCORE


def scale_to_best(values: Sequence[float], *, fewer_is_better: bool = False) -> list[float] | None:
    """In proportion to the greatest value (DefaultNormalizeScore); None when that is 0."""
    most = max(values, default=0)
    if not most:
        return None
    scaled = [int(value * MAX_SCORE / most) for value in values]
    return [MAX_SCORE - value for value in scaled] if fewer_is_better else [float(value) for value in scaled]


def scale_between(values: Sequence[float]) -> list[float] | None:
    """From the least (0) to the greatest value (100); None when all are equal."""
    most, least = max(values, default=0), min(values, default=0)
    if most == least:
        return None
    return [MAX_SCORE * (value - least) / (most - least) for value in values]
