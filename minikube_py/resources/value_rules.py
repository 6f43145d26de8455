"""Checks the values that many kinds share: labels, selectors, names, addresses, paths, quantities.

Source: apimachinery pkg/apis/meta/v1/validation and pkg/util/validation.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path

ANNOTATIONS_LIMIT = 256 * 1024
MAX_INT32 = 2**31 - 1
NOT_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"


def validate_labels(labels: Mapping[str, str] | None, path: Path, errors: FieldErrors) -> None:
    for key, value in (labels or {}).items():
        errors.invalid_each(path, key, meta.qualified_name(key))
        errors.invalid_each(path, value, meta.label_value(value))


def validate_label_name(value: str, path: Path, errors: FieldErrors) -> None:
    errors.invalid_each(path, value, meta.qualified_name(value))


def validate_annotations(annotations: Mapping[str, str] | None, path: Path, errors: FieldErrors) -> None:
    total = 0
    for key, value in (annotations or {}).items():
        errors.invalid_each(path, key, meta.qualified_name(key.lower()))
        total += len(key.encode()) + len(value.encode())
    if total > ANNOTATIONS_LIMIT:
        errors.too_long(path, ANNOTATIONS_LIMIT)


def validate_label_selector(
    selector: Object | None, path: Path, errors: FieldErrors, *, check_values: bool = True
) -> None:
    if selector is None:
        return
    validate_labels(selector.get("matchLabels"), path.child("matchLabels"), errors)
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        at = path.child("matchExpressions").index(index)
        _validate_requirement(requirement, at, errors, check_values=check_values)


def _validate_requirement(requirement: Object, path: Path, errors: FieldErrors, *, check_values: bool) -> None:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.forbidden(path.child("values"), why)
    else:
        errors.invalid(path.child("operator"), operator, "not a valid selector operator")
    validate_label_name(requirement.get("key", ""), path.child("key"), errors)
    if check_values:
        for index, value in enumerate(values):
            errors.invalid_each(path.child("values").index(index), value, meta.label_value(value))


def is_empty_selector(selector: Object | None) -> bool:
    """Whether a selector has neither labels nor expressions."""
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def validate_dns1123_label(value: str, path: Path, errors: FieldErrors) -> None:
    errors.invalid_each(path, value, meta.dns1123_label(value))


def validate_dns1123_subdomain(value: str, path: Path, errors: FieldErrors) -> None:
    errors.invalid_each(path, value, meta.dns1123_subdomain(value))


def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address without a zone, or None. Leading zeroes are refused, as v1.37 does for new objects."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else address


def validate_ip(value: str, path: Path, errors: FieldErrors) -> None:
    """An IP in an older field: strict, but not necessarily in canonical form."""
    if _CANONICAL_IPV4.fullmatch(value):
        return
    address = parse_ip(value)
    if address is None:
        if _SLOPPY_IPV4.fullmatch(value) and all(int(part) < 256 for part in value.split(".")):
            errors.invalid(path, value, "must not have leading 0s")
        else:
            errors.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
    elif address.version == 6 and address.ipv4_mapped is not None:
        errors.invalid(path, value, "must not be an IPv4-mapped IPv6 address")


_SLOPPY_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_CANONICAL_IPV4 = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}")


def validate_canonical_ip(value: str, path: Path, errors: FieldErrors) -> None:
    """An IP in a newer field, which has to be in canonical form as well."""
    if _CANONICAL_IPV4.fullmatch(value):
        return
    before = len(errors.causes)
    validate_ip(value, path, errors)
    address = parse_ip(value)
    if len(errors.causes) == before and str(address) != value:
        errors.invalid(path, value, f'must be in canonical form ("{address}")')


def parse_cidr(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A network; bits beyond the prefix are allowed. None when the text is no CIDR."""
    address, slash, bits = text.partition("/")
    if not slash or not bits.isdigit() or parse_ip(address) is None:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def validate_cidr(value: str, path: Path, errors: FieldErrors) -> None:
    """A CIDR in an older field."""
    network = parse_cidr(value)
    if network is None:
        errors.invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")
    elif network.network_address != ipaddress.ip_address(value.partition("/")[0]):
        errors.invalid(path, value, "must not have bits set beyond the prefix length")


def validate_canonical_cidr(value: str, path: Path, errors: FieldErrors) -> None:
    """A CIDR in a newer field, which has to be in canonical form as well."""
    before = len(errors.causes)
    validate_cidr(value, path, errors)
    network = parse_cidr(value)
    if len(errors.causes) == before and str(network) != value:
        errors.invalid(path, value, f'must be in canonical form ("{network}")')


def validate_port(value: int, path: Path, errors: FieldErrors) -> None:
    errors.invalid_each(path, value, meta.port_number(value))


def validate_port_number_or_name(value: Any, path: Path, errors: FieldErrors) -> None:
    messages = meta.port_name(value) if isinstance(value, str) else meta.port_number(value or 0)
    errors.invalid_each(path, value, messages)


def validate_not_negative_quantity(value: str, path: Path, errors: FieldErrors) -> None:
    if quantity.parse(value).nanos < 0:
        errors.invalid(path, value, NOT_NEGATIVE)


def validate_positive_int_or_percent(value: Any, path: Path, errors: FieldErrors) -> None:
    """An IntOrString that is a count of at least 0, or a percentage."""
    if isinstance(value, str):
        errors.invalid_each(path, value, meta.percent(value))
    else:
        errors.not_negative(path, value)


def percent_value(value: Any) -> int | None:
    """The number of a percentage such as `25%`; None for anything else."""
    return int(value[:-1]) if isinstance(value, str) and not meta.percent(value) else None


def validate_not_over_100_percent(value: Any, path: Path, errors: FieldErrors) -> None:
    percent = percent_value(value)
    if percent is not None and percent > 100:
        errors.invalid(path, value, "must not be greater than 100%")


def validate_local_path(value: str, path: Path, errors: FieldErrors) -> None:
    """A relative path that stays below where it starts."""
    if value.startswith("/"):
        errors.invalid(path, value, "must be a relative path")
    validate_no_backsteps(value, path, errors)


def validate_local_non_reserved_path(value: str, path: Path, errors: FieldErrors) -> None:
    validate_local_path(value, path, errors)
    if value.startswith("..") and not value.startswith("../"):
        errors.invalid(path, value, "must not start with '..'")


def validate_no_backsteps(value: str, path: Path, errors: FieldErrors) -> None:
    if ".." in value.split("/"):
        errors.invalid(path, value, "must not contain '..'")


def validate_domain_prefixed_path(value: str, path: Path, errors: FieldErrors) -> None:
    """`domain/path`, as the names of signers and ingress controllers are written."""
    if not value:
        errors.required(path)
        return
    prefix, slash, rest = value.partition("/")
    if not slash or not prefix or not rest:
        errors.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    errors.invalid_each(path, prefix, meta.dns1123_subdomain(prefix))
    if not _HTTP_PATH.fullmatch(rest):
        text = meta.regex_message("Invalid path", _HTTP_PATH_TEXT, "")
        errors.invalid(path, rest, text)


_HTTP_PATH_TEXT = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_HTTP_PATH = re.compile(_HTTP_PATH_TEXT)


def validate_fully_qualified_name(value: str, path: Path, errors: FieldErrors) -> None:
    """A DNS name of at least three labels, as the names of webhooks are."""
    if not value:
        errors.required(path)
        return
    problems = meta.dns1123_subdomain(value)
    errors.invalid_each(path, value, problems)
    if not problems and len(value.split(".")) < 3:
        errors.invalid(path, value, "should be a domain with at least three segments separated by dots")


def validate_webhook_url(url: str, path: Path, errors: FieldErrors) -> None:
    form = "https://host[:port]/path"
    parts = urlsplit(url)
    if parts.scheme != "https":
        errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme; desired format: {form}")
    if not parts.netloc:
        errors.invalid(path, parts.netloc, f"host must be specified; desired format: {form}")
    if "@" in parts.netloc:
        errors.invalid(path, parts.netloc.rpartition("@")[0], "user information is not permitted in the URL")
    if parts.fragment:
        errors.invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        errors.invalid(path, parts.query, "query parameters are not permitted in the URL")


def validate_conditions(conditions: Iterable[Object] | None, path: Path, errors: FieldErrors) -> None:
    """metav1.Conditions in a status."""
    seen: set[str] = set()
    for index, condition in enumerate(conditions or ()):
        at = path.index(index)
        type_ = condition.get("type", "")
        if type_ in seen:
            errors.duplicate(at.child("type"), type_)
        seen.add(type_)
        if not type_:
            errors.required(at.child("type"), "is required")
        else:
            validate_label_name(type_, at.child("type"), errors)
        errors.enum(at.child("status"), condition.get("status"), ("False", "True", "Unknown"))
        if (condition.get("observedGeneration") or 0) < 0:
            value = condition["observedGeneration"]
            errors.invalid(at.child("observedGeneration"), value, "must be greater than or equal to zero")
        if not condition.get("lastTransitionTime"):
            errors.required(at.child("lastTransitionTime"))
        if not condition.get("reason"):
            errors.required(at.child("reason"))


def validate_non_special_ip(value: str, path: Path, errors: FieldErrors) -> None:
    """An address that others can reach: not unspecified, loopback or link-local."""
    address = parse_ip(value)
    if address is None:
        errors.invalid(path, value, "must be a valid IP address")
        return
    if address.is_unspecified:
        errors.invalid(path, value, f"may not be unspecified ({value})")
    if address.is_loopback:
        errors.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        errors.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address.is_multicast and value.startswith(("224.0.0.", "ff02:")):
        errors.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
