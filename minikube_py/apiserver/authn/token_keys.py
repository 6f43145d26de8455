"""Holds the keys that service-account tokens are signed and checked with, and publishes their public halves."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa


@dataclass(frozen=True)
class TokenKey:
    """One key pair. algorithm is ES256 (P-256) or RS256; key_id is derived from the public key as Kubernetes does."""

    private: "ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey"
    algorithm: str
    key_id: str

    @property
    def public(self) -> "ec.EllipticCurvePublicKey | rsa.RSAPublicKey":
        return self.private.public_key()


class TokenKeys:
    """The signing key and every key that still verifies. The PEM files are read when a token is first met."""

    def __init__(self, private_pems: Sequence[bytes]) -> None:
        """The first of private_pems signs."""
        if not private_pems:
            raise ValueError("no service account key")
        self._pems = list(private_pems)
        self._loaded: list[TokenKey] | None = None

    @property
    def all(self) -> list[TokenKey]:
        if self._loaded is None:
            self._loaded = [_load(pem) for pem in self._pems]
        return self._loaded

    @property
    def signing(self) -> TokenKey:
        return self.all[0]

    def find(self, key_id: str) -> list[TokenKey]:
        """The keys to try for a token's `kid`; all of them when it names none."""
        return [k for k in self.all if k.key_id == key_id] if key_id else self.all

    @property
    def algorithms(self) -> list[str]:
        return sorted({k.algorithm for k in self.all})

    def public_set(self) -> dict[str, Any]:
        """A JSON Web Key Set (RFC 7517)."""
        return {"keys": [_public_jwk(k) for k in self.all]}


def _load(pem: bytes) -> TokenKey:
    # Loaded with the first token: a server without pods never needs them.
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415

    key = serialization.load_pem_private_key(pem, password=None)
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        algorithm = "ES256"
    elif isinstance(key, rsa.RSAPrivateKey):
        algorithm = "RS256"
    else:
        raise ValueError("a service account key must be RSA or on the curve P-256")
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return TokenKey(key, algorithm, _base64url(hashlib.sha256(der).digest()))


def _public_jwk(key: TokenKey) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  (loaded by then, see _load)

    jwk: dict[str, Any] = {"use": "sig", "kid": key.key_id, "alg": key.algorithm}
    public = key.public
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        jwk |= {"kty": "EC", "crv": "P-256"}
        jwk |= {"x": _base64url(point.x.to_bytes(32, "big")), "y": _base64url(point.y.to_bytes(32, "big"))}
    else:
        numbers = public.public_numbers()
        jwk |= {"kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}
    return jwk


def _integer(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
