"""Protobuf against what client-go writes (tests/clients/go/protobuf made the file), byte for byte, both ways."""

import base64
import struct
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from minikube_py.apiserver import protobuf
from minikube_py.apiserver.protobuf import NotEncodable, ProtobufError
from minikube_py.resources.kind import GVK


class Case(NamedTuple):
    object: dict[str, Any]
    body: bytes
    frame: bytes

    @property
    def gvk(self) -> GVK:
        group, _, version = self.object["apiVersion"].rpartition("/")
        return GVK(group, version, self.object["kind"])


def _cases() -> list[Case]:
    lines = (Path(__file__).parent / "protobuf.jsonl").read_bytes().splitlines()
    rows = [orjson.loads(line) for line in lines]
    return [Case(r["object"], base64.b64decode(r["body"]), base64.b64decode(r["frame"])) for r in rows]


CASES = _cases()
IDS = [case.object["kind"] for case in CASES]
POD = CASES[IDS.index("Pod")]


def without_nulls(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: without_nulls(value) for key, value in tree.items() if value is not None}
    return [without_nulls(value) for value in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_an_object_is_written_as_go_writes_it(case: Case) -> None:
    assert protobuf.encode(case.object, case.gvk) == case.body
    assert protobuf.encode(case.object) == case.body


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_body_reads_as_the_json_that_go_prints(case: Case) -> None:
    found = protobuf.decode(case.body)
    if case.object["kind"] == "CustomResourceDefinition":  # an enum's null is a value, not a field that is not set
        enum = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["e"]
        assert enum["enum"].pop() == {"b": [1, None]}
        assert enum["enum"] == ["a"]
        enum["enum"].append(without_nulls({"b": [1, None]}))
        # Go prints null for a list that is always there, mkube an empty one.
        assert [found["status"].pop(key) for key in ("conditions", "storedVersions")] == [[], []]
    assert found == without_nulls(case.object)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_watch_frame_is_the_one_go_writes(case: Case) -> None:
    assert protobuf.watch_frame("MODIFIED", case.body) == case.frame


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_read_can_be_written_again(case: Case) -> None:
    assert protobuf.encode(protobuf.decode(case.body)) == case.body


def test_a_list_is_made_of_its_items_messages() -> None:
    case = CASES[IDS.index("ConfigMapList")]
    items = [protobuf.encode_message(item, GVK("", "v1", "ConfigMap")) for item in case.object["items"]]
    body = protobuf.ListBody(case.object["metadata"], case.gvk)
    for item in items:
        body.add(item)
    assert b"".join(body.pieces()) == case.body


def test_fields_that_are_not_known_are_passed_over() -> None:
    unknown = b"\xf8\x07\x05" + b"\xfa\x07\x03abc" + b"\xf9\x07" + bytes(8) + b"\xfd\x07" + bytes(4)
    body = protobuf.encode({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})
    message = protobuf.encode_message({"metadata": {"name": "a"}}, GVK("", "v1", "Namespace"))
    longer = body.replace(
        bytes((0x12, len(message))) + message, bytes((0x12, len(message) + len(unknown))) + message + unknown
    )
    assert len(longer) == len(body) + len(unknown)
    assert protobuf.decode(longer) == protobuf.decode(body)


def test_packed_numbers_are_read_like_single_ones() -> None:
    gvk = GVK("", "v1", "Pod")
    single = protobuf.encode({"spec": {"securityContext": {"supplementalGroups": [1, 300]}}}, gvk)
    assert single.count(b"\x20\x01\x20\xac\x02") == 1
    packed = single.replace(b"\x20\x01\x20\xac\x02", b"\x22\x03\x01\xac\x02")
    assert protobuf.decode(packed)["spec"]["securityContext"] == {"supplementalGroups": [1, 300]}


def test_json_inside_the_envelope_is_json() -> None:
    text = b'{"apiVersion":"v1","kind":"Pod"}'
    body = b"k8s\0\x12" + bytes((len(text),)) + text + b"\x22\x10application/json"
    assert protobuf.decode(body) == {"apiVersion": "v1", "kind": "Pod"}


def test_an_embedded_object_may_be_a_body_of_its_own() -> None:
    inner = protobuf.encode({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    raw = b"\x0a" + bytes((len(inner),)) + inner
    listed = b"\x12" + bytes((len(raw),)) + raw
    body = b"k8s\0\x0a\x0a\x0a\x02v1\x12\x04List\x12" + bytes((len(listed),)) + listed
    assert protobuf.decode(body)["items"] == [protobuf.decode(inner)]


@pytest.mark.parametrize("kind", ["Foo", ""])
def test_a_kind_without_a_message_is_refused(kind: str) -> None:
    with pytest.raises(NotEncodable):
        protobuf.encode({"apiVersion": "example.com/v1", "kind": kind})


@pytest.mark.parametrize(
    "obj",
    [
        {"kind": "Secret", "data": {"a": "not base64!"}},
        {"kind": "Pod", "metadata": {"creationTimestamp": "yesterday"}},
        {"kind": "Pod", "spec": "text"},
        {"kind": "Pod", "spec": {"priority": "high"}},
    ],
)
def test_an_object_that_does_not_fit_is_refused(obj: dict[str, Any]) -> None:
    with pytest.raises(ProtobufError):
        protobuf.encode({"apiVersion": "v1", **obj})


def test_a_body_without_the_magic_is_refused_in_kubernetes_words() -> None:
    with pytest.raises(ProtobufError, match=r"expected prefix \[107 56 115 0\]"):
        protobuf.decode(b'{"kind":"Pod"}')


def test_a_body_that_is_cut_off_or_garbled_never_ends_in_another_error() -> None:
    for end in range(4, len(POD.body)):
        try:
            protobuf.decode(POD.body[:end])
        except ProtobufError:
            continue
    for position in range(4, len(POD.body)):
        for byte in (0x00, 0x7F, 0xFF):
            try:
                protobuf.decode(POD.body[:position] + bytes((byte,)) + POD.body[position + 1 :])
            except ProtobufError:
                continue


def test_depth_is_bounded() -> None:
    message = b""
    for _ in range(3000):  # JSONSchemaProps.not in itself
        length = len(message)
        message = (
            b"\xe2\x01"
            + struct.pack("<B", length & 127 | 128)
            + struct.pack("<BB", length >> 7 & 127 | 128, length >> 14)
            + message
        )
    schema = b"\x0a" + _delimited(message)
    spec = b"\x3a" + _delimited(b"\x0a\x00\x22" + _delimited(schema))
    body = b"k8s\0\x0a" + _delimited(b"\x0a\x17apiextensions.k8s.io/v1\x12\x18CustomResourceDefinition")
    with pytest.raises(ProtobufError, match="recursion"):
        protobuf.decode(body + b"\x12" + _delimited(b"\x12" + _delimited(spec)))


def _delimited(payload: bytes) -> bytes:
    length, prefix = len(payload), bytearray()
    while length >= 128:
        prefix.append(length & 127 | 128)
        length >>= 7
    return bytes((*prefix, length)) + payload


def test_free_json_is_escaped_as_go_escapes_it() -> None:
    """Clients compare what a ControllerRevision holds with their own encoding, byte by byte."""
    revision = {
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"},
        "data": {"args": ["a && b", "<c>", "\u2028é"]}, "revision": 1,
    }  # fmt: skip
    body = protobuf.encode(revision, GVK("apps", "v1", "ControllerRevision"))
    assert b'{"args":["a \\u0026\\u0026 b","\\u003cc\\u003e","\\u2028' + "é".encode() + b'"]}' in body
    assert protobuf.decode(body)["data"] == revision["data"]


def test_times_of_the_first_years_have_four_digits() -> None:
    """Kubernetes' own test of Leases counts from Go's zero time."""
    lease = {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "l", "creationTimestamp": "0007-01-01T00:00:05Z"},
        "spec": {"acquireTime": "0001-01-01T00:00:02.000000Z", "renewTime": "0123-01-01T00:00:05.000000Z"},
    }  # fmt: skip
    decoded = protobuf.decode(protobuf.encode(lease, GVK("coordination.k8s.io", "v1", "Lease")))
    assert decoded["spec"] == lease["spec"]
    assert decoded["metadata"]["creationTimestamp"] == "0007-01-01T00:00:05Z"
