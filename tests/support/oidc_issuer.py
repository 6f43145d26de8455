"""An OpenID Connect issuer on a local HTTPS port, whose keys can be changed while it runs."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from minikube_py import clock
from minikube_py.bootstrap.pki import Pki

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class OidcIssuer:
    """`keys` are the private keys it signs with, by key id; it publishes their public halves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, PrivateKey] = {}
        self.requests: list[str] = []
        self.named_issuer = url
        self.is_down = False
        self.add_key("first")

    def add_key(self, key_id: str, *, is_elliptic: bool = False) -> None:
        if is_elliptic:
            self.keys[key_id] = ec.generate_private_key(ec.SECP256R1())
        else:
            self.keys[key_id] = rsa.generate_private_key(65537, 2048)

    def token(self, key_id: str = "first", *, algorithm: str = "RS256", **claims: Any) -> str:
        """A token for `mkube` that is good for an hour; claims of None are left out."""
        now = int(clock.seconds())
        standard = {"iss": self.url, "aud": "mkube", "sub": "alice", "iat": now, "exp": now + 3600}
        payload = {k: v for k, v in {**standard, **claims}.items() if v is not None}
        return jwt.encode(payload, self.keys[key_id], algorithm=algorithm, headers={"kid": key_id})

    async def fetch(self, url: str) -> Any:
        """The document at a URL, for tests without a network."""
        path = url.removeprefix(self.url)
        self.requests.append(path)
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.named_issuer, "jwks_uri": f"{self.url}/keys"}
        assert path == "/keys"
        return {"keys": [_public(key_id, key) for key_id, key in self.keys.items()]}

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if not self.is_down:
            return web.json_response(await self.fetch(self.url + request.path.removeprefix("/realm")))
        self.requests.append(request.path)
        return web.Response(status=503)


def _public(key_id: str, key: PrivateKey) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        document: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        document = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**document, "kid": key_id, "use": "sig"}


@asynccontextmanager
async def oidc_issuer(pki: Pki) -> AsyncIterator[OidcIssuer]:
    """Its certificate is the cluster's own server certificate, so its CA is `pki.server_ca_pem`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pki.load_server_certificate(context)
    issuer: OidcIssuer | None = None

    async def answer(request: web.BaseRequest) -> web.Response:
        assert issuer is not None
        return await issuer.answer(request)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    issuer = OidcIssuer(f"https://127.0.0.1:{runner.addresses[0][1]}/realm")
    try:
        yield issuer
    finally:
        await runner.cleanup()
