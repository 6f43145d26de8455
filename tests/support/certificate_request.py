"""A PKCS#10 request as the API carries it, PEM in base64; and a certificate authority's certificate in PEM."""

import base64
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY = ec.derive_private_key(7, ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])


def _request() -> str:
    made = x509.CertificateSigningRequestBuilder().subject_name(NAME).sign(KEY, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def _authority() -> str:
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(KEY.public_key())
    builder = builder.serial_number(1).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    years = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2090, 1, 1, tzinfo=UTC))
    return years.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


REQUEST_PEM = _request()
AUTHORITY_PEM = _authority()
