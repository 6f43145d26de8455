"""TCP connections from inside a process's network namespace, as port-forward and probes of localhost need them."""

import asyncio
import ctypes
import os
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_READ_BYTES = 64 * 1024


def in_network_namespace(process_id: int, call: Callable[[], T]) -> T:
    """Run `call` in a thread that has entered the namespace and then ends, so that no other thread is affected.

    Blocks: use it through asyncio.to_thread. Needs root. Raises OSError.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            handle = os.open(f"/proc/{process_id}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                _enter(handle)
            finally:
                os.close(handle)
            outcome.append(call())
        except BaseException as error:  # handed to the caller below
            failure.append(error)

    thread = threading.Thread(target=run, name="netns", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(handle: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class SocketStream:
    """A connected TCP socket as a ByteStream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes:
        try:
            return await self._reader.read(_READ_BYTES)
        except ConnectionError:
            return b""

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()


async def open_in_namespace(process_id: int, host: str, port: int) -> SocketStream:
    """Connect to host:port from the process's namespace, or from our own when process_id is 0. Raises OSError."""
    if not process_id:
        return SocketStream(*await asyncio.open_connection(host, port))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    make = lambda: socket.socket(family, socket.SOCK_STREAM)  # noqa: E731
    # A socket belongs to the namespace it was made in, so only making it needs the thread.
    sock = await asyncio.to_thread(in_network_namespace, process_id, make)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        return SocketStream(*await asyncio.open_connection(sock=sock))
    except BaseException:
        sock.close()
        raise
