"""Lets only those change an object's owners who may delete it, and only those make an owner wait who may finalize it.

Source: the admission controllers reference page (OwnerReferencesPermissionEnforcement); texts as in
plugin/pkg/admission/gc.
"""

from collections.abc import Iterator
from dataclasses import replace

from minikube_py.apiserver.admission.context import Plugin, refuse
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.authz.protocol import Decision, Verdict
from minikube_py.apiserver.request_info import RequestInfo
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVK, ResourceKind


class OwnerReferencesPermissionEnforcement(Plugin):
    name = "OwnerReferencesPermissionEnforcement"

    async def validate(self, request: AdmissionRequest) -> None:
        info = request.info
        if request.obj is None or request.operation not in ("CREATE", "UPDATE"):
            return
        if (info.group, info.resource, info.subresource) == ("", "pods", "status"):
            return  # /status changes no owners
        owners, before = _owners(request.obj), _owners(request.old)
        if owners == before:
            return
        delete = self._ask(request, replace(info, verb="delete"))
        if delete.verdict is not Verdict.ALLOW:
            raise refuse(request, f"cannot set an ownerRef on a resource you can't delete: {delete.reason}, <nil>")
        for owner in _newly_blocking(owners, before):
            self._check_owner(request, owner)

    def _check_owner(self, request: AdmissionRequest, owner: Object) -> None:
        group, slash, version = str(owner.get("apiVersion", "")).rpartition("/")
        gvk = GVK(group if slash else "", version, owner.get("kind", ""))
        kind = self.reader.registry.find_kind(gvk)
        if kind is None:
            where = f"APIVersion {gvk.api_version} Kind {gvk.kind}"
            why = f'no matches for kind "{gvk.kind}" in version "{gvk.api_version}"'
            raise refuse(
                request,
                f"cannot set blockOwnerDeletion in this case because cannot find RESTMapping for {where}: {why}",
            )
        decision = self._ask(request, _finalizers(kind, request.namespace, owner.get("name", "")))
        if decision.verdict is not Verdict.ALLOW:
            why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
            raise refuse(request, f"{why}: {decision.reason}, <nil>")

    def _ask(self, request: AdmissionRequest, info: RequestInfo) -> Decision:
        return self.context.authorizer.authorize(request.user, info)


def _finalizers(kind: ResourceKind, namespace: str, name: str) -> RequestInfo:
    return RequestInfo(
        path="",
        verb="update",
        is_resource=True,
        group=kind.group,
        version=kind.version,
        resource=kind.plural,
        subresource="finalizers",
        namespace=namespace if kind.namespaced else "",
        name=name,
    )


def _owners(obj: Object | None) -> list[Object]:
    owners: list[Object] = ((obj or {}).get("metadata") or {}).get("ownerReferences") or []
    return owners


def _newly_blocking(owners: list[Object], before: list[Object]) -> Iterator[Object]:
    """The owners that must wait for this object now and did not before."""
    blocking = {owner.get("uid") for owner in before if owner.get("blockOwnerDeletion")}
    for owner in owners:
        if owner.get("blockOwnerDeletion") and owner.get("uid") not in blocking:
            yield owner
