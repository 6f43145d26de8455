"""Says whether a string has one of the formats that custom schemas may ask for.

Source: kube-openapi pkg/validation/strfmt, and the list of formats of apiextensions-apiserver. An unknown format
allows everything.
"""

import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from urllib.parse import urlsplit

from minikube_py.objects import meta

_HEX = r"[0-9a-fA-F]"
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-](\d\d):?(\d\d))"
)  # fmt: skip
_HOSTNAME = re.compile(
    r"([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.?"
)
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_GO_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_WORD_DURATION = re.compile(
    r"\s*(\d+)\s*(ns|nanos?|nanoseconds?|us|µs|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?|m|mins?|"
    r"minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)\s*"
)
_CARD = re.compile(
    r"4\d{12}(?:\d{3})?|5[1-5]\d{14}|6(?:011|5\d\d)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|(?:2131|1800|35\d{3})\d{11}"
)
_SHORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def is_date(text: str) -> bool:
    try:
        return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


def is_date_time(text: str) -> bool:
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return False
    hour, minute, second = int(found[4]), int(found[5]), int(found[6])
    return is_date(text[:10]) and hour < 24 and minute < 60 and second < 60


def is_duration(text: str) -> bool:
    return is_go_duration(text) or _WORD_DURATION.fullmatch(text) is not None


def is_go_duration(text: str) -> bool:
    return _GO_DURATION.fullmatch(text) is not None


def _is_byte(text: str) -> bool:
    try:
        binascii.a2b_base64(text.replace("\n", "").replace("\r", ""), strict_mode=True)
    except (ValueError, binascii.Error):
        return False
    return True


def _is_ip(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version
        except ValueError:
            return False

    return check


def _is_cidr(text: str) -> bool:
    if "/" not in text:
        return False
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return text.rpartition("/")[2].isdigit()


def _is_uri(text: str) -> bool:
    if not text or any(c <= " " or c == "\x7f" for c in text):
        return False
    if text.startswith("/"):
        return True
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", text) is not None


def _is_hostname(text: str) -> bool:
    return len(text) <= 255 and _HOSTNAME.fullmatch(text) is not None


def _is_mac(text: str) -> bool:
    for separator in (":", "-"):
        more = rf"(?:{separator}{_HEX}{{2}})"
        if re.fullmatch(rf"{_HEX}{{2}}{more}{{5}}(?:{more}{{2}}|{more}{{14}})?", text):
            return True
    return (
        re.fullmatch(rf"{_HEX}{{4}}(?:\.{_HEX}{{4}}){{2}}(?:\.{_HEX}{{4}}|(?:\.{_HEX}{{4}}){{7}})?", text) is not None
    )


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    if not _CARD.fullmatch(digits):
        return False
    total = sum(sum(divmod(int(d) * (2 if i % 2 else 1), 10)) for i, d in enumerate(reversed(digits)))
    return total % 10 == 0


def _is_isbn10(text: str) -> bool:
    plain = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{9}[\dX]", plain):
        return False
    return sum((10 if c == "X" else int(c)) * (i + 1) for i, c in enumerate(plain)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    plain = re.sub(r"[\s-]", "", text)
    return (
        bool(re.fullmatch(r"\d{13}", plain))
        and sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(plain)) % 10 == 0
    )


def _is_rgb(text: str) -> bool:
    found = re.fullmatch(r"rgb\(\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\)", text)
    return found is not None and all(int(part) < 256 for part in found.groups())


def _is_short_name(text: str) -> bool:
    return len(text) <= 63 and _SHORT_NAME.fullmatch(text) is not None


def _uuid(third: str = _HEX, fourth: str = _HEX) -> Callable[[str], bool]:
    return _matches(rf"{_HEX}{{8}}-?{_HEX}{{4}}-?{third}{_HEX}{{3}}-?{fourth}{_HEX}{{3}}-?{_HEX}{{12}}")


FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(rf"{_HEX}{{24}}"),
    "uri": _is_uri,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "hostname": _is_hostname,
    "ipv4": _is_ip(4),
    "ipv6": _is_ip(6),
    "cidr": _is_cidr,
    "mac": _is_mac,
    "uuid": _uuid(),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89abAB]"),
    "uuid5": _uuid("5", "[89abAB]"),
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "creditcard": _is_card,
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matches(rf"#?({_HEX}{{3}}|{_HEX}{{6}})"),
    "rgbcolor": _is_rgb,
    "byte": _is_byte,
    "password": lambda _text: True,
    "date": is_date,
    "duration": is_duration,
    "datetime": is_date_time,
    "k8sshortname": _is_short_name,
    "k8slongname": lambda text: not meta.dns1123_subdomain(text),
}
"""Checks by format name without dashes, as go-openapi normalizes names."""


def supported(format_name: str, type_name: str) -> bool:
    """Whether a format means anything for that type."""
    if type_name in ("", "string"):
        return format_name.replace("-", "") in FORMATS
    if type_name == "integer":
        return format_name in ("int32", "int64")
    return type_name == "number" and format_name in ("float", "double")


def has_format(text: str, format_name: str) -> bool:
    check = FORMATS.get(format_name.replace("-", ""))
    return check is None or check(text)
