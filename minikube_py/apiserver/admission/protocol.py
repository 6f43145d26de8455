"""An admission plugin changes (mutate) or refuses (validate) one write; the catalog orders the plugins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR, ResourceKind
from minikube_py.resources.registry import KindRegistry

PATCH_ANNOTATION = "patch.webhook.admission.k8s.io/"
"""Begins the audit annotations with webhooks' patches, which are written from the level Request on."""


class ObjectReader(Protocol):
    """Consistent reads from the store's memory; objects are shared, read-only. registry: the kinds that are served."""

    @property
    def registry(self) -> KindRegistry: ...

    def get(self, gvr: GVR, name: str, namespace: str = "") -> Object | None: ...

    def labels(self, gvr: GVR, name: str, namespace: str = "") -> Mapping[str, str]:
        """The labels of an object, none where there is no object: without parsing it."""
        ...

    def changed_at(self, gvr: GVR) -> int:
        """The revision of the newest change to a resource; 0 when there was never an object."""
        ...

    def list(self, gvr: GVR, namespace: str = "") -> list[Object]: ...


@dataclass
class Rounds:
    """Mutation in two rounds: when a policy or webhook has changed the object, the others may want to see it again.

    is_wanted asks for the second round; is_second says that this is it. memory is what each plugin remembers by name.
    """

    is_wanted: bool = False
    is_second: bool = False
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass
class AdmissionRequest:
    """One write on its way. operation is CREATE, UPDATE, DELETE or CONNECT.

    obj is None on DELETE and old on CREATE; mutate changes obj in place. For a subresource with a body of its own kind
    (binding, eviction, token) obj is that body. warnings become `Warning: 299` headers, audit_annotations stand in the
    audit log's event of the request.
    """

    info: RequestInfo
    kind: ResourceKind
    operation: str
    user: UserInfo
    obj: Object | None
    old: Object | None = None
    options: dict[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    audit_annotations: dict[str, str] = field(default_factory=dict)
    rounds: Rounds = field(default_factory=Rounds)

    def annotate(self, key: str, value: str) -> None:
        """Adds to the request's audit event. The first value of a key stays, as in Kubernetes."""
        self.audit_annotations.setdefault(key, value)

    def replace(self, changed: Object) -> None:
        """Puts a changed object in the place of the own one, which others hold."""
        if self.obj is not None and changed is not self.obj:
            self.obj.clear()
            self.obj.update(changed)

    @property
    def namespace(self) -> str:
        return self.info.namespace

    @property
    def subresource(self) -> str:
        return self.info.subresource


class AdmissionPlugin(Protocol):
    """name is Kubernetes' plugin name. Both calls raise ApiError subclasses, most often Forbidden."""

    name: str

    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...
