"""CertificateSigningRequests: checks of requests and conditions, columns and field selectors.

Source: kubernetes pkg/apis/certificates/validation.
"""

import base64
import re
from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, age, human_duration, text

SPEC, CONDITIONS = Path("spec"), Path("status.conditions")
USAGES = frozenset(
    (
        "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
        "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
        "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing",
        "s/mime", "server auth", "signing", "timestamping",
    )
)  # fmt: skip
DECISIONS = ("Approved", "Denied")
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----")
SHORTEST = 600
_LONGEST_SUBDOMAIN, _LONGEST_LABEL = 253, 63


def prepare_update(new: Object, old: Object) -> None:
    """Who asked, and what for, stays as it was."""
    new["spec"] = old.get("spec") or {}


def prepare_create(request: Object) -> None:
    request["status"] = {}
    usages = request.get("spec", {}).get("usages")
    if usages:
        request["spec"]["usages"] = list(dict.fromkeys(usages))


def validate(request: Object, errors: FieldErrors) -> None:
    spec = request.get("spec") or {}
    problem = pem_problem(spec.get("request") or "")
    if problem:
        errors.invalid(SPEC.child("request"), spec.get("request"), problem)
    usages = spec.get("usages") or []
    if not usages:
        errors.required(SPEC.child("usages"))
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            errors.not_supported(SPEC.child("usages").index(index), usage, sorted(USAGES))
    validate_signer_name(spec.get("signerName", ""), SPEC.child("signerName"), errors)
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SHORTEST:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.invalid(SPEC.child("expirationSeconds"), seconds, why)


def pem_problem(encoded: str) -> str:
    """Why a field isn't the PEM of a certificate request, or ''. The signer parses what is inside."""
    try:
        block = _PEM.search(base64.b64decode(encoded))
    except ValueError:
        block = None
    if block is None or block[1] != b"CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    return ""


def validate_signer_name(name: str, path: Path, errors: FieldErrors) -> None:
    """`domain/path`, where a path may name one object or a namespaced one."""
    if not name:
        errors.required(path)
        return
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        errors.invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
        return
    if len(domain) > _LONGEST_SUBDOMAIN:
        errors.too_long(path, _LONGEST_SUBDOMAIN)
    labels = domain.split(".")
    for label in labels:
        errors.invalid_each(path, domain, (f'validating label "{label}": {why}' for why in meta.dns1123_label(label)))
    if len(labels) < 2:
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    for part in rest.split("."):
        errors.invalid_each(path, rest, (f'validating label "{part}": {why}' for why in meta.dns1123_subdomain(part)))
    if len(rest) > _LONGEST_SUBDOMAIN + 1 + _LONGEST_LABEL:
        errors.too_long(path, _LONGEST_SUBDOMAIN + 1 + _LONGEST_LABEL)


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    _validate_conditions(new, errors)


def _validate_conditions(request: Object, errors: FieldErrors) -> None:
    seen: set[str] = set()
    for index, condition in enumerate((request.get("status") or {}).get("conditions") or ()):
        at = CONDITIONS.index(index)
        type_, status = condition.get("type", ""), condition.get("status", "")
        if not type_:
            errors.required(at.child("type"))
        if type_ in (*DECISIONS, "Failed"):
            errors.enum(at.child("status"), status, ("True",))
        else:
            errors.enum(at.child("status"), status, ("True", "False", "Unknown"))
        if type_ in seen:
            errors.duplicate(at.child("type"), type_)
        seen.add(type_)
    if seen >= set(DECISIONS):
        errors.invalid(CONDITIONS, "Approved", "Approved and Denied conditions are mutually exclusive")


def validate_approval(new: Object, old: Object, errors: FieldErrors) -> None:
    """A change through the approval subresource: decisions are added, never taken back."""
    _validate_conditions(new, errors)
    _validate_kept(new, old, DECISIONS, errors)


def validate_status(new: Object, old: Object, errors: FieldErrors) -> None:
    _validate_conditions(new, errors)
    _validate_kept(new, old, (*DECISIONS, "Failed"), errors)
    before = {c.get("type") for c in (old.get("status") or {}).get("conditions") or ()}
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        if condition.get("type") in DECISIONS and condition.get("type") not in before:
            errors.forbidden(CONDITIONS.index(index), "updates may not add a condition of type " + condition["type"])
    was = (old.get("status") or {}).get("certificate")
    now = (new.get("status") or {}).get("certificate")
    if was and now != was:
        errors.forbidden(Path("status.certificate"), "updates may not set certificate content to a different value")


def _validate_kept(new: Object, old: Object, types: tuple[str, ...], errors: FieldErrors) -> None:
    kept = {c.get("type") for c in (new.get("status") or {}).get("conditions") or ()}
    for condition in (old.get("status") or {}).get("conditions") or ():
        if condition.get("type") in types and condition.get("type") not in kept:
            errors.forbidden(CONDITIONS, f"updates may not remove a condition of type {condition.get('type')}")


def _state(request: Object) -> str:
    status = request.get("status") or {}
    types = {c.get("type") for c in status.get("conditions") or ()}
    shown = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        shown += ",Failed"
    return f"{shown},Issued" if status.get("certificate") else shown


def row(request: Object) -> list[Any]:
    spec = request.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    return [
        meta.name(request),
        age(request),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        NONE if seconds is None else human_duration(seconds),
        _state(request),
    ]


def fields(request: Object) -> dict[str, str]:
    return {"spec.signerName": (request.get("spec") or {}).get("signerName") or ""}


COLUMNS = (
    NAME,
    AGE,
    text("SignerName", "The requested signer."),
    text("Requestor", "The user who created the request."),
    text("RequestedDuration", "The requested duration of validity."),
    text("Condition", "What has been decided and done."),
)
RULES = KindRules(
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=COLUMNS,
    row=row,
    fields=fields,
    name_check=meta.path_segment_name,
)
