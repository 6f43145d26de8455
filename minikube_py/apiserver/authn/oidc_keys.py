"""Fetches an OpenID Connect issuer's keys when they are first needed, and again when a token names an unknown one.

Source: OpenID Connect Discovery 1.0, RFC 7517 (JSON Web Key Set).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import jwt

CONFIGURATION_PATH = "/.well-known/openid-configuration"
TIMEOUT_SECONDS = 10.0
# Tokens with invented key ids must not make us ask the issuer without end, nor a dead issuer hold every request.
REFRESH_SECONDS = 5.0
RETRY_SECONDS = 10.0
_MAX_BYTES = 1024 * 1024

Fetch = Callable[[str], Awaitable[Any]]
"""The JSON document at a URL. Raises IssuerUnreachable."""


class IssuerUnreachable(Exception):
    """The issuer's documents can't be had; the text says which and why."""


class IssuerKeys:
    """One issuer's public signing keys. fetch replaces the HTTPS client, for tests."""

    def __init__(self, issuer_url: str, ca_pem: bytes = b"", fetch: Fetch | None = None) -> None:
        self._issuer_url = issuer_url
        self._ca_pem = ca_pem
        self._fetch = fetch or self._fetch_https
        self._keys: Sequence[jwt.PyJWK] | None = None
        self._tried = float("-inf")
        self._failure: IssuerUnreachable | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> "Sequence[jwt.PyJWK]":
        """The keys as they were last fetched. Raises IssuerUnreachable."""
        if self._keys is None:
            async with self._lock:
                if self._keys is None:
                    await self._refresh(RETRY_SECONDS)
        return self._keys or ()

    async def newer(self) -> "Sequence[jwt.PyJWK]":
        """The keys fetched again, unless that was done a moment ago. Raises IssuerUnreachable."""
        before = self._tried
        async with self._lock:
            if self._tried == before:
                await self._refresh(REFRESH_SECONDS)
        return self._keys or ()

    async def _refresh(self, pause_seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._tried < pause_seconds:
            if self._failure is not None:
                raise self._failure
            return
        self._tried = now
        try:
            self._keys, self._failure = await self._load(), None
        except IssuerUnreachable as error:
            self._failure = error
            raise

    async def _load(self) -> "Sequence[jwt.PyJWK]":
        import jwt  # noqa: PLC0415  (loaded with the first token)

        configuration_url = self._issuer_url.rstrip("/") + CONFIGURATION_PATH
        configuration = await self._fetch(configuration_url)
        if not isinstance(configuration, dict) or not isinstance(configuration.get("jwks_uri"), str):
            raise IssuerUnreachable(f"{configuration_url} is no OpenID configuration")
        if configuration.get("issuer") != self._issuer_url:
            found = configuration.get("issuer")
            raise IssuerUnreachable(f"{configuration_url} is of the issuer {found}, not of {self._issuer_url}")
        uri = configuration["jwks_uri"]
        if not uri.startswith("https://"):
            raise IssuerUnreachable(f"the key set of {self._issuer_url} is not at an https:// URL")
        document = await self._fetch(uri)
        if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
            raise IssuerUnreachable(f"{uri} is no JSON Web Key Set")
        keys = []
        for entry in document["keys"]:
            try:
                if entry.get("use", "sig") == "sig":
                    keys.append(jwt.PyJWK(entry))
            except (jwt.PyJWTError, AttributeError, ValueError, TypeError, KeyError):
                continue  # keys of kinds that we don't know belong to tokens that we refuse anyway
        return keys

    async def _fetch_https(self, url: str) -> Any:
        import aiohttp  # noqa: PLC0415  (the HTTP client is loaded with the first token of the issuer)

        context = ssl.create_default_context(cadata=self._ca_pem.decode() if self._ca_pem else None)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                async with session.get(url, allow_redirects=False) as response:
                    if response.status != 200:
                        raise IssuerUnreachable(f"{url} answers {response.status}")
                    body = await response.content.read(_MAX_BYTES + 1)
                    while len(body) <= _MAX_BYTES and (more := await response.content.read(_MAX_BYTES)):
                        body += more
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise IssuerUnreachable(f"{url} can't be reached: {error or type(error).__name__}") from None
        if len(body) > _MAX_BYTES:
            raise IssuerUnreachable(f"{url} is longer than {_MAX_BYTES} bytes")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise IssuerUnreachable(f"{url} is not JSON") from None
