"""Nothing is made in a namespace that is missing or going, and the system's namespaces stay.

Source: the admission controllers reference page; texts as in apiserver pkg/admission/plugin/namespace/lifecycle.
"""

from minikube_py.apiserver.admission.context import NAMESPACES, Plugin, object_name, refuse
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import NotFound

IMMORTAL = ("default", "kube-system", "kube-public")


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"

    async def mutate(self, request: AdmissionRequest) -> None:
        self._check(request)

    async def validate(self, request: AdmissionRequest) -> None:
        # Once more at the end: other plugins may have waited, and the namespace may be going by now.
        self._check(request)

    def _check(self, request: AdmissionRequest) -> None:
        info = request.info
        if (info.group, info.resource) == ("", "namespaces"):
            if request.operation == "DELETE" and not info.subresource and object_name(request) in IMMORTAL:
                raise refuse(request, "this namespace may not be deleted")
            return
        if request.operation != "CREATE" or not info.namespace or info.resource == "localsubjectaccessreviews":
            return
        namespace = self.reader.get(NAMESPACES, info.namespace)
        if namespace is None:
            raise NotFound.of("", "namespaces", info.namespace)
        if (namespace.get("status") or {}).get("phase") != "Terminating":
            return
        text = f"unable to create new content in namespace {info.namespace} because it is being terminated"
        error = refuse(request, text)
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {info.namespace} is being terminated",
            "field": "metadata.namespace",
        }
        error.details = {**(error.details or {}), "causes": [cause]}
        raise error
