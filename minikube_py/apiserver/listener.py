"""Takes in connections one by one, each in its turn, so that a burst of TLS handshakes leaves others their time."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from minikube_py.apiserver.long_work import Turns

log = logging.getLogger(__name__)

_BACKLOG = 1024
_PAUSE_SECONDS = 0.5
"""How long no connection is taken when the process has no room for one (open files, memory)."""
_HELLO_SECONDS = 10.0
"""How long a client may take for its first bytes; the handshake as a whole has asyncio's minute."""


class Listener:
    """Sockets that listen, and the connections that are being set up."""

    def __init__(
        self, sockets: list[socket.socket], make: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext | None, turns: Turns,
    ) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._sockets, self._make, self._context, self._turns = sockets, make, context, turns
        self._beginning: set[asyncio.Task[None]] = set()
        for sock in sockets:
            self._listen(sock)

    def _listen(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        try:
            connection, _ = sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.error("no connection can be taken at the moment: %s", error)
            self._loop.remove_reader(sock.fileno())
            self._loop.call_later(_PAUSE_SECONDS, self._listen, sock)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._begin(connection))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        """Set the connection up. A client that does not get through the handshake is the client's own affair."""
        try:
            if self._context is not None:
                await self._until_it_speaks(connection)
                await self._turns.next()
            await self._loop.connect_accepted_socket(self._make, connection, ssl=self._context)
        except OSError as error:  # among them what TLS and time limits raise
            log.debug("a connection did not come about: %s", error)
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise

    async def _until_it_speaks(self, connection: socket.socket) -> None:
        """Its first bytes cost the most: who waits for them has no turn yet. Raises TimeoutError."""
        heard: asyncio.Future[None] = self._loop.create_future()
        descriptor = connection.fileno()
        self._loop.add_reader(descriptor, _settle, heard)
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                await heard
        finally:
            self._loop.remove_reader(descriptor)

    async def stop(self) -> None:
        """Take no more connections, and give up those that are being set up."""
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        beginning = list(self._beginning)
        for task in beginning:
            task.cancel()
        await asyncio.gather(*beginning, return_exceptions=True)


def _settle(heard: asyncio.Future[None]) -> None:
    if not heard.done():
        heard.set_result(None)


async def _bind(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each of the host's addresses. Raises OSError."""
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    found = await asyncio.get_running_loop().getaddrinfo(host or None, port, type=kind, flags=flags)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((info[0], info[4]) for info in found):
            sock = socket.create_server(address, family=family, backlog=_BACKLOG)
            sock.setblocking(False)
            sockets.append(sock)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


@asynccontextmanager
async def listening(
    address: tuple[str, int], make: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None, turns: Turns
) -> AsyncIterator[int]:
    """Listens on (host, port) until the block ends; gives the port (port 0 takes a free one). Raises OSError."""
    sockets = await _bind(*address)
    port: int = sockets[0].getsockname()[1]
    listener = Listener(sockets, make, context, turns)
    try:
        yield port
    finally:
        await listener.stop()
