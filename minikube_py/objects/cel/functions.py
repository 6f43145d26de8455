"""The functions that Kubernetes adds to CEL, as far as plain values carry them: lists, sets, regex, and is...() tests.

Source: apiserver pkg/cel/library (lists, regex, quantity, ip, cidr, urls, semver), cel-go ext/sets.
"""

import ipaddress
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import re2

from minikube_py.objects import quantity

_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-(?:0|[1-9]\d*|\d*[a-zA-Z-][\da-zA-Z-]*)"
    r"(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][\da-zA-Z-]*))*)?(?:\+[\da-zA-Z-]+(?:\.[\da-zA-Z-]+)*)?"
)


def declarations(cel: Any) -> list[Any]:
    """The declarations for an environment; `cel` is the evaluator's module."""
    kinds = cel.Type
    dyn, text, truth = kinds.DYN, kinds.STRING, kinds.BOOL
    elements = kinds.List(dyn)

    def function(name: str, member: bool, result: Any, parameters: list[Any], impl: Callable[..., Any]) -> Any:
        overload = cel.Overload(
            f"mkube_{name.replace('.', '_')}", return_type=result, parameters=parameters, is_member=member, impl=impl
        )
        return cel.FunctionDecl(name, [overload])

    return [
        function("isSorted", True, truth, [elements], is_sorted),
        function("sum", True, dyn, [elements], lambda values: sum(_plain(values))),
        function("min", True, dyn, [elements], lambda values: min(_plain(values))),
        function("max", True, dyn, [elements], lambda values: max(_plain(values))),
        function("find", True, text, [text, text], find),
        function("findAll", True, kinds.List(text), [text, text], find_all),
        function("sets.contains", False, truth, [elements, elements], contains),
        function("sets.equivalent", False, truth, [elements, elements], lambda a, b: contains(a, b) and contains(b, a)),
        function("sets.intersects", False, truth, [elements, elements], intersects),
        function("isQuantity", False, truth, [text], is_quantity),
        function("isURL", False, truth, [text], is_url),
        function("isIP", False, truth, [text], is_ip),
        function("isCIDR", False, truth, [text], is_cidr),
        function("isSemver", False, truth, [text], lambda value: _SEMVER.fullmatch(_plain(value)) is not None),
    ]


def _plain(value: Any) -> Any:
    """A value as Python has it, whatever the evaluator hands over."""
    if hasattr(value, "plain_value"):
        return value.plain_value()
    return [_plain(item) for item in value] if isinstance(value, list) else value


def is_sorted(values: Any) -> bool:
    plain = _plain(values)
    return all(a <= b for a, b in pairwise(plain))


def contains(values: Any, wanted: Any) -> bool:
    held = _plain(values)
    return all(value in held for value in _plain(wanted))


def intersects(values: Any, others: Any) -> bool:
    held = _plain(values)
    return any(value in held for value in _plain(others))


def find(text: Any, pattern: Any) -> str:
    found = re2.search(_plain(pattern), _plain(text))
    return found[0] if found else ""


def find_all(text: Any, pattern: Any) -> list[str]:
    return [found[0] for found in re2.finditer(_plain(pattern), _plain(text))]


def is_quantity(text: Any) -> bool:
    try:
        quantity.parse(_plain(text))
    except ValueError:
        return False
    return True


def is_url(text: Any) -> bool:
    try:
        parts = urlsplit(_plain(text))
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) or _plain(text).startswith("/")


def is_ip(text: Any) -> bool:
    try:
        ipaddress.ip_address(_plain(text))
    except ValueError:
        return False
    return "%" not in _plain(text)


def is_cidr(text: Any) -> bool:
    try:
        ipaddress.ip_network(_plain(text), strict=False)
    except ValueError:
        return False
    return "/" in _plain(text)
