"""Makes keys, authorities and leaf certificates; the one place that needs `cryptography.x509`.

Import it lazily: a start that finds every certificate fresh on disk never pays for the library.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from minikube_py import clock

# Machines that join may have clocks that run behind: certificates are valid since yesterday.
BACKDATE = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A CA ready to sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> "Authority":
        return cls(x509.load_pem_x509_certificate(certificate), load_key(key))


@dataclass(frozen=True)
class LeafRequest:
    """What a leaf certificate says. names may be DNS names or IP addresses; usages are 'server' and 'client'."""

    common_name: str
    organizations: Sequence[str] = ()
    names: Sequence[str] = ()
    usages: Sequence[str] = ("client",)
    lifetime: timedelta = timedelta(days=365)
    backdate: timedelta = BACKDATE


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Raises ValueError when the file holds another kind of key."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic curve key")
    return key


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def to_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def make_authority(common_name: str, lifetime: timedelta) -> Authority:
    """A self-signed CA on P-256."""
    key = make_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = clock.now()
    usage = _key_usage(signs_certificates=True)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_whole(now - BACKDATE))
        .not_valid_after(_whole(now + lifetime))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def sign_leaf(authority: Authority, public_key: CertificatePublicKeyTypes, request: LeafRequest) -> x509.Certificate:
    """A leaf that says exactly what `request` says, and never outlives its authority."""
    now = clock.now()
    end = min(_whole(now + request.lifetime), authority.certificate.not_valid_after_utc)
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in request.organizations]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, request.common_name))
    oids = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
    issuer_key = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(authority.certificate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_whole(now - request.backdate))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(encrypts_keys=isinstance(public_key, rsa.RSAPublicKey)), critical=True)
        .add_extension(x509.ExtendedKeyUsage([oids[u] for u in request.usages]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False)
    )
    if request.names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(n) for n in request.names]), False)
    return builder.sign(authority.key, hashes.SHA256())


def validity(pem: bytes) -> tuple[datetime, datetime]:
    """(not before, not after) of the first certificate in `pem`. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(pem)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def is_issued_by(leaf_pem: bytes, authority: Authority) -> bool:
    try:
        x509.load_pem_x509_certificate(leaf_pem).verify_directly_issued_by(authority.certificate)
    except Exception:
        return False
    return True


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool = False, encrypts_keys: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=encrypts_keys,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
