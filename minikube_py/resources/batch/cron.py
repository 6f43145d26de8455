"""Checks cron schedules: five fields, names, ranges, steps, and the @ words.

Source: the standard parser of robfig/cron v3, which Kubernetes uses.
"""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: index + 1 for index, name in enumerate(_MONTHS)}),
    (0, 6, {name: index for index, name in enumerate(_DAYS)}),
)
_WORDS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_UNITS = ("ns", "us", "µs", "ms", "s", "m", "h")


def schedule_problem(schedule: str) -> str:
    """Why a schedule can't be read, or ''."""
    if not schedule.strip():
        return "empty spec string"
    if schedule.startswith("@"):
        return _word_problem(schedule)
    fields = schedule.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for text, (low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            problem = _part_problem(part, low, high, names)
            if problem:
                return problem
    return ""


def _word_problem(schedule: str) -> str:
    if schedule in _WORDS:
        return ""
    if not schedule.startswith("@every "):
        return f"unrecognized descriptor: {schedule}"
    duration = schedule.removeprefix("@every ")
    rest = duration
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = next((u for u in sorted(_UNITS, key=len, reverse=True) if rest[digits:].startswith(u)), "")
        if not digits or not unit:
            break
        rest = rest[digits + len(unit) :]
    if rest or not duration:
        return f'failed to parse duration {schedule}: time: invalid duration "{duration}"'
    return ""


def _part_problem(part: str, low: int, high: int, names: dict[str, int]) -> str:
    span, _slash, step = part.partition("/")
    if part.count("/") > 1:
        return f"too many slashes: {part}"
    first, dash, last = span.partition("-")
    if span.count("-") > 1:
        return f"too many hyphens: {part}"
    if first in ("*", "?") and not dash:
        start, end = low, high
    else:
        numbers = [_number(first, names), _number(last, names) if dash else 0]
        if numbers[0] is None or numbers[1] is None:
            bad = first if numbers[0] is None else last
            return f'failed to parse int from {bad}: strconv.Atoi: parsing "{bad}": invalid syntax'
        start = int(numbers[0])
        end = int(numbers[1]) if dash else high if step else start
    if "/" in part:
        if not step.isdigit():
            return f'failed to parse int from {step}: strconv.Atoi: parsing "{step}": invalid syntax'
        if int(step) == 0:
            return f"step of range should be a positive number: {part}"
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {part}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {part}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {part}"
    return ""


def _number(text: str, names: dict[str, int]) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text)
    return names.get(text.lower())
