"""Long work goes on in turns, and large requests end as small ones do."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from minikube_py.apiserver.long_work import LARGE_BYTES, LONG_BYTES, PIECE_BYTES, Turns, sliced
from tests.support.http_calls import HttpCalls

MAPS = "/api/v1/namespaces/default/configmaps"
SIZES = {"short": 0, "long": LONG_BYTES, "large": LARGE_BYTES}


async def test_one_long_answer_has_its_turn_in_a_round() -> None:
    turns, order = Turns(), list[str]()

    async def long(name: str) -> None:
        for _ in range(3):
            await turns.next()
            order.append(name)

    async def rounds() -> None:
        for _ in range(24):
            await asyncio.sleep(0)
            order.append("|")

    await asyncio.gather(long("a"), long("b"), rounds())
    between = "".join(order).strip("|").split("|")
    assert max(map(len, between)) == 1
    assert sorted("".join(between)) == ["a"] * 3 + ["b"] * 3


async def test_a_request_that_has_just_come_goes_first() -> None:
    turns, order = Turns(), list[str]()

    async def long() -> None:
        await turns.next()
        order.append("long")

    async def short() -> None:
        order.append("short")

    waiting = asyncio.create_task(long())
    await asyncio.sleep(0)  # it waits for its turn, and would have it in the next round but one
    await asyncio.sleep(0)
    turns.give_way()
    coming = asyncio.create_task(short())
    await asyncio.gather(waiting, coming)
    assert order == ["short", "long"]


async def test_requests_that_never_end_hold_up_a_turn_only_for_a_few_rounds() -> None:
    turns, rounds = Turns(), 0

    async def requests() -> None:
        nonlocal rounds
        while True:
            turns.give_way()
            rounds += 1
            await asyncio.sleep(0)

    busy = asyncio.create_task(requests())
    async with asyncio.timeout(5):
        await turns.next()
    busy.cancel()
    assert rounds < 20


async def test_who_gives_up_passes_the_turn_on() -> None:
    turns, done = Turns(), list[str]()

    async def long(name: str) -> None:
        await turns.next()
        done.append(name)

    tasks = [asyncio.create_task(long(name)) for name in "abc"]
    await asyncio.sleep(0)
    tasks[0].cancel()  # while it waits
    await asyncio.sleep(0)
    tasks[1].cancel()  # perhaps after it was woken
    turns.call(lambda: done.append("step"))
    async with asyncio.timeout(5):
        await tasks[2]
        await turns.next()
    assert done == ["c", "step"]


def test_pieces_hold_all_that_was_put_in() -> None:
    parts = [bytes([n % 256]) * (n * 37 % 5000) for n in range(500)]
    pieces = list(sliced(parts))
    assert b"".join(pieces) == b"".join(parts)
    assert max(map(len, pieces)) < PIECE_BYTES + 5000


def padded(obj: dict[str, Any], size: int) -> dict[str, Any]:
    return {**obj, "data": {**obj["data"], "padding": "x" * size}}


def told(reply: Any, size: int) -> tuple[Any, ...]:
    """What a client learns, but for what differs from object to object."""
    obj = reply.json
    if obj["kind"] == "Status":
        return reply.code, obj["reason"], obj["message"].replace("x" * size, ""), reply.headers.get("warning")
    metadata = obj["metadata"]
    fields = [(e["manager"], e["operation"], e["fieldsV1"]) for e in metadata["managedFields"]]
    data = {key: value for key, value in obj["data"].items() if key != "padding"}
    return reply.code, data, metadata.get("labels"), fields, reply.headers.get("warning")


REQUESTS: dict[str, Callable[[int], tuple[str, str, Any, str]]] = {
    "create": lambda size: ("POST", "", padded({"metadata": {"name": "made"}, "data": {"a": "1"}}, size), "json"),
    "create again": lambda size: ("POST", "", padded({"metadata": {"name": "there"}, "data": {}}, size), "json"),
    "invalid": lambda size: ("POST", "", padded({"metadata": {"name": "No!"}, "data": {"b/d": ""}}, size), "json"),
    "mistyped": lambda size: ("POST", "", padded({"metadata": {"name": 1}, "data": {"a": {}}}, size), "json"),
    "update": lambda size: (
        "PUT", "/there", padded({"metadata": {"name": "there", "labels": {"l": "v"}}, "data": {"c": "2"}}, size), "json"
    ),
    "merge patch": lambda size: (
        "PATCH", "/there", padded({"data": {"a": None, "d": "3"}}, size), "merge-patch+json"
    ),
    "strategic patch": lambda size: (
        "PATCH", "/there", padded({"data": {"$patch": "replace", "e": "4"}}, size), "strategic-merge-patch+json"
    ),
    "json patch": lambda size: (
        "PATCH", "/there", [{"op": "add", "path": "/data/padding", "value": "x" * size},
                            {"op": "remove", "path": "/data/a"}], "json-patch+json"
    ),
    "failing json patch": lambda size: (
        "PATCH", "/there", [{"op": "test", "path": "/data/a", "value": "x" * size}], "json-patch+json"
    ),
    "apply": lambda size: (
        "PATCH", "/there?fieldManager=m&force=true",
        padded({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there"}, "data": {"a": "5"}}, size),
        "apply-patch+yaml",
    ),
    "apply what is new": lambda size: (
        "PATCH", "/new?fieldManager=m",
        padded({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "5"}}, size),
        "apply-patch+yaml",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_large_request_ends_as_a_small_one(http: HttpCalls, name: str) -> None:
    seen = {}
    for label, size in SIZES.items():
        before = padded({"metadata": {"name": "there"}, "data": {"a": "1"}}, 1)
        assert (await http("POST", MAPS, before)).code == 201
        method, path, body, media_type = REQUESTS[name](size)
        reply = await http(method, MAPS + path, body, headers={"Content-Type": f"application/{media_type}"})
        seen[label] = told(reply, size)
        for made in ("there", "made", "new"):
            await http("DELETE", f"{MAPS}/{made}")
    assert seen["long"] == seen["short"]
    assert seen["large"] == seen["short"]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("mode", ["Strict", "Warn", "Ignore"])
async def test_fields_that_stand_twice_or_are_unknown(http: HttpCalls, mode: str, size: int) -> None:
    text = '{"metadata":{"generateName":"x-"},"data":{"a":"1","a":"2","p":"%s"},'
    text += '"more":1,"immutable":false,"immutable":true}'
    reply = await http(
        "POST", f"{MAPS}?fieldValidation={mode}", (text % ("x" * size)).encode(),
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    if mode == "Strict":
        assert reply.code == 400
        assert 'duplicate field "data.a", unknown field "more", duplicate field "immutable"' in reply.json["message"]
        return
    assert (reply.code, reply.json["data"]["a"], reply.json["immutable"]) == (201, "2", True)
    assert ("more" in str(reply.headers)) == (mode == "Warn")
