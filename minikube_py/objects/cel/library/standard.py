"""The functions of CEL itself: sizes, text tests, conversions and times. Operators are in the evaluator."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from math import ceil, isfinite, isnan
from typing import Any
from zoneinfo import ZoneInfo

import re2

from minikube_py.objects.cel.overloads import TRAVERSAL, Overload, matching, overload, traversal
from minikube_py.objects.cel.values import INT_MAX, INT_MIN, LONGEST_DURATION, UINT_MAX, EvaluationError, UInt, type_of

_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_MICROS = {"ns": 0.001, "us": 1, "µs": 1, "μs": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Any:
    """A regular expression on a linear-time engine. Raises EvaluationError."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise EvaluationError(f"error parsing regexp: {error}") from None


def matches(text: str, pattern: str) -> bool:
    return compile_pattern(pattern).search(text) is not None


# --- conversions -----------------------------------------------------------------------------------------------------


def in_range(number: int) -> int:
    if not INT_MIN <= number <= INT_MAX:
        raise EvaluationError("integer overflow")
    return number


def to_int(value: Any) -> int:
    if isinstance(value, float):
        if not INT_MIN < value < INT_MAX:
            raise EvaluationError("integer overflow")
        return int(value)
    if isinstance(value, str):
        if not re.fullmatch(r"[+-]?\d+", value):
            raise EvaluationError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        return in_range(int(value))
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(seconds=1)
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1) * 1000
    return in_range(int(value))


def to_uint(value: Any) -> UInt:
    if isinstance(value, str):
        if not re.fullmatch(r"\d+", value):
            raise EvaluationError(f'strconv.ParseUint: parsing "{value}": invalid syntax')
        value = int(value)
    elif isinstance(value, float) and not isfinite(value):
        raise EvaluationError("unsigned integer overflow")
    if not 0 <= int(value) <= UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return UInt(int(value))


def to_double(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise EvaluationError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None


def to_bool(value: str) -> bool:
    if value in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if value in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise EvaluationError(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def to_string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, datetime):
        return time_text(value)
    return duration_text(value) if isinstance(value, timedelta) else str(value)


def double_text(value: float) -> str:
    """As Go's %g: no `.0` behind whole numbers, an exponent from 1e+21 on."""
    if not isfinite(value):
        return "NaN" if isnan(value) else ("+Inf" if value > 0 else "-Inf")
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def time_text(value: datetime) -> str:
    text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    fraction = f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
    return f"{text}{fraction}Z"


def duration_text(value: timedelta) -> str:
    micros = value // timedelta(microseconds=1)
    sign, whole = ("-" if micros < 0 else ""), abs(micros)
    fraction = f".{whole % 10**6:06d}".rstrip("0") if whole % 10**6 else ""
    return f"{sign}{whole // 10**6}{fraction}s"


def to_time(text: str) -> datetime:
    found = _TIME.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        whole, fraction, zone = found.groups()
        moment = datetime.fromisoformat(whole.upper() + (zone if zone not in "Zz" else "+00:00"))
        return moment.astimezone(UTC) + timedelta(microseconds=int(f"{(fraction or '.')[1:]:0<6}"[:6]))
    except (ValueError, OverflowError):
        raise EvaluationError(f'invalid timestamp: cannot parse "{text}" as RFC 3339') from None


def to_duration(text: str) -> timedelta:
    body = text.removeprefix("-").removeprefix("+") if text[:1] in ("-", "+") else text
    micros, at = 0.0, 0
    if body != "0":
        for part in _DURATION_PART.finditer(body):
            if part.start() != at:
                break
            micros += float(part[1]) * _UNIT_MICROS[part[2]]
            at = part.end()
        if at != len(body) or not body:
            raise EvaluationError(f'time: invalid duration "{text}"')
    if micros > LONGEST_DURATION // timedelta(microseconds=1):
        raise EvaluationError(f'time: invalid duration "{text}"')
    return timedelta(microseconds=-micros if text.startswith("-") else micros)


def _time_of_seconds(seconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise EvaluationError("range: timestamp out of range") from None


# --- parts of times --------------------------------------------------------------------------------------------------


def _zone(name: str) -> tzinfo:
    offset = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None


_TIME_PARTS = {
    "getFullYear": lambda t: t.year,
    "getMonth": lambda t: t.month - 1,
    "getDate": lambda t: t.day,
    "getDayOfMonth": lambda t: t.day - 1,
    "getDayOfWeek": lambda t: t.isoweekday() % 7,
    "getDayOfYear": lambda t: t.timetuple().tm_yday - 1,
    "getHours": lambda t: t.hour,
    "getMinutes": lambda t: t.minute,
    "getSeconds": lambda t: t.second,
    "getMilliseconds": lambda t: t.microsecond // 1000,
}
_DURATION_UNITS = {"getHours": 3600, "getMinutes": 60, "getSeconds": 1}


def _time_overloads() -> list[Overload]:
    found = []
    for name, part in _TIME_PARTS.items():
        found.append(overload(f"timestamp.{name}() -> int", lambda t, part=part: part(t.astimezone(UTC))))
        found.append(
            overload(f"timestamp.{name}(string) -> int", lambda t, zone, part=part: part(t.astimezone(_zone(zone))))
        )
    for name, seconds in _DURATION_UNITS.items():
        unit = timedelta(seconds=seconds)
        found.append(overload(f"duration.{name}() -> int", lambda d, unit=unit: int(d / unit)))
    millis = timedelta(milliseconds=1)
    found.append(overload("duration.getMilliseconds() -> int", lambda d: int(d / millis) % 1000))
    return found


def _containing(args: Any, _result: Any) -> int:
    return max(1, ceil(len(args[0]) * TRAVERSAL)) * max(1, ceil(len(args[1]) * TRAVERSAL))


def _of_second(args: Any, _result: Any) -> int:
    return max(1, ceil(len(args[1]) * TRAVERSAL))


def _same(value: Any) -> Any:
    return value


OVERLOADS: tuple[Overload, ...] = (
    *(overload(f"size({kind}) -> int", len) for kind in ("string", "bytes", "list(A)", "map(A, B)")),
    *(overload(f"{kind}.size() -> int", len) for kind in ("string", "bytes", "list(A)", "map(A, B)")),
    overload("string.contains(string) -> bool", lambda text, part: part in text, _containing),
    overload("string.startsWith(string) -> bool", str.startswith, _of_second),
    overload("string.endsWith(string) -> bool", str.endswith, _of_second),
    overload("string.matches(string) -> bool", matches, matching),
    overload("matches(string, string) -> bool", matches, matching),
    *(overload(f"int({k}) -> int", to_int) for k in ("int", "uint", "double", "string", "timestamp", "duration")),
    *(overload(f"uint({kind}) -> uint", to_uint) for kind in ("uint", "int", "double", "string")),
    *(overload(f"double({kind}) -> double", to_double) for kind in ("double", "int", "uint", "string")),
    overload("bool(bool) -> bool", _same),
    overload("bool(string) -> bool", to_bool),
    *(
        overload(f"string({kind}) -> string", to_string, traversal)
        for kind in ("string", "bool", "int", "uint", "double", "bytes", "timestamp", "duration")
    ),
    overload("bytes(bytes) -> bytes", _same),
    overload("bytes(string) -> bytes", str.encode, traversal),
    overload("timestamp(timestamp) -> timestamp", _same),
    overload("timestamp(string) -> timestamp", to_time),
    overload("timestamp(int) -> timestamp", _time_of_seconds),
    overload("duration(duration) -> duration", _same),
    overload("duration(string) -> duration", to_duration),
    overload("dyn(A) -> dyn", _same),
    overload("type(A) -> type(A)", type_of),
    *_time_overloads(),
)
