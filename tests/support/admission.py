"""Makes admission requests for tests, and runs plugins over them as a write does."""

from minikube_py.apiserver.admission.context import AdmissionContext
from minikube_py.apiserver.admission.protocol import AdmissionPlugin, AdmissionRequest
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import ResourceKind
from tests.support.identity import default_authorization, request
from tests.support.object_reader import DictReader

ADMIN = UserInfo("system:admin", groups=("system:masters", "system:authenticated"))


def admission_context(reader: DictReader) -> AdmissionContext:
    authorization = default_authorization(reader)
    return AdmissionContext(reader, authorization.union, authorization.rbac)


def admission_request(
    operation: str,
    path: str,
    obj: Object | None = None,
    old: Object | None = None,
    *,
    user: UserInfo = ADMIN,
    namespace: str = "",
    name: str = "",
) -> AdmissionRequest:
    """path as in tests.support.identity.request; namespace and name default to the object's."""
    metadata = (obj or old or {}).get("metadata") or {}
    namespace = namespace or metadata.get("namespace", "")
    name = name or (metadata.get("name", "") if operation != "CREATE" else "")
    info = request(operation.lower(), path, namespace, name)
    kind = ResourceKind(info.group, "v1", "", info.resource, "", bool(namespace), ())
    return AdmissionRequest(info, kind, operation, user, obj, old)


async def run(plugin: AdmissionPlugin, made: AdmissionRequest) -> AdmissionRequest:
    await plugin.mutate(made)
    await plugin.validate(made)
    return made
