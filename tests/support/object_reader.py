"""An ObjectReader over a plain dict, for tests of what reads and never writes."""

from collections import Counter
from collections.abc import Mapping

from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR
from minikube_py.resources.registry import KindRegistry


class DictReader:
    """Objects under (gvr, namespace, name)."""

    def __init__(self) -> None:
        self.registry = KindRegistry()
        self.objects: dict[tuple[GVR, str, str], Object] = {}
        self.changes: Counter[GVR] = Counter()

    def add(self, gvr: GVR, obj: Object) -> Object:
        metadata = obj.setdefault("metadata", {})
        metadata.setdefault("uid", f"uid-{metadata['name']}")
        self.changes[gvr] += 1
        self.objects[gvr, metadata.get("namespace", ""), metadata["name"]] = obj
        return obj

    def remove(self, gvr: GVR, name: str, namespace: str = "") -> None:
        self.changes[gvr] += 1
        del self.objects[gvr, namespace, name]

    def get(self, gvr: GVR, name: str, namespace: str = "") -> Object | None:
        return self.objects.get((gvr, namespace, name))

    def labels(self, gvr: GVR, name: str, namespace: str = "") -> Mapping[str, str]:
        found = self.get(gvr, name, namespace)
        return (found or {}).get("metadata", {}).get("labels") or {}

    def changed_at(self, gvr: GVR) -> int:
        return self.changes[gvr]

    def list(self, gvr: GVR, namespace: str = "") -> list[Object]:
        return [o for (g, ns, _), o in self.objects.items() if g == gvr and namespace in ("", ns)]
