"""Reads the options that come in a URL's query, as strictly as Go's conversion of query parameters."""

import re
from collections.abc import Mapping

from minikube_py.apiserver.call import ApiCall
from minikube_py.objects.errors import BadRequest, Invalid
from minikube_py.resources.custom.formats import is_go_duration
from minikube_py.resources.fields import FieldErrors, Path

_MAX_MANAGER_BYTES = 128
_FIELD_VALIDATION = ("Ignore", "Strict", "Warn")
_OPTIONS = {
    "create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions", "delete": "DeleteOptions",
    "deletecollection": "DeleteOptions",
}  # fmt: skip
_DECIMAL = re.compile(r"[+-]?[0-9]+", re.ASCII)
_UNSIGNED = re.compile(r"[0-9]+", re.ASCII)


def number(query: Mapping[str, str], name: str) -> int:
    """A parameter that is a number of 64 bits; 0 when it is missing. Raises BadRequest."""
    text = query.get(name)
    if not text:
        return 0
    if not _DECIMAL.fullmatch(text):
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def revision(text: str) -> int:
    """A resourceVersion; 0 when it is empty. Raises BadRequest."""
    if not text:
        return 0
    if not _UNSIGNED.fullmatch(text):
        raise BadRequest(_bad_revision(text, "invalid syntax"))
    if len(text) > 20 or int(text) >= 2**64:
        raise BadRequest(_bad_revision(text, "value out of range"))
    return int(text)


def _bad_revision(text: str, why: str) -> str:
    parsed = f'strconv.ParseUint: parsing "{text}": {why}'
    return f'invalid resource version: resourceVersion: Invalid value: "{text}": {parsed}'


def check_timeout(query: Mapping[str, str]) -> None:
    """`timeout`, the time that the client gives the request. Raises BadRequest; how long it is does not matter here."""
    text = query.get("timeout")
    if text and not is_go_duration(text):
        raise BadRequest(f'invalid timeout specified in the request URL - time: invalid duration "{text}"')


def check_write_options(call: ApiCall) -> None:
    """dryRun, fieldManager and fieldValidation of a write. Raises Invalid of its CreateOptions, PatchOptions, ..."""
    kind = _OPTIONS.get(call.info.verb)
    if kind is None or not call.query:
        return
    errors = FieldErrors()
    check_dry_run(call.query.get("dryRun"), errors)
    if kind != "DeleteOptions":
        _check_manager(call.query.get("fieldManager", ""), errors)
        errors.optional_enum(Path("fieldValidation"), call.query.get("fieldValidation") or None, _FIELD_VALIDATION)
    if errors:
        raise Invalid.of("meta.k8s.io", kind, "", errors.causes)


def check_dry_run(value: object, errors: FieldErrors) -> None:
    if value not in (None, "", "All"):
        errors.not_supported(Path("dryRun"), value, ("All",))


def _check_manager(manager: str, errors: FieldErrors) -> None:
    path = Path("fieldManager")
    if len(manager.encode()) > _MAX_MANAGER_BYTES:
        errors.too_long(path, _MAX_MANAGER_BYTES)
    for index, char in enumerate(manager):
        if not char.isprintable():
            position = len(manager[:index].encode())
            errors.invalid(path, manager, f"invalid character U+{ord(char):04X} (at position {position})")


EXACT, _NOT_OLDER = "Exact", "NotOlderThan"
_MATCH = Path("resourceVersionMatch")
_CONTINUED = "resourceVersionMatch is forbidden when continue is provided"


def check_list_options(query: Mapping[str, str]) -> None:
    """What a list or deletecollection may ask for together. Raises Invalid of its ListOptions."""
    match, version, errors = query.get(_MATCH.text, ""), query.get("resourceVersion", ""), FieldErrors()
    if match:
        if not version:
            errors.forbidden(_MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided")
        if query.get("continue"):
            errors.forbidden(_MATCH, _CONTINUED)
        if match not in (EXACT, _NOT_OLDER):
            errors.not_supported(_MATCH, match, (EXACT, _NOT_OLDER, ""))
        if match == EXACT and version == "0":
            errors.forbidden(_MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if "sendInitialEvents" in query:
        errors.forbidden(Path("sendInitialEvents"), "sendInitialEvents is forbidden for list")
    _raise(errors)


def check_watch_options(query: Mapping[str, str]) -> None:
    """What a watch may ask for together. Raises Invalid of its ListOptions."""
    match, errors = query.get(_MATCH.text, ""), FieldErrors()
    has_initial = "sendInitialEvents" in query
    if has_initial and match != _NOT_OLDER:
        errors.forbidden(_MATCH, f"sendInitialEvents requires setting resourceVersionMatch to {_NOT_OLDER}")
    if match:
        if not has_initial:
            errors.forbidden(_MATCH, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        if match != _NOT_OLDER:
            errors.not_supported(_MATCH, match, (_NOT_OLDER,))
        if query.get("continue"):
            errors.forbidden(_MATCH, _CONTINUED)
    _raise(errors)


def _raise(errors: FieldErrors) -> None:
    if errors:
        raise Invalid.of("meta.k8s.io", "ListOptions", "", errors.causes)
