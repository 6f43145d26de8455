"""URLs, queries and headers that no honest client sends, over TLS: each gets its own Status, and nothing is logged."""

import asyncio
import base64
import logging
from collections.abc import Iterable, Iterator

import orjson
import pytest

from minikube_py.apiserver.context import NoNodes
from minikube_py.resources.kind import GVR
from tests.support.cluster import HttpsCluster
from tests.support.raw_http import RawReply, raw_connection

MAPS = "/api/v1/namespaces/default/configmaps"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")
MERGE = "Content-Type: application/merge-patch+json"


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.WARNING] == []


async def ask(served: HttpsCluster, line: str, *headers: str, body: bytes = b"") -> RawReply:
    """A header of the caller's replaces the usual one of that name."""
    is_plain = any(header.startswith(("Host:", "Authorization:")) for header in headers)
    async with asyncio.timeout(20), raw_connection(served) as connection:
        if is_plain:
            own = {"Host": f"127.0.0.1:{served.port}", "Authorization": f"Bearer {served.pki.admin_token}"}
            given = {header.partition(":")[0] for header in headers}
            headers = (*headers, *(f"{name}: {value}" for name, value in own.items() if name not in given))
        return await connection.ask(line, *headers, body=body, plain=is_plain)


def check(what: str, reply: RawReply, codes: Iterable[int]) -> None:
    assert reply.code in codes, (what, reply.code, reply.body[:300])
    if reply.code >= 400 and reply.body:
        assert reply.json["kind"] == "Status", what
        assert reply.json["code"] == reply.code, what


# --- paths -----------------------------------------------------------------------------------------------------------

NOWHERE = (
    "/..", "/../api", "/api/../version", "/api/v1/../../version", "/api/v1/%2e%2e/", "/%2e%2e/%2e%2e/etc/passwd",
    f"{MAPS}/..", f"{MAPS}/%2e%2e", f"{MAPS}/.", f"{MAPS}/a%2fb/c", f"{MAPS}/%00", f"{MAPS}/a%00b", f"{MAPS}/%ff%fe",
    f"{MAPS}/\udcff\udcfe", f"{MAPS}/ü", f"{MAPS}/%", f"{MAPS}/%zz", "/%00", "/%", "/%25", "//api/v1/pods",
    "/api//v1/pods", "/api/v1//pods", "/apis//v1/pods", "/apis//apps/v1/deployments", "/api/v1/namespaces//configmaps",
    "/api/v1/namespaces/default//configmaps", f"{MAPS}//a", f"{MAPS}/a/b/c/d", "/api/v2/pods", "/apis/none/v1/things",
    "/apis/apps/v9/deployments", "/openapi/v3/../../etc/passwd", "/openapi/v3/%2e%2e%2fetc", "/openapi/v3/api/v9",
    "/openapi/v3/apis/none/v1", "/openapi/v4", "/livez/none", "/readyz/%00", "/healthz/..", "/version/x", "/metrics/..",
    "/api/v1/namespaces/" + "x" * 5000 + "/pods/y", "/" + "a" * 7000, "/" + "a/" * 3000,
    "/api/v1/proxy", "/api/v1/watch", "http://evil.example/api/v1/pods",
    "/api/v1/namespaces/default/namespaces/kube-system", "/swagger.json",
    "/static/..",
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
async def test_paths_that_lead_nowhere(served: HttpsCluster, method: str) -> None:
    for path in NOWHERE:
        body = b"{}" if method in ("POST", "PUT", "PATCH") else b""
        reply = await ask(served, f"{method} {path}", MERGE if method == "PATCH" else "X: y", body=body)
        check(f"{method} {path[:80]}", reply, (400, 404, 405, 415, 422))


async def test_paths_beside_the_resources_are_only_read(served: HttpsCluster) -> None:
    for path in ("/", "/api", "/apis", "/apis/apps", "/api/v1", "/version", "/livez", "/openapi/v2", "/openapi/v3"):
        for method in METHODS[2:]:
            check(f"{method} {path}", await ask(served, f"{method} {path}"), (405,))
        assert (await ask(served, f"GET {path}")).code == 200, path


async def test_a_node_that_is_not_there_has_no_proxy(served: HttpsCluster) -> None:
    served.api.context.nodes = NoNodes()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        reply = await ask(served, f"{method} /api/v1/nodes/none/proxy/healthz")
        check(method, reply, (404,))
        assert reply.json["message"] == 'nodes "none" not found'


async def test_the_star_form(served: HttpsCluster) -> None:
    for method in METHODS:
        check(method, await ask(served, f"{method} *"), (400, 404, 405))


# --- queries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["limit", "timeoutSeconds"])
async def test_numbers_in_a_query(served: HttpsCluster, name: str) -> None:
    for text, why in (
        ("x", "invalid syntax"), ("1e3", "invalid syntax"), ("%00", "invalid syntax"), ("0x10", "invalid syntax"),
        ("%D9%A1", "invalid syntax"), ("1_0", "invalid syntax"), ("%205", "invalid syntax"), ("1.0", "invalid syntax"),
        ("9" * 30, "value out of range"), ("-9223372036854775809", "value out of range"),
    ):  # fmt: skip
        for query in ("", "watch=1&"):
            reply = await ask(served, f"GET {MAPS}?{query}{name}={text}")
            check(f"{name}={text}", reply, (400,))
            assert "strconv.ParseInt: parsing" in reply.json["message"]
            assert reply.json["message"].endswith(why), reply.json


async def test_timeouts_in_a_query(served: HttpsCluster) -> None:
    for path in ("/version", "/api/v1/namespaces"):
        for text in ("0s", "3m", "1h2m3.5s", "32s", ""):
            check(text, await ask(served, f"GET {path}?timeout={text}"), (200,))
        for text in ("invalid", "5", "3x", "1e3s", "%D9%A1s"):
            reply = await ask(served, f"GET {path}?timeout={text}")
            check(text, reply, (400,))
            assert reply.json["message"].startswith("invalid timeout specified in the request URL - time: ")


async def test_a_limit_below_one_is_no_limit(served: HttpsCluster) -> None:
    reply = await ask(served, "GET /api/v1/namespaces?limit=-1")
    assert len(reply.json["items"]) == 4
    assert "continue" not in reply.json["metadata"]


async def test_the_first_of_two_parameters_counts(served: HttpsCluster) -> None:
    assert len((await ask(served, "GET /api/v1/namespaces?limit=1&limit=3")).json["items"]) == 1


async def test_revisions_in_a_query(served: HttpsCluster) -> None:
    for text, code in (("-1", 400), ("x", 400), ("%D9%A1", 400), ("1e3", 400), ("9" * 30, 400), ("9" * 19, 504)):
        check(text, await ask(served, f"GET {MAPS}?resourceVersion={text}"), (code,))
        check(text, await ask(served, f"GET {MAPS}/a?resourceVersion={text}"), (code,))
        if code == 400:
            check(text, await ask(served, f"GET {MAPS}?watch=1&resourceVersion={text}"), (400,))


def tokens() -> Iterator[str]:
    yield from ("%00", "x", "a" * 10_000, "====", "%ff", "..")
    version = '{"v":"meta.k8s.io/v1",'
    for text in (
        "[]", "1", '"x"', "null", "{}", version[:-1] + "}", version + '"rv":1e999,"start":"a"}', version + '"rv":null}',
        version + '"rv":"x","start":"a"}', version + '"rv":1,"start":1}', version + '"rv":1,"start":null}',
        '{"v":"v9","rv":1,"start":"a"}', '{"v":[],"rv":1,"start":"a"}', "[" * 10_000,
    ):  # fmt: skip
        yield base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_continue_tokens_that_are_none(served: HttpsCluster) -> None:
    for token in tokens():
        check(token[:40], await ask(served, f"GET {MAPS}?limit=1&continue={token}"), (400,))


async def test_selectors_that_are_none(served: HttpsCluster) -> None:
    for selector in ("a+in+" + "(" * 5000, "!" * 5000, "%ff", "a%3D%3D%3Db", "," * 5000, "a+in+(" + "," * 5000):
        reply = await ask(served, f"GET {MAPS}?labelSelector={selector}")
        check(selector[:40], reply, (400,))
    for selector in ("x", "%5C" * 3001, "metadata.name%3Da%5C", "spec.x%3D1", "metadata.name%3Da%3Db"):
        check(selector[:40], await ask(served, f"GET {MAPS}?fieldSelector={selector}"), (400,))
        check(selector[:40], await ask(served, f"DELETE {MAPS}?fieldSelector={selector}"), (400,))
        check(selector[:40], await ask(served, f"GET {MAPS}?watch=1&fieldSelector={selector}"), (400,))


async def test_giant_selectors(served: HttpsCluster) -> None:
    names = ",".join(f"name-{i}" for i in range(4000))
    assert (await ask(served, f"GET {MAPS}?labelSelector=a+in+({names})")).code == 200
    assert (await ask(served, f"GET {MAPS}?labelSelector=" + ",".join(f"l{i}" for i in range(1000)))).code == 200
    many = ",".join(f"l{i}!%3Dv" for i in range(1001))
    check("1001 requirements", await ask(served, f"GET {MAPS}?labelSelector={many}"), (400,))
    check("a line without end", await ask(served, f"GET {MAPS}?labelSelector=" + "a" * 100_000), (431,))


async def test_options_of_writes(served: HttpsCluster) -> None:
    await served.client().create(GVR("", "v1", "configmaps"), {"metadata": {"name": "a", "namespace": "default"}})
    body = orjson.dumps({"metadata": {"name": "a"}, "apiVersion": "v1", "kind": "ConfigMap"})
    for query, why in (
        ("dryRun=x", 'dryRun: Unsupported value: "x": supported values: "All"'),
        ("fieldValidation=x", 'fieldValidation: Unsupported value: "x": supported values: "Ignore", "Strict", "Warn"'),
        ("fieldManager=" + "m" * 129, "fieldManager: Too long: may not be more than 128 bytes"),
        ("fieldManager=a%0ab", 'fieldManager: Invalid value: "a\\nb": invalid character U+000A (at position 1)'),
    ):
        for line, kind, media_type in (
            (f"POST {MAPS}", "CreateOptions", "application/json"),
            (f"PUT {MAPS}/a", "UpdateOptions", "application/json"),
            (f"PATCH {MAPS}/a", "PatchOptions", "application/merge-patch+json"),
            (f"PATCH {MAPS}/a", "PatchOptions", "application/apply-patch+yaml"),
        ):
            reply = await ask(served, f"{line}?{query}", f"Content-Type: {media_type}", body=body)
            check(f"{line} {query}", reply, (422,))
            assert reply.json["message"] == f'{kind}.meta.k8s.io "" is invalid: {why}'
    check("delete", await ask(served, f"DELETE {MAPS}/a?dryRun=x"), (422,))
    assert (await ask(served, f"GET {MAPS}/a")).code == 200


# --- headers ---------------------------------------------------------------------------------------------------------


async def test_headers_that_make_no_sense(served: HttpsCluster) -> None:
    await served.client().create(GVR("", "v1", "configmaps"), {"metadata": {"name": "a", "namespace": "default"}})
    for header, code in (
        ("User-Agent: \udcff\udcfe", 200), ("User-Agent: " + "x" * 7000, 200), ("User-Agent: ü/1", 200),
        ("Impersonate-User: \udcff", 403), ("Impersonate-User: nobody", 403), ("Impersonate-Group: x", 400),
        ("Impersonate-Uid: 1", 400), ("Impersonate-Extra-%ff: x", 400), ("Authorization: Basic Zm9v", 401),
        ("Authorization: Bearer", 401), ("Authorization: Bearer \udcff", 401), ("Authorization: Bearer a.b.c", 401),
        ("Authorization: Bearer " + "x" * 60_000, 401), ("Authorization: " + "a.b." * 10_000, 401),
        ("Origin: http://evil.example", 403), ("Origin: null", 403), ("Origin: \udcff", 403), ("Origin: http://[", 403),
        ("Host: evil.example", 403), ("Host: [::1", 200), ("Host: [", 200), ("Host: a:b:c", 403), ("Host: \udcff", 403),
        ("Host: " + "x" * 4000, 403), ("Cookie: " + "x" * 7000, 200), ("X: " + "y" * 70_000, 431),
        ("Content-Length: -1", 400), ("Content-Length: abc", 400), ("Content-Length: +5", 400),
        ("Transfer-Encoding: nonsense", 400), ("Content-Length: " + "9" * 30, 400), ("Upgrade: h2c", 200),
        ("Connection: Upgrade, HTTP2-Settings", 200), ("If-None-Match: \udcff", 200), ("X: a\x00b", 400),
        ("X Y: b", 400),
        ("Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io._w", 200),
    ):  # fmt: skip
        check(header[:60], await ask(served, f"GET {MAPS}/a", header), (code,))


async def test_a_manager_is_named_in_plain_text(served: HttpsCluster) -> None:
    for index, agent in enumerate(("\udcff\udcfe/1", "x" * 7000, "a\tb/1", "ü")):
        body = orjson.dumps({"metadata": {"name": f"m{index}"}, "data": {"x": "1"}})
        reply = await ask(served, f"POST {MAPS}", "Content-Type: application/json", f"User-Agent: {agent}", body=body)
        assert reply.code == 201, reply
        manager = reply.json["metadata"]["managedFields"][0]["manager"]
        assert manager.isprintable()
        assert len(manager.encode()) <= 128


@pytest.mark.parametrize(
    "accept",
    [
        "text/html", "application/json;q=0", ";;;", "," * 5000, "a;b=c;d", "application/cbor", "é", "\udcff",
        "application/json;as=Nope;g=meta.k8s.io;v=v1", "application/json;as=Table;g=meta.k8s.io;v=v9",
        "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", "application/json;as=Table;g=other;v=v1",
    ],
    ids=lambda text: ascii(text[:40]),
)  # fmt: skip
async def test_answers_that_nobody_can_give(served: HttpsCluster, accept: str) -> None:
    for path in (MAPS, "/api/v1/namespaces/default", f"{MAPS}?watch=1"):
        check(path, await ask(served, f"GET {path}", f"Accept: {accept}"), (406,))


async def test_a_flood_of_headers(served: HttpsCluster) -> None:
    assert (await ask(served, f"GET {MAPS}", *(f"X-{i}: y" for i in range(100)))).code == 200
    check("flood", await ask(served, f"GET {MAPS}", *(f"X-{i}: y" for i in range(2000))), (400, 431))
