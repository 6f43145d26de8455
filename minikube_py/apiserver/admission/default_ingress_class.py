"""Gives Ingresses that name no class the default one.

Source: the "Ingress" page (default IngressClass); texts as in plugin/pkg/admission/network/defaultingressclass.
"""

from minikube_py.apiserver.admission.context import Plugin, is_about
from minikube_py.apiserver.admission.default_storage_class import newest_default
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.resources.kind import GVR

INGRESS_CLASSES = GVR("networking.k8s.io", "v1", "ingressclasses")
DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
CLASS_ANNOTATION = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"
    resources = frozenset((("networking.k8s.io", "ingresses"),))

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE":
            return
        if not is_about(request, "networking.k8s.io", "ingresses"):
            return
        ingress = request.obj
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None:
            return
        if CLASS_ANNOTATION in (ingress["metadata"].get("annotations") or {}):
            return
        default = newest_default(self.reader.list(INGRESS_CLASSES), (DEFAULT_ANNOTATION,))
        if default is not None:
            spec["ingressClassName"] = default["metadata"]["name"]
