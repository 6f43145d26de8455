"""Named formats that check texts (`format.dns1123Label().validate(x)`), and the escaping of JSON patch paths.

Source: apiserver pkg/cel/library/{format,jsonpatch}.go.
"""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import date

from minikube_py.objects import meta
from minikube_py.objects.cel.library.network import parse_url
from minikube_py.objects.cel.library.standard import to_time
from minikube_py.objects.cel.overloads import Overload, overload, traversal
from minikube_py.objects.cel.values import NONE, EvaluationError, Opaque, Optional

_FORMAT = "kubernetes.NamedFormat"
_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """A name that is still to be completed may end in a dash."""
    return lambda text: check(f"{text[:-1]}a" if text.endswith("-") else text)


def _uri(text: str) -> list[str]:
    try:
        parse_url(text)
    except EvaluationError as error:
        return [str(error)]
    return []


def _uuid(text: str) -> list[str]:
    return [] if _UUID.fullmatch(text) else ["does not match the UUID format"]


def _byte(text: str) -> list[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ["invalid base64"]
    return []


def _date(text: str) -> list[str]:
    try:
        date.fromisoformat(text)
    except ValueError:
        return ["invalid date"]
    return [] if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else ["invalid date"]


def _datetime(text: str) -> list[str]:
    try:
        to_time(text)
    except EvaluationError:
        return ["invalid datetime"]
    return []


_FORMATS: dict[str, Callable[[str], list[str]]] = {
    "dns1123Label": meta.dns1123_label,
    "dns1123Subdomain": meta.dns1123_subdomain,
    "dns1035Label": meta.dns1035_label,
    "qualifiedName": meta.qualified_name,
    "dns1123LabelPrefix": _prefix(meta.dns1123_label),
    "dns1123SubdomainPrefix": _prefix(meta.dns1123_subdomain),
    "dns1035LabelPrefix": _prefix(meta.dns1035_label),
    "labelValue": meta.label_value,
    "uri": _uri,
    "uuid": _uuid,
    "byte": _byte,
    "date": _date,
    "datetime": _datetime,
}


class NamedFormat(Opaque):
    cel_type = _FORMAT
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedFormat) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def _named(name: str) -> Optional:
    return Optional.of(NamedFormat(name)) if name in _FORMATS else NONE


def _validate(named: NamedFormat, text: str) -> Optional:
    problems = _FORMATS[named.name](text)
    return Optional.of(problems) if problems else NONE


def escape_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


OVERLOADS: tuple[Overload, ...] = (
    overload(f"format.named(string) -> optional_type({_FORMAT})", _named),
    *(overload(f"format.{name}() -> {_FORMAT}", lambda name=name: NamedFormat(name)) for name in _FORMATS),
    overload(f"{_FORMAT}.validate(string) -> optional_type(list(string))", _validate, traversal, opaque=_FORMAT),
)
PATCH_OVERLOADS: tuple[Overload, ...] = (overload("jsonpatch.escapeKey(string) -> string", escape_key, traversal),)
