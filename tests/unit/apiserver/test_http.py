"""The listener: who is let in, what is refused before anything is done, and how answers look on the wire."""

import pytest

from minikube_py.resources.kind import GVR
from tests.support.http_calls import HttpCalls

PROTOBUF = "application/vnd.kubernetes.protobuf"
_MAPS = GVR("", "v1", "configmaps")
MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": data}


async def test_nobody_gets_in_without_a_credential(http: HttpCalls) -> None:
    refused = await http("GET", MAPS, token="")
    assert (refused.code, refused.json["reason"], refused.message) == (401, "Unauthorized", "Unauthorized")
    assert "WWW-Authenticate" in refused.headers
    assert (await http("GET", MAPS, token="wrong")).code == 401
    for path in ("/livez", "/readyz", "/version"):
        assert (await http("GET", path, token="")).code == 200
    for path in ("/healthz", "/api", "/openapi/v2", "/readyz/ping", "/metrics"):
        assert (await http("GET", path, token="")).code == 401


async def test_other_host_names_and_origins_are_refused(http: HttpCalls) -> None:
    assert (await http("GET", "/version", headers={"Host": "evil.example"})).code == 403
    for name in ("localhost:1", "[::1]:6443", "10.0.0.1", "kubernetes.default.svc.cluster.local", "Kubernetes.Default"):
        assert (await http("GET", "/version", headers={"Host": name})).code == 200, name
    assert (await http("GET", "/version", headers={"Host": "kubernetes.default.svc.evil.example"})).code == 403
    assert (await http("GET", "/version", headers={"Origin": "https://evil.example"})).code == 403
    assert (await http("GET", "/version", headers={"Origin": "null"})).code == 403
    own = http.cluster.url.removeprefix("https://")
    assert (await http("GET", "/version", headers={"Origin": f"https://{own}", "Host": own})).code == 200


async def test_large_and_foreign_bodies_are_refused(http: HttpCalls) -> None:
    large = await http("POST", MAPS, b'{"data":"' + b"x" * (3 * 1024 * 1024) + b'"}')
    assert (large.code, large.json["reason"]) == (413, "RequestEntityTooLarge")
    foreign = await http("POST", MAPS, b"<a/>", headers={"Content-Type": "text/xml"})
    assert (foreign.code, foreign.json["reason"]) == (415, "UnsupportedMediaType")
    unread = await http("GET", MAPS, headers={"Accept": "text/html"})
    assert (unread.code, unread.json["reason"]) == (406, "NotAcceptable")


async def test_bodies_of_other_kinds_and_places_are_refused(http: HttpCalls) -> None:
    other = await http("POST", MAPS, {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "a"}})
    assert other.message == "the API version in the data (v2) does not match the expected API version (v1)"
    elsewhere = await http("POST", MAPS, {"metadata": {"name": "a", "namespace": "kube-system"}})
    assert elsewhere.message == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )
    named = await http("PUT", f"{MAPS}/a", {"metadata": {"name": "b"}})
    assert named.message == "the name of the object (b) does not match the name on the URL (a)"
    assert (await http("POST", MAPS, {"metadata": {"name": "a", "resourceVersion": "5"}})).message == (
        "resourceVersion should not be set on objects to be created"
    )


async def test_unknown_paths_and_methods(http: HttpCalls) -> None:
    for path in ("/nowhere", "/api/v1/things", "/apis/none/v1/things", "/apis/none", "/api/v1/nodes/n/things"):
        answer = await http("GET", path)
        assert (answer.code, answer.message) == (404, "the server could not find the requested resource"), path
    wrong = await http("DELETE", "/api/v1/namespaces")
    assert (wrong.code, wrong.json["reason"]) == (405, "MethodNotAllowed")


async def test_codes_of_writes(http: HttpCalls) -> None:
    assert (await http("POST", MAPS, config_map("a", x="1"))).code == 201
    assert (await http("PUT", f"{MAPS}/a", config_map("a", x="2"))).code == 200
    gone = await http("DELETE", f"{MAPS}/a")
    assert gone.code == 200
    assert gone.json["status"] == "Success"
    assert gone.json["details"]["kind"] == "configmaps"


async def test_field_validation(http: HttpCalls) -> None:
    text = b'{"metadata":{"name":"a"},"data":{"x":"1","x":"2"},"extra":1}'
    strict = await http("POST", f"{MAPS}?fieldValidation=Strict", text)
    assert strict.code == 400
    assert strict.message == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'duplicate field "data.x", unknown field "extra"'
    )
    ignored = await http("POST", f"{MAPS}?fieldValidation=Ignore&dryRun=All", text)
    assert "Warning" not in ignored.headers
    warned = await http("POST", MAPS, text)
    assert warned.code == 201
    assert warned.json["data"] == {"x": "2"}
    assert warned.headers.getall("Warning") == [  # type: ignore[attr-defined]
        '299 - "duplicate field \\"data.x\\""',
        '299 - "unknown field \\"extra\\""',
    ]


async def test_yaml_in_and_out(http: HttpCalls) -> None:
    text = b"metadata: {name: a}\ndata: {x: '1'}\n"
    headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
    made = await http("POST", MAPS, text, headers=headers)
    assert made.code == 201
    assert made.headers["Content-Type"] == "application/yaml"
    assert b"\ndata:\n  x: '1'\n" in b"\n" + made.body


async def test_people_get_indented_json(http: HttpCalls) -> None:
    assert b"\n  " in (await http("GET", "/api/v1/namespaces/default?pretty=true")).body
    assert b"\n  " in (await http("GET", "/api/v1/namespaces/default", headers={"User-Agent": "curl/8"})).body
    assert b"\n  " not in (await http("GET", "/api/v1/namespaces/default")).body


async def test_protobuf_for_built_in_kinds(http: HttpCalls) -> None:
    both = {"Accept": "application/vnd.kubernetes.protobuf,application/json"}
    answer = await http("GET", "/api/v1/namespaces/default", headers=both)
    assert answer.headers["Content-Type"] == "application/vnd.kubernetes.protobuf"
    assert answer.body.startswith(b"k8s\0")
    again = await http("POST", "/api/v1/namespaces?dryRun=All", answer.body, headers={"Content-Type": PROTOBUF})
    assert again.code in (400, 409)
    assert (await http("GET", "/api/v1/namespaces", headers=both)).body.startswith(b"k8s\0")


async def test_health_tells_what_it_checked(http: HttpCalls) -> None:
    assert (await http("GET", "/readyz")).body == b"ok"
    verbose = await http("GET", "/readyz?verbose")
    assert verbose.body.decode().splitlines() == ["[+]ping ok", "readyz check passed"]
    http.cluster.api.health.add("store", lambda: "broken")
    failed = await http("GET", "/readyz")
    assert failed.code == 500
    assert b"[-]store failed: reason withheld" in failed.body
    assert (await http("GET", "/readyz?exclude=store")).code == 200
    assert (await http("GET", "/readyz/ping")).code == 200
    assert (await http("GET", "/readyz/none")).code == 404


async def test_long_lists_are_compressed_for_others_only(http: HttpCalls) -> None:
    for index in range(300):
        await http.cluster.client().create(
            _MAPS, {"metadata": {"name": f"m{index}", "namespace": "default"}, "data": {"x": "y" * 600}}
        )
    near = await http("GET", MAPS, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in near.headers
    assert len(near.json["items"]) == 300


async def test_too_many_requests_of_one_user(http: HttpCalls) -> None:
    pipeline = http.cluster.api.pipeline
    pipeline.max_inflight = 0
    refused = await http("GET", MAPS)
    pipeline.max_inflight = 400
    assert (refused.code, refused.headers["Retry-After"]) == (429, "1")
    assert (await http("GET", MAPS)).code == 200
    assert not pipeline.inflight


async def test_a_failure_inside_is_a_status(http: HttpCalls, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        name = "Broken"

        async def mutate(self, request: object) -> None:
            raise RuntimeError("a bug")

        async def validate(self, request: object) -> None:
            return None

    http.cluster.api.context.admission = (Broken(),)
    answer = await http("POST", MAPS, config_map("a"))
    assert (answer.code, answer.json["reason"]) == (500, "InternalError")
    assert "a bug" in caplog.text


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def test_deprecated_versions_warn_on_every_request(http: HttpCalls) -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    versions = [
        {"name": "v2", "served": True, "storage": True, "schema": schema},
        {"name": "v1", "served": True, "storage": False, "schema": schema, "deprecated": True},
        {
            "name": "v1beta1",
            "served": True,
            "storage": False,
            "schema": schema,
            "deprecated": True,
            "deprecationWarning": "use v2",
        },
    ]
    names = {"plural": "lamps", "kind": "Lamp"}
    spec = {"group": "old.example.com", "names": names, "scope": "Cluster", "versions": versions}
    async with http.events(f"{DEFINITIONS}?watch=true&resourceVersion=0") as events:
        await http("POST", DEFINITIONS, {"metadata": {"name": "lamps.old.example.com"}, "spec": spec})
        async for event in events:
            conditions = event["object"].get("status", {}).get("conditions") or []
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                break
    for version, warning in (("v2", None), ("v1", "old.example.com/v1 Lamp is deprecated"), ("v1beta1", "use v2")):
        path = f"/apis/old.example.com/{version}/lamps"
        for reply in (await http("GET", path), await http("POST", f"{path}?dryRun=All", {"metadata": {"name": "l"}})):
            assert reply.code in (200, 201)
            assert reply.headers.get("Warning") == (f'299 - "{warning}"' if warning else None)
    endpoints = await http("GET", "/api/v1/namespaces/default/endpoints")
    assert "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice" in endpoints.headers["Warning"]
