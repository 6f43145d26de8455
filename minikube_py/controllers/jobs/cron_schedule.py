"""Parses cron schedules and computes when they are due; pure.

The dialect is robfig/cron's standard one: five fields, names, ranges, steps, lists, `?`, and the @ descriptors. When
both day fields are restricted, a day that meets either one counts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = {name: i + 1 for i, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split())}
_DAYS = {name: i for i, name in enumerate("sun mon tue wed thu fri sat".split())}
_LONGEST_SEARCH_YEARS = 5


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


@dataclass(frozen=True)
class Schedule:
    """A parsed schedule; `every` is set for `@every` alone."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True
    any_weekday: bool = True
    every: timedelta | None = None

    def next_after(self, moment: datetime, zone: ZoneInfo | None = None) -> datetime | None:
        """The first time after moment (aware; the answer is in UTC). None when there is none within five years.

        Where clocks are put forward, times that are left out do not come; where they are put back, times come twice.
        """
        if self.every is not None:
            return (moment + self.every).replace(microsecond=0).astimezone(UTC)
        found = self._walk(moment, zone)
        again = self._repeated(moment, zone) if zone is not None else None
        return min((due for due in (found, again) if due is not None), default=None)

    def _repeated(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first time of the hour before that comes a second time, when clocks are being put back."""
        soon = moment + timedelta(hours=1)
        offsets = [at.astimezone(zone).utcoffset() or timedelta() for at in (moment, soon)]
        if offsets[1] >= offsets[0]:
            return None
        end = moment.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0) + timedelta(minutes=1)
        local: datetime | None = end - (offsets[0] - offsets[1])
        while local is not None and local < end:
            local = self._from(local)
            if local is not None and local < end:
                due = _instant(local, zone, fold=1)
                if due is not None and due > moment:
                    return due
                local += timedelta(minutes=1)
        return None

    def _walk(self, moment: datetime, zone: ZoneInfo | None) -> datetime | None:
        local = moment.astimezone(zone or UTC).replace(tzinfo=None, second=0, microsecond=0) + timedelta(minutes=1)
        last_year = local.year + _LONGEST_SEARCH_YEARS
        while local.year <= last_year:
            found = self._from(local)
            if found is not None:
                for fold in (0, 1):
                    due = _instant(found, zone, fold=fold)
                    if due is not None and due > moment:
                        return due
                local = found + timedelta(minutes=1)
                continue
            local = (
                (local.replace(hour=0, minute=0) + timedelta(days=1)) if self._is_day(local) else self._next_day(local)
            )
        return None

    def _from(self, local: datetime) -> datetime | None:
        """The first time on local's day, not before local."""
        if not self._is_day(local):
            return None
        for hour in sorted(self.hours):
            if hour < local.hour:
                continue
            for minute in sorted(self.minutes):
                if hour > local.hour or minute >= local.minute:
                    return local.replace(hour=hour, minute=minute)
        return None

    def _is_day(self, local: datetime) -> bool:
        if local.month not in self.months:
            return False
        by_date = local.day in self.days
        by_weekday = local.isoweekday() % 7 in self.weekdays
        return (by_date and by_weekday) if self.any_day or self.any_weekday else (by_date or by_weekday)

    def _next_day(self, local: datetime) -> datetime:
        start = local.replace(hour=0, minute=0)
        if local.month not in self.months:
            year, month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
            return start.replace(year=year, month=month, day=1)
        return start + timedelta(days=1)


def _instant(local: datetime, zone: ZoneInfo | None, *, fold: int) -> datetime | None:
    """When a local time comes the first (fold 0) or second time; None when it is left out."""
    due = local.replace(tzinfo=zone or UTC, fold=fold).astimezone(UTC)
    return due if due.astimezone(zone or UTC).replace(tzinfo=None, fold=0) == local else None


def parse_schedule(text: str) -> Schedule:
    """Raises ValueError that says what is wrong."""
    text = text.strip()
    if text.startswith("@every "):
        return Schedule(every=_parse_duration(text.removeprefix("@every ")))
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly {len(_FIELDS)} fields, found {len(parts)}: [{text}]")
    minutes, hours, days, months, weekdays = (
        _parse_field(part, field) for part, field in zip(parts, _FIELDS, strict=True)
    )
    return Schedule(minutes, hours, days, months, weekdays, parts[2][0] in "*?", parts[4][0] in "*?")


def _parse_field(text: str, field: _Field) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        body, slash, step_text = part.partition("/")
        step = _number(step_text, field) if slash else 1
        if step < 1:
            raise ValueError(f"step of range should be a positive number: {part}")
        if body in ("*", "?"):
            first, last = field.low, field.high
        else:
            start, dash, end = body.partition("-")
            first = _value(start, field)
            last = _value(end, field) if dash else (field.high if slash else first)
        if first > last:
            raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {part}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _value(text: str, field: _Field) -> int:
    value = field.names[text.lower()] if text.lower() in field.names else _number(text, field)
    if value < field.low:
        raise ValueError(f"beginning of range ({value}) below minimum ({field.low}): {text}")
    if value > field.high:
        raise ValueError(f"end of range ({value}) above maximum ({field.high}): {text}")
    return value


def _number(text: str, field: _Field) -> int:
    if not text.isdigit():
        raise ValueError(f"failed to parse int from {text} in the {field.name} field")
    return int(text)


_UNITS = {"h": 3600, "m": 60, "s": 1}


def _parse_duration(text: str) -> timedelta:
    seconds, number = 0.0, ""
    for char in text.strip():
        if char.isdigit() or char == ".":
            number += char
        elif char in _UNITS and number:
            seconds += float(number) * _UNITS[char]
            number = ""
        else:
            raise ValueError(f"failed to parse duration @every {text}")
    if number or seconds <= 0:
        raise ValueError(f"failed to parse duration @every {text}")
    return timedelta(seconds=max(int(seconds), 1))


def last_due(schedule: Schedule, since: datetime, now: datetime, zone: ZoneInfo | None) -> tuple[datetime | None, int]:
    """The latest time after since that is not after now, and how many there were (counted up to 101)."""
    found, count = None, 0
    due = schedule.next_after(since, zone)
    while due is not None and due <= now:
        found, count = due, count + 1
        if count > 100:
            return _latest(schedule, found, now, zone), count
        due = schedule.next_after(due, zone)
    return found, count


def _latest(schedule: Schedule, known: datetime, now: datetime, zone: ZoneInfo | None) -> datetime:
    """Look back from now in growing steps, instead of walking through years of minutes."""
    if schedule.every is not None:
        return known + schedule.every * ((now - known) // schedule.every)
    step = timedelta(minutes=2)
    while True:
        start = max(now - step, known)
        due = schedule.next_after(start, zone)
        if due is not None and due <= now:
            while (later := schedule.next_after(due, zone)) is not None and later <= now:
                due = later
            return due
        if start == known:
            return known
        step *= 4
