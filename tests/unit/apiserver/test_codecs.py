"""Bodies: JSON, YAML, how deep, what stands twice; and which format an Accept header gets."""

import pytest

from minikube_py.apiserver.codecs import PLAIN, Format, TextBody, encode, encode_parts, negotiate
from minikube_py.objects.errors import ApiError, BadRequest, NotAcceptable, UnsupportedMediaType

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def yaml_tree(text: str) -> object:
    return TextBody(text.encode(), "application/yaml").tree()


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    text = "{a: yes, b: 0644, c: 2020-01-01, d: 80:30, e: '1', 1: x, f: 1e3, g: 0x10, h: ~, i: 1.5}"
    expected = {
        "a": True, "b": 420, "c": "2020-01-01", "d": "80:30", "e": "1", "1": "x", "f": 1000, "g": 16, "h": None,
        "i": 1.5,
    }  # fmt: skip
    assert yaml_tree("# a comment\n" + text) == expected


@pytest.mark.parametrize("text", ["a: &x [1]\nb: *x", "a: !!python/object:os.system {}", "a: [", "? [a]\n: b"])
def test_yaml_that_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        yaml_tree(text)


def test_duplicates_are_found() -> None:
    body = TextBody(b'{"a": {"b": 1, "b": 2}, "c": [{"d": 1, "d": 1}]}', "application/json")
    assert body.tree()["a"] == {"b": 2}
    assert body.duplicates() == ["a.b", "c[0].d"]
    assert TextBody(b'{"a":{"b":1},"c":{"b":1}}', "application/json").duplicates() == []
    document = TextBody(b"a: 1\nb:\n  c: 1\n  c: 2\n", "application/yaml")
    document.tree()
    assert document.duplicates() == ['line 4: key "c" already set in map']


def test_complaints_come_in_the_order_of_the_text() -> None:
    body = TextBody(b'{"x": 1, "a": {"b": 1, "b": 2, "c": {"d": 1, "d": 2}}, "x": 3}', "application/json")
    assert body.complaints(["x", "a.c"]) == ['unknown field "x"', 'duplicate field "a.b"', 'unknown field "a.c"']
    assert TextBody(b'{"x":1}', "application/json").complaints(["x"]) == ['unknown field "x"']


def test_json_that_is_sent_as_yaml_is_judged_as_yaml() -> None:
    body = TextBody(b'{"a": 1,\n "a": 2}', "application/apply-patch+yaml")
    body.tree()
    assert body.duplicates() == ['line 2: key "a" already set in map']


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_depth_is_bounded() -> None:
    assert TextBody(nested(99), "application/json").tree()
    wide = b"[" + b",".join([b'{"a":"}{[["}'] * 300) + b"]"
    assert len(TextBody(wide, "application/json").tree()) == 300
    for text in (nested(101), b"[" * 900 + b"]" * 900, b"[" * 5000 + b"]" * 5000):
        with pytest.raises(ApiError) as refused:
            TextBody(text, "application/json").tree()
        assert refused.value.code == 400


def test_bodies_that_are_no_json() -> None:
    for text in (b"{", b"\xff\xfe", b"{'a':1}"):
        with pytest.raises(BadRequest):
            TextBody(text, "application/json").tree()
    with pytest.raises(UnsupportedMediaType):
        TextBody(b"x", "image/png").tree()


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        (f"{TABLE},application/json", Format("application/json", "Table")),
        ("application/json;as=Thing;v=v1;g=meta.k8s.io,application/json", PLAIN),
        ("application/yaml", Format("application/yaml")),
        ("text/html;q=0.9,application/yaml;q=0.5,*/*;q=0.1", Format("application/yaml")),
        ("application/vnd.kubernetes.protobuf,application/json", Format("application/vnd.kubernetes.protobuf")),
    ],
)
def test_formats(accept: str, expected: Format) -> None:
    assert negotiate(accept) == expected


def test_formats_that_nobody_writes() -> None:
    assert negotiate("application/vnd.kubernetes.protobuf,application/json", has_protobuf=False) == PLAIN
    for accept, is_transformable in (("text/html", True), (TABLE, False)):
        with pytest.raises(NotAcceptable, match="only the following media types are accepted: application/json"):
            negotiate(accept, is_transformable=is_transformable)


@pytest.mark.parametrize("form", [PLAIN, Format(is_pretty=True), Format("application/yaml")], ids=str)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_in_parts_is_the_list(form: Format, count: int) -> None:
    head = {"kind": "List", "metadata": {"x": ["]"]}, "items": []}
    items = [{"a": "x\ny ]", "b": [], "c": {"d": [1, 2]}} for _ in range(count)]
    text = b"".join(encode_parts(head, "items", items, form))
    whole = {**head, "items": items}
    if form.media_type == "application/yaml":
        assert TextBody(text, "application/yaml").tree() == whole
    else:
        assert text == encode({"kind": "List", "metadata": {"x": ["]"]}, "items": items}, form)


def test_yaml_that_nobody_would_read_is_json() -> None:
    large = {"a": ["x" * 100] * 1000}
    text = encode(large, Format("application/yaml"))
    assert text.startswith(b'{"a"')
    assert TextBody(text, "application/yaml").tree() == large
