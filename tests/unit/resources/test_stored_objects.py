"""Properties of whatever is stored, for every built-in kind: it fits its schema, and it is valid again as it is."""

import asyncio
import logging
import os
import random
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from minikube_py.apiserver import protobuf
from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.apiserver.pipeline import IN_PROCESS, run
from minikube_py.apiserver.raw_calls import MemoryExchange
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.server import ApiServer, ApiServerOptions
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.fields import is_same
from minikube_py.resources.kind import ResourceKind
from minikube_py.store.memory import MemoryStore
from tests.support.request_forms import root_of
from tests.support.valid_objects import valid_object
from tests.unit.resources.generating import changed, misfit

JSON, PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
APPLY = "application/apply-patch+yaml"
# A pod's certificate is asked for with a proof that only the holder of its key can make.
UNMADE = ("podcertificaterequests", "componentstatuses")
KINDS = [kind for kind in built_in_kinds().all() if "create" in kind.verbs and "get" in kind.verbs]
KINDS = [kind for kind in KINDS if kind.plural not in UNMADE]
USER = UserInfo("somebody", groups=("system:masters",))
# More examples find more: MKUBE_TEST_EXAMPLES=2000 for a long run.
EXAMPLES = settings(
    max_examples=int(os.environ.get("MKUBE_TEST_EXAMPLES", "12")),
    derandomize=True, deadline=None, database=None, phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


class Server:
    """A whole server of memory without authorization; answers are bodies and codes."""

    def __init__(self) -> None:
        reader = StoreReader(MemoryStore(), built_in_kinds())
        self.api = ApiServer(ApiServerOptions(reader))

    async def send(self, method: str, path: str, body: Any = None, media_type: str = JSON, accept: str = JSON) -> Reply:
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        plain, _, query = path.partition("?")
        exchange = MemoryExchange(method, query, data)
        headers: Mapping[str, str] = {"content-type": media_type, "accept": accept, "user-agent": "tests/1"}
        queries = dict(pair.split("=", 1) for pair in query.split("&")) if query else {}
        request = HttpRequest(method, plain, queries, headers, exchange, user=USER)
        reply = await run(self.api.pipeline, request, IN_PROCESS)
        assert isinstance(reply, Reply)
        return reply


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def server(loop: asyncio.Runner) -> Server:
    async def make() -> Server:
        return Server()

    return loop.run(make())


@pytest.fixture(autouse=True)
def no_failures(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


def collection(kind: ResourceKind) -> str:
    return root_of(kind) + ("/namespaces/default" if kind.namespaced else "") + f"/{kind.plural}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.plural}.{kind.group}/{kind.version}")
def test_what_is_stored_is_valid_as_it_is(server: Server, loop: asyncio.Runner, kind: ResourceKind) -> None:
    stored = 0

    @EXAMPLES
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        nonlocal stored
        source = random.Random(f"{kind.gvk}{seed}")
        obj = changed(valid_object(kind), kind, source) if seed else valid_object(kind)
        stored += loop.run(round_trip(server, kind, obj))

    check()
    assert stored, "not one example was stored"


async def round_trip(server: Server, kind: ResourceKind, obj: dict[str, Any]) -> bool:
    """Makes the object and writes it back in every form; whether it was accepted at all."""
    made = await server.send("POST", collection(kind), obj)
    assert made.code in (201, 400, 403, 422), (obj, made.body)
    if made.code != 201:
        return False
    first = orjson.loads(made.body)
    path = f"{collection(kind)}/{first['metadata']['name']}"
    again = await server.send("PUT", path, first)
    assert again.code == 200, (first, again.body)
    assert orjson.loads(again.body) == first
    packed = await server.send("GET", path, accept=PROTOBUF)
    assert packed.code == 200, (first, packed.body)
    unpacked = await server.send("PUT", path, packed.body, PROTOBUF)
    assert unpacked.code == 200, (first, protobuf.decode(packed.body), unpacked.body)
    assert orjson.loads(unpacked.body) == first
    assert content(protobuf.decode(packed.body)) == content(first)
    table = await server.send("GET", path, accept=TABLE)
    assert table.code == 200, (first, table.body)
    columns = orjson.loads(table.body)
    assert len(columns["rows"][0]["cells"]) == len(columns["columnDefinitions"])
    for media_type in ("merge-patch+json", "strategic-merge-patch+json"):
        same = await server.send("PATCH", path, {}, f"application/{media_type}")
        assert orjson.loads(same.body) == first, same.body
    await apply_it(server, path, first)
    gone = await server.send("DELETE", f"{path}?gracePeriodSeconds=0", {"propagationPolicy": "Background"})
    assert gone.code in (200, 202), gone.body
    await forget(server, path)
    return True


async def apply_it(server: Server, path: str, first: dict[str, Any]) -> None:
    """Applied by somebody else the object stays what it is."""
    metadata = {key: first["metadata"][key] for key in ("name", "namespace", "labels") if key in first["metadata"]}
    wanted = {**{key: value for key, value in first.items() if key != "status"}, "metadata": metadata}
    applied = await server.send("PATCH", f"{path}?fieldManager=other&force=true", wanted, APPLY)
    if b"omits all key fields" in applied.body or b"duplicate entries for key" in applied.body:
        return  # items without their key, or twice with one, can be written and not applied
    assert applied.code == 200, (wanted, applied.body)
    assert_same(orjson.loads(applied.body), first)


def content(obj: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key != "metadata"}


def assert_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Equal as Go sees it: protobuf has no empty lists and maps."""
    assert is_same(content(left), content(right)), (left, right)


async def forget(server: Server, path: str) -> None:
    """Takes the finalizers from an object that is being deleted."""
    left = await server.send("GET", path)
    if left.code == 404:
        return
    obj = orjson.loads(left.body)
    if obj["kind"] == "Namespace":
        await server.send("PUT", f"{path}/finalize", {**obj, "spec": {}})
    patch = {"metadata": {"finalizers": None}}
    await server.send("PATCH", path, patch, "application/merge-patch+json")
    assert (await server.send("GET", path)).code == 404, left.body


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.plural}.{kind.group}/{kind.version}")
def test_what_the_schema_forbids_is_not_stored(server: Server, loop: asyncio.Runner, kind: ResourceKind) -> None:
    @EXAMPLES
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        obj = misfit(valid_object(kind), kind, random.Random(f"{kind.gvk}{seed}"))
        reply = loop.run(server.send("POST", f"{collection(kind)}?fieldValidation=Ignore", obj))
        assert reply.code == 400, (obj, reply.body)

    check()
