"""Asks one gRPC server for its health over plain HTTP/2.

Source: the gRPC health checking protocol (grpc.health.v1.Health/Check) and "gRPC over HTTP2". The two messages have
one field each, so they are written and read by hand.
"""

import asyncio
from typing import Any

_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_NOT_FOUND, _UNIMPLEMENTED = "5", "12"
_CHUNK = 65536
_WINDOW_LIMIT = 1024 * 1024


async def check_health(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str) -> str:
    """SERVING, NOT_SERVING, UNKNOWN or SERVICE_UNKNOWN. Raises ValueError when the server gives no proper answer."""
    # Loaded lazily: few pods have gRPC probes.
    import h2.config  # noqa: PLC0415
    import h2.connection  # noqa: PLC0415

    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, _headers(authority))
    connection.send_data(stream, _frame(_request(service)), end_stream=True)
    writer.write(connection.data_to_send())
    await writer.drain()
    body, trailers = await _read_answer(connection, reader, writer)
    code = trailers.get("grpc-status", "")
    if code == _UNIMPLEMENTED:
        text = trailers.get("grpc-message", "")
        raise ValueError(f"this server does not implement the grpc health protocol (grpc.health.v1.Health): {text}")
    if code == _NOT_FOUND:
        return "SERVICE_UNKNOWN"
    if code != "0":
        raise ValueError(f"health rpc failed: code {code or 'missing'} {trailers.get('grpc-message', '')}".strip())
    return _STATUSES.get(_status_of(body), "UNKNOWN")


def _headers(authority: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.37"),
    ]


async def _read_answer(
    connection: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[bytes, dict[str, str]]:
    import h2.events  # noqa: PLC0415  # see above
    import h2.exceptions  # noqa: PLC0415

    body, headers = b"", dict[str, str]()
    while True:
        data = await reader.read(_CHUNK)
        if not data:
            raise ValueError("connection closed before the server answered")
        try:
            events = connection.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise ValueError(f"not an HTTP/2 server: {error}") from error
        for event in events:
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                headers |= {str(name): str(value) for name, value in event.headers or ()}
            elif isinstance(event, h2.events.DataReceived):
                body = (body + (event.data or b""))[:_WINDOW_LIMIT]
                connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                return body, headers
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise ValueError("the server reset the call")
        pending = connection.data_to_send()
        if pending:
            writer.write(pending)
            await writer.drain()


def _frame(message: bytes) -> bytes:
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _request(service: str) -> bytes:
    """HealthCheckRequest{service = 1: string}."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _status_of(body: bytes) -> int:
    """HealthCheckResponse{status = 1: enum}; a missing field is 0."""
    message = body[5 : 5 + int.from_bytes(body[1:5], "big")] if len(body) >= 5 else b""
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0
