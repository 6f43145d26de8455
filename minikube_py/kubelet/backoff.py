"""Doubling delays as the kubelet keeps them for crashing containers and failing pulls; pure, the clock is passed in."""

from dataclasses import dataclass

INITIAL_SECONDS = 10.0
MAXIMUM_SECONDS = 300.0


@dataclass(frozen=True)
class BackOff:
    """delay is what has to pass since the last failure; updated_at is when it was last raised (epoch seconds)."""

    delay: float = 0.0
    updated_at: float = 0.0


def retry_at(entry: BackOff | None, failed_at: float) -> float:
    """When the next attempt is due. No entry, or one that has gone stale, means at once."""
    if entry is None or _is_stale(entry, failed_at):
        return failed_at
    return failed_at + entry.delay


def raised(entry: BackOff | None, now: float, failed_at: float = 0.0) -> BackOff:
    """The entry after one more attempt at `now`: 10 s at first, then doubled up to 300 s."""
    if entry is None or _is_stale(entry, failed_at or now):
        return BackOff(INITIAL_SECONDS, now)
    return BackOff(min(entry.delay * 2, MAXIMUM_SECONDS), now)


def _is_stale(entry: BackOff, at: float) -> bool:
    return at - entry.updated_at > 2 * MAXIMUM_SECONDS


def duration_text(seconds: float) -> str:
    """Seconds the way Go prints a duration: 10s, 1m20s, 5m0s, 1.5s, 250ms."""
    if 0 < seconds < 1:
        return f"{_trim(seconds * 1000)}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{_trim(rest)}s"
    if hours:
        return f"{int(hours)}h{int(minutes)}m{text}"
    return f"{int(minutes)}m{text}" if minutes else text


def _trim(value: float) -> str:
    return f"{round(value, 3):f}".rstrip("0").rstrip(".") or "0"
