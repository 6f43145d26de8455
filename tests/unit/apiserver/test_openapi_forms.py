"""Which form of a document a client gets, when it is told to keep its own, and how custom schemas look in version 2."""

from typing import Any

import pytest

from minikube_py.apiserver import openapi_protobuf
from minikube_py.apiserver.conditional import choose
from minikube_py.apiserver.openapi_schemas import plain_v2
from minikube_py.objects.errors import NotAcceptable
from tests.support.http_calls import HttpCalls

OFFERED = ("application/json", *openapi_protobuf.ACCEPTED)
PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", OFFERED[0]),
        ("*/*", OFFERED[0]),
        ("application/*;q=0.5", OFFERED[0]),
        (PROTOBUF, PROTOBUF),
        (f"application/json;q=0.1, {PROTOBUF}", PROTOBUF),
        ("text/html, application/json", OFFERED[0]),
    ],
)
def test_the_form_that_the_client_likes_best(accept: str, chosen: str) -> None:
    assert choose(accept, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/json;q=x"])
def test_no_form_that_the_client_takes(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        choose(accept, OFFERED)


async def test_version_2_in_both_forms_with_one_tag(http: HttpCalls) -> None:
    plain = await http("GET", "/openapi/v2")
    encoded = await http("GET", "/openapi/v2", headers={"Accept": PROTOBUF})
    assert encoded.headers["Content-Type"] == openapi_protobuf.MEDIA_TYPE
    assert encoded.headers["ETag"] == plain.headers["ETag"]
    assert encoded.body.startswith(b"\x0a\x032.0\x12")
    for kept in (plain.headers["ETag"], f'"other", W/{plain.headers["ETag"]}', "*"):
        again = await http("GET", "/openapi/v2", headers={"Accept": PROTOBUF, "If-None-Match": kept})
        assert (again.code, again.body) == (304, b"")
    assert (await http("GET", "/openapi/v2", headers={"If-None-Match": '"other"'})).code == 200
    assert (await http("GET", "/openapi/v2", headers={"Accept": "text/html"})).code == 406


async def test_an_old_hash_leads_to_the_new_one(http: HttpCalls) -> None:
    paths = (await http("GET", "/openapi/v3")).json["paths"]
    url = paths["api/v1"]["serverRelativeURL"]
    assert (await http("GET", url)).headers["Cache-Control"] == "public, immutable"
    moved = await http("GET", "/openapi/v3/api/v1?hash=OLD")
    assert (moved.code, moved.headers["Location"]) == (301, url)


OPEN = "x-kubernetes-preserve-unknown-fields"
TEXT: dict[str, Any] = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        ({"type": "object", OPEN: True, "properties": {"a": TEXT}}, {"type": "object"}),
        (
            {"type": "object", "properties": {"a": {**TEXT, "nullable": True}}},
            {"type": "object", "properties": {"a": {}}},
        ),
        (
            {"type": "object", "required": ["a", "b"], "properties": {"a": {**TEXT, "nullable": True}, "b": TEXT}},
            {"type": "object", "required": ["b"], "properties": {"a": {}, "b": TEXT}},
        ),
        (
            {"type": "object", "properties": {"a": {"type": "object", OPEN: True, "properties": {"b": TEXT}}}},
            {"type": "object", "properties": {"a": {OPEN: True}}},
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array", OPEN: True, "items": TEXT}}},
            {"type": "object", "properties": {"a": {OPEN: True}}},
        ),
        (
            {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True, "anyOf": [TEXT]}},
            {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
        ),
        ({"type": "array", "items": {"oneOf": [TEXT], "not": TEXT}}, {"type": "array", "items": {}}),
    ],
)
def test_custom_schemas_in_version_2(schema: dict[str, Any], plain: dict[str, Any]) -> None:
    assert plain_v2(schema) == plain
