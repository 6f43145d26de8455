"""Makes and checks join tokens, and fetches a cluster's CA certificate on the strength of one.

A join token is one string, `K10<hash of the server CA>::<id>.<secret>`: the hash lets the new machine check the server
before it says anything, `<id>.<secret>` is a Kubernetes bootstrap token that lets the server check the machine. Its
parts have fixed lengths, so a token that lost characters on its way is told from one that is wrong.
Source: Kubernetes' "Authenticating with Bootstrap Tokens" page.
"""

import asyncio
import base64
import contextlib
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from minikube_py import clock, ids
from minikube_py.bootstrap.pki import certificate_hash
from minikube_py.client.protocol import Client, DeleteOptions, Selection
from minikube_py.objects.errors import AlreadyExists, Object
from minikube_py.resources.kind import GVR

SECRETS = GVR("", "v1", "secrets")
NAMESPACE = "kube-system"
SECRET_TYPE = "bootstrap.kubernetes.io/token"
SECRET_PREFIX = "bootstrap-token-"
# The group whose certificate requests are approved without being asked (kubeadm's name for the same thing).
NODE_GROUP = "system:bootstrappers:kubeadm:default-node-token"
DEFAULT_TTL = timedelta(hours=1)

_PREFIX = "K10"
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_BOOTSTRAP = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_WHOLE = re.compile(r"K10([0-9a-f]{64})::([a-z0-9]{6})\.([a-z0-9]{16})")


class JoinError(Exception):
    """Why a machine can't join, as one sentence that says what to do."""


class TokenTruncated(JoinError):
    """The string is not a whole token."""


class OtherCluster(JoinError):
    """The server's CA is not the one the token was made for."""


class ServerUnreachable(JoinError):
    """Nothing answered, or it didn't speak TLS."""


@dataclass(frozen=True)
class JoinToken:
    ca_hash: str
    token_id: str
    secret: str

    def __str__(self) -> str:
        return f"{_PREFIX}{self.ca_hash}::{self.bearer}"

    def __repr__(self) -> str:
        return f"JoinToken({self.token_id})"

    @property
    def bearer(self) -> str:
        """What goes into the Authorization header."""
        return f"{self.token_id}.{self.secret}"


def parse_join_token(text: str) -> JoinToken:
    """Raises TokenTruncated, which says what is missing."""
    text = text.strip()
    match = _WHOLE.fullmatch(text)
    if match:
        return JoinToken(*match.groups())
    if not text.startswith(_PREFIX):
        raise TokenTruncated("This is not a join token: it does not start with K10. Copy the whole string.")
    if "::" not in text:
        raise TokenTruncated("The join token ends inside its CA hash. Copy the whole string.")
    ca_hash, _, rest = text.removeprefix(_PREFIX).partition("::")
    if not re.fullmatch(r"[0-9a-f]{64}", ca_hash):
        raise TokenTruncated(f"The join token's CA hash has {len(ca_hash)} characters, not 64. Copy the whole string.")
    raise TokenTruncated(f"The join token's secret part has {len(rest)} characters, not 23. Copy the whole string.")


def make_bootstrap_token() -> tuple[str, str]:
    """A new (id, secret)."""
    raw = int(ids.secret_hex(32), 16)
    letters = []
    for _ in range(22):
        raw, digit = divmod(raw, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    text = "".join(letters)
    return text[:6], text[6:]


def split_bootstrap_token(text: str) -> tuple[str, str] | None:
    """(id, secret) of `<id>.<secret>`, or None when it has another form."""
    match = _BOOTSTRAP.fullmatch(text)
    return (match[1], match[2]) if match else None


def token_secret(token_id: str, secret: str, *, ttl: timedelta | None = DEFAULT_TTL, description: str = "") -> Object:
    """The Secret that makes `<id>.<secret>` a valid token. Without ttl it does not expire."""
    data = {
        "token-id": token_id,
        "token-secret": secret,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": NODE_GROUP,
    }
    if ttl is not None:
        data["expiration"] = clock.rfc3339(clock.now() + ttl)
    if description:
        data["description"] = description
    metadata: Object = {"name": SECRET_PREFIX + token_id, "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": SECRET_TYPE,
        "data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items()},
    }


async def create_join_token(
    client: Client, ca_pem: bytes, *, ttl: timedelta | None = DEFAULT_TTL, description: str = ""
) -> JoinToken:
    """Make a token and store it in the cluster."""
    token_id, secret = make_bootstrap_token()
    await client.create(SECRETS, token_secret(token_id, secret, ttl=ttl, description=description), NAMESPACE)
    return JoinToken(certificate_hash(ca_pem), token_id, secret)


async def ensure_static_token(client: Client, text: str) -> None:
    """Make `<id>.<secret>`, which the server was told by a flag, a token that does not expire."""
    token_id, _, secret = text.partition(".")
    with contextlib.suppress(AlreadyExists):
        wanted = token_secret(token_id, secret, ttl=None, description="given by --token")
        await client.create(SECRETS, wanted, NAMESPACE)


@dataclass(frozen=True)
class TokenSummary:
    """A stored token, without its secret. expires is '' for one that doesn't."""

    token_id: str
    expires: str
    usages: Sequence[str]
    description: str
    groups: Sequence[str]

    @property
    def is_expired(self) -> bool:
        return bool(self.expires) and clock.parse(self.expires) <= clock.now()


async def list_join_tokens(client: Client) -> list[TokenSummary]:
    secrets = await client.list(SECRETS, Selection(NAMESPACE, field_selector=f"type={SECRET_TYPE}"))
    return [_summary(s) for s in secrets.items]


async def delete_join_token(client: Client, token_id: str) -> None:
    """token_id may be a whole token. Raises NotFound."""
    token_id = token_id.rpartition("::")[2].partition(".")[0]
    await client.delete(SECRETS, SECRET_PREFIX + token_id, NAMESPACE, options=DeleteOptions())


def _summary(secret: Object) -> TokenSummary:
    data = {k: base64.b64decode(v).decode(errors="replace") for k, v in (secret.get("data") or {}).items()}
    usages = [k.removeprefix("usage-bootstrap-") for k, v in data.items() if k.startswith("usage-") and v == "true"]
    return TokenSummary(
        data.get("token-id", ""),
        data.get("expiration", ""),
        sorted(usages),
        data.get("description", ""),
        [g for g in data.get("auth-extra-groups", "").split(",") if g],
    )


async def fetch_server_ca(host: str, port: int, token: JoinToken) -> bytes:
    """The PEM of the CA that `token` names, taken from the server's TLS handshake and checked against the hash.

    The handshake itself trusts nobody; nothing is sent over it. Raises OtherCluster, ServerUnreachable.
    """
    try:
        chain = await asyncio.to_thread(_peer_chain, host, port)
    except (OSError, ssl.SSLError) as error:
        raise ServerUnreachable(f"The server at {host}:{port} can't be reached: {error}.") from error
    for der in chain:
        pem = ssl.DER_cert_to_PEM_cert(der).encode()
        if certificate_hash(pem) == token.ca_hash:
            return pem
    raise OtherCluster(
        f"The join token belongs to another cluster: the server at {host}:{port} has a different CA. "
        "Run `mkube token create` on that server."
    )


def _peer_chain(host: str, port: int) -> list[bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname="mkube") as tls,
    ):
        # Public as SSLSocket.get_unverified_chain from Python 3.13 on; before, only on the inner object.
        public: Any = getattr(tls, "get_unverified_chain", None)
        if public is not None:
            return [bytes(der) for der in public()]
        inner: Any = getattr(tls, "_sslobj", None)
        return [ssl.PEM_cert_to_DER_cert(c.public_bytes()) for c in inner.get_unverified_chain() or ()]
