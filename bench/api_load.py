"""An asyncio client that creates objects as fast as the server takes them and counts what becomes of the pods."""

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from load_generators import cpu_seconds
from measured_server import MeasuredServer

Object = dict[str, Any]

AT_ONCE = 48
PATIENCE_SECONDS = 900.0


class Api:
    """One server over kept TLS connections."""

    def __init__(self, server: MeasuredServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self._session = session

    async def call(self, method: str, path: str, body: Object | None = None, **headers: str) -> Object:
        data = json.dumps(body).encode() if body is not None else None
        async with self._session.request(method, self.server.url + path, data=data, headers=headers) as answer:
            content = await answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
            found: Object = json.loads(content)
            return found

    async def create(self, path: str, objects: Iterable[Object]) -> None:
        """POST the objects, AT_ONCE at a time."""
        waiting = iter(objects)

        async def work() -> None:
            for obj in waiting:
                await self.call("POST", path, obj)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def patch(self, path: str, body: Object) -> Object:
        return await self.call("PATCH", path, body, **{"Content-Type": "application/merge-patch+json"})

    async def lines(self, path: str) -> AsyncIterator[bytes]:
        """The raw lines of a watch."""
        async with self._session.get(self.server.url + path) as answer:
            async for line in answer.content:
                yield line

    # --- what the server's process has used ---------------------------------------------------------------------------

    @property
    def cpu(self) -> float:
        return cpu_seconds(self.server.process.pid)

    def memory_mib(self, field: str = "VmHWM") -> float:
        text = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


@asynccontextmanager
async def connected(server: MeasuredServer) -> AsyncIterator[Api]:
    context = ssl.create_default_context(cafile=str(server.data_dir / "pki" / "server-ca.crt"))
    connector = aiohttp.TCPConnector(limit=AT_ONCE + 8, ssl=context)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=timeout, read_bufsize=2**24
    ) as session:
        yield Api(server, session)


class Seen:
    """Follows a selection of objects by watch: how many ever came into it, and how many left it."""

    def __init__(self, api: Api, path: str, selector: str = "") -> None:
        self._api = api
        self._path = f"{path}?watch=1" + (f"&{selector}" if selector else "")
        self.came = self.left = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Seen":
        self._task = asyncio.create_task(self._follow())
        await asyncio.sleep(0.2)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _follow(self) -> None:
        async for line in self._api.lines(self._path):
            kind = line[9:10]  # {"type":"ADDED"...
            self.came += kind == b"A"
            self.left += kind == b"D"
            self._changed.set()

    async def until(self, count: int) -> float:
        """Wait until so many have come; the time of it."""
        return await self._until(lambda: self.came >= count)

    async def until_empty(self) -> float:
        return await self._until(lambda: self.left >= self.came)

    async def _until(self, holds: Callable[[], bool]) -> float:
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while not holds():
            if self._task is not None and self._task.done():
                self._task.result()
                raise RuntimeError(f"the watch of {self._path} has ended")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), 5)
            except TimeoutError:
                if time.perf_counter() > deadline:
                    raise TimeoutError(f"{self._path}: {self.came} came, {self.left} left") from None
        return time.perf_counter()
