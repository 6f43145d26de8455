"""What admission plugins are given, and how they word a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from minikube_py.apiserver.admission.counts import AdmissionCounts
from minikube_py.apiserver.admission.equivalents import Equivalents
from minikube_py.apiserver.admission.protocol import AdmissionRequest, ObjectReader
from minikube_py.apiserver.authz.protocol import Authorizer, Verdict
from minikube_py.apiserver.authz.rbac import RbacAuthorizer
from minikube_py.apiserver.outbound import Outbound
from minikube_py.apiserver.request_info import RequestInfo
from minikube_py.client.protocol import Client
from minikube_py.objects.errors import Forbidden, Object
from minikube_py.resources.kind import GVR

NAMESPACES = GVR("", "v1", "namespaces")
NODES = GVR("", "v1", "nodes")
PODS = GVR("", "v1", "pods")
SERVICE_ACCOUNTS = GVR("", "v1", "serviceaccounts")


@dataclass
class AdmissionContext:
    """client writes quota usage, outbound calls webhooks; both are the server's own once there is one.

    configuration is what the administrator's file says to each plugin, by name.
    """

    reader: ObjectReader
    authorizer: Authorizer
    rbac: RbacAuthorizer
    client: Client | None = None
    outbound: Outbound = field(default_factory=Outbound)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    counts: AdmissionCounts = field(default_factory=AdmissionCounts)

    @cached_property
    def equivalents(self) -> Equivalents:
        """The other versions of resources."""
        return Equivalents(self.reader, lambda: self.outbound)


class Plugin:
    """An admission plugin that does nothing: what every plugin starts from."""

    name = ""

    def __init__(self, context: AdmissionContext) -> None:
        self.context = context
        self.reader = context.reader

    async def mutate(self, request: AdmissionRequest) -> None:
        return None

    async def validate(self, request: AdmissionRequest) -> None:
        return None


def is_about(request: AdmissionRequest, group: str, resource: str, *subresources: str) -> bool:
    """Whether the request is about `resource` itself, or about one of its named subresources when those are given."""
    info = request.info
    if info.resource != resource or info.group != group:
        return False
    return info.subresource in (subresources or ("",))


def object_name(request: AdmissionRequest) -> str:
    """The object's name as far as it is known: a name that is still to be generated shows its prefix."""
    if request.info.name:
        return request.info.name
    metadata = (request.obj or request.old or {}).get("metadata") or {}
    return metadata.get("name") or metadata.get("generateName") or "Unknown"


def refuse(request: AdmissionRequest, why: str) -> Forbidden:
    """`pods "x" is forbidden: <why>`."""
    return Forbidden.of(request.info.group, request.info.resource, object_name(request), why)


def may_for_signer(context: AdmissionContext, request: AdmissionRequest, verb: str, signer: str) -> bool:
    """Whether the user has `verb` on this signer, or on all signers of its domain."""
    domain = signer.partition("/")[0]
    return any(_may(context, request, verb, name) for name in (signer, f"{domain}/*"))


def _may(context: AdmissionContext, request: AdmissionRequest, verb: str, name: str) -> bool:
    question = RequestInfo(
        path="",
        verb=verb,
        is_resource=True,
        group="certificates.k8s.io",
        version="*",
        resource="signers",
        name=name,
    )
    return context.authorizer.authorize(request.user, question).verdict is Verdict.ALLOW


def spec_of(obj: Object | None) -> Object:
    spec: Object = (obj or {}).get("spec") or {}
    return spec
