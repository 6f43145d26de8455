"""Lets pods that ask for a device onto the nodes that are tainted for it.

Source: the admission controllers reference page (ExtendedResourceToleration; off by default).
"""

from minikube_py.apiserver.admission.context import Plugin, is_about, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.resources.core.resource_names import is_extended


class ExtendedResourceToleration(Plugin):
    name = "ExtendedResourceToleration"
    resources = frozenset((("", "pods"),))

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation not in ("CREATE", "UPDATE") or not is_about(request, "", "pods"):
            return
        spec = request.obj.setdefault("spec", {})
        containers = [*(spec_of(request.obj).get("containers") or []), *(spec.get("initContainers") or [])]
        wanted = {n for c in containers for n in (c.get("resources") or {}).get("requests") or {} if is_extended(n)}
        tolerations = spec.get("tolerations") or []
        have = {t.get("key") for t in tolerations if t.get("operator") == "Exists" and not t.get("effect")}
        added = [{"key": name, "operator": "Exists"} for name in sorted(wanted - have)]
        if added:
            spec["tolerations"] = [*tolerations, *added]
