"""A webhook over TLS in the test's own loop: answers reviews as the test says, and keeps what it was asked."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from minikube_py.objects.errors import Object

Decide = Callable[[Object], Object]
"""From a review's request to the response, without its uid."""


@dataclass
class WebhookServer:
    """`bundle` is what a clientConfig holds as caBundle."""

    port: int
    bundle: str
    handlers: dict[str, Decide] = field(default_factory=dict)
    asked: list[Object] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    connections: list[asyncio.BaseTransport] = field(default_factory=list)
    """One for each request that came in."""
    arrivals: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released with each request that comes in."""
    raw: bytes | None = None
    """Sent instead of an answer."""
    code: int = 200
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers wait for it."""

    def config(self, path: str) -> Object:
        return {"url": f"https://localhost:{self.port}{path}", "caBundle": self.bundle}

    def service_config(self, name: str, namespace: str, path: str) -> Object:
        return {"service": {"name": name, "namespace": namespace, "path": path}, "caBundle": self.bundle}


def allow(**more: Any) -> Object:
    return {"allowed": True, **more}


def deny(message: str = "", **status: Any) -> Object:
    return {"allowed": False, "status": {"message": message, **status} if message or status else {}}


def patch(*operations: Object) -> Object:
    return allow(patchType="JSONPatch", patch=base64.b64encode(orjson.dumps(list(operations))).decode())


@asynccontextmanager
async def webhook_server(directory: Path) -> AsyncIterator[WebhookServer]:
    certificate = _certificate(directory)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "webhook.crt", directory / "webhook.key")
    server = WebhookServer(0, base64.b64encode(certificate).decode())
    server.gate.set()

    async def answer(request: web.Request) -> web.Response:
        server.queries.append(request.query_string)
        assert request.transport is not None
        server.connections.append(request.transport)
        server.arrivals.release()
        review = orjson.loads(await request.read())
        await server.gate.wait()
        if server.raw is not None or server.code != 200:
            return web.Response(body=server.raw or b"", status=server.code)
        server.asked.append(review["request"])
        handler = server.handlers.get(request.path)
        if handler is None:
            return web.Response(status=404)
        response = {"uid": review["request"]["uid"], **handler(review["request"])}
        return web.json_response({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response})

    application = web.Application()
    application.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server.port = runner.addresses[0][1]
    yield server
    server.gate.set()
    await runner.cleanup()


def _certificate(directory: Path) -> bytes:
    """A certificate that signs itself, as small webhooks have it, for localhost and one Service."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName("hook.default.svc")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (directory / "webhook.crt").write_bytes(pem)
    (directory / "webhook.key").write_bytes(secret)
    return pem
