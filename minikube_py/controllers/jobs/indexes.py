"""Reads and writes sets of completion indexes in their compressed form, `1,3-5,7`, and indexes of pods."""

from collections.abc import Collection, Iterable

from minikube_py.objects.errors import Object
from minikube_py.objects.meta import annotations

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURE_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count"


def parse_indexes(text: str) -> set[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Collection[int]) -> str:
    """Intervals of three and more are joined by a dash, pairs are listed."""
    parts: list[str] = []
    ordered = sorted(indexes)
    start = 0
    while start < len(ordered):
        end = start
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        first, last = ordered[start], ordered[end]
        if first == last:
            parts.append(str(first))
        elif last == first + 1:
            parts += [str(first), str(last)]
        else:
            parts.append(f"{first}-{last}")
        start = end + 1
    return ",".join(parts)


def index_of(pod: Object) -> int | None:
    text = annotations(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def indexes_of(pods: Iterable[Object]) -> set[int]:
    return {index for pod in pods if (index := index_of(pod)) is not None}


def int_note(pod: Object, key: str) -> int:
    text = annotations(pod).get(key, "")
    return int(text) if text.isdigit() else 0
