"""The status writer: the latest state wins, and nothing is written that was worked out from a state long gone."""

import asyncio
from typing import Any

from minikube_py.kubelet.status_writer import StatusWriter
from minikube_py.objects.errors import Object


class GatedClient:
    """Answers patches one by one, when the test says so."""

    def __init__(self) -> None:
        self.patches: list[Object] = []
        self.gate = asyncio.Semaphore(0)
        self._revision = 1

    async def patch(self, _gvr: object, name: str, patch: Any, namespace: str = "", **_options: object) -> Object:
        self.patches.append(patch["status"])
        await self.gate.acquire()
        self._revision += 1
        return pod(self._revision, patch["status"])


def pod(revision: int, status: Object | None = None) -> Object:
    metadata = {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": str(revision)}
    return {"metadata": metadata, "status": status or {}}


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_status_from_an_older_state_is_not_written_after_a_newer_one() -> None:
    client, written = GatedClient(), []
    writer = StatusWriter(client, written.append)  # type: ignore[arg-type]
    writer.publish(pod(1), {"phase": "Running", "startTime": "10:00:00"})
    await settle()
    writer.publish(pod(1), {"phase": "Running", "startTime": "10:00:01"})  # the watch lags: the same old pod
    client.gate.release()
    await settle()
    assert [p["startTime"] for p in client.patches] == ["10:00:00"]
    assert [p["metadata"]["resourceVersion"] for p in written] == ["2"]
    assert writer.is_idle


async def test_changes_known_to_be_on_top_of_the_last_write_follow_it() -> None:
    client, written = GatedClient(), []
    writer = StatusWriter(client, written.append)  # type: ignore[arg-type]
    writer.publish(pod(1), {"phase": "Pending"})
    await settle()
    writer.publish(pod(2, {"phase": "Pending"}), {"phase": "Running"})  # the watch was faster than the answer
    client.gate.release()
    await settle()
    client.gate.release()
    await settle()
    assert [p["phase"] for p in client.patches] == ["Pending", "Running"]
    assert len(written) == 1
