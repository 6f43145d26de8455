"""What is written down of webhook calls: audit annotations and metrics, under Kubernetes' names."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from minikube_py.apiserver.audit.auditor import Auditor
from minikube_py.apiserver.audit.policy import parse_policy
from minikube_py.objects.errors import Object
from tests.support.cluster import https_cluster
from tests.support.http_calls import HttpCalls, http_calls
from tests.support.prometheus import Metrics, parse
from tests.support.webhook_server import WebhookServer, allow, deny, patch, webhook_server

MAPS = "/api/v1/namespaces/default/configmaps"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
GONE = {"url": "https://127.0.0.1:1/gone"}
ADDED = [{"op": "add", "path": "/data/b", "value": "2"}]
MUTATION, PATCH = "mutation.webhook.admission.k8s.io/", "patch.webhook.admission.k8s.io/"


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[WebhookServer]:
    async with webhook_server(tmp_path) as server:
        yield server


def webhook(name: str, config: Object, **more: Any) -> Object:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    return {
        "name": name, "clientConfig": config, "rules": [rule], "sideEffects": "None", "admissionReviewVersions": ["v1"],
        **more,
    }  # fmt: skip


async def install(http: HttpCalls, kind: str, *webhooks: Object) -> None:
    path = f"{CONFIGURATIONS}/{kind}webhookconfigurations"
    assert (await http("POST", path, {"metadata": {"name": "config"}, "webhooks": list(webhooks)})).code == 201


async def metrics_of(http: HttpCalls) -> Metrics:
    """The parser of the tests gives every counter a name with _total."""
    text = (await http("GET", "/metrics")).body.decode()
    assert "\n# TYPE apiserver_admission_webhook_rejection_count counter\n" in text
    return parse(text)


@pytest.mark.parametrize("level", ["Metadata", "Request"])
async def test_audit_annotations_of_mutating_webhooks(tmp_path: Path, hooks: WebhookServer, level: str) -> None:
    log: list[Object] = []
    policy = parse_policy({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": level}]})
    auditor = Auditor(policy, lambda line: log.append(orjson.loads(line)))
    hooks.handlers["/patch"], hooks.handlers["/nothing"] = (lambda r: patch(*ADDED)), (lambda r: allow())
    async with https_cluster(tmp_path, auditor=auditor) as cluster, http_calls(cluster) as http:
        await install(
            http, "mutating", webhook("a.test.io", hooks.config("/patch")),
            webhook("b.test.io", hooks.config("/nothing")),
            webhook("c.test.io", GONE, failurePolicy="Ignore"),
        )  # fmt: skip
        await install(http, "validating", webhook("d.test.io", GONE, failurePolicy="Ignore"))
        log.clear()
        assert (await http("POST", MAPS, {"metadata": {"name": "m"}, "data": {"a": "1"}})).json["data"]["b"] == "2"
        annotations = next(e["annotations"] for e in log if e["stage"] == "ResponseComplete")
    told = {key: value for key, value in annotations.items() if "webhook" in key}

    def about(name: str, **more: Any) -> Object:
        return {"configuration": "config", "webhook": name, **more}

    patched = told.pop(f"{PATCH}round_0_index_0", None)
    if level == "Request":
        assert orjson.loads(patched) == about("a.test.io", patch=ADDED, patchType="JSONPatch")
    else:
        assert patched is None
    assert told.pop(f"failed-open.{MUTATION}round_0_index_2") == "c.test.io"
    assert told.pop("failed-open.validating.webhook.admission.k8s.io/round_0_index_0") == "d.test.io"
    assert {key: orjson.loads(value) for key, value in told.items()} == {
        f"{MUTATION}round_0_index_0": about("a.test.io", mutated=True),
        f"{MUTATION}round_0_index_1": about("b.test.io", mutated=False),
        f"{MUTATION}round_0_index_2": about("c.test.io", mutated=False),
    }


async def test_a_webhook_can_not_break_the_managers(tmp_path: Path, hooks: WebhookServer) -> None:
    managers = "/metadata/managedFields"
    hooks.handlers["/break"] = lambda r: patch({"op": "replace", "path": f"{managers}/0/operation", "value": "Sing"})
    hooks.handlers["/own"] = lambda r: patch({"op": "replace", "path": f"{managers}/0/manager", "value": "hook"})
    async with https_cluster(tmp_path) as cluster, http_calls(cluster) as http:
        await install(http, "mutating", webhook("a.test.io", hooks.config("/break")))
        made = await http("POST", MAPS, {"metadata": {"name": "m"}, "data": {"a": "1"}})
        assert ".metadata.managedFields was in an invalid state after admission" in made.headers["Warning"]
        assert [entry["manager"] for entry in made.json["metadata"]["managedFields"]] == ["tests"]
        change = [{"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": hooks.config("/own")["url"]}]
        headers = {"Content-Type": "application/json-patch+json"}
        await http("PATCH", f"{CONFIGURATIONS}/mutatingwebhookconfigurations/config", change, headers=headers)
        made = await http("POST", MAPS, {"metadata": {"name": "n"}, "data": {"a": "1"}})
        assert "Warning" not in made.headers
        assert [entry["manager"] for entry in made.json["metadata"]["managedFields"]] == ["hook"]


async def test_metrics_of_admission(tmp_path: Path, hooks: WebhookServer) -> None:
    hooks.handlers["/check"] = lambda r: deny("no") if "bad" in r["object"]["data"] else allow()
    conditions = [{"name": "wanted", "expression": "object.metadata.name != 'left-out'"}]
    async with https_cluster(tmp_path) as cluster, http_calls(cluster) as http:
        await install(http, "mutating", webhook("open.test.io", GONE, failurePolicy="Ignore"))
        await install(
            http, "validating", webhook("check.test.io", hooks.config("/check"), matchConditions=conditions)
        )  # fmt: skip
        before = await metrics_of(http)
        for name, key, code in (("a", "good", 201), ("b", "bad", 400), ("left-out", "bad", 201)):
            assert (await http("POST", MAPS, {"metadata": {"name": name}, "data": {key: ""}})).code == code
        metrics = await metrics_of(http)

    def count(name: str, /, **labels: str) -> float:
        return metrics.total(f"apiserver_admission_{name}", **labels)

    check = {"name": "check.test.io", "type": "validating", "operation": "CREATE"}
    assert count("webhook_request_total", **check, code="200", rejected="false") == 1
    assert count("webhook_request_total", **check, code="400", rejected="true") == 1
    assert count("webhook_admission_duration_seconds_count", **check) == 2
    assert count("webhook_rejection_count_total", **check, error_type="no_error", rejection_code="400") == 1
    assert count("webhook_fail_open_count_total", name="open.test.io", type="admit") == 3
    assert count("webhook_request_total", name="open.test.io", code="503", rejected="false") == 3
    assert count("match_condition_exclusions_total", name="check.test.io", kind="webhook") == 1
    assert count("match_condition_evaluation_seconds_count", name="check.test.io") == 3
    for name, labels in (
        ("controller_admission_duration_seconds_count", {"name": "ValidatingAdmissionWebhook"}),
        ("step_admission_duration_seconds_count", {}),
    ):
        place = {**labels, "type": "validate", "operation": "CREATE"}
        seen = before.total(f"apiserver_admission_{name}", **place, rejected="false")
        assert count(name, **place, rejected="false") - seen == 2
        assert count(name, **place, rejected="true") == 1
    assert count("step_admission_duration_seconds_count", type="admit", operation="CREATE") >= 3


async def test_a_call_that_fails_closed_is_a_rejection(tmp_path: Path) -> None:
    async with https_cluster(tmp_path) as cluster, http_calls(cluster) as http:
        await install(http, "validating", webhook("gone.test.io", GONE))
        await asyncio.gather(*(http("POST", MAPS, {"metadata": {"name": name}}) for name in "ab"))
        metrics = await metrics_of(http)
    place = {"name": "gone.test.io", "type": "validating", "error_type": "calling_webhook_error"}
    assert metrics.value("apiserver_admission_webhook_rejection_count_total", **place, rejection_code="503") == 2
