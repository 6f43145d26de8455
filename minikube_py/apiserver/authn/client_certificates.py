"""Reads client certificates of known authorities, and remembers those whose signature was checked."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

REMEMBERED = 1024


@dataclass(frozen=True)
class ClientCertificate:
    """What a certificate with a good signature says. Moments in seconds since the epoch."""

    common_name: str
    organizations: tuple[str, ...]
    not_before: float
    not_after: float

    def is_valid_at(self, seconds: float) -> bool:
        return self.not_before <= seconds <= self.not_after


class TrustedCertificates:
    """Certificates for client use that one of the authorities in ca_pem has signed."""

    def __init__(self, ca_pem: bytes) -> None:
        self._ca_pem = ca_pem
        self._authorities: list[x509.Certificate] | None = None
        self._checked: OrderedDict[bytes, ClientCertificate | None] = OrderedDict()

    def find(self, der: bytes) -> ClientCertificate | None:
        """None for a certificate of another CA, for another use, or without a common name. Dates are not looked at."""
        if der in self._checked:
            self._checked.move_to_end(der)
        else:
            self._checked[der] = self._check(der)
            while len(self._checked) > REMEMBERED:
                self._checked.popitem(last=False)
        return self._checked[der]

    def _check(self, der: bytes) -> ClientCertificate | None:
        from cryptography import x509  # noqa: PLC0415  (only servers that meet a client certificate load it)
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415  (as above)

        if self._authorities is None:
            self._authorities = x509.load_pem_x509_certificates(self._ca_pem)
        certificate = x509.load_der_x509_certificate(der)
        if not any(_is_issued_by(certificate, authority) for authority in self._authorities):
            return None
        try:
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            return None
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usage and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usage:
            return None
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if not names or not names[0].value:
            return None
        groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return ClientCertificate(
            str(names[0].value),
            tuple(str(g.value) for g in groups),
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )


def _is_issued_by(certificate: "x509.Certificate", authority: "x509.Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  (loaded with x509, see above)

    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
