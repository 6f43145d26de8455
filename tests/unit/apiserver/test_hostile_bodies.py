"""Bodies that no honest client sends, over TLS: each is refused with its own Status, quickly, and nothing is logged."""

import asyncio
import gzip
import logging
import zlib
from collections.abc import Iterable, Iterator

import orjson
import pytest

from minikube_py.apiserver import protobuf
from minikube_py.resources.kind import GVR
from tests.support.cluster import HttpsCluster
from tests.support.raw_http import RawReply, chunked, raw_connection

MAPS = "/api/v1/namespaces/default/configmaps"
QUOTAS = "/api/v1/namespaces/default/resourcequotas?dryRun=All"
MEGABYTE = 1 << 20
SMALL = b'{"metadata":{"name":"a"},"data":{"x":"1"}}'
JSON, YAML = "application/json", "application/yaml"
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
Case = tuple[str, bytes, int]


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A client's mistake is no event of the server's."""
    yield
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.WARNING] == []


async def send(served: HttpsCluster, line: str, body: bytes, *headers: str) -> RawReply:
    async with asyncio.timeout(20), raw_connection(served) as connection:
        return await connection.ask(line, *headers, body=body)


def check(name: str, reply: RawReply, code: int) -> None:
    assert reply.code == code, (name, reply.code, reply.body[:300])
    if code >= 400:
        status = reply.json
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", code), name
        assert status["message"], name


async def check_all(served: HttpsCluster, line: str, media_type: str, cases: Iterable[Case]) -> None:
    for name, body, code in cases:
        check(name, await send(served, line, body, f"Content-Type: {media_type}"), code)


async def make_target(served: HttpsCluster) -> None:
    metadata = {"name": "target", "namespace": "default"}
    await served.client().create(GVR("", "v1", "configmaps"), {"metadata": metadata, "data": {"x": "1"}})


# --- size and coding -------------------------------------------------------------------------------------------------


async def test_bodies_over_three_megabytes(served: HttpsCluster) -> None:
    large = b'{"data":"' + b"x" * (3 * MEGABYTE) + b'"}'
    check("plain", await send(served, f"POST {MAPS}", large, "Content-Type: application/json"), 413)
    async with raw_connection(served) as connection:
        head = connection.head(f"POST {MAPS} HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked")
        await connection.send(head + chunked([b"x" * 65536] * 64))
        check("chunked", await connection.reply(), 413)
    async with raw_connection(served) as connection:
        await connection.send(connection.head(f"POST {MAPS} HTTP/1.1", f"Content-Length: {2**62}"))
        check("announced", await connection.reply(), 413)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "nonsense"])
async def test_compressed_bodies_are_not_unpacked(served: HttpsCluster, coding: str) -> None:
    for packed in (gzip.compress(b" " * (20 * MEGABYTE)), zlib.compress(SMALL), gzip.compress(SMALL), SMALL):
        headers = ("Content-Type: application/json", f"Content-Encoding: {coding}")
        check(coding, await send(served, f"POST {MAPS}", packed, *headers), 415)


async def test_small_chunks_are_put_together(served: HttpsCluster) -> None:
    async with raw_connection(served) as connection:
        head = connection.head(f"POST {MAPS} HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked")
        await connection.send(head + chunked(SMALL[i : i + 1] for i in range(len(SMALL))))
        assert (await connection.reply()).json["data"] == {"x": "1"}


async def test_a_client_that_asks_first_is_told_to_go_on(served: HttpsCluster) -> None:
    async with raw_connection(served) as connection:
        await connection.send(
            connection.head(f"POST {MAPS} HTTP/1.1", "Expect: 100-continue", f"Content-Length: {len(SMALL)}")
        )
        assert (await connection.reply()).code == 100
        await connection.send(SMALL)
        assert (await connection.reply()).code == 201


# --- JSON ------------------------------------------------------------------------------------------------------------


def deep_json(depth: int) -> Iterator[Case]:
    yield f"[ x {depth}", b"[" * depth, 400
    yield f"[] x {depth}", b"[" * depth + b"]" * depth, 400
    yield f"map x {depth}", b'{"a":' * depth + b"1" + b"}" * depth, 400
    yield f"mixed x {depth}", b'[{"a":' * depth + b"1" + b"}]" * depth, 400


async def test_json_without_end(served: HttpsCluster) -> None:
    for depth in (101, 1000, 200_000, 300_000):
        await check_all(served, f"POST {MAPS}", JSON, deep_json(depth))


async def test_json_that_is_no_object_of_the_kind(served: HttpsCluster) -> None:
    for body in (
        b"[]",
        b"1",
        b'"x"',
        b"true",
        b"{",
        b"}",
        b"{'a':1}",
        b"\xff\xfe{\x00}\x00",
        b"\x00",
        b'{"a":1}{"b":2}',
    ):
        check(repr(body), await send(served, f"POST {MAPS}", body, "Content-Type: application/json"), 400)
    for field in (
        '"kind":1',
        '"apiVersion":[]',
        '"kind":{}',
        '"metadata":"x"',
        '"metadata":[]',
        '"data":[]',
        '"data":{"x":{}}',
    ):
        body = b"{%b}" % field.encode()
        check(field, await send(served, f"POST {MAPS}", body, "Content-Type: application/json"), 400)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("NaN", 400), ("Infinity", 400), ("-Infinity", 400), ("1e999", 400), ("-1e999", 400), ("0x10", 400),
        ("01", 400), ("1.", 400), ("-", 400), ("1.5", 400), ("9" * 400, 400), ("9" * 100_000, 400), ("1e300", 400),
        ("9223372036854775808", 400), ("-9223372036854775809", 400), ("-1", 422), ("2147483648", 400),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
async def test_numbers_out_of_range(served: HttpsCluster, number: str, code: int) -> None:
    body = b'{"metadata":{"name":"n"},"spec":{"ports":[{"port":%b}]}}' % number.encode()
    services = "/api/v1/namespaces/default/services?dryRun=All"
    check(number, await send(served, f"POST {services}", body, "Content-Type: application/json"), code)


@pytest.mark.parametrize(
    "amount", ["1e999", "x", "1Eii", "0x1", "1e", "--1", "1 Ki", "٣", "NaN", "1" + "e1" * 3], ids=lambda text: text[:10]
)
async def test_amounts_that_are_none(served: HttpsCluster, amount: str) -> None:
    body = orjson.dumps({"metadata": {"name": "n"}, "spec": {"hard": {"pods": amount}}})
    reply = await send(served, f"POST {QUOTAS}", body, "Content-Type: application/json")
    check(amount, reply, 400)


async def test_very_long_amounts(served: HttpsCluster) -> None:
    for amount in ("9" * 100_000, "0." + "1" * 100_000, "1e999999999", "1E-999999999", "9" * 10_000 + "Ei"):
        body = orjson.dumps({"metadata": {"name": "n"}, "spec": {"hard": {"pods": amount}}})
        reply = await send(served, f"POST {QUOTAS}", body, "Content-Type: application/json")
        assert reply.code in (201, 400, 422), (amount[:20], reply)


async def test_text_that_is_no_unicode(served: HttpsCluster) -> None:
    for text in (
        b"\xff\xfe",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\udfff\\ud800",
        b"a\x00b",
        b"\xf4\x90\x80\x80",
    ):
        for body in (b'{"metadata":{"name":"a"},"data":{"x":"%b"}}', b'{"metadata":{"name":"a"},"data":{"%b":"x"}}'):
            reply = await send(served, f"POST {MAPS}", body % text, "Content-Type: application/json")
            check(repr(text), reply, 400)
    nul = await send(served, f"POST {MAPS}", b'{"metadata":{"name":"a\\u0000"}}', "Content-Type: application/json")
    check("NUL in a name", nul, 422)


async def test_duplicate_keys_are_told_in_bounds(served: HttpsCluster) -> None:
    body = b'{"metadata":{"name":"many"},"data":{' + b",".join(b'"x":"1","x":"2"' for _ in range(20_000)) + b"}}"
    warned = await send(served, f"POST {MAPS}", body, "Content-Type: application/json")
    assert warned.code == 201
    assert sum(len(value) for value in warned.headers.values()) < 8192
    unknown = orjson.dumps({"metadata": {"name": "many"}, **{f"field{i}": 1 for i in range(20_000)}})
    for text in (body, unknown):
        strict = await send(served, f"POST {MAPS}?fieldValidation=Strict", text, "Content-Type: application/json")
        check("strict", strict, 400)
        assert len(strict.body) < 8192


async def test_ten_thousand_of_everything(served: HttpsCluster) -> None:
    pairs = {f"label{i}": "v" for i in range(10_000)}
    wrong = {f"label {i}": "v v" for i in range(10_000)}
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": str(i), "uid": str(i)} for i in range(10_000)]
    for metadata, code in (
        ({"labels": pairs}, 201), ({"annotations": {"a": "x" * 300_000}}, 422), ({"ownerReferences": owners}, 201),
        ({"finalizers": [f"a/{i}" for i in range(10_000)]}, 201), ({"labels": pairs, "annotations": pairs}, 201),
    ):  # fmt: skip
        body = orjson.dumps({"metadata": {"generateName": "many-", **metadata}})
        reply = await send(served, f"POST {MAPS}?dryRun=All", body, "Content-Type: application/json")
        assert reply.code == code, (list(metadata), reply.body[:200])
    body = orjson.dumps({"metadata": {"name": "wrong", "labels": wrong}})
    reply = await send(served, f"POST {MAPS}", body, "Content-Type: application/json")
    assert reply.code == 422


# --- YAML ------------------------------------------------------------------------------------------------------------

BOMB = "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30))]).encode()
BAD_YAML = {
    "aliases": BOMB,
    "alias to itself": b"&a [*a]",
    "alias as key": b"&a x: 1\n*a : 2\n",
    "python tag": b"metadata: !!python/object/apply:os.system ['id']\n",
    "python name": b"metadata: {name: !!python/name:os.system ''}\n",
    "own tag": b"metadata: {name: !secret x}\n",
    "set": b"data: !!set {x}\n",
    "ordered map": b"data: !!omap [x: 1]\n",
    "pairs": b"data: !!pairs [x: 1]\n",
    "timestamp tag": b"metadata: {name: !!timestamp 2020-01-01}\n",
    "map as key": b"? {a: b}\n: c\n",
    "list as key": b"? [a]\n: b\n",
    "null as key": b"~: b\n",
    "no integer": b"metadata: {name: !!int x}\n",
    "no boolean": b"metadata: {name: !!bool x}\n",
    "infinity": b"metadata: {name: a, generation: .inf}\n",
    "no number": b"metadata: {name: a, generation: .nan}\n",
    "overflow": b"metadata: {name: a, generation: 1e999}\n",
    "digits": b"metadata: {name: a, generation: " + b"9" * 100_000 + b"}\n",
    "hexadecimal digits": b"metadata: {name: a, generation: 0x" + b"f" * 100_000 + b"}\n",
    "open": b"a: [",
    "tab": b"a:\n\t- b\n",
    "escape": b'metadata: {name: "a\\ud800"}\n',
    "bytes": b'metadata: {name: "\xff\xfe"}\n',
    "nul": b"metadata: {name: \x00}\n",
    "brackets": b"[ " * 500_000,
    "braces": b"{a: " * 200_000,
    "dashes": b"- " * 200_000,
    "indents": b"".join(b" " * i + b"a:\n" for i in range(1000)),
    "just too deep": b"[" * 101 + b"]" * 101,
    "anchors": b"[" + b"&a x, " * 100_000 + b"*b]",
    "base64": b"metadata: {name: !!binary '!!'}\n",
    "directive": b"%YAML 9.9\n%TAG ! tag:x,2000:\n---\na: !b c\n",
}


async def test_yaml_that_is_refused(served: HttpsCluster) -> None:
    await check_all(served, f"POST {MAPS}", YAML, ((name, body, 400) for name, body in BAD_YAML.items()))


async def test_yaml_that_is_plain_in_spite_of_its_looks(served: HttpsCluster) -> None:
    for index, body in enumerate((
        b"metadata: &a {name: y%d}\n", b"---\nmetadata: {name: y%d}\n---\nmetadata: {name: z}\n",
        b"{metadata: {name: y%d}}\n", b'{"metadata": {"name": "y%d"}}',
        b"metadata: {name: !!str y%d}\ndata: {x: !!binary YQ==}",
        b"# comment\n\n%%YAML 1.1\n---\nmetadata:\n  name: y%d\n",
    )):  # fmt: skip
        reply = await send(served, f"POST {MAPS}", body % index, "Content-Type: application/yaml")
        assert reply.code == 201, (body, reply.body)
        assert reply.json["metadata"]["name"] == f"y{index}"


# --- protobuf --------------------------------------------------------------------------------------------------------


def protobuf_bodies() -> Iterator[tuple[str, bytes]]:
    spec = {"containers": [{"name": "c", "image": "i", "env": [{"name": "a", "value": "b"}]}], "nodeName": "n"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}, "spec": spec}
    data = protobuf.encode(pod)
    for end in range(0, len(data), 7):
        yield f"cut at {end}", data[:end]
    yield "length beyond the end", data[:10] + b"\xff\xff\xff\xff\x07" + data[11:]
    yield "length without end", b"k8s\x00\x0a" + b"\xff" * 30
    yield "group", b"k8s\x00\x0b"
    yield "field 0", b"k8s\x00\x00\x00"
    yield "only the prefix", b"k8s\x00"
    yield "zeros", b"k8s\x00" + b"\x00" * 100_000
    nested = b""
    for _ in range(2000):
        nested = b"k8s\x00\x12" + _length(len(nested)) + nested
    yield "envelopes in envelopes", nested
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "\ud7ff"}}
    yield "no text", protobuf.encode(raw).replace("\ud7ff".encode(), b"\xed\xa0\x80")


def _length(size: int) -> bytes:
    out = bytearray()
    while size >= 128:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes((*out, size))


async def test_protobuf_that_is_none(served: HttpsCluster) -> None:
    pods = "/api/v1/namespaces/default/pods?dryRun=All"
    for name, body in protobuf_bodies():
        reply = await send(served, f"POST {pods}", body, "Content-Type: application/vnd.kubernetes.protobuf")
        assert reply.code in (400, 422), (name, reply)
        check(name, reply, reply.code)


# --- patches ---------------------------------------------------------------------------------------------------------


def operations(*ops: dict[str, object], times: int = 1) -> bytes:
    return orjson.dumps(list(ops) * times)


def copies(value: str, source: str, count: int) -> bytes:
    first = {"op": "add", "path": "/data/x", "value": value}
    return orjson.dumps([first, *({"op": "copy", "from": source, "path": f"/data/k{i}"} for i in range(count))])


SET = {"op": "add", "path": "/data/x", "value": "1"}
JSON_PATCHES: list[Case] = [
    ("20,000 operations", operations(SET, times=20_000), 413),
    ("9,000 operations", operations(SET, times=9_000), 200),
    ("a copy of itself, doubling", copies("y" * 1000, "/data", 60), 422),
    ("copies of a megabyte", copies("y" * MEGABYTE, "/data/x", 9_000), 422),
    ("inserts at the front", operations(
        {"op": "add", "path": "/metadata/finalizers", "value": ["a/b"] * 5000},
        *[{"op": "add", "path": "/metadata/finalizers/0", "value": "a/b"}] * 4000,
    ), 200),
    ("a long pointer", operations({"op": "add", "path": "/a" * 100_000, "value": 1}), 422),
    ("no path", b'[{"op":"add"}]', 422),
    ("numbers", b'[{"op":1,"path":1}]', 422),
    ("the whole document", b'[{"op":"replace","path":"","value":{}}]', 422),
    ("into itself", b'[{"op":"move","from":"/data","path":"/data/x"}]', 422),
    ("unknown", b'[{"op":"zap","path":"/a"}]', 422),
    ("an index", b'[{"op":"add","path":"/metadata/finalizers/99999999999999999999","value":"a/b"}]', 422),
    ("a map", b'{"op":"add"}', 400),
    ("no maps", b"[1]", 400),
    ("null", b"null", 400),
    ("metadata gone bad", b'[{"op":"replace","path":"/metadata","value":[]}]', 422),
]  # fmt: skip
MERGES = [
    b"null", b"1", b"[]", b'"x"', b"[1]", b"{", b'{"metadata":[]}', b'{"metadata":"x"}', b'{"metadata":{"labels":[]}}',
    b'{"metadata":{"managedFields":1}}', b'{"metadata":{"managedFields":[1]}}', b'{"metadata":{"name":1}}',
    b'{"metadata":{"resourceVersion":1}}', b'{"metadata":{"uid":1}}', b'{"kind":1}', b'{"data":1}', b'{"data":[]}',
    b'{"data":{"x":{}}}', b'{"metadata":{"ownerReferences":[1]}}', b'{"apiVersion":[1]}',
    b'{"metadata":{"name":"other"}}',
]  # fmt: skip
DIRECTIVES = [
    b'{"$patch":"x"}', b'{"$patch":1}',
    b'{"metadata":{"$setElementOrder/ownerReferences":1}}', b'{"metadata":{"$retainKeys":1}}',
    b'{"metadata":{"ownerReferences":[[]]}}',
]  # fmt: skip


async def test_json_patches(served: HttpsCluster) -> None:
    await make_target(served)
    await check_all(served, f"PATCH {MAPS}/target?dryRun=All", PATCHES["json"], JSON_PATCHES)


@pytest.mark.parametrize("kind", ["merge", "strategic", "apply"])
async def test_patches_of_a_wrong_form(served: HttpsCluster, kind: str) -> None:
    await make_target(served)
    for body in [*MERGES, *(DIRECTIVES if kind == "strategic" else ())]:
        reply = await send(served, f"PATCH {MAPS}/target?fieldManager=m", body, f"Content-Type: {PATCHES[kind]}")
        assert reply.code in (400, 409, 422), (body, reply)
        check(repr(body), reply, reply.code)


def pathological_owners() -> Iterator[list[object]]:
    deep: dict[str, object] = {}
    for _ in range(50):
        deep = {"f:a": deep}
    wide = {f"f:{i}": {} for i in range(20_000)}
    for fields in (
        {"k:{bad": {}},
        {"v:x": {}},
        {"i:x": {}},
        {"zzz": {}},
        {"f:a": 1},
        {"f:a": []},
        {".": {"f:a": {}}},
        deep,
        wide,
    ):
        yield [_owner(f"m{i}", fields) for i in range(2)]
    yield [_owner(f"manager{i}", {"f:data": {"f:x": {}}}) for i in range(3000)]
    yield [_owner("m", {"f:data": {}}) | {"time": "not a time"}]
    yield [_owner("m", {}) | {"operation": "Explode"}]
    yield [_owner("m", {}) | {"fieldsType": "FieldsV9"}]
    yield [{}]


def _owner(manager: str, fields: dict[str, object]) -> dict[str, object]:
    return {
        "manager": manager, "operation": "Apply", "apiVersion": "v1", "time": "2024-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    }  # fmt: skip


async def test_made_up_owners_of_fields(served: HttpsCluster) -> None:
    """Whatever a client says of managers, the object can be applied to afterwards."""
    await make_target(served)
    applied = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"target"},"data":{"x":"2"}}'
    for owners in pathological_owners():
        body = orjson.dumps({"metadata": {"managedFields": owners}})
        patched = await send(served, f"PATCH {MAPS}/target", body, f"Content-Type: {PATCHES['merge']}")
        assert patched.code in (200, 400, 422), (str(owners)[:200], patched)
        line = f"PATCH {MAPS}/target?fieldManager=a&force=true"
        reply = await send(served, line, applied, f"Content-Type: {PATCHES['apply']}")
        assert reply.code == 200, (str(owners)[:200], reply.body[:300])


# --- media types and options -----------------------------------------------------------------------------------------


async def test_unknown_content_types(served: HttpsCluster) -> None:
    await make_target(served)
    for media_type in (
        "text/xml",
        "a/b/c",
        "*/*",
        "application/cbor",
        "multipart/form-data; boundary=x",
        "x" * 5000,
        "text/plain",
    ):
        header = f"Content-Type: {media_type}"
        for line in (f"POST {MAPS}", f"PUT {MAPS}/target", f"PATCH {MAPS}/target", f"DELETE {MAPS}/target"):
            check(f"{line} {media_type[:30]}", await send(served, line, SMALL, header), 415)


async def test_delete_options_of_a_wrong_form(served: HttpsCluster) -> None:
    await make_target(served)
    for body, code in (
        (b"[]", 400), (b"1", 400), (b'"x"', 400), (b"{", 400), (b'{"kind":"Pod"}', 400),
        (b'{"gracePeriodSeconds":"x"}', 400),
        (b'{"gracePeriodSeconds":1e999}', 400), (b'{"propagationPolicy":1}', 400), (b'{"propagationPolicy":"x"}', 422),
        (b'{"preconditions":1}', 400), (b'{"preconditions":{"uid":1}}', 400), (b'{"orphanDependents":"x"}', 400),
        (b'{"dryRun":1}', 400), (b'{"dryRun":["x"]}', 422), (b'{"preconditions":{"uid":"other"}}', 409),
        (b'{"orphanDependents":true,"propagationPolicy":"Orphan"}', 422),
    ):  # fmt: skip
        check(repr(body), await send(served, f"DELETE {MAPS}/target", body, "Content-Type: application/json"), code)
