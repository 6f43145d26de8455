"""ClusterTrustBundles and PodCertificateRequests: checks, what may change, columns and field selectors."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, text
from minikube_py.resources.value_rules import IMMUTABLE, validate_dns1123_subdomain, validate_domain_prefixed_path

SPEC = Path("spec")
_PEM_TYPE = "-----BEGIN CERTIFICATE-----"


def bundle_name(name: str) -> list[str]:
    """A bundle of a signer is named `signer:domain:path:anything`; `:` stands for the signer's `/`."""
    return meta.dns1123_subdomain(name.rpartition(":")[2])


def validate_bundle(bundle: Object, errors: FieldErrors) -> None:
    spec = bundle.get("spec") or {}
    signer, name = spec.get("signerName", ""), meta.name(bundle)
    if signer:
        validate_domain_prefixed_path(signer, SPEC.child("signerName"), errors)
        prefix = signer.replace("/", ":", 1) + ":"
        if not name.startswith(prefix):
            why = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
            errors.invalid(Path("metadata.name"), name, why)
    elif ":" in name:
        why = 'ClusterTrustBundle without signer name must not have ":" in its name'
        errors.invalid(Path("metadata.name"), name, why)
    roots, at = spec.get("trustBundle", ""), SPEC.child("trustBundle")
    if _PEM_TYPE not in roots:
        errors.invalid(at, "<value omitted>", "at least one trust anchor must be provided")


def validate_bundle_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate_bundle(new, errors)
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    errors.immutable(SPEC.child("signerName"), fresh.get("signerName"), stored.get("signerName"))


def bundle_row(bundle: Object) -> list[Any]:
    return [meta.name(bundle), (bundle.get("spec") or {}).get("signerName") or "<none>", age(bundle)]


def signer_fields(obj: Object) -> dict[str, str]:
    return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}


def request_fields(request: Object) -> dict[str, str]:
    spec = request.get("spec") or {}
    keys = ("signerName", "podName", "nodeName")
    return {f"spec.{key}": spec.get(key) or "" for key in keys}


def validate_request(request: Object, errors: FieldErrors) -> None:
    spec = request.get("spec") or {}
    validate_domain_prefixed_path(spec.get("signerName", ""), SPEC.child("signerName"), errors)
    for key in ("podName", "serviceAccountName", "nodeName"):
        validate_dns1123_subdomain(spec.get(key, ""), SPEC.child(key), errors)
    for key in ("podUID", "serviceAccountUID", "nodeUID"):
        if not spec.get(key):
            errors.required(SPEC.child(key), "must not be empty")


def validate_request_update(new: Object, old: Object, errors: FieldErrors) -> None:
    if new.get("spec") != old.get("spec"):
        errors.invalid(SPEC, new.get("spec"), IMMUTABLE)


def request_row(request: Object) -> list[Any]:
    spec, status = request.get("spec") or {}, request.get("status") or {}
    types = [c.get("type", "") for c in status.get("conditions") or () if c.get("status") == "True"]
    state = types[-1] if types else "Pending"
    keys = ("podName", "serviceAccountName", "nodeName", "signerName")
    return [meta.name(request), *(spec.get(key) or "" for key in keys), state]


BUNDLE_RULES = KindRules(
    validate=validate_bundle,
    validate_update=validate_bundle_update,
    columns=(NAME, text("SignerName", "The signer the bundle belongs to."), AGE),
    row=bundle_row,
    fields=signer_fields,
    name_check=bundle_name,
)
REQUEST_RULES = KindRules(
    validate=validate_request,
    validate_update=validate_request_update,
    columns=(
        NAME,
        text("PodName", "The pod the certificate is for."),
        text("ServiceAccountName", "The service account of the pod."),
        text("NodeName", "The node the pod runs on."),
        text("SignerName", "The requested signer."),
        text("State", "What has been decided and done."),
    ),
    row=request_row,
    fields=request_fields,
)
