"""Events through both of their groups, as the conformance tests and kubectl use them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from minikube_py.apiserver.component_statuses import write_component_statuses
from minikube_py.objects.errors import Object
from tests.support.cluster import https_cluster
from tests.support.http_calls import HttpCalls, Reply, http_calls

CORE = "/api/v1/namespaces/default/events"
MODERN = "/apis/events.k8s.io/v1/namespaces/default/events"
TIME = "2017-09-19T13:49:16.000000Z"
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events")


@pytest.fixture
async def http(directory: Path) -> AsyncIterator[HttpCalls]:
    async with https_cluster(directory) as cluster, http_calls(cluster) as calls:
        yield calls


def core_event(name: str, **fields: Any) -> Object:
    plain = {"message": f"This is {name}", "reason": "Test", "type": "Normal", "count": 1}
    return {
        "metadata": {"name": name, "labels": {"set": "x"}},
        "involvedObject": {"namespace": "default"},
        **plain,
        **fields,
    }


def modern_event(name: str, **fields: Any) -> Object:
    return {
        "metadata": {"name": name, "labels": {"set": "x"}},
        "regarding": {"namespace": "default", "kind": "Pod", "name": "p"},
        "eventTime": TIME,
        "note": f"This is {name}",
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
        **fields,
    }


def warnings_of(reply: Reply) -> list[str]:
    return [value for name, value in reply.headers.items() if name == "Warning"]


def names(reply: Reply) -> list[str]:
    return [item["metadata"]["name"] for item in reply.json["items"]]


async def test_one_event_in_both_groups(http: HttpCalls) -> None:
    assert (await http("POST", MODERN, modern_event("a"))).code == 201
    core = (await http("GET", f"{CORE}/a")).json
    assert (core["message"], core["involvedObject"]["name"]) == ("This is a", "p")
    assert core["reportingComponent"] == "test-controller"
    for path, selector in (
        (CORE, "source=test-controller"),
        (CORE, "involvedObject.name=p,involvedObject.kind=Pod"),
        (CORE, "reportingComponent=test-controller"),
        (MODERN, "reportingController=test-controller"),
        (MODERN, "regarding.name=p"),
        (MODERN, "reason=Test,type=Normal"),
        ("/api/v1/events", "metadata.namespace=default"),
    ):
        assert names(await http("GET", f"{path}?fieldSelector={selector}")) == ["a"], selector
    assert names(await http("GET", f"{CORE}?fieldSelector=source=other")) == []
    series = {"series": {"count": 2, "lastObservedTime": TIME}}
    patched = await http("PATCH", f"{MODERN}/a", series, headers=STRATEGIC)
    assert patched.json["series"] == series["series"]
    whole = patched.json | {"series": {"count": 100, "lastObservedTime": TIME}}
    assert (await http("PUT", f"{MODERN}/a", whole)).json["series"]["count"] == 100
    assert (await http("GET", f"{CORE}/a")).json["series"]["count"] == 100
    assert (await http("DELETE", f"{MODERN}/a")).code == 200
    assert names(await http("GET", "/apis/events.k8s.io/v1/events?labelSelector=set=x")) == []


@pytest.mark.parametrize(("path", "make"), [(CORE, core_event), (MODERN, modern_event)])
async def test_a_collection_is_deleted_by_labels(http: HttpCalls, path: str, make: Any) -> None:
    for number in range(3):
        await http("POST", path, make(f"e{number}"))
    await http("POST", path, make("other") | {"metadata": {"name": "other"}})
    assert (await http("DELETE", f"{path}?labelSelector=set=x")).code == 200
    assert names(await http("GET", path)) == ["other"]


async def test_old_clients_patch_messages_and_new_ones_may_not(http: HttpCalls) -> None:
    await http("POST", CORE, core_event("old"))
    patched = await http("PATCH", f"{CORE}/old", {"message": "again", "count": 2}, headers=STRATEGIC)
    assert (patched.json["message"], patched.json["count"]) == ("again", 2)
    # What an old client wrote stays writable for new ones, but not what is said in it.
    modern = await http("PATCH", f"{MODERN}/old", {"metadata": {"labels": {"l": "1"}}}, headers=STRATEGIC)
    assert modern.code == 200
    for change, field in (({"note": "x"}, "message"), ({"deprecatedCount": 5}, "count"), ({"type": "Warning"}, "type")):
        refused = await http("PATCH", f"{MODERN}/old", change, headers=STRATEGIC)
        assert refused.code == 422
        assert [cause["field"] for cause in refused.json["details"]["causes"]] == [field]


@pytest.mark.parametrize(
    ("path", "event", "field"),
    [
        (CORE, core_event("x", involvedObject={"namespace": "other"}), "involvedObject.namespace"),
        (CORE, core_event("x", eventTime=TIME, action="a", reportingInstance="i"), "reportingController"),
        (MODERN, modern_event("x", eventTime=None), "eventTime"),
        (MODERN, modern_event("x", type="Odd"), "type"),
        (MODERN, modern_event("x", deprecatedCount=1), "count"),
        (MODERN, modern_event("x", deprecatedSource={"host": "h"}), "source"),
        (MODERN, modern_event("x", action=""), "action"),
        (MODERN, modern_event("x", note="m" * 1025), "message"),
        (MODERN, modern_event("x", series={"count": 1, "lastObservedTime": TIME}), "series.count"),
        (MODERN, modern_event("x", series={"count": 2}), "series.lastObservedTime"),
        (MODERN, modern_event("x", reportingController="a b"), "reportingController"),
    ],
)
async def test_what_is_refused(http: HttpCalls, path: str, event: Object, field: str) -> None:
    refused = await http("POST", path, event)
    assert refused.code == 422, refused.body
    assert field in [cause["field"] for cause in refused.json["details"]["causes"]]


async def test_events_of_one_namespace_may_be_about_another_when_they_have_an_event_time(http: HttpCalls) -> None:
    about = {"namespace": "kube-system", "kind": "Pod", "name": "p"}
    assert (await http("POST", MODERN, modern_event("y", regarding=about))).code == 201


async def test_component_statuses_are_healthy_and_read_only(http: HttpCalls) -> None:
    api = http.cluster.api
    await write_component_statuses(http.cluster.store, api.context.registry)
    await write_component_statuses(http.cluster.store, api.context.registry)
    path = "/api/v1/componentstatuses"
    assert names(await http("GET", path)) == ["controller-manager", "etcd-0", "scheduler"]
    assert warnings_of(await http("GET", path)) == ['299 - "v1 ComponentStatus is deprecated in v1.19+"']
    one = (await http("GET", f"{path}/scheduler")).json
    assert one["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
    table = await http("GET", path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    assert [row["cells"][1] for row in table.json["rows"]] == ["Healthy"] * 3
    assert (await http("DELETE", f"{path}/scheduler")).code == 405
    assert (await http("GET", f"{path}/none")).code == 404
