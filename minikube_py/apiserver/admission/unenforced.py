"""Warns whoever writes an object that mkube keeps but that has no effect: nobody should rely on it unknowingly."""

from minikube_py.apiserver.admission.context import Plugin
from minikube_py.apiserver.admission.protocol import AdmissionRequest

_NETWORKING, _FLOW = "networking.k8s.io", "flowcontrol.apiserver.k8s.io"
_EFFECTS = {
    (_NETWORKING, "networkpolicies"): "it restricts no traffic",
    (_NETWORKING, "ingresses"): "no controller serves it, unless you run one",
    (_FLOW, "flowschemas"): "requests are not classified by it",
    (_FLOW, "prioritylevelconfigurations"): "requests are not limited by it",
}
"""What an object of a kind does not do."""


class UnenforcedWarning(Plugin):
    name = "UnenforcedWarning"
    resources = frozenset(_EFFECTS)

    async def mutate(self, request: AdmissionRequest) -> None:
        info = request.info
        missing = _EFFECTS.get((info.group, info.resource))
        if missing is None or request.operation not in ("CREATE", "UPDATE") or info.subresource:
            return
        if request.user.name == "system:apiserver":
            return  # the objects that every cluster has
        request.warnings.append(f"mkube stores this {request.kind.kind}, but {missing}")
