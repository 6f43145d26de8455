"""Tells a pod, when it is bound, in which zone and region its node is.

Source: KEP-4742: the labels travel on the Binding and end up on the pod.
"""

from minikube_py.apiserver.admission.context import NODES, Plugin, is_about
from minikube_py.apiserver.admission.protocol import AdmissionRequest

LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    name = "PodTopologyLabels"
    resources = frozenset(
        (
            ("", "pods"),
            ("", "bindings"),
        )
    )

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE":
            return
        if not is_about(request, "", "pods", "binding") and not is_about(request, "", "bindings"):
            return
        target = request.obj.get("target") or {}
        if target.get("kind") not in (None, "", "Node"):
            return
        labels = self.reader.labels(NODES, target.get("name", ""))
        found = {key: labels[key] for key in LABELS if key in labels}
        if found:
            metadata = request.obj.setdefault("metadata", {})
            metadata["labels"] = {**(metadata.get("labels") or {}), **found}
