"""Reads certificate requests and says whether they fit what their signer is for.

Source: the "Certificates and Certificate Signing Requests" page, section "Kubernetes signers".
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from minikube_py.objects.errors import Object

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown"

NODES_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"
_CLIENT_USAGES = frozenset(("client auth", "digital signature"))
_SERVING_USAGES = frozenset(("server auth", "digital signature"))
_KEY_ENCIPHERMENT = frozenset(("key encipherment",))


@dataclass(frozen=True)
class RequestFacts:
    """What a PKCS#10 request asks to have certified."""

    common_name: str = ""
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def read_request(request: str) -> RequestFacts:
    """`request` is spec.request of a CertificateSigningRequest: a PEM block in base64. Raises ValueError."""
    from cryptography import x509  # noqa: PLC0415  (loaded with the first certificate request)
    from cryptography.x509.oid import NameOID  # noqa: PLC0415  (as above)

    parsed = x509.load_pem_x509_csr(base64.b64decode(request, validate=True))
    if not parsed.is_signature_valid:
        raise ValueError("the request is not signed with its own key")
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    try:
        alternatives = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        alternatives = x509.SubjectAlternativeName([])

    def of(kind: Any) -> tuple[str, ...]:
        return tuple(str(value) for value in alternatives.get_values_for_type(kind))

    return RequestFacts(
        str(names[0].value) if names else "",
        tuple(str(o.value) for o in organizations),
        of(x509.DNSName),
        of(x509.IPAddress),
        of(x509.RFC822Name),
        of(x509.UniformResourceIdentifier),
    )


def is_kubelet_client(facts: RequestFacts, usages: Iterable[str]) -> bool:
    """Whether a node asks for its own client certificate, and for nothing else."""
    return not kubelet_client_problem(facts, usages)


def kubelet_client_problem(facts: RequestFacts, usages: Iterable[str]) -> str:
    if facts.organizations != (NODES_GROUP,):
        return "subject organization is not system:nodes"
    for present, what in (
        (facts.dns_names, "DNS"),
        (facts.emails, "Email"),
        (facts.addresses, "IP"),
        (facts.uris, "URI"),
    ):
        if present:
            return f"{what} subjectAltNames are not allowed"
    if not facts.common_name.startswith(NODE_PREFIX) or facts.common_name == NODE_PREFIX:
        return "subject common name does not begin with system:node:"
    if set(usages) - _KEY_ENCIPHERMENT != _CLIENT_USAGES:
        return "usages did not match [client auth digital signature key encipherment]"
    return ""


def kubelet_serving_problem(facts: RequestFacts, usages: Iterable[str]) -> str:
    if facts.organizations != (NODES_GROUP,):
        return "subject organization is not system:nodes"
    if not facts.dns_names and not facts.addresses:
        return "DNS or IP subjectAltName is required"
    if facts.emails or facts.uris:
        return f"{'Email' if facts.emails else 'URI'} subjectAltNames are not allowed"
    if set(usages) - _KEY_ENCIPHERMENT != _SERVING_USAGES:
        return "usages did not match [server auth digital signature key encipherment]"
    if not facts.common_name.startswith(NODE_PREFIX) or facts.common_name == NODE_PREFIX:
        return "subject common name does not begin with system:node:"
    return ""


def client_problem(usages: Iterable[str]) -> str:
    wanted = set(usages)
    if "client auth" not in wanted or wanted - _CLIENT_USAGES - _KEY_ENCIPHERMENT:
        return "usages must include client auth, and may only include digital signature and key encipherment"
    return ""


def problem_of(request: Object) -> str:
    """Why a CertificateSigningRequest can't be signed as its signer demands; '' when it can. Raises ValueError."""
    spec = request["spec"]
    usages = spec.get("usages") or []
    facts = read_request(spec["request"])
    if spec["signerName"] == KUBELET_CLIENT:
        return kubelet_client_problem(facts, usages)
    if spec["signerName"] == KUBELET_SERVING:
        return kubelet_serving_problem(facts, usages)
    if spec["signerName"] == CLIENT:
        return client_problem(usages)
    return ""
