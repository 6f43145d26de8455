"""Carries out one probe or lifecycle call: a command, an HTTP GET, a TCP connection, a gRPC health check.

Source: core/v1 ProbeHandler; the result texts are those that Kubernetes' events show.
"""

import asyncio
import errno
import ssl
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from minikube_py.client.node_connection import ContainerAddress, StreamRequest
from minikube_py.kubelet.grpc_health import check_health
from minikube_py.kubelet.pod_connection import PodDialer
from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.runtimes.protocol import ContainerRuntime, ContainerState, RuntimeFailure
from minikube_py.kubelet.services import StartedPod
from minikube_py.objects.errors import Object

OUTPUT_LIMIT_BYTES = 10 * 1024
USER_AGENT = "kube-probe/1.37"

_MOST_REDIRECTS = 10
_HEAD_LIMIT = 64 * 1024


@dataclass(frozen=True)
class CallTarget:
    """The running container that a call is about."""

    started: StartedPod
    container: PodContainer
    state: ContainerState


@dataclass(frozen=True)
class CallResult:
    """message is the output or the error. is_known False: the call itself went wrong. is_warning: passed, but oddly."""

    is_success: bool
    message: str = ""
    is_known: bool = True
    is_warning: bool = False


@dataclass(frozen=True)
class _Answer:
    """location is where a redirect leads, or ''; body is read of redirects only."""

    status: int
    location: str = ""
    body: str = ""


class Calls:
    """All calls raise nothing but cancellation: what goes wrong is in the result."""

    def __init__(self, runtime: ContainerRuntime, dialer: PodDialer) -> None:
        self._runtime = runtime
        self._dialer = dialer

    async def run(self, target: CallTarget, handler: Object, timeout: float) -> CallResult:
        """handler is a ProbeHandler or LifecycleHandler."""
        if "exec" in handler:
            return await self._exec(target, tuple(handler["exec"].get("command") or ()), timeout)
        if "httpGet" in handler:
            return await self._http(target, handler["httpGet"], timeout)
        if "tcpSocket" in handler:
            return await self._tcp(target, handler["tcpSocket"], timeout)
        if "grpc" in handler:
            return await self._grpc(target, handler["grpc"], timeout)
        return CallResult(False, "missing probe handler", is_known=False)

    async def _exec(self, target: CallTarget, command: tuple[str, ...], timeout: float) -> CallResult:
        ref = target.state.pod
        address = ContainerAddress(ref.namespace, ref.name, ref.uid, target.state.name)
        output = b""
        session = None
        try:
            async with asyncio.timeout(timeout):
                session = await self._runtime.open_stream(target.state, StreamRequest(address, command))
                while (chunk := await session.receive()) is not None:
                    output = (output + chunk.data)[:OUTPUT_LIMIT_BYTES]
                result = await session.result()
        except TimeoutError:
            text = " ".join(command)
            return CallResult(False, f'command timed out: "{text}" timed out after {_seconds(timeout)}')
        except (RuntimeFailure, OSError) as error:
            return CallResult(False, str(error), is_known=False)
        finally:
            if session is not None:
                await session.close()
        text = output.decode(errors="replace")
        if result.error:
            return CallResult(False, result.error or text, is_known=False)
        return CallResult(result.exit_code == 0, text)

    async def _http(self, target: CallTarget, spec: Object, timeout: float) -> CallResult:
        port = resolve_port(target.container, spec.get("port"))
        if port is None:
            return CallResult(False, f"couldn't find port: {spec.get('port')}", is_known=False)
        scheme = (spec.get("scheme") or "HTTP").lower()
        host = spec.get("host") or (target.started.ips[0] if target.started.ips else "")
        name = f"[{host}]" if ":" in host else host
        path = spec.get("path") or "/"
        url = f"{scheme}://{name}:{port}{path if path.startswith('/') else '/' + path}"
        try:
            async with asyncio.timeout(timeout):
                answer = await self._get(target, url, spec)
        except TimeoutError:
            text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return CallResult(False, f'Get "{url}": {text}')
        except OSError as error:
            return CallResult(False, f'Get "{url}": {_dial_text(error, name, port)}')
        except ValueError as error:
            return CallResult(False, f'Get "{url}": {error}')
        if 300 <= answer.status < 400:
            text = f"Probe terminated redirects, Response body: {answer.body}"
            return CallResult(True, text, is_warning=True)
        if 200 <= answer.status < 300:
            return CallResult(True)
        return CallResult(False, f"HTTP probe failed with statuscode: {answer.status}")

    async def _get(self, target: CallTarget, url: str, spec: Object) -> _Answer:
        """The answer after redirects on the same host; a redirect elsewhere counts as an answer."""
        first = urlsplit(url)
        for _ in range(_MOST_REDIRECTS):
            parts = urlsplit(url)
            answer = await self._get_once(target, url, spec)
            if answer.status not in (301, 302, 303, 307, 308) or not answer.location:
                return answer
            url = urljoin(url, answer.location)
            if urlsplit(url).hostname != parts.hostname or urlsplit(url).scheme not in ("http", "https"):
                return answer
        raise ValueError(f"stopped after {_MOST_REDIRECTS} redirects of {first.path}")

    async def _get_once(self, target: CallTarget, url: str, spec: Object) -> _Answer:
        parts = urlsplit(url)
        tls = _unverified_tls() if parts.scheme == "https" else None
        port = parts.port or (443 if tls else 80)
        reader, writer = await self._dialer.open(target.started, parts.hostname or "", port, tls=tls)
        try:
            writer.write(_request(url, spec))
            await writer.drain()
            status, location = _parse_head(await reader.readuntil(b"\r\n\r\n"))
            # Only a redirect's body is ever shown.
            body = await reader.read(OUTPUT_LIMIT_BYTES) if location else b""
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ValueError("EOF" if isinstance(error, asyncio.IncompleteReadError) else "header too long") from error
        finally:
            writer.close()
        return _Answer(status, location, body.decode(errors="replace"))

    async def _tcp(self, target: CallTarget, spec: Object, timeout: float) -> CallResult:
        port = resolve_port(target.container, spec.get("port"))
        if port is None:
            return CallResult(False, f"couldn't find port: {spec.get('port')}", is_known=False)
        host = spec.get("host") or (target.started.ips[0] if target.started.ips else "")
        try:
            async with asyncio.timeout(timeout):
                _, writer = await self._dialer.open(target.started, host, port)
        except TimeoutError:
            return CallResult(False, f"dial tcp {host}:{port}: i/o timeout")
        except OSError as error:
            return CallResult(False, _dial_text(error, host, port))
        writer.close()
        return CallResult(True)

    async def _grpc(self, target: CallTarget, spec: Object, timeout: float) -> CallResult:
        port = int(spec["port"])
        host = target.started.ips[0] if target.started.ips else ""
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await self._dialer.open(target.started, "", port)
                try:
                    status = await check_health(reader, writer, f"{host}:{port}", spec.get("service") or "")
                finally:
                    writer.close()
        except TimeoutError:
            text = f'timeout: failed to connect service "{host}:{port}" within {_seconds(timeout)}'
            return CallResult(False, f"{text}: context deadline exceeded")
        except OSError as error:
            text = _dial_text(error, host, port)
            return CallResult(False, f'error: failed to connect service at "{host}:{port}": {text}')
        except ValueError as error:
            return CallResult(False, f'error: failed to connect service at "{host}:{port}": {error}')
        if status == "SERVING":
            return CallResult(True)
        return CallResult(False, f'service unhealthy (responded with "{status}")')


def resolve_port(container: PodContainer, port: object) -> int | None:
    """A port number from a number, a numeric text or the name of one of the container's ports."""
    if isinstance(port, int):
        return port
    for entry in container.spec.get("ports") or ():
        if entry.get("name") == port:
            return int(entry["containerPort"])
    return int(port) if isinstance(port, str) and port.isdigit() else None


def _request(url: str, spec: Object) -> bytes:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*"}
    host = parts.netloc
    for entry in spec.get("httpHeaders") or ():
        name, value = entry["name"], entry.get("value") or ""
        if name.lower() == "host":
            host = value
            continue
        existing = next((known for known in headers if known.lower() == name.lower()), name)
        headers.pop(existing, None)
        if value or name.lower() not in ("accept", "user-agent"):
            headers[name] = value
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in headers.items()), "Connection: close"]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("invalid header field value")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _parse_head(head: bytes) -> tuple[int, str]:
    """(status code, Location or '')."""
    status_line, *lines = head.decode("latin-1").split("\r\n")
    words = status_line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise ValueError(f'malformed HTTP response "{status_line[:60]}"')
    location = next((v.strip() for n, _, v in (line.partition(":") for line in lines) if n.lower() == "location"), "")
    return int(words[1]), location


def _unverified_tls() -> ssl.SSLContext:
    """Probes check that the port answers, not who answers: Kubernetes skips verification here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _dial_text(error: OSError, host: str, port: int) -> str:
    names = {
        errno.ECONNREFUSED: "connect: connection refused",
        errno.EHOSTUNREACH: "connect: no route to host",
        errno.ENETUNREACH: "connect: network is unreachable",
        errno.ETIMEDOUT: "connect: connection timed out",
        errno.ECONNRESET: "read: connection reset by peer",
    }
    return f"dial tcp {host}:{port}: {names.get(error.errno or 0, str(error))}"


def _seconds(value: float) -> str:
    return f"{int(value)}s" if value == int(value) else f"{value}s"
