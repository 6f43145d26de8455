"""Lets pods stay five minutes on a node that has gone quiet, unless they say otherwise.

Source: the "Taints and Tolerations" page (taint-based evictions).
"""

from minikube_py.apiserver.admission.context import Plugin, is_about
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object

SECONDS = 300
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"
    resources = frozenset((("", "pods"),))

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation not in ("CREATE", "UPDATE") or not is_about(request, "", "pods"):
            return
        spec = request.obj.setdefault("spec", {})
        tolerations = spec.get("tolerations") or []
        missing = [key for key in TAINTS if not any(_tolerates(t, key) for t in tolerations)]
        if missing:
            added = [
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
                for key in missing
            ]
            spec["tolerations"] = [*tolerations, *added]


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")
