"""Parses and prints the times of API objects as Go does: RFC 3339 in UTC, to the second or to the microsecond."""

import re
from datetime import UTC, datetime, timedelta, timezone

LAYOUT = "2006-01-02T15:04:05Z07:00"
MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)",
)
# The parts of the layout in the order Go reads them; the first that doesn't fit is named in the error.
_STEPS = (
    (r"\d{4}", "2006"), ("-", "-"), (r"\d\d", "01"), ("-", "-"), (r"\d\d", "02"), ("T", "T"), (r"\d\d", "15"),
    (":", ":"), (r"\d\d", "04"), (":", ":"), (r"\d\d", "05"), (r"(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)", "Z07:00"),
)  # fmt: skip


def parse_time(text: str, layout: str = LAYOUT) -> datetime:
    """The moment a time text stands for, in UTC. ValueError with Go's words when it is none."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(_failure(text, layout))
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    micros = int((match[7] or "0")[:6].ljust(6, "0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, micros, tzinfo=_zone(match[8]))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f'parsing time "{text}": {_part(month, hour, minute, second)} out of range') from None


def canonical_time(text: str) -> str:
    """The time as metav1.Time prints it."""
    return parse_time(text).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def canonical_micro_time(text: str) -> str:
    """The time as metav1.MicroTime prints it."""
    return parse_time(text, MICRO_LAYOUT).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _zone(text: str) -> timezone:
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _part(month: int, hour: int, minute: int, second: int) -> str:
    if not 1 <= month <= 12:
        return "month"
    if hour > 23:
        return "hour"
    if minute > 59:
        return "minute"
    return "second" if second > 59 else "day"


def _failure(text: str, layout: str) -> str:
    at = 0
    for pattern, name in _STEPS:
        match = re.compile(pattern).match(text, at)
        if match is None:
            return f'parsing time "{text}" as "{layout}": cannot parse "{text[at:]}" as "{name}"'
        at = match.end()
    return f'parsing time "{text}": extra text: "{text[at:]}"'
