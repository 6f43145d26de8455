"""Authenticates client certificates: the common name is the user, the organizations are the groups."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minikube_py import clock
from minikube_py.apiserver.authn.protocol import Authenticated, Credentials
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import Unauthorized

if TYPE_CHECKING:
    from cryptography import x509

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_REMEMBERED = 1024


@dataclass(frozen=True)
class _Checked:
    """A certificate whose signature was checked once; the dates are looked at every time."""

    user: UserInfo
    not_before: float
    not_after: float


class ClientCertificates:
    """Accepts certificates that the client CA signed for client use. ca_pem may hold several CAs."""

    name = "x509"

    def __init__(self, ca_pem: bytes) -> None:
        self._ca_pem = ca_pem
        self._authorities: list[x509.Certificate] | None = None
        self._checked: OrderedDict[bytes, _Checked | None] = OrderedDict()

    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        der = credentials.peer_certificate
        if not der:
            return None
        if der in self._checked:
            self._checked.move_to_end(der)
        else:
            self._checked[der] = self._check(der)
            while len(self._checked) > _REMEMBERED:
                self._checked.popitem(last=False)
        checked = self._checked[der]
        if checked is None:
            return None
        if not checked.not_before <= clock.seconds() <= checked.not_after:
            raise Unauthorized("x509: certificate has expired or is not yet valid")
        return Authenticated(checked.user)

    def _check(self, der: bytes) -> _Checked | None:
        """None for a certificate of another CA (the request-header CA's, say) or without a name."""
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
        extra: dict[str, tuple[str, ...]] = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
        user = UserInfo(str(names[0].value), groups=tuple(str(g.value) for g in groups), extra=extra)
        return _Checked(user, certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp())


def _is_issued_by(certificate: "x509.Certificate", authority: "x509.Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  (loaded with x509, see above)

    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
