"""The strings extension (version 2, as Kubernetes has it) and Kubernetes' regex functions.

Source: cel-go ext/strings.go and ext/formatting.go, apiserver pkg/cel/library/regex.go.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from math import isfinite
from typing import Any

from minikube_py.objects.cel.library.standard import compile_pattern, double_text, to_string
from minikube_py.objects.cel.overloads import (
    Overload,
    check_length,
    matching,
    overload,
    traversal,
    two_traversals,
)
from minikube_py.objects.cel.values import CelType, EvaluationError, UInt, type_of

_WHITE = " \t\n\v\f\r\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_QUOTED = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\",
    '"': '\\"',
}  # fmt: skip
_MAX_PRECISION = 1000


def _at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


def _find(text: str, part: str, start: int = 0) -> int:
    if start < 0 or start > len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text.find(part, start)


def _find_last(text: str, part: str, start: int | None = None) -> int:
    if start is None:
        return text.rfind(part)
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text.rfind(part, 0, start + len(part))


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    if not 0 <= end <= len(text):
        raise EvaluationError(f"index out of range: {end}")
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    found = text.count(old) if count < 0 else min(count, text.count(old))
    check_length(len(text) + found * (len(new) - len(old)))
    return text.replace(old, new, count)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit >= len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


def _join(parts: list[Any], separator: str = "") -> str:
    if not all(type(part) is str for part in parts):
        raise EvaluationError("no such overload")
    check_length(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def quote(text: str) -> str:
    """A string literal that gives this text."""
    return '"' + "".join(_QUOTED.get(char, char) for char in text) + '"'


# --- format ----------------------------------------------------------------------------------------------------------


def format_text(text: str, args: list[Any]) -> str:
    """`'%s and %d'.format([a, 1])`."""
    made: list[str] = []
    values = iter(args)
    at = length = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char != "%":
            made.append(char)
            continue
        if at >= len(text):
            raise EvaluationError("unexpected end of string")
        if text[at] == "%":
            made.append("%")
            at += 1
            continue
        precision: int | None = None
        if text[at] == ".":
            end = at + 1
            while end < len(text) and text[end].isdigit():
                end += 1
            precision, at = int(text[at + 1 : end] or 0), end
            if precision > _MAX_PRECISION:
                raise EvaluationError(f"error while parsing precision: {precision} is too large")
        made.append(_formatted(text[at : at + 1], precision, values))
        at += 1
        length += len(made[-1])
        check_length(length)
    return "".join(made)


def _formatted(verb: str, precision: int | None, values: Iterator[Any]) -> str:
    try:
        value = next(values)
    except StopIteration:
        raise EvaluationError("index out of range: not enough arguments for the format string") from None
    is_number = type(value) in (int, UInt)
    if verb == "s":
        return shown(value)
    if verb == "d" and (is_number or isinstance(value, float)):
        return str(value) if is_number else _go_infinity(double_text(value))
    if verb in ("f", "e") and (is_number or isinstance(value, float)):
        return _double(float(value), verb, 6 if precision is None else precision)
    if verb == "b" and (is_number or isinstance(value, bool)):
        return format(int(value), "b")
    if verb == "o" and is_number:
        return format(int(value), "o")
    if verb in ("x", "X"):
        data = value.encode() if isinstance(value, str) else value
        if is_number or isinstance(data, bytes):
            made = format(int(value), "x") if is_number else data.hex()
            return made.upper() if verb == "X" else made
    if verb in "sdfeboxX" and verb:
        raise EvaluationError(f"error during formatting: {type_of(value)} is no value for %{verb}")
    raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')


def _double(value: float, verb: str, precision: int) -> str:
    if not isfinite(value):
        return _go_infinity(double_text(value))
    return format(value, f".{precision}{verb}")


def _go_infinity(text: str) -> str:
    return {"+Inf": "Infinity", "-Inf": "-Infinity"}.get(text, text)


def shown(value: Any) -> str:
    """A value as %s prints it."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(_element(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_element(k)}: {_element(v)}" for k, v in sorted(value.items(), key=str)) + "}"
    if isinstance(value, float):
        return _go_infinity(double_text(value))
    if isinstance(value, (str, bool, int, bytes, datetime, timedelta, CelType)):
        return to_string(value)
    raise EvaluationError(f"error during formatting: string clause can't print {type_of(value)}")


def _element(value: Any) -> str:
    if isinstance(value, datetime):
        return f'timestamp("{to_string(value)}")'
    if isinstance(value, timedelta):
        return f'duration("{to_string(value)}")'
    return quote(value) if isinstance(value, str) else shown(value)


# --- regex -----------------------------------------------------------------------------------------------------------


def find(text: str, pattern: str) -> str:
    found = compile_pattern(pattern).search(text)
    return found[0] if found else ""


def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = compile_pattern(pattern).finditer(text)
    return [match[0] for match in (found if limit < 0 else islice(found, limit))]


def _of_result(_args: Any, result: Any) -> int:
    return max(1, len(result) // 5)


OVERLOADS: tuple[Overload, ...] = (
    overload("string.charAt(int) -> string", _at),
    overload("string.indexOf(string) -> int", _find, traversal),
    overload("string.indexOf(string, int) -> int", _find, traversal),
    overload("string.lastIndexOf(string) -> int", _find_last, traversal),
    overload("string.lastIndexOf(string, int) -> int", _find_last, traversal),
    overload("string.lowerAscii() -> string", lambda text: text.translate(_LOWER), traversal),
    overload("string.upperAscii() -> string", lambda text: text.translate(_UPPER), traversal),
    overload("string.trim() -> string", lambda text: text.strip(_WHITE), traversal),
    overload("string.substring(int) -> string", _substring, traversal),
    overload("string.substring(int, int) -> string", _substring, traversal),
    overload("string.replace(string, string) -> string", _replace, two_traversals),
    overload("string.replace(string, string, int) -> string", _replace, two_traversals),
    overload("string.split(string) -> list(string)", _split, two_traversals),
    overload("string.split(string, int) -> list(string)", _split, two_traversals),
    overload("list(string).join() -> string", _join, _of_result),
    overload("list(string).join(string) -> string", _join, _of_result),
    overload("string.format(list(dyn)) -> string", format_text, traversal),
    overload("strings.quote(string) -> string", quote, traversal),
    overload("string.find(string) -> string", find, matching),
    overload("string.findAll(string) -> list(string)", find_all, matching),
    overload("string.findAll(string, int) -> list(string)", find_all, matching),
)
