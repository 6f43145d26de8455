"""Requests that schemathesis makes of the server's own OpenAPI documents: nothing that it can think of is a 500."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.apiserver.pipeline import IN_PROCESS, run
from minikube_py.apiserver.raw_calls import MemoryExchange
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.server import ApiServer, ApiServerOptions
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.store.memory import MemoryStore

# One group with each kind of thing: bodies of all sizes, subresources, cluster-wide kinds, reviews.
GROUPS = (
    "apis/batch/v1", "apis/policy/v1", "apis/rbac.authorization.k8s.io/v1", "apis/authentication.k8s.io/v1",
    "apis/networking.k8s.io/v1", "apis/apiextensions.k8s.io/v1",
)  # fmt: skip
USER = UserInfo("somebody", groups=("system:masters",))
EXAMPLES = settings(
    max_examples=2, derandomize=True, deadline=None, database=None, phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def api(loop: asyncio.Runner) -> ApiServer:
    async def make() -> ApiServer:
        return ApiServer(ApiServerOptions(StoreReader(MemoryStore(), built_in_kinds())))

    return loop.run(make())


async def send(
    api: ApiServer, method: str, path: str, query: str = "", body: Any = None, media_type: str = ""
) -> Reply:
    data = b"" if body is None else json.dumps(body).encode()
    exchange = MemoryExchange(method, query, data)
    headers = {"content-type": media_type or "application/json", "user-agent": "tests/1"}
    queries = dict(reversed(parse_qsl(query, keep_blank_values=True)))
    reply = await run(api.pipeline, HttpRequest(method, path, queries, headers, exchange, user=USER), IN_PROCESS)
    assert isinstance(reply, Reply)
    if reply.close is not None:
        await reply.close()
    return reply


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_generated_is_a_failure_of_the_server(
    api: ApiServer, loop: asyncio.Runner, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    document = loop.run(send(api, "GET", f"/openapi/v3/{group}"))
    schema = schemathesis.openapi.from_dict(orjson.loads(document.body or b"".join(document.chunks or ())))
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @EXAMPLES
        @given(operation.as_strategy())
        def check(case: Any) -> None:
            nonlocal tried
            tried += 1
            path = case.path.format(**(case.path_parameters or {}))
            body = None if isinstance(case.body, schemathesis.core.NotSet) else case.body
            reply = loop.run(send(api, case.method, path, urlencode(case.query or {}), body, case.media_type or ""))
            assert reply.code != 500, (case.method, path, case.query, body, reply.body)

        check()
    assert tried >= 4
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []
