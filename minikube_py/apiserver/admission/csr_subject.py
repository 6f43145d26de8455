"""Reads who a PKCS#10 certificate request is for."""

import base64
from dataclasses import dataclass


@dataclass(frozen=True)
class RequestSubject:
    """The subject's common name and organizations."""

    common_name: str
    organizations: tuple[str, ...]


def subject_of_request(request: str) -> RequestSubject:
    """`request` is spec.request of a CertificateSigningRequest: a PEM block in base64. Raises ValueError."""
    from cryptography import x509  # noqa: PLC0415  (loaded with the first certificate request)
    from cryptography.x509.oid import NameOID  # noqa: PLC0415  (as above)

    subject = x509.load_pem_x509_csr(base64.b64decode(request)).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return RequestSubject(str(names[0].value) if names else "", tuple(str(o.value) for o in organizations))
