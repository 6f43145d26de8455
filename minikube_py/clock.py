"""Reads wall-clock time for the whole program, so that tests can replace it in one place."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

_source: Callable[[], float] = time.time


def set_source(source: Callable[[], float]) -> None:
    """Take wall-clock seconds since the epoch from `source` (virtual time in tests)."""
    global _source
    _source = source


def reset_source() -> None:
    """Go back to the system's clock."""
    set_source(time.time)


def seconds() -> float:
    """Seconds since the epoch, UTC."""
    return _source()


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.fromtimestamp(_source(), UTC)


def rfc3339(moment: datetime | None = None) -> str:
    """`metav1.Time` on the wire: whole seconds, UTC, `2026-01-02T03:04:05Z`."""
    if moment is None:
        return _whole_second(int(_source()))
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_of(epoch_seconds: float) -> str:
    """The same for a moment in seconds since the epoch."""
    return _whole_second(math.floor(epoch_seconds))


@lru_cache(maxsize=64)
def _whole_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime | None = None) -> str:
    """`metav1.MicroTime` on the wire: six fractional digits, UTC."""
    return (moment or now()).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """Parse an RFC 3339 timestamp. Raises ValueError on any other form."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
