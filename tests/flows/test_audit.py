"""The audit log of a whole server: what is written of which request, at which stage and level."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from minikube_py.apiserver import protobuf
from minikube_py.apiserver.audit.auditor import Auditor
from minikube_py.apiserver.audit.policy import parse_policy
from minikube_py.client.protocol import PatchType
from minikube_py.objects.errors import NotFound, Object
from minikube_py.resources.kind import GVR
from tests.support.cluster import https_cluster
from tests.support.http_calls import HttpCalls, http_calls

MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAPS = GVR("", "v1", "configmaps")
REASON = "authorization.k8s.io/reason"


class Log(list[Object]):
    def __init__(self) -> None:
        super().__init__()
        self.arrived = asyncio.Event()

    def write(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        self.append(orjson.loads(line))
        self.arrived.set()

    def of(self, uri: str) -> list[Object]:
        return [event for event in self if event["requestURI"] == uri]

    async def until(self, uri: str, count: int) -> None:
        """Until so many events of a request are there."""
        while len(self.of(uri)) < count:
            self.arrived.clear()
            await self.arrived.wait()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@asynccontextmanager
async def audited(directory: Path, *rules: dict[str, Any], **policy: Any) -> AsyncIterator[tuple[HttpCalls, Log]]:
    log = Log()
    tree = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **policy}
    auditor = Auditor(parse_policy(tree), log.write)
    async with https_cluster(directory, auditor=auditor) as cluster, http_calls(cluster) as http:
        log.clear()
        yield http, log


async def test_metadata_of_a_create(directory: Path) -> None:
    async with audited(directory, {"level": "Metadata"}) as (http, log):
        reply = await http("POST", f"{MAPS}?fieldManager=me", {"metadata": {"name": "a"}})
        received, complete = log.of(f"{MAPS}?fieldManager=me")
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert received["stageTimestamp"] == received["requestReceivedTimestamp"]
    assert "responseStatus" not in received
    assert reply.headers["Audit-Id"] == received["auditID"] == complete["auditID"]
    for key in ("requestReceivedTimestamp", "stageTimestamp", "auditID"):
        del complete[key]
    reason = complete.pop("annotations")
    user = complete.pop("user")
    assert complete == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "stage": "ResponseComplete",
        "requestURI": f"{MAPS}?fieldManager=me",
        "verb": "create",
        "sourceIPs": ["127.0.0.1"],
        "userAgent": "tests/1",
        "objectRef": {"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
    }
    assert reason == {"authorization.k8s.io/decision": "allow", REASON: ""}
    assert user["username"] == "system:admin"
    assert "system:masters" in user["groups"]


async def test_levels_decide_about_bodies_and_secrets_may_be_kept_out(directory: Path) -> None:
    rules = (
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets", "serviceaccounts/token"]}]},
        {"level": "Request", "verbs": ["update", "patch"]},
        {"level": "RequestResponse", "omitManagedFields": True, "omitStages": ["RequestReceived"]},
    )
    async with audited(directory, *rules) as (http, log):
        secrets = "/api/v1/namespaces/default/secrets"
        value = base64.b64encode(b"hidden").decode()
        await http("POST", secrets, {"metadata": {"name": "s"}, "data": {"k": value}})
        await http("GET", f"{secrets}/s")
        tokens = "/api/v1/namespaces/default/serviceaccounts/default/token"
        issued = await http("POST", tokens, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"})
        text = orjson.dumps(log)
        assert value.encode() not in text
        assert issued.json["status"]["token"].encode() not in text
        assert log.of(tokens)[-1]["annotations"]["authentication.kubernetes.io/issued-credential-id"].startswith("JTI=")
        await http("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "1"}})
        (created,) = log.of(MAPS)
        assert created["requestObject"] == {"metadata": {"name": "a"}, "data": {"k": "1"}}
        assert created["responseObject"]["data"] == {"k": "1"}
        assert "managedFields" not in created["responseObject"]["metadata"]
        patch = [{"op": "add", "path": "/data/k", "value": "2"}]
        await http("PATCH", f"{MAPS}/a", patch, headers={"Content-Type": "application/json-patch+json"})
        patched = log.of(f"{MAPS}/a")[-1]
        assert (patched["requestObject"], "responseObject" in patched) == (patch, False)
        await http("GET", MAPS, headers={"Accept": "application/vnd.kubernetes.protobuf"})
        listed = log.of(MAPS)[-1]["responseObject"]
        assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
        assert "managedFields" not in listed["items"][0]["metadata"]
        body = protobuf.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"k": "3"}})
        await http("POST", MAPS, body, headers={"Content-Type": "application/vnd.kubernetes.protobuf"})
        assert log.of(MAPS)[-1]["requestObject"]["data"] == {"k": "3"}
        plain = await http("GET", MAPS, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
        assert plain.json["rows"]
        rows = log.of(MAPS)[-1]["responseObject"]["rows"]
        assert [row["object"]["metadata"]["name"] for row in rows] == ["a", "b"]


async def test_refusals_and_failures_are_told(directory: Path) -> None:
    async with audited(directory, {"level": "Metadata"}) as (http, log):
        await http("GET", f"{MAPS}/missing")
        assert log.of(f"{MAPS}/missing")[-1]["responseStatus"] == {
            "metadata": {},
            "status": "Failure",
            "message": 'configmaps "missing" not found',
            "reason": "NotFound",
            "details": {"name": "missing", "kind": "configmaps"},
            "code": 404,
        }
        await http("POST", MAPS, b"{")
        assert log.of(MAPS)[-1]["responseStatus"]["code"] == 400
        headers = {"Impersonate-User": "bob", "Impersonate-Group": "devs"}
        await http("DELETE", f"{MAPS}/a", headers={**headers, "Audit-ID": "mine", "X-Forwarded-For": "10.1.2.3, x"})
        forbidden = log.of(f"{MAPS}/a")[-1]
        assert forbidden["user"]["username"] == "system:admin"
        assert forbidden["impersonatedUser"] == {"username": "bob", "groups": ["devs", "system:authenticated"]}
        assert forbidden["annotations"] == {"authorization.k8s.io/decision": "forbid", REASON: ""}
        assert (forbidden["responseStatus"]["code"], forbidden["auditID"]) == (403, "mine")
        assert forbidden["sourceIPs"] == ["10.1.2.3", "127.0.0.1"]
        for token, message in (
            ("wrong", "Authentication failed, attempted: bearer"),
            ("", "Authentication failed, no credentials provided"),
        ):
            log.clear()
            await http("GET", MAPS, token=token)
            (failed,) = log
            assert (failed["stage"], failed["user"]) == ("ResponseStarted", {"username": ""})
            assert failed["responseStatus"] == {"metadata": {}, "message": message, "code": 401}


async def test_watches_have_a_start_and_an_end(directory: Path) -> None:
    async with audited(directory, {"level": "RequestResponse"}) as (http, log):
        uri = f"{MAPS}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Da"
        async with http.events(uri) as events:
            await http("POST", MAPS, {"metadata": {"name": "a"}})
            assert (await anext(events))["type"] == "ADDED"
            assert [event["stage"] for event in log.of(uri)] == ["RequestReceived", "ResponseStarted"]
        await log.until(uri, 3)
        end = log.of(uri)[-1]
        assert (end["stage"], end["verb"], end["responseStatus"]["code"]) == ("ResponseComplete", "watch", 200)
        assert end["objectRef"]["name"] == "a"


async def test_a_client_that_goes_away_early_and_a_fault_of_the_server(directory: Path) -> None:
    async with audited(directory, {"level": "Metadata"}) as (http, log):
        began, broken = asyncio.Event(), "/broken"

        async def stuck(_request: object) -> Any:
            began.set()
            await asyncio.Event().wait()

        async def fails(_request: object) -> Any:
            raise KeyError("k")

        http.cluster.api.paths.add("/stuck", stuck)
        http.cluster.api.paths.add(broken, fails)
        call = asyncio.ensure_future(http("GET", "/stuck"))
        await began.wait()
        call.cancel()
        await log.until("/stuck", 2)
        assert log.of("/stuck")[-1]["responseStatus"]["message"] == "Connection closed early"
        assert (await http("GET", broken)).code == 500
        panic = log.of(broken)[-1]
        assert (panic["stage"], panic["responseStatus"]["reason"]) == ("Panic", "InternalError")
        assert "KeyError" in panic["responseStatus"]["message"]


async def test_plugins_annotate_and_parts_of_the_process_are_logged_too(directory: Path) -> None:
    async with audited(directory, {"level": "RequestResponse"}) as (http, log):
        labels = {"pod-security.kubernetes.io/audit": "restricted"}
        await http("POST", "/api/v1/namespaces", {"metadata": {"name": "strict", "labels": labels}})
        accounts = "/api/v1/namespaces/strict/serviceaccounts"
        await http("POST", accounts, {"metadata": {"name": "default"}})
        log.clear()
        pods = "/api/v1/namespaces/strict/pods"
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        assert (await http("POST", pods, pod)).code == 201
        annotations = log.of(pods)[-1]["annotations"]
        assert annotations["pod-security.kubernetes.io/enforce-policy"] == "privileged:latest"
        assert annotations["pod-security.kubernetes.io/audit-violations"].startswith("would violate PodSecurity")
        log.clear()
        client = http.cluster.client("system:mkube:test")
        await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "strict"}})
        await client.patch(CONFIG_MAPS, "a", {"data": {"k": "v"}}, "strict", patch_type=PatchType.MERGE)
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "none", "strict")
        await client.list(CONFIG_MAPS)
        await client.delete(CONFIG_MAPS, "a", "strict")
        await client.raw("GET", "/version")
        done = [event for event in log if event["stage"] == "ResponseComplete"]
        assert [(e["verb"], e["responseStatus"]["code"]) for e in done] == [
            ("create", 201),
            ("patch", 200),
            ("get", 404),
            ("list", 200),
            ("delete", 200),
            ("get", 200),
        ]
        assert done[1]["requestObject"] == {"data": {"k": "v"}}
        assert done[1]["responseObject"]["data"] == {"k": "v"}
        assert {e["user"]["username"] for e in done} == {"system:mkube:test"}
        assert done[0]["annotations"]["authorization.k8s.io/decision"] == "allow"


async def test_nothing_is_logged_that_no_rule_wants(directory: Path) -> None:
    async with audited(directory, {"level": "None"}) as (http, log):
        reply = await http("GET", MAPS)
        assert "Audit-Id" not in reply.headers
        assert not log
