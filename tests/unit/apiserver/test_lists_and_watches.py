"""Lists in pages and at revisions, watches in all their forms, tables and metadata: as clients see them over HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minikube_py import clock
from minikube_py.client.protocol import Selection
from minikube_py.resources.kind import GVR
from minikube_py.store.memory import MemoryStore
from minikube_py.store.retention import Retention
from tests.support.cluster import https_cluster
from tests.support.http_calls import HttpCalls, http_calls

MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAPS = GVR("", "v1", "configmaps")
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
MERGE = {"Content-Type": "application/merge-patch+json"}
PARTIAL_LIST = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}


@pytest.fixture
def at_second() -> Iterator[Callable[[int], None]]:
    """Sets the clock to so many seconds after the test's start."""
    start = clock.seconds()
    yield lambda second: clock.set_source(lambda: start + second)
    clock.reset_source()


async def make(http: HttpCalls, *names: str, **labels: str) -> None:
    for name in names:
        body = {"metadata": {"name": name, "namespace": "default", "labels": labels}, "data": {"x": "1"}}
        await http.cluster.client().create(CONFIG_MAPS, body)


def names(listed: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_every_page_is_at_the_first_pages_revision(http: HttpCalls) -> None:
    await make(http, "a", "b", "c", "d", "e")
    first = (await http("GET", f"{MAPS}?limit=2")).json
    assert names(first) == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    await http.cluster.client().delete(CONFIG_MAPS, "c", "default")
    await make(http, "bb")
    token = first["metadata"]["continue"]
    second = (await http("GET", f"{MAPS}?limit=2&continue={token}")).json
    assert names(second) == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    last = (await http("GET", f"{MAPS}?limit=2&continue={second['metadata']['continue']}")).json
    assert names(last) == ["e"]
    assert "continue" not in last["metadata"]
    assert "remainingItemCount" not in last["metadata"]


async def test_no_count_of_what_remains_with_a_selector(http: HttpCalls) -> None:
    await make(http, "a", "b", "c", k="v")
    page = (await http("GET", f"{MAPS}?limit=1&labelSelector=k%3Dv")).json
    assert page["metadata"]["continue"]
    assert "remainingItemCount" not in page["metadata"]


SHORT = Retention(max_changes=10, slice_size=5)


async def test_an_expired_token_offers_the_rest(pki_directory: Path) -> None:
    async with https_cluster(pki_directory, store=MemoryStore(SHORT)) as cluster, http_calls(cluster) as http:
        await make(http, "a", "b", "c")
        token = (await http("GET", f"{MAPS}?limit=1")).json["metadata"]["continue"]
        await make(http, *(f"d{index}" for index in range(20)))
        http.cluster.api.context.snapshots.expire()
        expired = await http("GET", f"{MAPS}?limit=1&continue={token}")
        assert (expired.code, expired.json["reason"]) == (410, "Expired")
        assert expired.message.startswith("The provided continue parameter is too old to display a consistent list")
        rest = await http("GET", f"{MAPS}?limit=500&continue={expired.json['metadata']['continue']}")
        assert names(rest.json)[:3] == ["b", "c", "d0"]
        nonsense = await http("GET", f"{MAPS}?limit=1&continue=nonsense")
        assert nonsense.message == "invalid continue token: continue key is not valid"


async def test_a_page_is_continued_from_the_history(http: HttpCalls) -> None:
    await make(http, "a", "b", "c")
    token = (await http("GET", f"{MAPS}?limit=1")).json["metadata"]["continue"]
    await make(http, "d")
    http.cluster.api.context.snapshots.expire()
    assert names((await http("GET", f"{MAPS}?continue={token}")).json) == ["b", "c"]


async def test_a_token_expires_however_often_its_page_is_read(
    http: HttpCalls, at_second: Callable[[int], None]
) -> None:
    """Five minutes after the first page, the later pages' tokens with it; the rest is there at the current revision."""
    await make(http, "a", "b", "c", "d")
    first = (await http("GET", f"{MAPS}?limit=1")).json["metadata"]
    at_second(200)
    second = (await http("GET", f"{MAPS}?limit=1&continue={first['continue']}")).json["metadata"]
    await make(http, "e")
    at_second(299)
    assert (await http("GET", f"{MAPS}?limit=1&continue={first['continue']}")).code == 200
    at_second(302)
    for token in (first["continue"], second["continue"]):
        expired = await http("GET", f"{MAPS}?limit=1&continue={token}")
        assert (expired.code, expired.json["reason"]) == (410, "Expired")
    rest = (await http("GET", f"{MAPS}?limit=2&continue={expired.json['metadata']['continue']}")).json
    assert (names(rest), rest["metadata"]["remainingItemCount"]) == (["c", "d"], 1)
    assert rest["metadata"]["resourceVersion"] != first["resourceVersion"]
    last = (await http("GET", f"{MAPS}?limit=2&continue={rest['metadata']['continue']}")).json
    assert (names(last), last["metadata"]["resourceVersion"]) == (["e"], rest["metadata"]["resourceVersion"])


async def test_revisions_of_reads(http: HttpCalls) -> None:
    await make(http, "a")
    current = int((await http("GET", MAPS)).json["metadata"]["resourceVersion"])
    for query in ("resourceVersion=0", "resourceVersion=1", f"resourceVersion={current}&resourceVersionMatch=Exact"):
        assert names((await http("GET", f"{MAPS}?{query}")).json) == ["a"], query
    for query in ("", "&resourceVersionMatch=Exact", "&resourceVersionMatch=NotOlderThan", "&limit=1"):
        future = await http("GET", f"{MAPS}?resourceVersion={current + 100}{query}")
        assert (future.code, future.json["reason"]) == (504, "Timeout")
        assert future.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
        assert future.message == f"Too large resource version: {current + 100}, current: {current}"
    assert (await http("GET", f"{MAPS}?resourceVersionMatch=Exact")).code == 422
    assert (await http("GET", f"{MAPS}?resourceVersion=x")).message == (
        'invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax'
    )


async def test_a_list_of_an_earlier_revision(http: HttpCalls) -> None:
    """What was there then, in every form; a page without a match is of its revision too."""
    await make(http, "a", "b", "c", k="v")
    then = (await http("GET", MAPS)).json
    version = then["metadata"]["resourceVersion"]
    await http.cluster.client().delete(CONFIG_MAPS, "b", "default")
    await http.cluster.client().patch(CONFIG_MAPS, "a", {"metadata": {"labels": None}, "data": {"y": "2"}}, "default")
    await make(http, "b", "d")
    exact = f"{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact"
    assert (await http("GET", exact)).json == then
    rows = (await http("GET", exact, headers=TABLE)).json
    assert ([row["cells"][:2] for row in rows["rows"]], rows["metadata"]) == (
        [["a", 1], ["b", 1], ["c", 1]], then["metadata"]
    )  # fmt: skip
    partial = (await http("GET", exact, headers=PARTIAL_LIST)).json
    assert [item["metadata"] for item in partial["items"]] == [item["metadata"] for item in then["items"]]
    protobuf = await http("GET", exact, headers={"Accept": "application/vnd.kubernetes.protobuf"})
    assert then["items"][1]["metadata"]["uid"].encode() in protobuf.body
    assert names((await http("GET", f"{exact}&labelSelector=k%3Dv")).json) == ["a", "b", "c"]
    first = (await http("GET", f"{exact}&limit=2")).json
    http.cluster.api.context.snapshots.expire()
    again = (await http("GET", f"{MAPS}?resourceVersion={version}&limit=2")).json
    assert (again["items"], again["metadata"]["remainingItemCount"]) == (first["items"], 1)
    http.cluster.api.context.snapshots.expire()
    rest = (await http("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")).json
    assert first["items"] + rest["items"] == then["items"]
    assert rest["metadata"] == then["metadata"]
    newer = (await http("GET", f"{MAPS}?resourceVersion={version}")).json
    assert names(newer) == ["a", "b", "c", "d"]


async def test_a_revision_too_old_to_list(pki_directory: Path) -> None:
    async with https_cluster(pki_directory, store=MemoryStore(SHORT)) as cluster, http_calls(cluster) as http:
        await make(http, "a")
        version = (await http("GET", MAPS)).json["metadata"]["resourceVersion"]
        await make(http, *(f"d{index}" for index in range(20)))
        gone = await http("GET", f"{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")
        assert (gone.code, gone.json["reason"]) == (410, "Expired")
        assert gone.message == "The resourceVersion for the provided list is too old."


async def test_a_page_of_a_collection_is_deleted(http: HttpCalls) -> None:
    await make(http, "a", "b", "c")
    page = (await http("DELETE", f"{MAPS}?limit=2")).json
    assert (names(page), page["metadata"]["remainingItemCount"]) == (["a", "b"], 1)
    assert names((await http("GET", MAPS)).json) == ["c"]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("labelSelector=a%20in%20b", "unable to parse requirement: found 'b' expected: '('"),
        ("fieldSelector=metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("fieldSelector=data.x%3D1", '"data.x" is not a known field selector: only "metadata.name"'),
    ],
)
async def test_bad_selectors(http: HttpCalls, query: str, text: str) -> None:
    refused = await http("GET", f"{MAPS}?{query}")
    assert refused.code == 400
    assert text in refused.message


# --- tables ----------------------------------------------------------------------------------------------------------


async def test_tables(http: HttpCalls) -> None:
    await make(http, "a")
    listed = (await http("GET", MAPS, headers=TABLE)).json
    assert (listed["kind"], listed["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in listed["columnDefinitions"]] == ["Name", "Data", "Age"]
    row = listed["rows"][0]
    assert row["cells"][:2] == ["a", 1]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["name"] == "a"
    one = (await http("GET", f"{MAPS}/a?includeObject=Object", headers=TABLE)).json
    assert one["rows"][0]["object"]["data"] == {"x": "1"}
    none = (await http("GET", f"{MAPS}?includeObject=None", headers=TABLE)).json
    assert "object" not in none["rows"][0]
    review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    only = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    assert (await http("POST", review, body, headers=only)).code == 406


async def test_metadata_alone(http: HttpCalls) -> None:
    await make(http, "a")
    one = (await http("GET", f"{MAPS}/a", headers=PARTIAL)).json
    assert set(one) == {"kind", "apiVersion", "metadata"}
    listed = (await http("GET", MAPS, headers=PARTIAL_LIST)).json
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"][0]["kind"] == "PartialObjectMetadata"
    assert (await http("GET", f"{MAPS}/a", headers=PARTIAL_LIST)).code == 406


# --- watches ---------------------------------------------------------------------------------------------------------


async def revision(http: HttpCalls) -> str:
    return (await http.cluster.client().list(CONFIG_MAPS, Selection("default"))).resource_version


async def test_initial_events_end_with_a_bookmark(http: HttpCalls) -> None:
    await make(http, "a", "b")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with http.events(f"{MAPS}?{query}") as events:
        assert [(await anext(events))["type"] for _ in range(2)] == ["ADDED", "ADDED"]
        mark = await anext(events)
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert mark["object"]["metadata"]["resourceVersion"] == await revision(http)
        await make(http, "c")
        assert (await anext(events))["object"]["metadata"]["name"] == "c"
    refused = await http("GET", f"{MAPS}?watch=1&sendInitialEvents=true")
    assert refused.code == 422
    assert "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan" in refused.message


async def test_a_watch_ends_when_its_time_is_over(http: HttpCalls) -> None:
    async with http.events(f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={await revision(http)}") as events:
        assert [event async for event in events] == []


async def test_selectors_and_the_old_watch_path(http: HttpCalls) -> None:
    start = await revision(http)
    await make(http, "a", k="v")
    await make(http, "b")
    async with http.events(f"{MAPS}?watch=1&labelSelector=k%3Dv&resourceVersion={start}") as events:
        assert (await anext(events))["object"]["metadata"]["name"] == "a"
        await http.cluster.client().patch(CONFIG_MAPS, "a", {"metadata": {"labels": None}}, "default")
        left = await anext(events)
        assert (left["type"], left["object"]["metadata"]["labels"]) == ("DELETED", {"k": "v"})
    async with http.events(f"/api/v1/watch/namespaces/default/configmaps/b?resourceVersion={start}") as events:
        assert (await anext(events))["object"]["metadata"]["name"] == "b"


@pytest.mark.parametrize("is_read_first", [False, True])
async def test_what_left_a_selection_is_shown_as_it_was_and_to_its_watchers_only(
    http: HttpCalls, is_read_first: bool
) -> None:
    await make(http, "a", k="v")
    start = await revision(http)
    label = {"metadata": {"labels": {"k": "w"}}}
    changed = await http("PATCH", f"{MAPS}/a", label, headers=MERGE)
    if is_read_first:
        await http("GET", f"{MAPS}/a", headers=PARTIAL)
    query = f"watch=1&labelSelector=k%3Dv&resourceVersion={start}"
    async with http.events(f"{MAPS}?{query}", headers=PARTIAL) as events:
        left = await anext(events)
    version = changed.json["metadata"]["resourceVersion"]
    metadata = left["object"]["metadata"]
    assert (left["type"], metadata["labels"], metadata["resourceVersion"]) == ("DELETED", {"k": "v"}, version)
    read = (await http("GET", f"{MAPS}/a", headers=PARTIAL)).json["metadata"]
    assert (read["labels"], read["resourceVersion"]) == ({"k": "w"}, version)
    back = (await http("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"k": "v"}}}, headers=MERGE)).json["metadata"]
    assert back["labels"] == {"k": "v"}
    assert back["resourceVersion"] != version


async def test_watches_of_tables_and_metadata(http: HttpCalls) -> None:
    await make(http, "a")
    async with http.events(f"{MAPS}?watch=1", headers=TABLE) as events:
        event = await anext(events)
        assert (event["type"], event["object"]["kind"]) == ("ADDED", "Table")
        assert event["object"]["rows"][0]["cells"][0] == "a"
    async with http.events(f"{MAPS}?watch=1", headers=PARTIAL) as events:
        assert (await anext(events))["object"]["kind"] == "PartialObjectMetadata"


async def test_a_revision_too_old_is_gone(pki_directory: Path) -> None:
    async with https_cluster(pki_directory, store=MemoryStore(SHORT)) as cluster, http_calls(cluster) as http:
        gone = await http("GET", f"{MAPS}?watch=1&resourceVersion=1")
        assert (gone.code, gone.json["reason"]) == (410, "Expired")
        assert gone.message.startswith("too old resource version: 1 (")


async def test_watchers_leave_nothing_behind(http: HttpCalls) -> None:
    hub = http.cluster.store._hub  # type: ignore[attr-defined]
    async with http.events(f"{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan") as events:
        await make(http, "a")
        await anext(events)
        assert hub._subscriptions["/configmaps"]
    # The server learns of the closed connection before it answers what comes after it.
    for _ in range(50):
        await http("GET", "/version")
        if "/configmaps" not in hub._subscriptions:
            return
    raise AssertionError("the watch goes on")
