"""A Deployment-like schema, small enough to read, for the tests of merging and ownership."""

from minikube_py.objects.errors import Object
from minikube_py.objects.schema_node import ANY, SchemaNode

TEXT = SchemaNode("string")
NUMBER = SchemaNode("integer")


def an_object(**properties: SchemaNode) -> SchemaNode:
    return SchemaNode("object", properties)


def keyed(items: SchemaNode, *keys: str, merge_key: str = "", strategy: str = "merge") -> SchemaNode:
    return SchemaNode(
        "array",
        items_source=items,
        list_type="map",
        map_keys=keys,
        patch_strategy=strategy,  # type: ignore[arg-type]
        patch_merge_key=merge_key or keys[0],
    )


TEXTS = SchemaNode("object", additional_source=TEXT)
PORT = an_object(containerPort=NUMBER, protocol=SchemaNode("string", default="TCP"), name=TEXT)
CONTAINER = an_object(
    name=TEXT,
    image=TEXT,
    args=SchemaNode("array", items_source=TEXT),
    env=keyed(an_object(name=TEXT, value=TEXT), "name"),
    ports=keyed(PORT, "containerPort", "protocol"),
)
METADATA = an_object(
    name=TEXT,
    namespace=TEXT,
    uid=TEXT,
    generation=NUMBER,
    resourceVersion=TEXT,
    creationTimestamp=TEXT,
    labels=TEXTS,
    annotations=TEXTS,
    finalizers=SchemaNode("array", items_source=TEXT, list_type="set", patch_strategy="merge"),
    managedFields=SchemaNode("array", items_source=ANY),
)
STRATEGY = SchemaNode("object", {"type": TEXT, "rollingUpdate": TEXTS}, patch_strategy="retainKeys")
POD_SPEC = an_object(containers=keyed(CONTAINER, "name"), nodeSelector=SchemaNode(
    "object", additional_source=TEXT, map_type="atomic"
))  # fmt: skip
SPEC = an_object(
    replicas=NUMBER,
    paused=SchemaNode("boolean"),
    strategy=STRATEGY,
    template=an_object(metadata=METADATA, spec=POD_SPEC),
    free=ANY,
)
DEPLOYMENT = an_object(
    apiVersion=TEXT, kind=TEXT, metadata=METADATA, spec=SPEC, status=an_object(replicas=NUMBER, phase=TEXT)
)


def deployment(*containers: Object, labels: Object | None = None, **spec: object) -> Object:
    """A Deployment `default/web` of the small schema."""
    metadata: Object = {"name": "web", "namespace": "default"}
    if labels is not None:
        metadata["labels"] = labels
    body: Object = dict(spec)
    if containers:
        body["template"] = {"spec": {"containers": list(containers)}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": body}
