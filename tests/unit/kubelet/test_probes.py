"""Probe verdicts and their timing on virtual time; the calls themselves against real listeners on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from minikube_py import clock
from minikube_py.kubelet.pod_connection import PodDialer
from minikube_py.kubelet.pod_spec import REGULAR, PodContainer
from minikube_py.kubelet.probe_calls import CallResult, Calls, CallTarget, resolve_port
from minikube_py.kubelet.probes import Counter, Prober
from minikube_py.kubelet.runtimes.fake import FakeRuntime
from minikube_py.kubelet.runtimes.protocol import ContainerState, PodRef, SandboxState
from minikube_py.kubelet.services import StartedPod
from minikube_py.objects.errors import Object
from tests.support.virtual_time import virtual_time

REF = PodRef("u", "ns", "p")


class Events:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def event_for(self, involved: Object, type: str, reason: str, message: str) -> None:
        self.seen.append((reason, message))


class ScriptedCalls:
    """Answers each kind of probe from a table; counts."""

    def __init__(self, **answers: bool) -> None:
        self.answers: dict[str, CallResult] = {kind: CallResult(ok, "out") for kind, ok in answers.items()}
        self.calls: list[tuple[float, str]] = []
        self.began = clock.seconds()

    async def run(self, target: CallTarget, handler: Object, timeout: float) -> CallResult:
        kind = handler["exec"]["command"][0]
        self.calls.append((round(clock.seconds() - self.began, 1), kind))
        return self.answers[kind]


def probe(kind: str, **more: Any) -> Object:
    return {"exec": {"command": [kind]}, "periodSeconds": 10, **more}


class Bench:
    """One running container under probes."""

    def __init__(self, calls: ScriptedCalls, status: Object | None = None, **probes: Object) -> None:
        spec = {"name": "c", "image": "i", **{f"{kind}Probe": made for kind, made in probes.items()}}
        pod = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {}, "status": status or {}}
        now = clock.seconds()
        self.started = StartedPod(pod, SandboxState("s", REF, 0, True, now, ("10.0.0.1",)), ())
        self.container = PodContainer(REGULAR, spec)
        self.state = ContainerState("id", REF, "c", 0, "running", "i", "sha", created_at=now, started_at=now)
        self.events = Events()
        self.changes = 0
        self.prober = Prober(calls, self.events, self._changed)  # type: ignore[arg-type]
        self.watch()

    def _changed(self, _uid: str) -> None:
        self.changes += 1

    def watch(self) -> None:
        self.prober.watch(self.started, [(self.container, self.state)])

    @property
    def seen(self) -> tuple[bool, bool, str]:
        health = self.prober.health(self.state)
        return health.has_started, health.is_ready, health.failure


def test_counter_needs_results_in_a_row() -> None:
    counter = Counter(success_threshold=2, failure_threshold=3)
    assert [counter.add(r) for r in (True, False, True, True)] == [False, False, False, True]
    assert [counter.add(r) for r in (False, False, True, False, False, False)] == [False] * 5 + [True]
    assert counter.verdict is False


@virtual_time
async def test_readiness_follows_the_probe() -> None:
    calls = ScriptedCalls(readiness=True)
    bench = Bench(calls, readiness=probe("readiness", initialDelaySeconds=5, failureThreshold=2))
    assert bench.seen == (True, False, "")
    await asyncio.sleep(6)
    assert bench.seen == (True, True, "")
    calls.answers["readiness"] = CallResult(False, "gone")
    await asyncio.sleep(10)
    assert bench.seen == (True, True, "")
    await asyncio.sleep(10)
    assert bench.seen == (True, False, "")
    assert calls.calls == [(5.0, "readiness"), (15.0, "readiness"), (25.0, "readiness")]
    assert bench.events.seen == [("Unhealthy", "Readiness probe failed: gone")] * 2
    key = ("u", "c", "readiness")
    assert bench.prober.counts == {(*key, "successful"): 1, (*key, "failed"): 2}
    bench.prober.forget("u")
    assert bench.prober.counts == {}


@virtual_time
async def test_an_odd_success_is_told() -> None:
    calls = ScriptedCalls(liveness=True)
    calls.answers["liveness"] = CallResult(True, "redirected", is_warning=True)
    bench = Bench(calls, liveness=probe("liveness"))
    await asyncio.sleep(5)
    assert bench.seen == (True, True, "")
    assert bench.events.seen == [("ProbeWarning", "Liveness probe warning: redirected")]
    bench.prober.forget("u")


@virtual_time
async def test_startup_holds_back_the_others() -> None:
    calls = ScriptedCalls(startup=False, liveness=True, readiness=True)
    bench = Bench(
        calls, startup=probe("startup", failureThreshold=30), liveness=probe("liveness"), readiness=probe("readiness")
    )
    await asyncio.sleep(25)
    assert {kind for _, kind in calls.calls} == {"startup"}
    assert bench.seen == (False, False, "")
    calls.answers["startup"] = CallResult(True)
    await asyncio.sleep(10)
    assert bench.seen == (True, True, "")
    await asyncio.sleep(30)
    assert [kind for _, kind in calls.calls].count("startup") == 4
    bench.prober.forget("u")


@virtual_time
async def test_liveness_wants_a_restart_with_its_own_grace() -> None:
    calls = ScriptedCalls(liveness=False)
    liveness = probe("liveness", failureThreshold=3, terminationGracePeriodSeconds=7)
    bench = Bench(calls, liveness=liveness)
    await asyncio.sleep(15)
    assert bench.seen == (True, True, "")
    await asyncio.sleep(10)
    assert bench.seen == (True, True, "Container c failed liveness probe, will be restarted")
    assert bench.prober.health(bench.state).grace_seconds == 7
    await asyncio.sleep(100)
    assert len(calls.calls) == 3  # on hold until the container is another one
    bench.prober.forget("u")


@virtual_time
async def test_a_probe_that_cannot_run_says_nothing() -> None:
    calls = ScriptedCalls(liveness=True)
    calls.answers["liveness"] = CallResult(False, "no such runtime", is_known=False)
    bench = Bench(calls, liveness=probe("liveness", failureThreshold=1))
    await asyncio.sleep(60)
    assert bench.seen == (True, True, "")
    expected = "Liveness probe errored and resulted in unknown state: no such runtime"
    assert bench.events.seen[0] == ("Unhealthy", expected)
    assert set(bench.prober.counts) == {("u", "c", "liveness", "unknown")}
    bench.prober.forget("u")


@virtual_time
async def test_a_new_kubelet_takes_the_old_verdicts() -> None:
    entry = {"name": "c", "containerID": "docker://id", "ready": True, "started": True}
    calls = ScriptedCalls(startup=False, readiness=True)
    bench = Bench(
        calls, {"containerStatuses": [entry]}, startup=probe("startup"), readiness=probe("readiness")
    )  # fmt: skip
    assert bench.seen == (True, True, "")
    await asyncio.sleep(1)
    assert [kind for _, kind in calls.calls] == ["readiness"]
    bench.prober.forget("u")


@virtual_time
async def test_only_readiness_goes_on_while_the_pod_ends() -> None:
    calls = ScriptedCalls(liveness=False, readiness=True)
    bench = Bench(calls, liveness=probe("liveness"), readiness=probe("readiness"))
    await asyncio.sleep(1)
    bench.prober.begin_end("u")
    calls.calls.clear()
    await asyncio.sleep(30)
    assert {kind for _, kind in calls.calls} == {"readiness"}
    assert bench.seen == (True, True, "")
    bench.prober.forget("u")
    calls.calls.clear()
    await asyncio.sleep(30)
    assert calls.calls == []


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    tasks: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*tasks)


def target(**spec: Any) -> CallTarget:
    """A pod on the host network, so that its address is loopback."""
    pod = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"hostNetwork": True}}
    started = StartedPod(pod, SandboxState("s", REF, 0, True, 0.0), ("127.0.0.1",))
    state = ContainerState("id", REF, "c", 0, "running", "i", "sha")
    return CallTarget(started, PodContainer(REGULAR, {"name": "c", "image": "i", **spec}), state)


def calls() -> Calls:
    runtime = FakeRuntime()
    return Calls(runtime, PodDialer(runtime, is_routed=True))


def http_server(answers: dict[str, bytes], seen: list[bytes]) -> Callable[..., Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        writer.write(answers[head.split(b" ")[1].decode()])
        await writer.drain()
        writer.close()

    return serve


async def test_http_probe() -> None:
    seen: list[bytes] = []
    answers = {
        "/ok?x=1": b"HTTP/1.1 204 No Content\r\n\r\n",
        "/bad": b"HTTP/1.1 503 Oh\r\n\r\n",
        "/moved": b"HTTP/1.1 302 Found\r\nLocation: /ok?x=1\r\n\r\n",
        "/away": b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.9/\r\n\r\n<a>there</a>",
        "/loop": b"HTTP/1.1 302 Found\r\nLocation: /loop\r\n\r\n",
        "/junk": b"SSH-2.0\r\n\r\n",
    }
    async with listening(http_server(answers, seen)) as port:
        ports = [{"name": "web", "containerPort": port}]

        async def get(path: str) -> CallResult:
            headers = [{"name": "X-A", "value": "1"}, {"name": "Host", "value": "example.com"}]
            handler = {"httpGet": {"path": path, "port": "web", "httpHeaders": headers}}
            return await calls().run(target(ports=ports), handler, 5)

        assert (await get("/ok?x=1")).is_success
        assert b"Host: example.com\r\n" in seen[0]
        assert b"X-A: 1\r\n" in seen[0]
        assert b"User-Agent: kube-probe/1.37\r\n" in seen[0]
        assert await get("/bad") == CallResult(False, "HTTP probe failed with statuscode: 503")
        assert (await get("/moved")).is_success
        text = "Probe terminated redirects, Response body: <a>there</a>"
        assert await get("/away") == CallResult(True, text, is_warning=True)
        assert "stopped after 10 redirects" in (await get("/loop")).message
        assert "malformed HTTP response" in (await get("/junk")).message
    gone = await calls().run(target(), {"httpGet": {"path": "/", "port": port}}, 5)
    expected = f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert gone == CallResult(False, expected)


async def test_http_probe_times_out() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(serve) as port:
        result = await calls().run(target(), {"httpGet": {"path": "/", "port": port}}, 0.05)
    assert "context deadline exceeded (Client.Timeout exceeded while awaiting headers)" in result.message


async def test_tcp_probe() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(serve) as port:
        assert (await calls().run(target(), {"tcpSocket": {"port": port}}, 5)).is_success
    result = await calls().run(target(), {"tcpSocket": {"port": port}}, 5)
    assert result.message == f"dial tcp 127.0.0.1:{port}: connect: connection refused"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "::1", "0.0.0.0"])
async def test_a_probe_cannot_reach_the_nodes_own_loopback(host: str) -> None:
    pod = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {}}
    started = StartedPod(pod, SandboxState("s", REF, 0, True, 0.0, ("10.0.0.1",)), ())
    aim = CallTarget(started, target().container, target().state)
    result = await calls().run(aim, {"tcpSocket": {"port": 1, "host": host}}, 5)
    assert "is not allowed as the target of a probe" in result.message


@pytest.mark.parametrize(("port", "expected"), [(80, 80), ("web", 8080), ("81", 81), ("none", None)])
def test_resolve_port(port: object, expected: int | None) -> None:
    spec = {"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}
    assert resolve_port(PodContainer(REGULAR, spec), port) == expected


def grpc_server(answers: dict[bytes, tuple[bytes, str]]) -> Callable[..., Awaitable[None]]:
    """answers: request message to (response message, grpc-status)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        bodies: dict[int, bytes] = {}
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + (event.data or b"")
                elif isinstance(event, h2.events.StreamEnded):
                    message, status = answers[bodies[event.stream_id][5:]]
                    headers = [(":status", "200"), ("content-type", "application/grpc")]
                    connection.send_headers(event.stream_id, headers)
                    connection.send_data(event.stream_id, b"\0" + len(message).to_bytes(4, "big") + message)
                    connection.send_headers(event.stream_id, [("grpc-status", status)], end_stream=True)
            writer.write(connection.data_to_send())
        writer.close()

    return serve


async def test_grpc_probe() -> None:
    answers = {
        b"": (b"\x08\x01", "0"),
        b"\x0a\x03bad": (b"\x08\x02", "0"),
        b"\x0a\x04none": (b"", "5"),
        b"\x0a\x03old": (b"", "12"),
    }
    async with listening(grpc_server(answers)) as port:

        async def check(service: str) -> CallResult:
            return await calls().run(target(), {"grpc": {"port": port, "service": service}}, 5)

        assert (await check("")).is_success
        assert (await check("bad")).message == 'service unhealthy (responded with "NOT_SERVING")'
        assert (await check("none")).message == 'service unhealthy (responded with "SERVICE_UNKNOWN")'
        assert "does not implement the grpc health protocol" in (await check("old")).message
    gone = await calls().run(target(), {"grpc": {"port": port}}, 5)
    assert "failed to connect service" in gone.message


async def test_grpc_probe_of_something_else() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with listening(serve) as port:
        result = await calls().run(target(), {"grpc": {"port": port}}, 5)
    assert not result.is_success
