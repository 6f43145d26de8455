"""Seconds from `mkube server` to /readyz and to a Ready node: new data and kept data, simulated and real node."""

import statistics
import time

from measured_server import measured_server

ROUNDS = 5


def measure(runtime: str, port: int) -> None:
    rows: dict[str, list[float]] = {"new data": [], "kept data": []}
    nodes: dict[str, list[float]] = {"new data": [], "kept data": []}
    for _ in range(ROUNDS):
        with measured_server(port, "--container-runtime", runtime) as server:
            for kind in rows:
                began = time.perf_counter()
                rows[kind].append(server.start())
                server.until_node_ready()
                nodes[kind].append(time.perf_counter() - began)
                server.stop()
    for kind in rows:
        ready, node = statistics.median(rows[kind]), statistics.median(nodes[kind])
        print(f"{runtime:8} {kind:10} readyz {ready:6.2f} s   node Ready {node:6.2f} s   (medians of {ROUNDS})")


if __name__ == "__main__":
    measure("fake", 18443)
    measure("docker", 18444)
