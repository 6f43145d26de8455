"""Protobuf messages are made once for each revision, and never outlive it."""

from minikube_py.apiserver import protobuf
from minikube_py.apiserver.kept_messages import KeptMessages
from minikube_py.resources.kind import GVR
from minikube_py.store.protocol import Key
from tests.support.cluster import Cluster, HttpsCluster
from tests.support.http_calls import HttpCalls

_MAPS = GVR("", "v1", "configmaps")
PROTOBUF = {"Accept": "application/vnd.kubernetes.protobuf"}


async def make(cluster: Cluster | HttpsCluster, name: str, value: str) -> None:
    metadata = {"name": name, "namespace": "default"}
    await cluster.client().create(_MAPS, {"metadata": metadata, "data": {"x": value}})


async def test_a_list_of_many_says_what_is_stored_now(http: HttpCalls) -> None:
    for index in range(600):
        await make(http.cluster, f"m{index:03}", "old")
    path = "/api/v1/namespaces/default/configmaps"
    first = protobuf.decode((await http("GET", path, headers=PROTOBUF)).body)
    assert [item["data"] for item in first["items"]] == [{"x": "old"}] * 600
    await http(
        "PATCH", f"{path}/m007", {"data": {"x": "new"}}, headers={"Content-Type": "application/merge-patch+json"}
    )
    await http("DELETE", f"{path}/m008")
    again = protobuf.decode((await http("GET", path, headers=PROTOBUF)).body)
    assert {item["metadata"]["name"]: item["data"]["x"] for item in again["items"] if item["data"] != {"x": "old"}} == {
        "m007": "new"
    }
    assert len(again["items"]) == 599
    one = protobuf.decode((await http("GET", f"{path}/m007", headers=PROTOBUF)).body)
    assert one["data"] == {"x": "new"}
    assert again["metadata"]["resourceVersion"] == (await http("GET", path)).json["metadata"]["resourceVersion"]


async def test_they_take_no_more_than_their_room(served: HttpsCluster) -> None:
    await make(served, "a", "x" * 1000)
    await make(served, "b", "y" * 1000)
    context = served.api.context
    kind = context.registry.find(_MAPS)
    assert kind is not None
    records = [context.store.get(Key(kind.store_resource, "default", name)) for name in "ab"]
    kept = KeptMessages(context.records, most_bytes=1500)
    for record in records:
        assert record is not None
        assert kept.message(kind, record) == protobuf.encode_message(context.records.shared(kind, record), kind.gvk)
        assert kept.message(kind, record) is kept.message(kind, record)
        assert kept.size <= 1500
    assert kept.size == len(kept.message(kind, record))
