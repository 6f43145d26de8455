"""Which options of lists and watches go together, and the words for those that don't; fields that select; one order."""

import asyncio
from typing import Any

import pytest

from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from tests.support.http_calls import HttpCalls
from tests.support.request_forms import root_of

MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAPS = GVR("", "v1", "configmaps")
MATCH = "resourceVersionMatch: "
UNLESS = f"{MATCH}Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
CONTINUED = f"{MATCH}Forbidden: resourceVersionMatch is forbidden when continue is provided"
ZERO = f'{MATCH}Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
REQUIRES = f"{MATCH}Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
ONLY_WITH = f"{MATCH}Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("resourceVersionMatch=Exact", [UNLESS]),
        ("resourceVersionMatch=NotOlderThan&resourceVersion=", [UNLESS]),
        ("resourceVersionMatch=Exact&resourceVersion=0", [ZERO]),
        ("resourceVersionMatch=exact&resourceVersion=1",
         [f'{MATCH}Unsupported value: "exact": supported values: "Exact", "NotOlderThan", ""']),
        ("resourceVersionMatch=x",
         [UNLESS, f'{MATCH}Unsupported value: "x": supported values: "Exact", "NotOlderThan", ""']),
        ("sendInitialEvents=true", ["sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"]),
        ("sendInitialEvents=false", ["sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"]),
        ("watch=1&sendInitialEvents=true", [REQUIRES]),
        ("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact",
         [REQUIRES, f'{MATCH}Unsupported value: "Exact": supported values: "NotOlderThan"']),
        ("watch=1&resourceVersionMatch=NotOlderThan", [ONLY_WITH]),
        ("watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=1", [ONLY_WITH]),
        ("watch=1&resourceVersionMatch=Exact",
         [ONLY_WITH, f'{MATCH}Unsupported value: "Exact": supported values: "NotOlderThan"']),
    ],
)  # fmt: skip
async def test_options_that_do_not_go_together(http: HttpCalls, query: str, texts: list[str]) -> None:
    refused = await http("GET", f"{MAPS}?{query}")
    assert (refused.code, refused.json["reason"]) == (422, "Invalid")
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    assert refused.message == f'ListOptions.meta.k8s.io "" is invalid: {joined}'
    if "watch" not in query:
        assert (await http("DELETE", f"{MAPS}?{query}")).code == 422


async def test_a_continued_list_is_asked_without_a_version(http: HttpCalls) -> None:
    token = (await http("GET", "/api/v1/namespaces?limit=1")).json["metadata"]["continue"]
    with_match = await http("GET", f"/api/v1/namespaces?continue={token}&resourceVersion=1&resourceVersionMatch=Exact")
    assert with_match.message == f'ListOptions.meta.k8s.io "" is invalid: {CONTINUED}'
    with_version = await http("GET", f"/api/v1/namespaces?continue={token}&resourceVersion=1")
    assert with_version.message == "specifying resource version is not allowed when using continue"
    assert (await http("GET", f"/api/v1/namespaces?continue={token}&resourceVersion=0")).code == 200


async def test_versions_that_may_be_read(http: HttpCalls) -> None:
    current = (await http("GET", MAPS)).json["metadata"]["resourceVersion"]
    for query in (
        "", "resourceVersion=0", "resourceVersion=1", f"resourceVersion={current}",
        "resourceVersion=0&resourceVersionMatch=NotOlderThan", "resourceVersion=1&resourceVersionMatch=NotOlderThan",
        f"resourceVersion={current}&resourceVersionMatch=Exact", f"resourceVersion={current}&limit=1",
    ):  # fmt: skip
        answer = await http("GET", f"{MAPS}?{query}")
        assert answer.code == 200, query
        assert answer.json["metadata"]["resourceVersion"] == current, query


# What each kind is selected by beside metadata.name; the kinds that are not named here have metadata.namespace alone.
FIELDS = {
    "pods": "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork "
    "status.phase status.podIP status.nominatedNodeName metadata.namespace",
    "nodes": "spec.unschedulable",
    "namespaces": "status.phase",
    "secrets": "type metadata.namespace",
    "services": "spec.clusterIP spec.type metadata.namespace",
    "replicationcontrollers": "status.replicas metadata.namespace",
    "replicasets": "status.replicas metadata.namespace",
    "jobs": "status.successful metadata.namespace",
    "certificatesigningrequests": "spec.signerName",
    "events": "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid reason type source "
    "involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath reportingComponent "
    "metadata.namespace",
}


async def test_fields_that_select(http: HttpCalls) -> None:
    for kind in built_in_kinds().all():
        if "list" not in kind.verbs:
            continue
        path = f"{root_of(kind)}/{kind.plural}"
        for field in ("metadata.name", *FIELDS.get(kind.plural, "metadata.name").split()):
            assert (await http("GET", f"{path}?fieldSelector={field}%3Dx")).json["items"] == [], (kind.plural, field)
        unknown = await http("GET", f"{path}?fieldSelector=spec.no%3Dx")
        assert unknown.code == 400
        assert "spec.no" in unknown.message
    assert (await http("GET", "/api/v1/nodes?fieldSelector=metadata.namespace%3Dx")).message == (
        "field label not supported: metadata.namespace"
    )
    other = await http("GET", f"{MAPS}?fieldSelector=data.x%3D1")
    assert other.message == '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"'


async def test_every_watcher_sees_one_order(http: HttpCalls) -> None:
    """Whatever it selects and wherever it begins, a watcher sees a part of the same row of events."""
    client = http.cluster.client()
    start = int((await http("GET", MAPS)).json["metadata"]["resourceVersion"])
    for index in range(6):
        body = {"metadata": {"name": f"m{index}", "namespace": "default", "labels": {"even": str(index % 2 == 0)}}}
        await client.create(CONFIG_MAPS, body)
        await client.patch(CONFIG_MAPS, f"m{index}", {"metadata": {"labels": {"even": "gone"}}}, "default")
        await client.delete(CONFIG_MAPS, f"m{index}", "default")

    async def seen(query: str, count: int) -> list[tuple[str, str, int]]:
        found = []
        async with http.events(f"{MAPS}?watch=1&{query}") as events:
            while len(found) < count:
                found.append(_place(await anext(events)))
        return found

    everything = await seen(f"resourceVersion={start}", 18)
    assert [event for event, _, _ in everything] == ["ADDED", "MODIFIED", "DELETED"] * 6
    versions = [version for _, _, version in everything]
    assert versions == sorted(set(versions))
    later, selected = await asyncio.gather(
        seen(f"resourceVersion={versions[8]}", 9), seen(f"resourceVersion={start}&labelSelector=even%3DTrue", 6)
    )
    assert later == everything[9:]
    assert selected == [(e, n, v) for i in (0, 2, 4) for e, n, v in _appears(everything, f"m{i}")]


def _place(event: dict[str, Any]) -> tuple[str, str, int]:
    metadata = event["object"]["metadata"]
    return event["type"], metadata["name"], int(metadata["resourceVersion"])


def _appears(events: list[tuple[str, str, int]], name: str) -> list[tuple[str, str, int]]:
    """An object that matches until it is changed: it appears, and vanishes at the change's version."""
    mine = [version for _, seen, version in events if seen == name]
    return [("ADDED", name, mine[0]), ("DELETED", name, mine[1])]
