"""ValidatingAdmissionPolicies over a running API server: what they refuse, with which words, and when they don't."""

import sys
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest

from minikube_py.apiserver.admission.validating_admission_policy import ValidatingAdmissionPolicy
from minikube_py.apiserver.local_client import LocalClient
from minikube_py.client.protocol import PatchType, WriteOptions
from minikube_py.objects.errors import ApiError, Invalid, Object
from minikube_py.resources.kind import GVR
from tests.support.admission import admission_context, admission_request, run
from tests.support.cluster import https_cluster
from tests.support.control_plane import control_plane
from tests.support.http_calls import http_calls
from tests.support.object_reader import DictReader
from tests.support.virtual_time import virtual_time

GROUP = "admissionregistration.k8s.io"
POLICIES = GVR(GROUP, "v1", "validatingadmissionpolicies")
BINDINGS = GVR(GROUP, "v1", "validatingadmissionpolicybindings")
MAPS, NAMESPACES = GVR("", "v1", "configmaps"), GVR("", "v1", "namespaces")
DEPLOYMENTS = GVR("apps", "v1", "deployments")


def rules(resource: str = "configmaps", group: str = "", *operations: str) -> Object:
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource]}
    return {"resourceRules": [{**rule, "operations": list(operations) or ["CREATE", "UPDATE"]}]}


def policy(*validations: Object, name: str = "p", **spec: Any) -> Object:
    spec.setdefault("matchConstraints", rules())
    return {"metadata": {"name": name}, "spec": {"validations": list(validations), **spec}}


def binding(name: str = "b", policy_name: str = "p", actions: tuple[str, ...] = ("Deny",), **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"policyName": policy_name, "validationActions": list(actions), **spec}}


def config_map(name: str = "m", labels: dict[str, str] | None = None, **data: str) -> Object:
    metadata: Object = {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"metadata": metadata, "data": data or {"other": ""}}


async def install(client: LocalClient, made: Object, bound: Object | None = None) -> None:
    await client.create(POLICIES, made)
    await client.create(BINDINGS, bound or binding())


async def denial(client: LocalClient, obj: Object, gvr: GVR = MAPS) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await client.create(gvr, obj, "default")
    return caught.value


WANTS_A = {"expression": "'a' in object.data"}


async def test_a_bound_policy_refuses_with_kubernetes_words(client: LocalClient) -> None:
    await client.create(POLICIES, policy(WANTS_A))
    await client.create(MAPS, config_map("before"), "default")  # without a binding a policy does nothing
    await client.create(BINDINGS, binding())
    await client.create(MAPS, config_map(a="1"), "default")
    error = await denial(client, config_map("n"))
    text = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: 'a' in object.data"
    assert error.to_status() == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422,
        "message": f'configmaps "n" is forbidden: {text}',
        "details": {"name": "n", "kind": "configmaps", "causes": [{"message": text}]},
    }  # fmt: skip
    patch = [{"op": "remove", "path": "/data/a"}]
    with pytest.raises(ApiError, match="denied request"):
        await client.patch(MAPS, "m", patch, "default", patch_type=PatchType.JSON)
    await client.delete(BINDINGS, "b")
    await client.create(MAPS, config_map("n"), "default")


@pytest.mark.parametrize(
    ("reason", "code"),
    [("Forbidden", 403), ("Unauthorized", 401), ("RequestEntityTooLarge", 413), ("Invalid", 422)],
)
async def test_reasons_have_their_codes(client: LocalClient, reason: str, code: int) -> None:
    await install(client, policy({**WANTS_A, "message": " no a ", "reason": reason}))
    error = await denial(client, config_map())
    assert (error.reason, error.code) == (reason, code)
    assert error.message.endswith("denied request: no a")


async def test_message_expressions_fall_back_to_the_message(client: LocalClient) -> None:
    spoken = {**WANTS_A, "message": "plain", "messageExpression": "'not ' + object.data.b"}
    await install(client, policy(spoken))
    assert (await denial(client, config_map(b="x"))).message.endswith("denied request: not x")
    assert (await denial(client, config_map(b="x\ny"))).message.endswith("denied request: plain")
    assert (await denial(client, config_map(c="x"))).message.endswith("denied request: plain")


async def test_variables_are_composed_and_lazy(client: LocalClient) -> None:
    variables = [
        {"name": "n", "expression": "int(object.data.n)"},
        {"name": "odd", "expression": "variables.n % 2 == 1"},
        {"name": "broken", "expression": "object.data.missing"},
    ]
    checks = [
        {"expression": "variables.n > 1", "messageExpression": "string(variables.n) + ' is too small'"},
        {"expression": "variables.odd || variables.broken == ''"},
    ]
    await install(client, policy(*checks, variables=variables))
    await client.create(MAPS, config_map("three", n="3"), "default")
    assert (await denial(client, config_map(n="1"))).message.endswith("1 is too small")
    assert (await denial(client, config_map(n="2"))).message.endswith(
        "denied request: expression 'variables.odd || variables.broken == ''' resulted in error: composited variable "
        '"broken" fails to evaluate: no such key: missing'
    )


async def test_errors_follow_the_failure_policy(client: LocalClient) -> None:
    await install(client, policy({"expression": "object.data.zz == ''"}))
    error = await denial(client, config_map())
    assert error.message.endswith("expression 'object.data.zz == ''' resulted in error: no such key: zz")
    patch = {"spec": {"failurePolicy": "Ignore"}}
    await client.patch(POLICIES, "p", patch)
    await client.create(MAPS, config_map(), "default")


async def test_match_conditions_and_the_cost_of_them(client: LocalClient) -> None:
    await install(client, policy(WANTS_A, matchConditions=[
        {"name": "not-kube", "expression": "!object.metadata.name.startsWith('kube-')"},
    ]))  # fmt: skip
    await client.create(MAPS, config_map("kube-x"), "default")
    await denial(client, config_map("x"))
    long = "object.data.all(a, object.data.all(b, object.data.all(c, a != 'z')))"
    await client.patch(
        POLICIES,
        "p",
        {"spec": {"matchConditions": [{"name": "long", "expression": long}]}},
    )
    error = await denial(client, config_map("y", **{f"k{n}": "" for n in range(150)}))
    assert error.message.endswith(
        f"expression '{long}' resulted in error: operation cancelled: actual cost limit exceeded"
    )


async def test_a_long_evaluation_ends_within_its_budget_away_from_the_loop(client: LocalClient) -> None:
    await install(client, policy({"expression": "object.data.all(a, object.data.all(b, a != 'z'))"}))
    await client.create(MAPS, config_map("fits", **{f"k{n}": "" for n in range(150)}), "default")
    error = await denial(client, config_map("large", **{f"k{n}": "" for n in range(900)}))
    assert "actual cost limit exceeded" in error.message


async def test_warnings_reach_the_client(tmp_path: Path) -> None:
    async with https_cluster(tmp_path) as running, http_calls(running) as call:
        spoken = {"key": "k", "valueExpression": "'saw ' + object.metadata.name"}
        await install(running.client(), policy(WANTS_A, auditAnnotations=[spoken]), binding(actions=("Warn", "Audit")))
        reply = await call("POST", "/api/v1/namespaces/default/configmaps", config_map())
        assert reply.code == 201
        assert reply.headers["Warning"] == (
            "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: "
            "'a' in object.data\""
        )


async def test_the_audit_log_is_told(client: LocalClient) -> None:
    reader = DictReader()
    spoken = {"key": "k", "valueExpression": "'saw ' + object.metadata.name"}
    made = policy(WANTS_A, auditAnnotations=[spoken, {"key": "none", "valueExpression": "null"}])
    reader.add(POLICIES, made)
    reader.add(BINDINGS, binding(actions=("Audit",)))
    request = await run(
        ValidatingAdmissionPolicy(admission_context(reader)), admission_request("CREATE", "configmaps", config_map())
    )
    assert request.audit_annotations["p/k"] == "saw m"
    [failure] = orjson.loads(request.audit_annotations["validation.policy.admission.k8s.io/validation_failure"])
    assert failure == {
        "message": "failed expression: 'a' in object.data", "policy": "p", "binding": "b", "expressionIndex": 0,
        "validationActions": ["Audit"],
    }  # fmt: skip


@virtual_time
async def test_expressions_are_checked_against_the_types_they_match() -> None:
    async with control_plane(nodes=0) as plane:
        checks = [
            {"expression": "object.spec.replicas > 1"},
            {"expression": "object.spec.replicas > '1'",
             "messageExpression": "'wants replicas > 1, got ' + object.spec.replicas"},
            {"expression": "variables.image.startsWith('x') && object.spec.nope == 1"},
        ]  # fmt: skip
        image = {"name": "image", "expression": "object.spec.template.spec.containers[0].image"}
        made = policy(*checks, matchConstraints=rules("deployments", "apps"), variables=[image])
        await plane.client.create(POLICIES, made)

        async def status() -> Object:
            found: Object = (await plane.client.get(POLICIES, "p")).get("status") or {}
            return found

        async def is_checked() -> bool:
            return (await status()).get("observedGeneration") == 1

        await plane.until(is_checked)
        warnings = (await status())["typeChecking"]["expressionWarnings"]
        assert [warning["fieldRef"] for warning in warnings] == [
            "spec.validations[1].expression", "spec.validations[1].messageExpression", "spec.validations[2].expression",
        ]  # fmt: skip
        assert warnings[0]["warning"] == (
            "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to "
            "'(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n"
        )
        assert "found no matching overload for '_+_' applied to '(string, int)'" in warnings[1]["warning"]
        assert "undefined field 'nope'" in warnings[2]["warning"]
        await plane.client.patch(POLICIES, "p", {"spec": {"validations": checks[:1]}})

        async def is_clean() -> bool:
            return (await status()).get("observedGeneration") == 2

        await plane.until(is_clean)
        assert (await status())["typeChecking"] == {}


async def test_selectors_names_scope_and_exclusions(client: LocalClient) -> None:
    constraints = {
        **rules(),
        "namespaceSelector": {"matchLabels": {"on": "yes"}},
        "objectSelector": {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
        "excludeResourceRules": [{**rules()["resourceRules"][0], "resourceNames": ["free"]}],
    }
    await install(client, policy(WANTS_A, matchConstraints=constraints))
    await client.create(MAPS, config_map("a"), "default")
    await client.create(NAMESPACES, {"metadata": {"name": "on", "labels": {"on": "yes"}}})
    for name, labels in (("free", None), ("labelled", {"skip": ""})):
        await client.create(MAPS, config_map(name, labels), "on")
    with pytest.raises(ApiError, match="denied request"):
        await client.create(MAPS, config_map("b"), "on")
    resources = {"namespaceSelector": {"matchLabels": {"more": "yes"}}}
    await client.patch(BINDINGS, "b", {"spec": {"matchResources": resources}})
    await client.create(MAPS, config_map("b"), "on")


async def test_equivalent_versions_are_converted(client: LocalClient) -> None:
    scalers = GVR("autoscaling", "v1", "horizontalpodautoscalers")
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v2"], "operations": ["CREATE"]}
    constraints = {"resourceRules": [{**rule, "resources": ["horizontalpodautoscalers"]}]}
    check = {"expression": "!has(object.spec.metrics) && request.resource.version == 'v2' && "
                           "request.requestResource.version == 'v1'"}  # fmt: skip
    await install(client, policy(check, matchConstraints=constraints))
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 2}
    metrics = {**spec, "targetCPUUtilizationPercentage": 50}
    error = await denial(client, {"metadata": {"name": "h"}, "spec": metrics}, scalers)
    assert "denied request" in error.message
    exact = {"spec": {"matchConstraints": {**constraints, "matchPolicy": "Exact"}}}
    await client.patch(POLICIES, "p", exact)
    await client.create(scalers, {"metadata": {"name": "h"}, "spec": metrics}, "default")


class TestParameters:
    KIND: ClassVar[Object] = {"apiVersion": "v1", "kind": "ConfigMap"}
    CHECK: ClassVar[Object] = {"expression": "size(object.data.v) <= int(params.data.most)"}

    async def test_by_name(self, client: LocalClient) -> None:
        await client.create(MAPS, config_map("limits", most="3"), "kube-system")
        ref = {"name": "limits", "namespace": "kube-system", "parameterNotFoundAction": "Deny"}
        await install(client, policy(self.CHECK, paramKind=self.KIND), binding(paramRef=ref))
        await client.create(MAPS, config_map("short", v="abc"), "default")
        await denial(client, config_map("long", v="abcd"))
        changed = {"data": {"most": "4"}}
        with pytest.raises(ApiError, match="no such key: v"):
            await client.patch(MAPS, "limits", changed, "kube-system")

    async def test_not_found(self, client: LocalClient) -> None:
        ref = {"name": "limits", "parameterNotFoundAction": "Deny"}
        await install(client, policy(self.CHECK, paramKind=self.KIND), binding(paramRef=ref))
        error = await denial(client, config_map(v="abcd"))
        assert error.message.endswith(
            "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed to configure binding: no params "
            "found for policy binding with `Deny` parameterNotFoundAction"
        )
        patch = {"spec": {"paramRef": {"parameterNotFoundAction": "Allow"}}}
        await client.patch(BINDINGS, "b", patch)
        await client.create(MAPS, config_map(v="abcd"), "default")

    async def test_by_selector_each_is_a_parameter(self, client: LocalClient) -> None:
        for name, most in (("one", "3"), ("two", "5")):
            await client.create(MAPS, config_map(name, {"limits": "yes"}, most=most), "kube-system")
        ref = {"selector": {"matchLabels": {"limits": "yes"}}, "namespace": "kube-system",
               "parameterNotFoundAction": "Deny"}  # fmt: skip
        await install(client, policy(self.CHECK, paramKind=self.KIND), binding(paramRef=ref))
        await denial(client, config_map(v="abcd"))
        await client.create(MAPS, config_map(v="abc"), "default")

    async def test_an_unknown_kind(self, client: LocalClient) -> None:
        kind = {"apiVersion": "example.com/v1", "kind": "Limit"}
        ref = {"name": "x", "parameterNotFoundAction": "Allow"}
        await install(client, policy(self.CHECK, paramKind=kind), binding(paramRef=ref))
        error = await denial(client, config_map(v="a"))
        assert error.message.endswith(
            "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource "
            "referenced by paramKind: 'example.com/v1, Kind=Limit'"
        )


async def test_what_expressions_see(client: LocalClient) -> None:
    checks = [
        "request.kind.kind == 'ConfigMap' && request.operation in ['CREATE', 'UPDATE'] && !request.dryRun",
        "request.userInfo.username == 'system:admin' && 'system:masters' in request.userInfo.groups",
        "request.namespace == 'default' && namespaceObject.metadata.name == 'default'",
        "request.operation != 'UPDATE' || oldObject.data.a == '1'",
        "request.operation == 'UPDATE' || oldObject == null",
        "authorizer.group('').resource('pods').namespace('default').check('create').allowed()",
        "!authorizer.serviceAccount('default', 'default').group('').resource('pods').check('list').allowed()",
        "authorizer.requestResource.check('create').allowed()",
    ]
    await install(client, policy(*({"expression": check} for check in checks[:6])))
    second = policy(*({"expression": check} for check in checks[6:]), name="q")
    await install(client, second, binding("c", "q"))
    made = await client.create(MAPS, config_map(a="1"), "default")
    made["data"]["a"] = "2"
    await client.update(MAPS, made)


async def test_deletes(client: LocalClient) -> None:
    check = {"expression": "object == null && oldObject.data.a != '1'"}
    await install(client, policy(check, matchConstraints=rules("configmaps", "", "DELETE")))
    await client.create(MAPS, config_map(a="1"), "default")
    await client.create(MAPS, config_map("n", a="2"), "default")
    with pytest.raises(ApiError, match="denied request"):
        await client.delete(MAPS, "m", "default")
    await client.delete(MAPS, "n", "default")


async def test_policies_themselves_are_exempt(client: LocalClient) -> None:
    constraints = rules("*", GROUP, "*")
    await install(client, policy({"expression": "false"}, matchConstraints=constraints))
    await client.delete(BINDINGS, "b")
    await client.delete(POLICIES, "p")


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        (
            {"validations": [{"expression": "object.x > 1 &&"}]}, "spec.validations[0].expression",
            'Invalid value: "object.x > 1 &&": compilation failed: ERROR: <input>:1:16: Syntax error',
        ),
        (
            {"validations": [{"expression": "foo == 1"}]}, "spec.validations[0].expression",
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')",
        ),
        ({"validations": [{"expression": "'a'"}]}, "spec.validations[0].expression",
         'Invalid value: "\'a\'": must evaluate to bool but got string'),
        ({"validations": [{"expression": "request.foo == ''"}]}, "spec.validations[0].expression",
         "undefined field 'foo'"),
        ({"validations": [{"expression": "true", "messageExpression": "1"}]}, "spec.validations[0].messageExpression",
         "must evaluate to string but got int"),
        ({"validations": [{"expression": "true", "messageExpression": "authorizer.x"}]},
         "spec.validations[0].messageExpression", "undeclared reference to 'authorizer'"),
        ({"validations": [{"expression": "params.x"}]}, "spec.validations[0].expression",
         "undeclared reference to 'params'"),
        ({"variables": [{"name": "a", "expression": "variables.b"}]}, "spec.variables[0].expression",
         "undefined field 'b'"),
        ({"matchConditions": [{"name": "c", "expression": "variables.b"}]}, "spec.matchConditions[0].expression",
         "compilation failed"),
        ({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]}, "spec.auditAnnotations[0].valueExpression",
         "must evaluate to one of [string null] but got int"),
    ],
)  # fmt: skip
async def test_what_does_not_compile_is_refused(client: LocalClient, spec: Object, field: str, text: str) -> None:
    made = policy({"expression": "true"})
    made["spec"].update(spec)
    with pytest.raises(Invalid) as caught:
        await client.create(POLICIES, made)
    [cause] = (caught.value.details or {})["causes"]
    assert cause["field"] == field
    assert text in cause["message"]


async def test_scaling_shows_a_scale(client: LocalClient) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await client.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec}, "default")
    check = {"expression": "object.kind == 'Scale' && request.kind.group == 'autoscaling' && object.spec.replicas < 4 "
                           "&& oldObject.spec.replicas == 1"}  # fmt: skip
    await install(client, policy(check, matchConstraints=rules("deployments/scale", "apps", "UPDATE")))
    scale = WriteOptions(subresource="scale")
    with pytest.raises(ApiError, match="denied request"):
        await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 5}}, "default", options=scale)
    await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 3}}, "default", options=scale)
    assert (await client.get(DEPLOYMENTS, "d", "default"))["spec"]["replicas"] == 3


async def test_without_an_evaluator_nothing_passes_in_silence(
    client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(client, policy({"expression": "object.metadata.name != 'compiled later'"}))
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    error = await denial(client, config_map())
    assert "denied request: compilation error: compilation failed: no CEL evaluator is installed" in error.message
    with pytest.raises(Invalid, match="no CEL evaluator is installed for this platform"):
        await client.create(POLICIES, policy({"expression": "object.metadata.name != 'never seen'"}, name="q"))
