"""Answers load balancers that ask whether this node has endpoints of a Service whose traffic stays local.

Source: pkg/proxy/healthcheck (service health): 200 with local endpoints, 503 without, the number in the body.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

log = logging.getLogger(__name__)

_LONGEST_REQUEST = 8192
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class HealthCheck:
    """What is told on one Service's health check node port."""

    namespace: str
    name: str
    local_endpoints: int

    def answer(self) -> bytes:
        """The whole HTTP response."""
        status = "200 OK" if self.local_endpoints else "503 Service Unavailable"
        service = {"namespace": self.namespace, "name": self.name}
        body = orjson.dumps({"service": service, "localEndpoints": self.local_endpoints, "serviceProxyHealthy": True})
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
            f"X-Load-Balancing-Endpoint-Weight: {self.local_endpoints}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode() + body


class HealthCheckPorts:
    """One listener for each health check node port, on one address of this node."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._checks: Mapping[int, HealthCheck] = {}
        self._listeners: dict[int, asyncio.Server] = {}

    async def apply(self, checks: Mapping[int, HealthCheck]) -> None:
        """Open and close ports so that these are served. A port that can't be had is logged, the others go on."""
        self._checks = dict(checks)
        for port in self._listeners.keys() - checks.keys():
            self._listeners.pop(port).close()
        for port in checks.keys() - self._listeners.keys():
            try:
                self._listeners[port] = await asyncio.start_server(
                    functools.partial(self._serve, port), self._address, port, limit=_LONGEST_REQUEST
                )
            except OSError as error:
                check = checks[port]
                log.warning("health check port %d of Service %s/%s: %s", port, check.namespace, check.name, error)

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await reader.readuntil(b"\r\n\r\n")
                check = self._checks.get(port)
                if check is not None:
                    writer.write(check.answer())
                    await writer.drain()
        writer.close()
