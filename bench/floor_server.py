"""A plain aiohttp server over TLS that does the benchmarks' requests and nothing else: the floor of the framework.

    python bench/floor_server.py PORT CERTIFICATE KEY BODY_BYTES LIST_COUNT

GET /one answers BODY_BYTES, POST /one parses a body and answers it, GET /list answers LIST_COUNT times BODY_BYTES in
chunks, GET /watch stays open, and POST /publish sends its body to all who watch.
"""

import asyncio
import ssl
import sys

import orjson
from aiohttp import web
from aiohttp.web_request import BaseRequest

CHUNK = 256


class Floor:
    """The handler; `watchers` are the open streams."""

    def __init__(self, body_bytes: int, list_count: int) -> None:
        self.body = b'{"filler":"' + b"x" * (body_bytes - 13) + b'"}'
        self.list_count = list_count
        self.watchers: set[web.StreamResponse] = set()

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path == "/one" and request.method == "GET":
            return web.Response(body=self.body, content_type="application/json")
        if path == "/list":
            return await self.answer_list(request)
        if path == "/watch":
            return await self.watch(request)
        body = await request.read()
        if path == "/publish":
            await self.publish(body)
        else:
            body = orjson.dumps(orjson.loads(body))
        return web.Response(body=body, status=201, content_type="application/json")

    async def answer_list(self, request: BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for start in range(0, self.list_count, CHUNK):
            await response.write(b",".join([self.body] * min(CHUNK, self.list_count - start)))
        await response.write_eof()
        return response

    async def watch(self, request: BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        self.watchers.add(response)
        try:
            await asyncio.Event().wait()
        finally:
            self.watchers.discard(response)
        return response

    async def publish(self, body: bytes) -> None:
        line = b'{"type":"ADDED","object":' + body + b"}\n"
        for watcher in list(self.watchers):
            await watcher.write(line)


async def main(port: int, certificate: str, key: str, body_bytes: int, list_count: int) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    floor = Floor(body_bytes, list_count)
    runner = web.ServerRunner(web.Server(floor.handle, handler_cancellation=True, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, backlog=1024).start()
    await asyncio.Event().wait()


def run() -> None:
    port, certificate, key, body_bytes, list_count = sys.argv[1:]
    coroutine = main(int(port), certificate, key, int(body_bytes), int(list_count))
    try:
        import uvloop  # noqa: PLC0415 (on the same loop as mkube, where that is installed)
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)


if __name__ == "__main__":
    run()
