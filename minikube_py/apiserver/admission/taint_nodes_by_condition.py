"""A new node takes no pods until it has said that it is ready.

Source: the admission controllers reference page (TaintNodesByCondition).
"""

from minikube_py.apiserver.admission.context import Plugin, is_about
from minikube_py.apiserver.admission.protocol import AdmissionRequest

TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"
    resources = frozenset((("", "nodes"),))

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE" or not is_about(request, "", "nodes"):
            return
        spec = request.obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(t.get("key") == TAINT["key"] and t.get("effect") == TAINT["effect"] for t in taints):
            spec["taints"] = [*taints, dict(TAINT)]
