"""Adds to pods what their RuntimeClass costs and which nodes have it.

Source: the "Runtime Class" and "Pod Overhead" pages; texts as in plugin/pkg/admission/runtimeclass.
"""

from minikube_py.apiserver.admission.context import Plugin, is_about, refuse
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR
from minikube_py.resources.pod_amounts import parse_amounts

RUNTIME_CLASSES = GVR("node.k8s.io", "v1", "runtimeclasses")


class RuntimeClass(Plugin):
    name = "RuntimeClass"
    resources = frozenset((("", "pods"),))

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE" or not is_about(request, "", "pods"):
            return
        spec = request.obj.setdefault("spec", {})
        found = self._class(request, spec)
        if found is None:
            return
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and parse_amounts(spec["overhead"]) != parse_amounts(overhead):
                raise refuse(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = dict(overhead)
        self._place(request, spec, found.get("scheduling") or {})

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE" or not is_about(request, "", "pods"):
            return
        spec = request.obj.get("spec") or {}
        found = self._class(request, spec)
        if spec.get("overhead") and not ((found or {}).get("overhead") or {}).get("podFixed"):
            raise refuse(request, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")

    def _class(self, request: AdmissionRequest, spec: Object) -> Object | None:
        name = spec.get("runtimeClassName")
        if not name:
            return None
        found = self.reader.get(RUNTIME_CLASSES, name)
        if found is None:
            raise refuse(request, f'pod rejected: RuntimeClass "{name}" not found')
        return found

    def _place(self, request: AdmissionRequest, spec: Object, scheduling: Object) -> None:
        selector = scheduling.get("nodeSelector") or {}
        own = spec.get("nodeSelector") or {}
        for key, value in selector.items():
            if own.get(key, value) != value:
                head = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}"
                raise refuse(request, f"{head}, pod.spec.nodeSelector[{key}] = {own[key]}")
        if selector:
            spec["nodeSelector"] = {**selector, **own}
        tolerations = spec.get("tolerations") or []
        added = [t for t in scheduling.get("tolerations") or [] if t not in tolerations]
        if added:
            spec["tolerations"] = [*tolerations, *added]
