"""Says whether a container engine answers: `python -m minikube_py.cli.engine_check`, exit code 0 when one does."""

import socket
import sys

from minikube_py.kubelet.runtimes.docker_engine import resolve_address


def engine_answers(docker_host: str = "") -> bool:
    """True when something accepts connections at the engine's address."""
    address = resolve_address(docker_host)
    if address.socket_path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            return _ping(connection, address.socket_path)
    host, _, port = address.url.partition("://")[2].rstrip("/").partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        return _ping(connection, (host, int(port or 2375)))


def _ping(connection: socket.socket, address: str | tuple[str, int]) -> bool:
    connection.settimeout(5)
    try:
        connection.connect(address)
        connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
        return b" 200 " in connection.recv(64)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if engine_answers() else 1)
