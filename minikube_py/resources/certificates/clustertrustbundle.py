"""ClusterTrustBundles: names that go with signers, trust anchors that are certificates of authorities.

Source: kubernetes pkg/apis/certificates/validation (ValidateClusterTrustBundle), KEP-3257.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.certificates import pem
from minikube_py.resources.certificates.certificatesigningrequest import validate_signer_name
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, age, text

SPEC = Path("spec")
_ROOTS = SPEC.child("trustBundle")
_HIDDEN = "<value omitted>"
MAX_BYTES = 1024 * 1024


def name_problems(name: str) -> list[str]:
    """A bundle of a signer is named `signer:domain:path:anything`; `:` stands for the signer's `/`."""
    return meta.dns1123_subdomain(name.rpartition(":")[2])


def validate(bundle: Object, errors: FieldErrors) -> None:
    signer, name = (bundle.get("spec") or {}).get("signerName", ""), meta.name(bundle)
    if signer:
        validate_signer_name(signer, SPEC.child("signerName"), errors)
        prefix = signer.replace("/", ":") + ":"
        if not name.startswith(prefix):
            why = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
            errors.invalid(Path("metadata.name"), name, why)
    elif ":" in name:
        why = 'ClusterTrustBundle without signer name must not have ":" in its name'
        errors.invalid(Path("metadata.name"), name, why)


def validate_create(bundle: Object, errors: FieldErrors) -> None:
    validate_roots((bundle.get("spec") or {}).get("trustBundle", ""), errors)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    """Anchors that stay are not looked at again: what is a certificate may come to be seen differently."""
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    if fresh.get("trustBundle") != stored.get("trustBundle"):
        validate_roots(fresh.get("trustBundle", ""), errors)
    errors.immutable(SPEC.child("signerName"), fresh.get("signerName"), stored.get("signerName"))


def validate_roots(roots: str, errors: FieldErrors) -> None:
    if len(roots.encode()) > MAX_BYTES:
        errors.too_long(_ROOTS, MAX_BYTES)
        return
    before, seen = len(errors.causes), dict[bytes, list[int]]()
    for index, block in enumerate(pem.blocks(roots)):
        problem = _anchor_problem(block)
        if problem:
            errors.invalid(_ROOTS, _HIDDEN, f"entry {index} {problem}")
        seen.setdefault(block.data, []).append(index)
    if len(errors.causes) > before:
        return
    if not seen:
        errors.invalid(_ROOTS, _HIDDEN, "at least one trust anchor must be provided")
    for places in seen.values():
        if len(places) > 1:
            errors.invalid(_ROOTS, _HIDDEN, f"duplicate trust anchor (indices [{' '.join(map(str, places))}])")


def _anchor_problem(block: pem.Block) -> str:
    if block.type != "CERTIFICATE":
        return f"has bad block type: {block.type}"
    if block.has_headers:
        return "has PEM block headers"
    certificate = pem.certificate(block.data)
    if certificate is None:
        return "does not parse as X.509"
    from cryptography import x509  # noqa: PLC0415  (loaded by then, see pem.certificate)

    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_authority = False
    return "" if is_authority else "does not have the CA bit set"


def row(bundle: Object) -> list[Any]:
    return [meta.name(bundle), (bundle.get("spec") or {}).get("signerName") or NONE, age(bundle)]


def fields(obj: Object) -> dict[str, str]:
    return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}


RULES = KindRules(
    validate=validate,
    validate_create=validate_create,
    validate_update=validate_update,
    columns=(NAME, text("SignerName", "The signer the bundle belongs to."), AGE),
    row=row,
    fields=fields,
    name_check=name_problems,
    allows_unconditional_update=False,
)
