"""Finds the Docker engine and talks to it: lifecycle calls through docker-py in threads, streams on the event loop."""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import orjson

from minikube_py.kubelet.runtimes.protocol import RuntimeFailure

T = TypeVar("T")

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_connect=10)
_HEAD_LIMIT = 64 * 1024
_LIFECYCLE_SECONDS = 120
# Sockets of engines in virtual machines and of rootless ones, whose namespaces are not this machine's.
_FOREIGN_SOCKETS = ("/run/user/", "/.docker/", "/.colima/", "/.orbstack/", "/.rd/", "/.lima/")


class EngineError(Exception):
    """The engine answered with an error, or, with status 0, could not be reached."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True)
class EngineAddress:
    """Where the engine listens. url is unix:///path or tcp://host:port; the file names are for TLS."""

    url: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    verifies_server: bool = True

    @property
    def socket_path(self) -> str:
        """'' for an engine that is reached over TCP."""
        return self.url.removeprefix("unix://") if self.url.startswith("unix://") else ""

    @property
    def is_local_engine(self) -> bool:
        """Whether the engine can be expected to run in this machine's own namespaces."""
        path = self.socket_path
        return sys.platform == "linux" and bool(path) and not any(part in path for part in _FOREIGN_SOCKETS)

    def ssl_context(self) -> ssl.SSLContext | None:
        if not (self.ca_file or self.cert_file):
            return None
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if not self.verifies_server:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


def resolve_address(explicit: str = "") -> EngineAddress:
    """An explicit URL, else DOCKER_HOST, the current Docker context, or the first known socket that exists.

    Reads files: call it in a thread. Raises RuntimeFailure when nothing is found.
    """
    url = explicit or os.environ.get("DOCKER_HOST", "")
    if url:
        return _address_from_environment(url)
    from_context = _address_from_context()
    if from_context:
        return from_context
    for path in _known_sockets():
        if path.exists():
            return EngineAddress(f"unix://{path}")
    raise RuntimeFailure(
        "RuntimeUnavailable",
        "no Docker engine found: install Docker, start it, or name it with --docker-host or DOCKER_HOST",
    )


def _address_from_environment(url: str) -> EngineAddress:
    if not url.startswith(("unix://", "tcp://", "https://", "http://")):
        raise RuntimeFailure("RuntimeUnavailable", f"Docker host {url!r} is neither unix:// nor tcp://")
    directory = os.environ.get("DOCKER_CERT_PATH", "")
    verifies = os.environ.get("DOCKER_TLS_VERIFY", "") != ""
    if url.startswith("unix://") or not (directory or verifies):
        return EngineAddress(url)
    folder = Path(directory or Path.home() / ".docker")
    return EngineAddress(
        url,
        ca_file=str(folder / "ca.pem"),
        cert_file=str(folder / "cert.pem"),
        key_file=str(folder / "key.pem"),
        verifies_server=verifies,
    )


def _address_from_context() -> EngineAddress | None:
    if not (Path.home() / ".docker" / "config.json").exists() and "DOCKER_CONTEXT" not in os.environ:
        return None
    from docker.context import ContextAPI  # noqa: PLC0415 (docker is loaded lazily)

    name = os.environ.get("DOCKER_CONTEXT", "")
    context: Any = ContextAPI.get_context(name or None)
    if context is None or context.Name == "default":
        return None
    tls = context.TLSConfig
    host = str(context.Host)
    if tls is None:
        return EngineAddress(host)
    certificate, key = tls.cert or ("", "")
    return EngineAddress(host, str(tls.ca_cert or ""), str(certificate), str(key), bool(tls.verify))


def _known_sockets() -> list[Path]:
    home = Path.home()
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    rootless = [Path(runtime_dir) / "docker.sock"] if runtime_dir else []
    return [
        Path("/var/run/docker.sock"),
        *rootless,
        home / ".docker" / "run" / "docker.sock",
        home / ".docker" / "desktop" / "docker.sock",
        home / ".colima" / "default" / "docker.sock",
        home / ".orbstack" / "run" / "docker.sock",
        home / ".rd" / "docker.sock",
    ]


class RawConnection:
    """A hijacked connection: bytes both ways, no HTTP any more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def close(self) -> None:
        self.writer.close()


class DockerEngine:
    """One engine. `lifecycle` runs docker-py in a few threads; the rest is HTTP on the loop."""

    def __init__(self, docker_host: str = "", *, threads: int = 6) -> None:
        self._docker_host = docker_host
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="docker")
        self._client: Any = None
        self._address: EngineAddress | None = None
        self._session: aiohttp.ClientSession | None = None
        self._version = ""
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Find the engine and agree on an API version. Safe to repeat."""
        if self._client is not None:
            return
        async with self._opening:
            if not self._version:
                loop = asyncio.get_running_loop()
                self._address, client = await loop.run_in_executor(self._executor, self._connect)
                self._version = str(client.api_version)
                self._client = client

    def _connect(self) -> tuple[EngineAddress, Any]:
        import docker  # noqa: PLC0415 (loaded lazily: 60 ms and 20 MB)
        from docker.errors import DockerException  # noqa: PLC0415
        from docker.tls import TLSConfig  # noqa: PLC0415

        address = resolve_address(self._docker_host)
        tls: TLSConfig | bool = False
        if address.ca_file or address.cert_file:
            pair = (address.cert_file, address.key_file) if address.cert_file else None
            tls = TLSConfig(client_cert=pair, ca_cert=address.ca_file or None, verify=address.verifies_server)
        try:
            client = docker.APIClient(
                base_url=address.url, version="auto", timeout=_LIFECYCLE_SECONDS, tls=tls, num_pools=1
            )
        except DockerException as error:
            raise RuntimeFailure(
                "RuntimeUnavailable", f"the Docker engine at {address.url} does not answer: {error}"
            ) from error
        return address, client

    @property
    def address(self) -> EngineAddress:
        if self._address is None:
            raise RuntimeError("the engine is not open")
        return self._address

    async def lifecycle(self, call: Callable[[Any], T]) -> T:
        """Run `call` in a thread. Raises EngineError."""
        await self.open()
        return await asyncio.get_running_loop().run_in_executor(self._executor, _translated, call, self._client)

    async def request(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """A small call on the loop; the decoded JSON answer or None. Raises EngineError."""
        async with self.stream(method, path, query, body) as response:
            return await response.json() if response.status != 204 and response.content_type.endswith("json") else None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A call whose answer is read piece by piece; no time limit. Raises EngineError."""
        await self.open()
        session = self._open_session()
        arguments: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body} if body else {}
        try:
            async with session.request(
                method, self._url(path), params=query or {}, headers=headers, **arguments
            ) as response:
                if response.status >= 400:
                    raise EngineError(response.status, _message(await response.read()))
                yield response
        except aiohttp.ClientError as error:
            raise EngineError(0, f"lost the Docker engine at {self.address.url}: {error}") from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            address = self.address
            connector: aiohttp.BaseConnector
            if address.socket_path:
                connector = aiohttp.UnixConnector(address.socket_path, limit=0)
            else:
                context = address.ssl_context()
                connector = aiohttp.TCPConnector(limit=0, ssl=context if context is not None else True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=_NO_TIMEOUT, read_bufsize=_HEAD_LIMIT)
        return self._session

    def _url(self, path: str) -> str:
        address = self.address
        if address.socket_path:
            return f"http://docker/v{self._version}{path}"
        scheme = "https" if address.ssl_context() is not None else "http"
        return f"{scheme}://{urlsplit(address.url).netloc}/v{self._version}{path}"

    async def hijack(self, path: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> RawConnection:
        """POST and take the connection over as a raw byte stream. Raises EngineError."""
        await self.open()
        address = self.address
        try:
            if address.socket_path:
                reader, writer = await asyncio.open_unix_connection(address.socket_path, limit=_HEAD_LIMIT)
            else:
                target = urlsplit(address.url)
                reader, writer = await asyncio.open_connection(
                    target.hostname, target.port, ssl=address.ssl_context(), limit=_HEAD_LIMIT
                )
        except OSError as error:
            raise EngineError(0, f"cannot reach the Docker engine at {address.url}: {error}") from error
        try:
            target_path = f"/v{self._version}{quote(path)}" + (f"?{urlencode(query)}" if query else "")
            writer.write(
                f"POST {target_path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await writer.drain()
            await _read_upgrade(reader)
        except BaseException as error:
            writer.close()
            if isinstance(error, OSError | asyncio.IncompleteReadError):
                raise EngineError(0, f"lost the Docker engine at {address.url}: {error}") from error
            raise
        return RawConnection(reader, writer)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._client is not None:
            self._client.close()
            self._client = None
        self._executor.shutdown(wait=False)


async def _read_upgrade(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(head.split(" ", 2)[1])
    if status in (101, 200):
        return
    length = 0
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    raise EngineError(status, _message(await reader.readexactly(length)))


def _message(body: bytes) -> str:

    try:
        return str(orjson.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip()


def _translated(call: Callable[[Any], T], client: Any) -> T:
    from docker.errors import APIError, DockerException  # noqa: PLC0415 (docker is loaded lazily)
    from requests.exceptions import RequestException  # noqa: PLC0415

    try:
        return call(client)
    except APIError as error:
        status = error.response.status_code if error.response is not None else 0
        raise EngineError(status, str(error.explanation or error)) from error
    except (DockerException, RequestException, OSError) as error:
        raise EngineError(0, f"the Docker engine does not answer: {error}") from error
