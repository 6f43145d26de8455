"""PodCertificateRequests: what a kubelet may ask for, and what a signer may answer.

Source: kubernetes pkg/apis/certificates/validation (ValidatePodCertificateRequest...), KEP-4317.
"""

import base64
import binascii
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from minikube_py import clock
from minikube_py.objects import meta
from minikube_py.objects.conditions import is_true
from minikube_py.objects.errors import Object
from minikube_py.resources.certificates import pem
from minikube_py.resources.certificates.certificatesigningrequest import validate_signer_name
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import NAME, text
from minikube_py.resources.value_rules import (
    validate_annotations,
    validate_conditions,
    validate_dns1123_subdomain,
)

if TYPE_CHECKING:
    from cryptography import x509

SPEC, STATUS = Path("spec"), Path("status")
DEFAULT_SECONDS = 86400
SHORTEST, LONGEST, LONGEST_OF_KUBERNETES = 3600, 91 * 86400, 86400
MAX_REQUEST_BYTES, MAX_CHAIN_BYTES = 10 * 1024, 100 * 1024
_STUB, _CHAIN = SPEC.child("stubPKCS10Request"), STATUS.child("certificateChain")
_OUTCOMES = ("Issued", "Denied", "Failed")
_ISSUED = ("certificateChain", "notBefore", "notAfter", "beginRefreshAt")
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_RSA_SIZES = (3072, 4096)
_SKEW = timedelta(minutes=5)
_MARGIN = timedelta(minutes=10)
_KEY = "must contain a public key of RSA with 3072 or 4096 bits, ECDSA on P256, P384 or P521, or Ed25519"


def default(request: Object) -> None:
    spec = request.get("spec")
    if isinstance(spec, dict) and spec.get("maxExpirationSeconds") is None:
        spec["maxExpirationSeconds"] = DEFAULT_SECONDS


# --- what is asked for -----------------------------------------------------------------------------------------------


def validate_create(request: Object, errors: FieldErrors) -> None:
    """The whole check: nothing but the metadata and the status can change later."""
    spec = request.get("spec") or {}
    validate_signer_name(spec.get("signerName", ""), SPEC.child("signerName"), errors)
    annotations, at = spec.get("unverifiedUserAnnotations"), SPEC.child("unverifiedUserAnnotations")
    validate_annotations(annotations, at, errors)
    for key in annotations or {}:
        if "/" not in key:
            errors.invalid(at, key, 'must be a domain-prefixed path (such as "acme.io/foo")')
    for key in ("podName", "serviceAccountName", "nodeName"):
        validate_dns1123_subdomain(spec.get(key, ""), SPEC.child(key), errors)
    for key in ("podUID", "serviceAccountUID", "nodeUID"):
        if not spec.get(key):
            errors.invalid(SPEC.child(key), "", "must not be empty")
        elif len(spec[key].encode()) > 128:
            errors.too_long(SPEC.child(key), 128)
    domain = spec.get("signerName", "").partition("/")[0]
    is_kubernetes = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    longest = LONGEST_OF_KUBERNETES if is_kubernetes else LONGEST
    seconds = spec.get("maxExpirationSeconds")
    if seconds is None:
        errors.required(SPEC.child("maxExpirationSeconds"), "must be set")
    elif not SHORTEST <= seconds <= longest:
        errors.invalid(SPEC.child("maxExpirationSeconds"), seconds, f"must be in the range [{SHORTEST}, {longest}]")
    _validate_stub(spec.get("stubPKCS10Request") or "", errors)


def _validate_stub(encoded: str, errors: FieldErrors) -> None:
    from cryptography import x509  # noqa: PLC0415  (loaded with the first request for a pod)
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415  (as above)

    if not encoded:
        errors.required(_STUB)
        return
    try:
        data = base64.b64decode(encoded, validate=True)
        if len(data) > MAX_REQUEST_BYTES:
            errors.too_long(_STUB, MAX_REQUEST_BYTES)
            return
        request = x509.load_der_x509_csr(data)
        key = request.public_key()
        is_signed = request.is_signature_valid
    except Exception:  # of many types, for broken structures and for keys that aren't known
        errors.invalid(_STUB, "<value omitted>", "must be a valid PKCS#10 certificate signing request")
        return
    if not is_signed:
        errors.invalid(_STUB, "<value omitted>", "must be signed with the key that is in it")
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _RSA_SIZES:
            errors.invalid(_STUB, f"{key.key_size}-bit modulus", "RSA keys must have modulus size 3072 or 4096")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            errors.invalid(_STUB, f"curve {key.curve.name}", "elliptic public keys must use curve P256, P384 or P521")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        errors.invalid(_STUB, "<value omitted>", _KEY)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    errors.immutable(SPEC, new.get("spec"), old.get("spec"))


# --- what is answered ------------------------------------------------------------------------------------------------


def validate_status(new: Object, old: Object, errors: FieldErrors) -> None:
    """One outcome, once: Issued with a certificate for the key that was asked for, or Denied, or Failed."""
    status, before = new.get("status") or {}, old.get("status") or {}
    conditions = status.get("conditions") or []
    _validate_outcome(conditions, errors)
    validate_conditions(conditions, STATUS.child("conditions"), errors)
    if errors:
        return
    if any(is_true(before.get("conditions"), outcome) for outcome in _OUTCOMES):
        if not is_same(status, before):
            _refuse(errors, STATUS, "immutable after PodCertificateRequest is issued, denied, or failed")
    elif is_true(conditions, "Denied") or is_true(conditions, "Failed"):
        if any(status.get(key) for key in _ISSUED):
            why = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
            _refuse(errors, STATUS, why)
    elif is_true(conditions, "Issued"):
        problem = next(_problems_of_issue(status, old.get("spec") or {}), None)
        if problem is not None:
            errors.invalid(*problem)
    elif not is_same(status, before):
        _refuse(errors, STATUS, 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"')


def _validate_outcome(conditions: list[Object], errors: FieldErrors) -> None:
    known = 0
    for index, condition in enumerate(conditions):
        at = STATUS.child("conditions").index(index)
        if condition.get("type") not in _OUTCOMES:
            errors.not_supported(at.child("type"), condition.get("type") or "", sorted(_OUTCOMES))
            continue
        known += 1
        if known > 1:
            why = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            errors.invalid(at.child("type"), condition["type"], why)
        if condition.get("status") != "True":
            errors.not_supported(at.child("status"), condition.get("status") or "", ("True",))


def _refuse(errors: FieldErrors, path: Path, why: str) -> None:
    errors.add("FieldValueInvalid", path, f"Invalid value: {why}")


def _problems_of_issue(status: Object, spec: Object) -> Iterator[tuple[Path, Any, str]]:
    """Why this is no answer to the request: (path, value, what is wrong), the first being what is told."""
    chain = status.get("certificateChain") or ""
    if len(chain.encode()) > MAX_CHAIN_BYTES:
        yield _CHAIN, "<value omitted>", f"may not be more than {MAX_CHAIN_BYTES} bytes"
    found = list(pem.blocks(chain))
    if not found:
        yield _CHAIN, chain, "issued certificate chain must contain at least one certificate"
        return
    if any(block.type != "CERTIFICATE" for block in found):
        yield _CHAIN, chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
    leaf, *others = (pem.certificate(block.data) for block in found)
    if leaf is None:
        yield _CHAIN, chain, "leaf certificate does not parse as valid X.509"
        return
    if not _is_for(leaf, spec.get("stubPKCS10Request") or ""):
        yield _CHAIN, chain, "leaf certificate was not issued to the requested public key"
    yield from _problems_of_times(status, leaf, spec.get("maxExpirationSeconds") or 0)
    if None in others:
        yield _CHAIN, chain, "intermediate certificate does not parse as valid X.509"


def _problems_of_times(status: Object, leaf: "x509.Certificate", longest: int) -> Iterator[tuple[Path, Any, str]]:
    moments = {}
    for key in ("notBefore", "notAfter", "beginRefreshAt"):
        if not status.get(key):
            yield STATUS.child(key), "", "must be present and consistent with the issued certificate"
            return
        moments[key] = clock.parse(status[key])
    for key, real in (("notBefore", leaf.not_valid_before_utc), ("notAfter", leaf.not_valid_after_utc)):
        if moments[key] != real:
            name = key[0].upper() + key[1:]
            yield STATUS.child(key), status[key], f"must be set to the {name} time encoded in the leaf certificate"
    if not abs(moments["notBefore"] - clock.now()) < _SKEW:
        why = "must be set to within 5 minutes of kube-apiserver's current time"
        yield STATUS.child("notBefore"), status["notBefore"], why
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    if lifetime < timedelta(hours=1):
        yield _CHAIN, str(lifetime), "leaf certificate lifetime must be >= 1 hour"
    if lifetime > timedelta(seconds=longest):
        why = f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({longest})"
        yield _CHAIN, str(lifetime), why
    refresh, at = moments["beginRefreshAt"], STATUS.child("beginRefreshAt")
    if refresh < moments["notBefore"] + _MARGIN:
        yield at, status["beginRefreshAt"], "must be at least 10 minutes after status.notBefore"
    if refresh > moments["notAfter"] - _MARGIN:
        yield at, status["beginRefreshAt"], "must be at least 10 minutes before status.notAfter"


def _is_for(leaf: "x509.Certificate", stub: str) -> bool:
    """Whether a certificate is for the key of a request."""
    from cryptography import x509  # noqa: PLC0415  (loaded by then, see pem.certificate)

    try:
        wanted = x509.load_der_x509_csr(base64.b64decode(stub)).public_key()
    except (ValueError, binascii.Error):
        return False
    return bool(wanted == leaf.public_key())


# --- showing ---------------------------------------------------------------------------------------------------------


def fields(request: Object) -> dict[str, str]:
    spec = request.get("spec") or {}
    return {f"spec.{key}": spec.get(key) or "" for key in ("signerName", "podName", "nodeName")}


def row(request: Object) -> list[Any]:
    spec, status = request.get("spec") or {}, request.get("status") or {}
    types = [c.get("type", "") for c in status.get("conditions") or () if c.get("status") == "True"]
    state = types[-1] if types else "Pending"
    keys = ("podName", "serviceAccountName", "nodeName", "signerName")
    return [meta.name(request), *(spec.get(key) or "" for key in keys), state]


RULES = KindRules(
    default=default,
    validate_create=validate_create,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(
        NAME,
        text("PodName", "The pod the certificate is for."),
        text("ServiceAccountName", "The service account of the pod."),
        text("NodeName", "The node the pod runs on."),
        text("SignerName", "The requested signer."),
        text("State", "What has been decided and done."),
    ),
    row=row,
    fields=fields,
    allows_unconditional_update=False,
    status_changes_metadata=False,
)
