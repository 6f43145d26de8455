"""Events: created once, counted when repeated, combined when similar, and no flood."""

import asyncio
from typing import Any

from minikube_py.objects.errors import NotFound, Object
from minikube_py.reconciling.recorder import EventRecorder
from minikube_py.resources.kind import GVR
from tests.support.virtual_time import virtual_time

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "ns", "uid": "u1", "resourceVersion": "7"},
}


class EventStore:
    """Takes creates and merge patches of events."""

    def __init__(self) -> None:
        self.events: dict[str, Object] = {}

    async def create(self, gvr: GVR, obj: Object, namespace: str = "", **_: Any) -> Object:
        await asyncio.sleep(0)
        self.events[obj["metadata"]["name"]] = obj
        return obj

    async def patch(self, gvr: GVR, name: str, patch: Object, namespace: str = "", **_: Any) -> Object:
        if name not in self.events:
            raise NotFound.of("", "events", name)
        self.events[name] = {**self.events[name], **patch}
        return self.events[name]


def recorder() -> tuple[EventStore, EventRecorder]:
    store = EventStore()
    return store, EventRecorder(store, "replicaset-controller", host="here")  # type: ignore[arg-type]


@virtual_time
async def test_what_an_event_looks_like() -> None:
    store, events = recorder()
    events.event(POD, "Normal", "Started", "It runs")
    await events.flush()
    (event,) = store.events.values()
    assert event["metadata"]["name"].startswith("p.")
    assert event["metadata"]["namespace"] == "ns"
    assert event["involvedObject"] == {
        "kind": "Pod", "apiVersion": "v1", "namespace": "ns", "name": "p", "uid": "u1", "resourceVersion": "7",
    }  # fmt: skip
    assert event["source"] == {"component": "replicaset-controller", "host": "here"}
    assert event["reportingComponent"] == "replicaset-controller"
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        1, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z",
    )  # fmt: skip


@virtual_time
async def test_an_equal_event_is_counted() -> None:
    store, events = recorder()
    events.event(POD, "Normal", "Started", "It runs")
    await asyncio.sleep(100)
    events.event(POD, "Normal", "Started", "It runs")
    await events.flush()
    (event,) = store.events.values()
    assert event["count"] == 2
    assert event["lastTimestamp"] == "2026-01-01T00:01:40Z"


@virtual_time
async def test_an_event_that_has_been_deleted_is_created_again() -> None:
    store, events = recorder()
    events.event(POD, "Normal", "Started", "It runs")
    await events.flush()
    store.events.clear()
    await asyncio.sleep(1)
    events.event(POD, "Normal", "Started", "It runs")
    await events.flush()
    assert [e["count"] for e in store.events.values()] == [1]


@virtual_time
async def test_many_similar_events_are_combined() -> None:
    store, events = recorder()
    for number in range(15):
        events.event(POD, "Warning", "Failed", f"Try {number}")
        await asyncio.sleep(1)
    await events.flush()
    combined = [e for e in store.events.values() if e["message"].startswith("(combined from similar events): ")]
    assert len(store.events) == 10
    assert [e["count"] for e in combined] == [6]


@virtual_time
async def test_a_flood_about_one_object_is_cut_off() -> None:
    store, events = recorder()
    for _ in range(40):
        events.event(POD, "Warning", "Failed", "again")
    await events.flush()
    assert [e["count"] for e in store.events.values()] == [25]


class SlowStore(EventStore):
    """Answers when it is told to; what is under way is in `waiting`."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[str] = []
        self.go_on = asyncio.Event()

    async def create(self, gvr: GVR, obj: Object, namespace: str = "", **_: Any) -> Object:
        self.waiting.append(f"{obj['source']['component']} {obj['message']}")
        await self.go_on.wait()
        return await super().create(gvr, obj, namespace)


def pod(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns", "uid": name}}


@virtual_time
async def test_events_about_different_matters_are_written_together() -> None:
    store = SlowStore()
    events = EventRecorder(store, "kubelet")  # type: ignore[arg-type]
    for reason in ("Pulled", "Created", "Started"):
        events.event(pod("a"), "Normal", reason, reason)
    await asyncio.sleep(1)
    assert store.waiting == ["kubelet Pulled", "kubelet Created", "kubelet Started"]
    store.go_on.set()
    await events.flush()
    assert len(store.events) == 3


@virtual_time
async def test_events_about_one_matter_are_written_one_after_the_other() -> None:
    store = SlowStore()
    events = EventRecorder(store, "kubelet")  # type: ignore[arg-type]
    for text in ("one", "two", "three"):
        events.event(pod("a"), "Normal", "Pulled", text)
    await asyncio.sleep(1)
    assert store.waiting == ["kubelet one"]
    store.go_on.set()
    await events.flush()
    assert store.waiting == ["kubelet one", "kubelet two", "kubelet three"]


@virtual_time
async def test_one_recorder_with_many_events_leaves_others_their_turn() -> None:
    store = SlowStore()
    loud, quiet = EventRecorder(store, "loud"), EventRecorder(store, "quiet")  # type: ignore[arg-type]
    for number in range(100):
        loud.event(pod(f"p{number}"), "Normal", "Started", str(number))
    quiet.event(pod("q"), "Normal", "Started", "here")
    store.go_on.set()
    await quiet.flush()
    assert "quiet here" in store.waiting[:20]
    await loud.flush()
    assert len(store.events) == 101


@virtual_time
async def test_a_failed_event_is_no_trouble_for_others() -> None:
    class Broken(EventStore):
        async def create(self, gvr: GVR, obj: Object, namespace: str = "", **_: Any) -> Object:
            if obj["reason"] == "Bad":
                raise RuntimeError("a mistake")
            return await super().create(gvr, obj, namespace)

    store = Broken()
    events = EventRecorder(store, "kubelet")  # type: ignore[arg-type]
    events.event(pod("a"), "Normal", "Bad", "x")
    events.event(pod("a"), "Normal", "Good", "y")
    await events.flush()
    events.event(pod("a"), "Normal", "Better", "z")
    await events.flush()
    assert [e["reason"] for e in store.events.values()] == ["Good", "Better"]
