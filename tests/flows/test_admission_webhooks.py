"""Admission webhooks over a running API server: what is sent to them, and what their answers do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from minikube_py.apiserver.local_client import LocalClient
from minikube_py.apiserver.streaming.proxied_http import SocketStream
from minikube_py.client.protocol import PatchType, Selection, WriteOptions
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import ApiError, Forbidden, InternalError, Invalid, Object
from minikube_py.resources.custom.definition import DEFINITIONS
from minikube_py.resources.kind import GVR
from tests.support.cluster import https_cluster
from tests.support.http_calls import http_calls
from tests.support.webhook_server import WebhookServer, allow, deny, patch, webhook_server

GROUP = "admissionregistration.k8s.io"
VALIDATING = GVR(GROUP, "v1", "validatingwebhookconfigurations")
MUTATING = GVR(GROUP, "v1", "mutatingwebhookconfigurations")
MAPS, PODS, NAMESPACES = GVR("", "v1", "configmaps"), GVR("", "v1", "pods"), GVR("", "v1", "namespaces")
SERVICES, SLICES = GVR("", "v1", "services"), GVR("discovery.k8s.io", "v1", "endpointslices")
TABS = GVR("stable.example.com", "v1", "crontabs")


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[WebhookServer]:
    async with webhook_server(tmp_path) as server:
        yield server


def rule(resource: str = "configmaps", group: str = "", *operations: str) -> Object:
    chosen = list(operations) or ["CREATE", "UPDATE"]
    return {"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": chosen}


def webhook(config: Object, name: str = "a.example.com", **more: Any) -> Object:
    hook = {
        "name": name,
        "clientConfig": config,
        "rules": [rule()],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {**hook, **more}


async def install(client: LocalClient, gvr: GVR, *webhooks: Object, name: str = "config") -> None:
    await client.create(gvr, {"metadata": {"name": name}, "webhooks": list(webhooks)})


def config_map(name: str = "m", **data: str) -> Object:
    return {"metadata": {"name": name}, "data": data}


async def established(client: LocalClient) -> None:
    async with asyncio.timeout(5):
        async for event in client.watch(DEFINITIONS, Selection()):
            if get_condition((event.object.get("status") or {}).get("conditions") or [], "Established"):
                return


async def test_a_webhook_refuses(client: LocalClient, hooks: WebhookServer) -> None:
    hooks.handlers["/check"] = lambda r: deny("no bad maps") if "bad" in r["object"]["data"] else allow()
    await install(client, VALIDATING, webhook(hooks.config("/check")))
    made = await client.create(MAPS, config_map(good="1"), "default")
    with pytest.raises(ApiError) as caught:
        await client.create(MAPS, config_map("n", bad="1"), "default")
    error = caught.value
    assert (error.code, error.message) == (400, 'admission webhook "a.example.com" denied the request: no bad maps')
    made["data"]["bad"] = "1"
    with pytest.raises(ApiError, match="no bad maps"):
        await client.update(MAPS, made)
    with pytest.raises(ApiError, match="no bad maps"):
        await client.patch(
            MAPS, "m", [{"op": "add", "path": "/data/bad", "value": ""}], "default", patch_type=PatchType.JSON
        )
    assert hooks.queries[0] == "timeout=10s"


async def test_connections_are_used_again(client: LocalClient, hooks: WebhookServer) -> None:
    hooks.handlers["/check"] = lambda r: allow()
    await install(client, VALIDATING, webhook(hooks.config("/check")))
    await client.create(MAPS, config_map("a"), "default")
    await client.create(MAPS, config_map("b"), "default")
    hooks.connections[0].close()  # as a server does that starts anew
    await client.create(MAPS, config_map("c"), "default")
    await asyncio.gather(*(client.create(MAPS, config_map(f"m{n}"), "default") for n in range(6)))
    first, second, third, *others = hooks.connections
    assert first is second
    assert second is not third
    assert third in others
    assert len(others) == 6


async def test_what_a_review_says(client: LocalClient, hooks: WebhookServer) -> None:
    hooks.handlers["/check"] = lambda r: allow()
    await install(client, VALIDATING, webhook(hooks.config("/check"), rules=[rule("configmaps", "", "*")]))
    await client.create(MAPS, config_map(a="1"), "default")
    await client.patch(MAPS, "m", {"data": {"a": "2"}}, "default")
    await client.delete(MAPS, "m", "default")
    created, updated, deleted = hooks.asked
    kind = {"group": "", "version": "v1", "kind": "ConfigMap"}
    resource = {"group": "", "version": "v1", "resource": "configmaps"}
    assert {k: v for k, v in created.items() if k not in ("uid", "object", "options", "userInfo")} == {
        "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource, "operation": "CREATE",
        "namespace": "default", "oldObject": None, "dryRun": False,
    }  # fmt: skip
    assert created["object"]["apiVersion"] == "v1"
    assert created["object"]["metadata"]["uid"]
    assert created["userInfo"]["username"] == "system:admin"
    assert created["options"]["kind"] == "CreateOptions"
    assert (updated["name"], updated["object"]["data"], updated["oldObject"]["data"]) == ("m", {"a": "2"}, {"a": "1"})
    assert (deleted["object"], deleted["oldObject"]["data"], deleted["options"]["kind"]) == (
        None, {"a": "2"}, "DeleteOptions",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "reason", "message"),
    [
        ({}, 400, "", "denied the request without explanation"),
        ({"reason": "because"}, 400, "because", "denied the request: because"),
        ({"message": "m", "code": 418, "reason": "Teapot"}, 418, "Teapot", "denied the request: m"),
        ({"message": "m", "code": 200}, 400, "", "denied the request: m"),
        ({"message": "m", "code": 403, "reason": "Forbidden"}, 403, "Forbidden", "denied the request: m"),
    ],
)
async def test_refusals_keep_their_status(
    client: LocalClient, hooks: WebhookServer, status: Object, code: int, reason: str, message: str
) -> None:
    hooks.handlers["/check"] = lambda r: {"allowed": False, "status": status}
    await install(client, VALIDATING, webhook(hooks.config("/check")))
    with pytest.raises(ApiError) as caught:
        await client.create(MAPS, config_map(), "default")
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert caught.value.message == f'admission webhook "a.example.com" {message}'


class TestFailures:
    async def test_an_unreachable_webhook_fails_closed_or_open(self, client: LocalClient, hooks: WebhookServer) -> None:
        config = {"url": "https://localhost:1/x", "caBundle": hooks.bundle}
        await install(client, VALIDATING, webhook(config))
        with pytest.raises(InternalError) as caught:
            await client.create(MAPS, config_map(), "default")
        assert caught.value.message.startswith(
            'Internal error occurred: failed calling webhook "a.example.com": failed to call webhook: '
            'Post "https://localhost:1/x?timeout=10s": '
        )
        ignore = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
        await client.patch(VALIDATING, "config", ignore, patch_type=PatchType.JSON)
        await client.create(MAPS, config_map(), "default")

    async def test_a_certificate_that_nobody_trusts(
        self, client: LocalClient, hooks: WebhookServer, tmp_path: Path
    ) -> None:
        (tmp_path / "other").mkdir()
        async with webhook_server(tmp_path / "other") as other:
            config = {**hooks.config("/check"), "caBundle": other.bundle}
            await install(client, VALIDATING, webhook(config))
            with pytest.raises(InternalError, match="tls: failed to verify certificate: x509: self-signed certificate"):
                await client.create(MAPS, config_map(), "default")

    async def test_a_name_that_is_not_in_the_certificate(self, client: LocalClient, hooks: WebhookServer) -> None:
        config = {**hooks.config("/check"), "url": f"https://127.0.0.1:{hooks.port}/check"}
        await install(client, VALIDATING, webhook(config))
        with pytest.raises(InternalError, match=r"tls: failed to verify certificate: x509: .*mismatch"):
            await client.create(MAPS, config_map(), "default")

    async def test_a_webhook_that_does_not_answer_in_time(self, client: LocalClient, hooks: WebhookServer) -> None:
        hooks.handlers["/check"] = lambda r: allow()
        hooks.gate.clear()
        await install(client, VALIDATING, webhook(hooks.config("/check"), timeoutSeconds=1))
        with pytest.raises(InternalError, match=r"timeout=1s\": context deadline exceeded"):
            await client.create(MAPS, config_map(), "default")

    @pytest.mark.parametrize(
        ("code", "raw", "why"),
        [
            (404, b"", "failed to call webhook: the server could not find the requested resource"),
            (500, b"oh", 'call webhook: an error on the server ("oh") has prevented the request from succeeding'),
            (302, b"", "failed to call webhook: the server responded with the status code 302"),
            (200, b"{", "received invalid webhook response: couldn't get version/kind; json parse error"),
            (200, b"{}", "received invalid webhook response: webhook response was absent"),
            (200, b'{"response": {"allowed": true}}', "received invalid webhook response: expected webhook response of "
                                                      "admission.k8s.io/v1, Kind=AdmissionReview, got "),
            (200, b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "x"}}',
             "received invalid webhook response: expected response.uid="),
        ],
    )  # fmt: skip
    async def test_answers_that_are_none(
        self, client: LocalClient, hooks: WebhookServer, code: int, raw: bytes, why: str
    ) -> None:
        hooks.code, hooks.raw = code, raw
        await install(client, VALIDATING, webhook(hooks.config("/check")))
        with pytest.raises(InternalError) as caught:
            await client.create(MAPS, config_map(), "default")
        assert why in caught.value.message

    async def test_a_validating_webhook_may_not_patch(self, client: LocalClient, hooks: WebhookServer) -> None:
        hooks.handlers["/check"] = lambda r: patch({"op": "remove", "path": "/data"})
        await install(client, VALIDATING, webhook(hooks.config("/check")))
        with pytest.raises(InternalError, match=r"validating webhook may not return response\.patch"):
            await client.create(MAPS, config_map(), "default")


async def test_all_validating_webhooks_are_asked_at_once(client: LocalClient, hooks: WebhookServer) -> None:
    hooks.handlers["/check"] = lambda r: allow()
    await install(client, VALIDATING, *(webhook(hooks.config("/check"), f"{n}.example.com") for n in "abc"))
    hooks.gate.clear()
    creating = asyncio.ensure_future(client.create(MAPS, config_map(), "default"))
    async with asyncio.timeout(5):
        for _ in range(3):
            await hooks.arrivals.acquire()
    hooks.gate.set()
    await creating


class TestMutation:
    async def test_in_order_and_seen_again(self, client: LocalClient, hooks: WebhookServer) -> None:
        def add(key: str) -> Any:
            def decide(request: Object) -> Object:
                data = request["object"].get("data") or {}
                if key in data:
                    return allow()
                return patch({"op": "add", "path": f"/data/{key}", "value": ",".join(data)})

            return decide

        hooks.handlers |= {"/first": add("first"), "/second": add("second")}
        await install(client, MUTATING, webhook(hooks.config("/second"), "b.example.com"), name="b")
        await install(
            client, MUTATING, webhook(hooks.config("/first"), reinvocationPolicy="IfNeeded"), name="a"
        )  # fmt: skip
        made = await client.create(MAPS, config_map(x=""), "default")
        assert made["data"] == {"x": "", "first": "x", "second": "x,first"}
        assert [sorted(asked["object"]["data"]) for asked in hooks.asked] == [
            ["x"], ["first", "x"], ["first", "second", "x"],
        ]  # fmt: skip

    async def test_defaults_follow_a_mutation(self, client: LocalClient, hooks: WebhookServer) -> None:
        container = {"image": "webhook-added-image", "name": "webhook-added"}
        hooks.handlers["/pods"] = lambda r: patch({"op": "add", "path": "/spec/initContainers", "value": [container]})
        await install(client, MUTATING, webhook(hooks.config("/pods"), rules=[rule("pods", "", "CREATE")]))
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        made = await client.create(PODS, pod, "default")
        [added] = made["spec"]["initContainers"]
        assert (added["terminationMessagePolicy"], added["imagePullPolicy"]) == ("File", "Always")
        assert added["volumeMounts"]  # the service account's token: plugins of the server see it in the second round

    @pytest.mark.parametrize(
        ("response", "why"),
        [
            ({"allowed": True, "patch": "W10="}, "webhook returned response.patch but not response.patchType"),
            ({"allowed": True, "patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
            ({"allowed": True, "patchType": "Merge", "patch": "W10="}, 'invalid response.patchType of "Merge"'),
            ({"allowed": True, "patchType": "JSONPatch", "patch": "e30="}, "undecodable patch"),
            (patch({"op": "remove", "path": "/nope"}), "nope"),
            (patch({"op": "add", "path": "/data", "value": 1}), "ConfigMap"),
        ],
    )
    async def test_patches_that_do_not_fit(
        self, client: LocalClient, hooks: WebhookServer, response: Object, why: str
    ) -> None:
        hooks.handlers["/check"] = lambda r: response
        await install(client, MUTATING, webhook(hooks.config("/check")))
        with pytest.raises(InternalError) as caught:
            await client.create(MAPS, config_map(), "default")
        assert why in caught.value.message

    async def test_custom_resources_are_pruned_after_it(self, client: LocalClient, hooks: WebhookServer) -> None:
        hooks.handlers["/check"] = lambda r: patch(
            {"op": "add", "path": "/data", "value": {"known": "1", "unknown": "2"}}
        )
        schema = {"type": "object", "properties": {
            "data": {"type": "object", "properties": {"known": {"type": "string"}}},
        }}  # fmt: skip
        await client.create(DEFINITIONS, {
            "metadata": {"name": "crontabs.stable.example.com"},
            "spec": {
                "group": "stable.example.com", "scope": "Namespaced",
                "names": {"plural": "crontabs", "kind": "CronTab"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
            },
        })  # fmt: skip
        tabs = rule("crontabs", "stable.example.com")
        await install(client, MUTATING, webhook(hooks.config("/check"), rules=[tabs]))
        await established(client)
        made = await client.create(TABS, {"metadata": {"name": "t"}}, "default")
        assert made["data"] == {"known": "1"}


async def test_conditions_and_selectors_come_before_the_call(client: LocalClient, hooks: WebhookServer) -> None:
    hooks.handlers["/check"] = lambda r: deny("never")
    conditions = [{"name": "skip", "expression": "object.metadata.name != 'skip-me'"}]
    selector = {"matchLabels": {"on": "yes"}}
    await install(
        client, VALIDATING, webhook(hooks.config("/check"), matchConditions=conditions, namespaceSelector=selector)
    )
    await client.create(MAPS, config_map("elsewhere"), "default")
    await client.create(NAMESPACES, {"metadata": {"name": "on", "labels": {"on": "yes"}}})
    await client.create(MAPS, config_map("skip-me"), "on")
    with pytest.raises(ApiError, match="never"):
        await client.create(MAPS, config_map(), "on")
    assert len(hooks.asked) == 1
    broken = [{"op": "replace", "path": "/webhooks/0/matchConditions/0/expression", "value": "object.nope == 1"}]
    await client.patch(VALIDATING, "config", broken, patch_type=PatchType.JSON)
    with pytest.raises(Forbidden, match=r"expression 'object.nope == 1' resulted in error: no such key: nope"):
        await client.create(MAPS, config_map(), "on")


@pytest.mark.parametrize("gvr", [VALIDATING, MUTATING])
async def test_conditions_that_do_not_compile_are_refused(client: LocalClient, gvr: GVR) -> None:
    hook = webhook({"url": "https://localhost/x"}, matchConditions=[{"name": "c", "expression": "... [] bad"}])
    with pytest.raises(Invalid) as caught:
        await install(client, gvr, hook)
    [cause] = (caught.value.details or {})["causes"]
    assert cause["field"] == "webhooks[0].matchConditions[0].expression"
    assert "compilation failed" in cause["message"]


async def test_dry_run_needs_a_webhook_without_side_effects(client: LocalClient, hooks: WebhookServer) -> None:
    hooks.handlers["/check"] = lambda r: allow()
    await install(client, VALIDATING, webhook(hooks.config("/check"), sideEffects="NoneOnDryRun"))
    await client.create(MAPS, config_map(), "default", options=WriteOptions(dry_run=True))
    assert hooks.asked[0]["dryRun"] is True


async def test_configurations_of_admission_are_exempt(client: LocalClient, hooks: WebhookServer) -> None:
    hooks.handlers["/check"] = lambda r: deny("stuck")
    everything = [{**rule("*", "*", "*"), "apiVersions": ["*"]}]
    await install(client, VALIDATING, webhook(hooks.config("/check"), rules=everything))
    with pytest.raises(ApiError, match="stuck"):
        await client.create(MAPS, config_map(), "default")
    await client.delete(VALIDATING, "config")
    await client.create(MAPS, config_map(), "default")


async def test_unknown_review_versions(client: LocalClient, hooks: WebhookServer) -> None:
    hooks.handlers["/check"] = lambda r: allow()
    await install(client, VALIDATING, webhook(hooks.config("/check"), admissionReviewVersions=["v2", "v1beta1", "v1"]))
    await client.create(MAPS, config_map(), "default")
    assert hooks.asked


async def test_a_missing_service_is_a_failed_call(client: LocalClient, hooks: WebhookServer) -> None:
    await install(client, VALIDATING, webhook(hooks.service_config("hook", "default", "/check")))
    with pytest.raises(InternalError) as caught:
        await client.create(MAPS, config_map(), "default")
    assert caught.value.message.endswith(
        'Post "https://hook.default.svc:443/check?timeout=10s": services "hook" not found'
    )


class _PodsOfThisMachine:
    """A node whose pods' ports are the webhook server's."""

    def __init__(self, hooks: WebhookServer) -> None:
        self._hooks = hooks
        self.dialled: list[tuple[str, int]] = []

    def find(self, node_name: str) -> Any:
        return self if node_name == "node" else None

    async def dial(self, pod_uid: str, port: int) -> SocketStream:
        self.dialled.append((pod_uid, port))
        return SocketStream(*await asyncio.open_connection("127.0.0.1", self._hooks.port))


async def test_over_http_a_service_connections_and_warnings(tmp_path: Path, hooks: WebhookServer) -> None:
    node = _PodsOfThisMachine(hooks)
    hooks.handlers |= {
        "/attach": lambda r: deny(f"attaching to pod '{r['name']}' is not allowed"),
        "/warn": lambda r: allow(warnings=["one", "two"]),
    }
    async with https_cluster(tmp_path, node) as running, http_calls(running) as call:  # type: ignore[arg-type]
        client = running.client()
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "node"}
        pod = await client.create(PODS, {"metadata": {"name": "hook"}, "spec": spec}, "default")
        ports = [{"port": 443, "targetPort": 8443}]
        await client.create(SERVICES, {"metadata": {"name": "hook"}, "spec": {"ports": ports}}, "default")
        await client.create(SLICES, {
            "metadata": {"name": "hook", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
            "ports": [{"name": "", "port": 8443}],
            "endpoints": [{"addresses": ["10.42.0.9"], "targetRef": {"kind": "Pod", "name": "hook"}}],
        }, "default")  # fmt: skip
        await install(
            client,
            VALIDATING,
            webhook(hooks.service_config("hook", "default", "/warn"), "w.example.com"),
            webhook(hooks.service_config("hook", "default", "/attach"), rules=[rule("pods/attach", "", "CONNECT")]),
        )
        reply = await call("POST", "/api/v1/namespaces/default/configmaps", config_map())
        assert reply.code == 201
        assert reply.headers.getall("Warning") == ['299 - "one"', '299 - "two"']  # type: ignore[attr-defined]
        assert node.dialled == [(pod["metadata"]["uid"], 8443)]
        denied = await call("POST", "/api/v1/namespaces/default/pods/hook/attach?stdout=true&container=c")
        assert denied.code == 400
        assert denied.message == (
            "admission webhook \"a.example.com\" denied the request: attaching to pod 'hook' is not allowed"
        )
        asked = hooks.asked[-1]
        assert (asked["operation"], asked["subResource"], asked["kind"]["kind"]) == (
            "CONNECT", "attach", "PodAttachOptions",
        )  # fmt: skip
        assert asked["object"]["container"] == "c"
