"""Quantities, semantic versions and container image names as types with methods.

Source: apiserver pkg/cel/library/{quantity,semverlib,image}.go, semver.org, the distribution reference grammar.
"""

import re
from functools import total_ordering
from typing import Any

from minikube_py.objects import quantity
from minikube_py.objects.cel.overloads import Overload, overload, traversal
from minikube_py.objects.cel.values import INT_MAX, INT_MIN, EvaluationError, Opaque

_OWN = "kubernetes.Quantity kubernetes.Semver kubernetes.Image"
_NUMBER = r"(?:0|[1-9]\d*)"
_PRE = rf"(?:{_NUMBER}|\d*[a-zA-Z-][\da-zA-Z-]*)"
_SEMVER = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PRE}(?:\.{_PRE})*))?(?:\+([\da-zA-Z-]+(?:\.[\da-zA-Z-]+)*))?"
)


class Amount(Opaque):
    cel_type = "kubernetes.Quantity"
    __slots__ = ("held",)

    def __init__(self, held: quantity.Quantity) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Amount) and self.held == other.held

    def __hash__(self) -> int:
        return hash(self.held)


def parse_quantity(text: str) -> Amount:
    try:
        return Amount(quantity.parse(text))
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except ValueError:
        return False
    return True


def _is_integer(amount: Amount) -> bool:
    whole, rest = divmod(amount.held.nanos, quantity.NANO)
    return rest == 0 and INT_MIN <= whole <= INT_MAX


def _as_integer(amount: Amount) -> int:
    if not _is_integer(amount):
        raise EvaluationError("cannot convert value to integer")
    return amount.held.nanos // quantity.NANO


def _sign(amount: Amount) -> int:
    return (amount.held.nanos > 0) - (amount.held.nanos < 0)


def _amount(other: Any) -> quantity.Quantity:
    return other.held if isinstance(other, Amount) else quantity.Quantity.of(other)


def _compare(one: Any, other: Any) -> int:
    return int(one > other) - int(one < other)


# --- versions --------------------------------------------------------------------------------------------------------


@total_ordering
class Semver(Opaque):
    cel_type = "kubernetes.Semver"
    __slots__ = ("key", "numbers")

    def __init__(self, numbers: tuple[int, int, int], pre: str) -> None:
        self.numbers = numbers
        parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in pre.split(".")) if pre else ()
        # A version before its release sorts first; build metadata does not count.
        self.key = (*numbers, not pre, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self.key == other.key

    def __lt__(self, other: "Semver") -> bool:
        return self.key < other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _normal(text: str) -> str:
    """`v1.02` as 1.2.0: no prefix, no leading zeros, three numbers."""
    text = text.removeprefix("v")
    core = re.match(r"[\d.]*", text)
    numbers = (core[0] if core else "").split(".")
    rest = text[len(core[0]) if core else 0 :]
    padded = [*(number.lstrip("0") or "0" for number in numbers if number), "0", "0"][:3]
    return ".".join(padded if len(numbers) <= 3 else numbers) + rest


def parse_semver(text: str, normalize: bool = False) -> Semver:
    found = _SEMVER.fullmatch(_normal(text) if normalize else text)
    if found is None:
        raise EvaluationError(f'Invalid character(s) found in version "{text}"' if text else "Version string empty")
    return Semver((int(found[1]), int(found[2]), int(found[3])), found[4] or "")


def is_semver(text: str, normalize: bool = False) -> bool:
    return _SEMVER.fullmatch(_normal(text) if normalize else text) is not None


def _semver_overloads() -> list[Overload]:
    parts = {"major": 0, "minor": 1, "patch": 2}
    return [
        overload("semver(string) -> kubernetes.Semver", parse_semver, traversal),
        overload("semver(string, bool) -> kubernetes.Semver", parse_semver, traversal),
        overload("isSemver(string) -> bool", is_semver, traversal),
        overload("isSemver(string, bool) -> bool", is_semver, traversal),
        *(
            overload(f"kubernetes.Semver.{name}() -> int", lambda v, at=at: v.numbers[at], opaque=_OWN)
            for name, at in parts.items()
        ),
        *_comparisons("kubernetes.Semver", lambda version: version),
    ]


def _comparisons(kind: str, held: Any) -> list[Overload]:
    return [
        overload(f"{kind}.isLessThan({kind}) -> bool", lambda a, b: held(a) < held(b), opaque=_OWN),
        overload(f"{kind}.isGreaterThan({kind}) -> bool", lambda a, b: held(a) > held(b), opaque=_OWN),
        overload(f"{kind}.compareTo({kind}) -> int", lambda a, b: _compare(held(a), held(b)), opaque=_OWN),
    ]


# --- images ----------------------------------------------------------------------------------------------------------

_IMAGE = re.compile(
    r"(?P<name>[A-Za-z0-9._:\[\]-]+(?:/[A-Za-z0-9._-]+)*?)(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,}))?"
)
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_DEFAULT_REGISTRY = "docker.io"


class Image(Opaque):
    cel_type = "kubernetes.Image"
    __slots__ = ("digest", "registry", "repository", "tag")

    def __init__(self, registry: str, repository: str, tag: str, digest: str) -> None:
        self.registry, self.repository, self.tag, self.digest = registry, repository, tag, digest

    @property
    def identifier(self) -> str:
        return self.digest or self.tag

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        tail = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.registry}/{self.repository}{tail}"


def parse_image(text: str) -> Image:
    found = _IMAGE.fullmatch(text)
    if found is None or re.search(r"[A-Z]", found["name"].partition("/")[2]):
        raise EvaluationError("could not parse reference: " + text)
    first, slash, rest = found["name"].partition("/")
    is_registry = slash and ("." in first or ":" in first or first == "localhost")
    registry, repository = (first, rest) if is_registry else (_DEFAULT_REGISTRY, found["name"])
    if registry == _DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    if not _REPOSITORY.fullmatch(repository):
        raise EvaluationError("could not parse reference: " + text)
    digest = found["digest"] or ""
    return Image(registry, repository, found["tag"] or ("" if digest else "latest"), digest)


def is_image(text: str) -> bool:
    try:
        parse_image(text)
    except EvaluationError:
        return False
    return True


_IMAGE_PARTS = {
    "containsDigest() -> bool": lambda image: bool(image.digest),
    "registry() -> string": lambda image: image.registry,
    "repository() -> string": lambda image: image.repository,
    "identifier() -> string": lambda image: image.identifier,
    "tag() -> string": lambda image: image.tag,
    "digest() -> string": lambda image: image.digest,
}

OVERLOADS: tuple[Overload, ...] = (
    overload("quantity(string) -> kubernetes.Quantity", parse_quantity, traversal),
    overload("isQuantity(string) -> bool", is_quantity, traversal),
    overload("kubernetes.Quantity.sign() -> int", _sign, opaque=_OWN),
    overload("kubernetes.Quantity.isInteger() -> bool", _is_integer, opaque=_OWN),
    overload("kubernetes.Quantity.asInteger() -> int", _as_integer, opaque=_OWN),
    overload(
        "kubernetes.Quantity.asApproximateFloat() -> double", lambda a: a.held.nanos / quantity.NANO, opaque=_OWN
    ),
    *_comparisons("kubernetes.Quantity", lambda amount: amount.held),
    *(
        overload(
            f"kubernetes.Quantity.add({kind}) -> kubernetes.Quantity",
            lambda a, b: Amount(a.held + _amount(b)), opaque=_OWN,
        )
        for kind in ("kubernetes.Quantity", "int")
    ),
    *(
        overload(
            f"kubernetes.Quantity.sub({kind}) -> kubernetes.Quantity",
            lambda a, b: Amount(a.held - _amount(b)), opaque=_OWN,
        )
        for kind in ("kubernetes.Quantity", "int")
    ),
    *_semver_overloads(),
    overload("image(string) -> kubernetes.Image", parse_image, traversal),
    overload("isImage(string) -> bool", is_image, traversal),
    *(overload(f"kubernetes.Image.{text}", part, opaque=_OWN) for text, part in _IMAGE_PARTS.items()),
    overload("string(kubernetes.Image) -> string", str),
)  # fmt: skip
