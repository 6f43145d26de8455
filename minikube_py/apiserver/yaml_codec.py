"""Reads and writes YAML as Kubernetes does: plain data only, no aliases, no timestamps, and duplicates reported."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from minikube_py.objects.errors import BadRequest

MAX_DEPTH = 100
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")
_WORDS: Mapping[str, bool | None] = {
    **{form: True for word in ("yes", "true", "on") for form in (word, word.capitalize(), word.upper())},
    **{form: False for word in ("no", "false", "off") for form in (word, word.capitalize(), word.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
_MAX_DIGITS = 400
"""The largest double has 309 digits: what is longer is no number that JSON could carry."""


class _Refused(ValueError):
    """What is wrong with a document, in words."""


def _plain(text: str) -> Any:
    """The value of a scalar without quotes and tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _INTEGER.match(text):
        return _integer(text)
    return _float(text) if _FLOAT.match(text) else text


def _integer(text: str) -> int | float:
    if len(text) > _MAX_DIGITS:
        raise _Refused("a number has too many digits")
    sign = -1 if text.startswith("-") else 1
    digits = text.replace("_", "").lstrip("+-")
    if digits[:2] in ("0b", "0x", "0o"):
        number = sign * int(digits, 0)
    else:
        number = sign * (int(digits, 8) if len(digits) > 1 and digits[0] == "0" else int(digits))
    return number if -(2**63) <= number < 2**64 else _finite(float(number))


def _float(text: str) -> int | float:
    number = _finite(float(text.lower().replace(".inf", "inf").replace(".nan", "nan")))
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _finite(number: float) -> float:
    if number - number != 0:
        raise _Refused("a number is too large or none, which JSON can't say")
    return number


def _bool(text: str) -> Any:
    value = _WORDS.get(text)
    if value is None:
        raise _Refused(f"{text[:40]!r} is not a boolean")
    return value


def _binary(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _Refused("!!binary value contains invalid base64 data") from None


_TAG = "tag:yaml.org,2002:"
_TAGGED: Mapping[str, Callable[[str], Any]] = {
    "!": str,
    f"{_TAG}str": str,
    f"{_TAG}int": lambda text: _integer(text) if _INTEGER.match(text) else _none(text, "an integer"),
    f"{_TAG}float": lambda text: _float(text) if _FLOAT.match(text) else _none(text, "a float"),
    f"{_TAG}bool": _bool,
    f"{_TAG}null": lambda _text: None,
    f"{_TAG}binary": _binary,
}


def _none(text: str, what: str) -> Any:
    raise _Refused(f"{text[:40]!r} is not {what}")


class _Builder:
    """Makes data of a document's events, one after the other: nothing here nests as the document does."""

    def __init__(self) -> None:
        self.root: Any = None
        self.duplicates: list[str] = []
        self._open: list[tuple[Any, list[str]]] = []
        """The collections that are open, each with its mapping's key that waits for a value."""

    def begin(self, collection: Any, tag: str | None) -> None:
        wanted = f"{_TAG}{'map' if isinstance(collection, dict) else 'seq'}"
        if tag not in (None, "!", wanted):
            raise _Refused(f"the tag {tag} is not allowed")
        if len(self._open) >= MAX_DEPTH:
            raise _Refused(f"the document nests deeper than {MAX_DEPTH} levels")
        if self._open and isinstance(self._open[-1][0], dict) and not self._open[-1][1]:
            raise _Refused("a key must be a scalar")
        self._put(collection, 0)
        self._open.append((collection, []))

    def end(self) -> None:
        self._open.pop()

    def scalar(self, event: Any) -> None:
        if event.tag is None:
            value = _plain(event.value) if event.implicit[0] else event.value
        elif event.tag in _TAGGED:
            value = _TAGGED[event.tag](event.value)
        else:
            raise _Refused(f"the tag {event.tag} is not allowed")
        self._put(value, event.start_mark.line + 1)

    def _put(self, value: Any, line: int) -> None:
        if not self._open:
            self.root = value
            return
        collection, waiting = self._open[-1]
        if isinstance(collection, list):
            collection.append(value)
        elif waiting:
            collection[waiting.pop()] = value
        else:
            key = _key(value)
            if key in collection:
                self.duplicates.append(f'line {line}: key "{key}" already set in map')
            collection[key] = None
            waiting.append(key)


def _key(value: Any) -> str:
    if value is None:
        raise _Refused("a key must be a string")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def load(data: bytes) -> tuple[Any, list[str]]:
    """The first document, and what stood twice in it (`line 3: key "a" already set in map`). Raises BadRequest.

    It is built from the parser's events, because the C loader composes nested text by recursion without a limit.
    """
    import yaml  # noqa: PLC0415 - loaded when the first YAML body comes

    events, builder = yaml.events, _Builder()
    try:
        event: Any
        for event in yaml.parse(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            kind = type(event)
            if kind is events.ScalarEvent:
                builder.scalar(event)
            elif kind is events.MappingStartEvent:
                builder.begin({}, event.tag)
            elif kind is events.SequenceStartEvent:
                builder.begin([], event.tag)
            elif kind is events.MappingEndEvent or kind is events.SequenceEndEvent:
                builder.end()
            elif kind is events.AliasEvent:
                raise _Refused("aliases are not allowed")
            elif kind is events.DocumentEndEvent:
                break
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise BadRequest(f"error converting YAML to JSON: yaml: {error}") from None
    return builder.root, builder.duplicates


def dump(obj: Any) -> bytes:
    import yaml  # noqa: PLC0415 - loaded when the first YAML answer goes out

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: bytes = yaml.dump(obj, Dumper=dumper, default_flow_style=False, encoding="utf-8", allow_unicode=True)
    return text
