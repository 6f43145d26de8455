import pytest

from minikube_py.apiserver.admission.catalog import PLUGINS, build_admission, build_chain
from minikube_py.apiserver.admission.context import Plugin
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR
from tests.support.admission import admission_context, admission_request
from tests.support.object_reader import DictReader


@pytest.fixture
def reader() -> DictReader:
    reader = DictReader()
    reader.add(GVR("", "v1", "namespaces"), {"metadata": {"name": "web"}})
    reader.add(GVR("", "v1", "serviceaccounts"), {"metadata": {"name": "default", "namespace": "web"}})
    return reader


OBJECTS: list[tuple[str, Object]] = [
    ("pods", {"metadata": {"name": "p", "namespace": "web"}, "spec": {"containers": [{"name": "c"}]}}),
    ("nodes", {"metadata": {"name": "n"}}),
    ("configmaps", {"metadata": {"name": "c", "namespace": "web"}}),
    ("persistentvolumeclaims", {"metadata": {"name": "c", "namespace": "web"}}),
    ("persistentvolumes", {"metadata": {"name": "c"}}),
    ("ingresses.networking.k8s.io", {"metadata": {"name": "c", "namespace": "web"}}),
    ("deployments.apps", {"metadata": {"name": "c", "namespace": "web"}, "spec": {"template": {"spec": {}}}}),
]


@pytest.mark.parametrize(("path", "obj"), OBJECTS, ids=[p for p, _ in OBJECTS])
async def test_the_chain_does_what_all_plugins_do(reader: DictReader, path: str, obj: Object) -> None:
    """A plugin that names its resources must not miss one."""
    from_chain = admission_request("CREATE", path, deep_copy(obj))
    chain = build_chain(admission_context(reader))
    await chain.mutate(from_chain)
    await chain.validate(from_chain)
    from_all = admission_request("CREATE", path, deep_copy(obj))
    plugins = build_admission(admission_context(reader))
    for plugin in plugins:
        await plugin.mutate(from_all)
    for plugin in plugins:
        await plugin.validate(from_all)
    assert _without_suffix(from_chain) == _without_suffix(from_all)


async def test_plugins_that_have_nothing_to_do_are_not_asked(reader: DictReader) -> None:
    asked: list[str] = []

    class Loud(Plugin):
        resources = frozenset((("", "pods"),))

        async def mutate(self, request: AdmissionRequest) -> None:
            asked.append(request.info.resource)

    chain = build_chain(admission_context(reader), disable=[e.name for e in PLUGINS])
    chain.plugins = (Loud(admission_context(reader)),)
    for path, obj in OBJECTS:
        await chain.mutate(admission_request("CREATE", path, deep_copy(obj)))
    assert asked == ["pods"]


def _without_suffix(request: AdmissionRequest) -> str:
    """As text, without the random tail of the token volume's name."""
    text = str(request.obj)
    volumes = ((request.obj or {}).get("spec") or {}).get("volumes") or []
    for volume in volumes:
        text = text.replace(volume["name"], "volume")
    return text


@pytest.mark.parametrize(("path", "obj"), OBJECTS, ids=[p for p, _ in OBJECTS])
async def test_a_second_round_changes_nothing_more(reader: DictReader, path: str, obj: Object) -> None:
    """Plugins are asked again when a policy or webhook has changed the object."""
    reader.add(GVR("scheduling.k8s.io", "v1", "priorityclasses"), {
        "metadata": {"name": "p"}, "value": 5, "globalDefault": True,
    })  # fmt: skip
    request = admission_request("CREATE", path, deep_copy(obj))
    chain = build_chain(admission_context(reader))
    await chain.mutate(request)
    first = deep_copy(request.obj)
    await chain.mutate(request)
    assert request.obj == first
