"""Parses, computes with and prints Kubernetes quantities such as `250m`, `1.5Gi` and `1e3`, exactly.

Every quantity is a whole number of nano-units: Kubernetes rounds anything finer away from zero on parsing.
Source: apimachinery pkg/api/resource (quantity.go, suffix.go).
"""

import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering
from typing import Literal, TypeAlias

Format: TypeAlias = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

NANO = 10**9
_MAX_INT64 = 2**63 - 1
# Beyond these a number is an attack on the arithmetic, not an amount of anything.
_MAX_EXPONENT = 400
_MAX_DIGITS = 1000

FORMAT_TEXT = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)  # fmt: skip
NUMERIC_TEXT = "unable to parse numeric part of quantity"
SUFFIX_TEXT = "unable to parse quantity's suffix"

_SHAPE = re.compile(r"([+-]?)0*([0-9]*)(?:(\.)([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)")
_DECIMAL_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIXES = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_NAMES = {power: text for text, power in _DECIMAL_SUFFIXES.items()}
_BINARY_NAMES = ("", *_BINARY_SUFFIXES)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An exact amount. Equal when the amounts are, whatever the format; `str()` gives the canonical text."""

    nanos: int
    format: Format = "DecimalSI"
    text: str = ""
    """The text it was parsed from, where Kubernetes would print that again."""

    @classmethod
    def of(cls, whole: int, format_: Format = "DecimalSI") -> "Quantity":
        return cls(whole * NANO, format_)

    @classmethod
    def of_milli(cls, milli_units: int, format_: Format = "DecimalSI") -> "Quantity":
        return cls(milli_units * 10**6, format_)

    def value(self) -> int:
        """Whole units, rounded away from zero."""
        return _round_out(self.nanos, NANO)

    def milli(self) -> int:
        """Thousandths, rounded away from zero."""
        return _round_out(self.nanos, 10**6)

    def is_zero(self) -> bool:
        return self.nanos == 0

    def __add__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos - other.nanos, self.format if self.nanos else other.format)

    def __neg__(self) -> "Quantity":
        return Quantity(-self.nanos, self.format)

    def __mul__(self, factor: int) -> "Quantity":
        return Quantity(self.nanos * factor, self.format)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: "Quantity") -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __str__(self) -> str:
        return self.text or _canonical(self.nanos, self.format)


def parse(text: str | int | float) -> Quantity:
    """The quantity that stands on the wire: a string, or a bare number. ValueError with Kubernetes' text otherwise."""
    if isinstance(text, str):
        return _parse(text.strip())
    if isinstance(text, bool) or not isinstance(text, (int, float)):
        raise ValueError(FORMAT_TEXT)
    return _parse(str(text))


def value(quantity: Quantity | str | int | float) -> int:
    """Whole units (bytes, cores), rounded away from zero."""
    return (quantity if isinstance(quantity, Quantity) else parse(quantity)).value()


def milli(quantity: Quantity | str | int | float) -> int:
    """Thousandths (millicores), rounded away from zero."""
    return (quantity if isinstance(quantity, Quantity) else parse(quantity)).milli()


def canonical(text: str | int | float) -> str:
    """The form in which the API server stores and returns a quantity: `1024Mi` becomes `1Gi`."""
    return str(parse(text))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    shape = _SHAPE.fullmatch(text) if 0 < len(text) < 2 * _MAX_DIGITS else None
    if shape is None:
        raise ValueError(FORMAT_TEXT)
    sign, whole, _, fraction, suffix = shape.groups()
    whole, fraction = whole or "0", fraction or ""
    base, exponent, format_ = _interpret(suffix)
    if len(whole) + len(fraction) > _MAX_DIGITS:
        raise ValueError(NUMERIC_TEXT)
    digits = whole + fraction
    number = int(digits)
    if base == 2:
        nanos, format_ = _binary_nanos(number, len(fraction), exponent)
    else:
        nanos = _decimal_nanos(number, exponent - len(fraction))
    kept = text if _is_kept(digits, len(fraction), exponent, format_) else ""
    return Quantity(-nanos if sign == "-" else nanos, format_, kept)


def _interpret(suffix: str) -> tuple[int, int, Format]:
    power = _DECIMAL_SUFFIXES.get(suffix)
    if power is not None:
        return 10, power, "DecimalSI"
    power = _BINARY_SUFFIXES.get(suffix)
    if power is not None:
        return 2, power, "BinarySI"
    written = _EXPONENT.fullmatch(suffix)
    if written is None or len(written[1]) > 20 or int(written[1]) > _MAX_EXPONENT:
        raise ValueError(SUFFIX_TEXT)
    return 10, int(written[1]), "DecimalExponent"


def _decimal_nanos(number: int, power: int) -> int:
    shift = power + 9
    if shift >= 0:
        return number * int(10**shift)
    return _round_out(number, int(10 ** min(-shift, _MAX_DIGITS + 1)))


def _binary_nanos(number: int, fraction_digits: int, power: int) -> tuple[int, Format]:
    nanos = min(_round_out((number << power) * NANO, 10**fraction_digits), _MAX_INT64 * NANO)
    return nanos, "DecimalSI" if 0 < nanos < NANO else "BinarySI"


def _is_kept(digits: str, fraction_digits: int, exponent: int, format_: Format) -> bool:
    """Whether Go's fast path would remember the text as canonical (also where it strictly is not, as `1.500`)."""
    if format_ == "BinarySI":
        is_exact = 15 - len(digits) - exponent * 3 // 10 - 1 >= 0
        return not fraction_digits and is_exact and int(digits) & 7 != 0
    scale = exponent - fraction_digits
    return (
        len(digits) <= 18 and scale >= -9 and scale % 3 == 0 and digits[0] != "0" and not digits.endswith("000")
    )  # fmt: skip


def _round_out(number: int, divisor: int) -> int:
    return -(-number // divisor) if number >= 0 else number // divisor


def _canonical(nanos: int, format_: Format) -> str:
    if nanos == 0:
        return "0"
    if format_ == "BinarySI" and abs(nanos) >= 1024 * NANO and nanos % NANO == 0:
        amount, steps = nanos // NANO, 0
        while amount % 1024 == 0 and steps < len(_BINARY_NAMES) - 1:
            amount, steps = amount // 1024, steps + 1
        return f"{amount}{_BINARY_NAMES[steps]}"
    amount, power = nanos, -9
    while amount % 1000 == 0 and (format_ == "DecimalExponent" or power < 18):
        amount, power = amount // 1000, power + 3
    if format_ == "DecimalExponent":
        return f"{amount}e{power}" if power else str(amount)
    return f"{amount}{_DECIMAL_NAMES[power]}"
