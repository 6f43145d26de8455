"""Signs certificate requests with the cluster's authorities."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from minikube_py.bootstrap.pki import LEAF_LIFETIME, Pki

if TYPE_CHECKING:
    from minikube_py.bootstrap.certificates import Authority

# As kube-controller-manager's signers: only the end of long-lived certificates moves back with their start.
_BACKDATE, _SHORT = timedelta(minutes=5), timedelta(hours=8)
_USAGES = {"client auth": "client", "server auth": "server"}


class CertificateSigner:
    """`sign` blocks for a millisecond or two of elliptic curves: call it in a thread when many come at once."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._authorities: dict[str, Authority] = {}

    def sign(self, request_pem: bytes, usages: Sequence[str], *, seconds: int = 0, serving: bool = False) -> bytes:
        """The PEM certificate for a PKCS#10 request, with its subject and names, from the client CA.

        serving: from the server CA. seconds 0 means the usual year, more is cut down to that. Raises ValueError for a
        request that can't be read or isn't signed with its own key.
        """
        from cryptography import x509  # noqa: PLC0415  (loaded with the first certificate request)
        from cryptography.x509.oid import NameOID  # noqa: PLC0415  (as above)

        from minikube_py.bootstrap import certificates as making  # noqa: PLC0415  (loads cryptography.x509)

        parsed = x509.load_pem_x509_csr(request_pem)
        if not parsed.is_signature_valid:
            raise ValueError("the request is not signed with its own key")
        common_names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        organizations = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        names: list[str] = []
        try:
            alternatives = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names += alternatives.get_values_for_type(x509.DNSName)
            names += [str(a) for a in alternatives.get_values_for_type(x509.IPAddress)]
        except x509.ExtensionNotFound:
            names = []
        wanted = making.LeafRequest(
            str(common_names[0].value) if common_names else "",
            [str(o.value) for o in organizations],
            names,
            [_USAGES[u] for u in usages if u in _USAGES],
            _lifetime(seconds),
            _BACKDATE,
        )
        authority = self._authority("server-ca" if serving else "client-ca")
        return making.to_pem(making.sign_leaf(authority, parsed.public_key(), wanted))

    def _authority(self, name: str) -> "Authority":
        if name not in self._authorities:
            self._authorities[name] = self._pki.authority(name)
        return self._authorities[name]


def _lifetime(seconds: int) -> timedelta:
    wanted = min(timedelta(seconds=seconds), LEAF_LIFETIME) if seconds else LEAF_LIFETIME
    return wanted if wanted < _SHORT else wanted - _BACKDATE
