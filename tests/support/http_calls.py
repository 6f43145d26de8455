"""Plain HTTP requests to a test's server, for what clients hide: headers, codes, formats, streams."""

import io
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from tests.support.cluster import HttpsCluster


@dataclass(frozen=True)
class Reply:
    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class HttpCalls:
    """Requests as the admin unless `token` says otherwise."""

    def __init__(self, session: aiohttp.ClientSession, cluster: HttpsCluster) -> None:
        self.session = session
        self.cluster = cluster

    def headers(self, token: str | None, more: Mapping[str, str] | None) -> dict[str, str]:
        token = self.cluster.pki.admin_token if token is None else token
        headers = {"User-Agent": "tests/1"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return {**headers, **(more or {})}

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Reply:
        sent = self.headers(token, headers)
        data = body if isinstance(body, (bytes, type(None))) else orjson.dumps(body)
        content = None if data is None else io.BytesIO(data)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, self.cluster.url + path, data=content, headers=sent, allow_redirects=False
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def events(self, path: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[AsyncIterator[Any]]:
        """The events of a watch, as they come."""
        async with self.session.get(self.cluster.url + path, headers=self.headers(None, headers)) as response:
            assert response.status == 200, await response.text()
            yield _decoded(response)


async def _decoded(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    async for line in response.content:
        yield orjson.loads(line)


@asynccontextmanager
async def http_calls(cluster: HttpsCluster) -> AsyncIterator[HttpCalls]:
    context = ssl.create_default_context(cadata=cluster.pki.server_ca_pem.decode())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield HttpCalls(session, cluster)
