"""MutatingAdmissionPolicies over a running API server: what they change, in which order, and how they fail."""

from typing import Any

import pytest

from minikube_py.apiserver.local_client import LocalClient
from minikube_py.client.protocol import WriteOptions
from minikube_py.objects.errors import ApiError, Invalid, Object
from minikube_py.resources.kind import GVR

GROUP = "admissionregistration.k8s.io"
POLICIES = GVR(GROUP, "v1", "mutatingadmissionpolicies")
BINDINGS = GVR(GROUP, "v1", "mutatingadmissionpolicybindings")
MAPS, PODS = GVR("", "v1", "configmaps"), GVR("", "v1", "pods")
DEPLOYMENTS = GVR("apps", "v1", "deployments")


def applying(expression: str) -> Object:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patching(expression: str) -> Object:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


async def install(
    client: LocalClient, *mutations: Object, name: str = "p", resource: str = "configmaps", **spec: Any
) -> None:
    rule = {
        "apiGroups": ["", "apps"],
        "apiVersions": ["v1"],
        "resources": [resource],
        "operations": ["CREATE", "UPDATE"],
    }
    made = {
        "matchConstraints": {"resourceRules": [rule]},
        "reinvocationPolicy": "Never",
        "mutations": list(mutations),
        **spec,
    }
    await client.create(POLICIES, {"metadata": {"name": name}, "spec": made})
    await client.create(BINDINGS, {"metadata": {"name": name}, "spec": {"policyName": name}})


def config_map(**data: str) -> Object:
    return {"metadata": {"name": "m"}, "data": data}


def pod() -> Object:
    containers = [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers}}


async def test_an_apply_configuration_is_merged(client: LocalClient) -> None:
    await install(client, applying(
        "Object{metadata: Object.metadata{annotations: {'mutated-by': object.metadata.name}}}"
    ), resource="deployments")  # fmt: skip
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await client.create(DEPLOYMENTS, {
        "metadata": {"name": "d", "annotations": {"own": "1"}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }, "default")  # fmt: skip
    assert made["metadata"]["annotations"] == {"mutated-by": "d", "own": "1"}


async def test_list_maps_are_merged_by_key_and_defaults_follow(client: LocalClient) -> None:
    sidecar = "Object.spec.initContainers{name: 'mesh', image: 'proxy', restartPolicy: 'Always'}"
    await install(
        client,
        applying(f"Object{{spec: Object.spec{{initContainers: [{sidecar}]}}}}"),
        applying("Object{spec: Object.spec{containers: object.spec.containers.map(c, "
                 "Object.spec.containers{name: c.name, env: [Object.spec.containers.env{name: 'X', value: '1'}]})}}"),
        resource="pods",
    )  # fmt: skip
    made = await client.create(PODS, pod(), "default")
    [mesh] = made["spec"]["initContainers"]
    assert (mesh["name"], mesh["imagePullPolicy"], mesh["terminationMessagePath"]) == (
        "mesh", "Always", "/dev/termination-log",
    )  # fmt: skip
    [container] = made["spec"]["containers"]
    assert container["image"] == "i"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["env"] == [{"name": "X", "value": "1"}]


async def test_json_patches(client: LocalClient) -> None:
    await install(
        client,
        patching("[JSONPatch{op: 'test', path: '/data/a', value: 'no'}, JSONPatch{op: 'remove', path: '/data'}]"),
        patching("[JSONPatch{op: 'add', path: '/metadata/labels', value: {'x.io/y': 'y'}}, "
                 "JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('x.io/z'), value: 'v'}]"),
        patching("[JSONPatch{op: 'copy', from: '/data/a', path: '/data/b'}] + "
                 "(has(object.data.c) ? [JSONPatch{op: 'remove', path: '/data/c'}] : [])"),
        patching("[JSONPatch{op: 'add', path: '/metadata/annotations', value: Object.metadata.annotations{n: '1'}}]"),
    )  # fmt: skip
    made = await client.create(MAPS, config_map(a="1", c="2"), "default")
    assert made["data"] == {"a": "1", "b": "1"}
    assert made["metadata"]["labels"] == {"x.io/y": "y", "x.io/z": "v"}
    assert made["metadata"]["annotations"] == {"n": "1"}


async def test_variables_conditions_and_parameters(client: LocalClient) -> None:
    await client.create(MAPS, {"metadata": {"name": "params"}, "data": {"team": "t"}}, "kube-system")
    await install(
        client,
        applying("Object{data: {'team': variables.team}}"),
        variables=[{"name": "team", "expression": "params.data.team + '-' + request.operation"}],
        matchConditions=[{"name": "c", "expression": "object.metadata.name != 'params'"}],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
    )
    ref = {"name": "params", "namespace": "kube-system", "parameterNotFoundAction": "Deny"}
    await client.patch(BINDINGS, "p", {"spec": {"paramRef": ref}})
    made = await client.create(MAPS, config_map(), "default")
    assert made["data"] == {"team": "t-CREATE"}


ADD = "[JSONPatch{op: 'add', path: '/data/%s', value: string(size(object.data))}]"


async def test_a_later_policy_sees_what_an_earlier_one_did_and_the_earlier_sees_it_again(client: LocalClient) -> None:
    grow = [{"name": "c", "expression": "size(object.data) < 10"}]
    await install(client, patching(ADD % "first"), name="a", reinvocationPolicy="IfNeeded", matchConditions=grow)
    await install(client, patching(ADD % "second"), name="b", matchConditions=grow)
    made = await client.create(MAPS, config_map(x=""), "default")
    assert made["data"] == {"x": "", "first": "3", "second": "2"}


async def test_without_reinvocation_each_runs_once(client: LocalClient) -> None:
    await install(client, patching(ADD % "first"), name="a")
    await install(client, patching(ADD % "second"), name="b")
    made = await client.create(MAPS, config_map(x=""), "default")
    assert made["data"] == {"x": "", "first": "1", "second": "2"}


@pytest.mark.parametrize(
    ("mutation", "text"),
    [
        (applying("Object{data: {'a': object.data.zz}}"),
         "expression 'Object{data: {'a': object.data.zz}}' resulted in error: no such key: data"),
        (applying("Object{metadata: Object.wrong{name: 'x'}}"),
         'type mismatch: unexpected type name "Object.wrong", expected "Object.metadata", which matches field name '
         "path from root Object type"),
        (applying("Object{nope: 'x'}"), "error applying patch: failed to convert patch object to typed object: "
                                        ".nope: field not declared in schema"),
        (patching("[JSONPatch{op: 'remove', path: '/data/none'}]"), "JSONPath: "),
    ],
)  # fmt: skip
async def test_failures_follow_the_failure_policy(client: LocalClient, mutation: Object, text: str) -> None:
    await install(client, mutation)
    with pytest.raises(ApiError) as caught:
        await client.create(MAPS, config_map(), "default")
    assert caught.value.message.startswith(f"policy 'p' with binding 'p' denied request: {text}")
    assert (caught.value.reason, caught.value.code) == ("Invalid", 403)
    await client.patch(POLICIES, "p", {"spec": {"failurePolicy": "Ignore"}})
    await client.create(MAPS, config_map(), "default")


async def test_atomic_values_may_not_be_replaced(client: LocalClient) -> None:
    await install(client, applying("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c', "
                                   "command: ['x']}]}}"), resource="pods")  # fmt: skip
    with pytest.raises(
        ApiError, match=r"may not mutate atomic arrays, maps or structs: \.spec\.containers\[0\]\.command"
    ):
        await client.create(PODS, pod(), "default")


@pytest.mark.parametrize(
    ("mutation", "field", "text"),
    [
        (applying("{'a': 1}"), "spec.mutations[0].applyConfiguration.expression",
         "must evaluate to Object but got map(string, int)"),
        (patching("JSONPatch{op: 'add'}"), "spec.mutations[0].jsonPatch.expression",
         "must evaluate to list(JSONPatch) but got JSONPatch"),
        (patching("[JSONPatch{nope: 'add'}]"), "spec.mutations[0].jsonPatch.expression", "undefined field 'nope'"),
        (patching("[JSONPatch{op: 1}]"), "spec.mutations[0].jsonPatch.expression",
         "expected type of field 'op' is 'string' but provided type is 'int'"),
        (applying("Objekt{}"), "spec.mutations[0].applyConfiguration.expression",
         "undeclared reference to 'Objekt' (in container '')"),
    ],
)  # fmt: skip
async def test_what_does_not_compile_is_refused(client: LocalClient, mutation: Object, field: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        await install(client, mutation)
    [cause] = (caught.value.details or {})["causes"]
    assert cause["field"] == field
    assert text in cause["message"]


async def test_a_scale_can_be_changed(client: LocalClient) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await client.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec}, "default")
    await install(
        client,
        patching("object.spec.replicas > 3 ? [JSONPatch{op: 'replace', path: '/spec/replicas', value: 3}] : []"),
        resource="deployments/scale",
    )
    options = WriteOptions(subresource="scale")
    await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 9}}, "default", options=options)
    assert (await client.get(DEPLOYMENTS, "d", "default"))["spec"]["replicas"] == 3
