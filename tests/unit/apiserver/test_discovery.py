"""Discovery and OpenAPI: every form, and that they follow the registry."""

from minikube_py.resources.kind import GVR, ResourceKind
from tests.support.http_calls import HttpCalls

AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
WIDGETS = ResourceKind("example.org", "v1", "Widget", "widgets", "widget", True, ("get", "list", "create"), custom=True)


async def test_classic_documents(http: HttpCalls) -> None:
    assert (await http("GET", "/api")).json["versions"] == ["v1"]
    groups = (await http("GET", "/apis")).json["groups"]
    scaling = next(group for group in groups if group["name"] == "autoscaling")
    assert scaling["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    assert (await http("GET", "/apis/autoscaling")).json["versions"][0]["version"] == "v2"
    resources = {r["name"]: r for r in (await http("GET", "/api/v1")).json["resources"]}
    assert resources["pods"]["shortNames"] == ["po"]
    assert resources["pods/eviction"] == {
        "name": "pods/eviction", "singularName": "", "namespaced": True, "kind": "Eviction", "verbs": ["create"],
        "group": "policy", "version": "v1",
    }  # fmt: skip
    assert (await http("GET", "/apis/apps/v9")).code == 404


async def test_aggregated_discovery_has_a_tag(http: HttpCalls) -> None:
    answer = await http("GET", "/apis", headers=AGGREGATED)
    assert answer.headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    assert answer.json["kind"] == "APIGroupDiscoveryList"
    again = await http("GET", "/apis", headers={**AGGREGATED, "If-None-Match": answer.headers["ETag"]})
    assert (again.code, again.body) == (304, b"")
    assert "as=APIGroupDiscoveryList" in again.headers["Content-Type"]


async def test_new_kinds_show_up_everywhere_and_go_again(http: HttpCalls) -> None:
    registry = http.cluster.api.context.registry
    before = await http("GET", "/apis", headers=AGGREGATED)
    index = (await http("GET", "/openapi/v3")).json["paths"]
    registry.add(WIDGETS)
    after = await http("GET", "/apis", headers=AGGREGATED)
    assert after.headers["ETag"] != before.headers["ETag"]
    assert "example.org" in [group["name"] for group in (await http("GET", "/apis")).json["groups"]]
    changed = (await http("GET", "/openapi/v3")).json["paths"]
    assert set(changed) - set(index) == {"apis/example.org/v1"}
    assert {key: changed[key] for key in index} == index
    document = (await http("GET", changed["apis/example.org/v1"]["serverRelativeURL"])).json
    assert "org.example.v1.Widget" in document["components"]["schemas"]
    registry.remove(GVR("example.org", "v1", "widgets"))
    assert (await http("GET", "/apis/example.org/v1")).code == 404


async def test_openapi_v3(http: HttpCalls) -> None:
    paths = (await http("GET", "/openapi/v3")).json["paths"]
    answer = await http("GET", paths["apis/apps/v1"]["serverRelativeURL"])
    assert "immutable" in answer.headers["Cache-Control"]
    document = answer.json
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    schemas = document["components"]["schemas"]
    assert all(_resolves(node, schemas) for node in schemas.values())
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert "oneOf" in schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"]


def _resolves(node: object, schemas: dict[str, object]) -> bool:
    if isinstance(node, list):
        return all(_resolves(child, schemas) for child in node)
    if not isinstance(node, dict):
        return True
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.rpartition("/")[2] not in schemas:
        return False
    return all(_resolves(child, schemas) for child in node.values())


async def test_openapi_v2(http: HttpCalls) -> None:
    document = (await http("GET", "/openapi/v2")).json
    assert document["swagger"] == "2.0"
    assert "/api/v1/namespaces/{namespace}/pods/{name}/log" in document["paths"]
    assert "io.k8s.api.core.v1.Pod" in document["definitions"]
