"""pods/ephemeralcontainers: adds debugging containers to a pod that runs; nothing else of it changes."""

from minikube_py.apiserver.subresources.same_kind import same_kind
from minikube_py.apiserver.writes import AdmittedView, restore
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.core.pod import validate_whole
from minikube_py.resources.core.pod_update import validate_ephemeral_containers_update
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import ResourceKind


class _EphemeralContainers:
    subresource = "ephemeralcontainers"
    raises_generation = True
    view: AdmittedView | None = None

    def prepare(self, kind: ResourceKind, new: Object, old: Object) -> None:
        wanted = (new.get("spec") or {}).get("ephemeralContainers")
        new["spec"] = deep_copy(old["spec"])
        new["spec"].pop("ephemeralContainers", None)
        if wanted:
            new["spec"]["ephemeralContainers"] = wanted
        restore(new, old, "status")

    def validate(self, kind: ResourceKind, new: Object, old: Object, errors: FieldErrors) -> None:
        validate_whole(new, errors)
        validate_ephemeral_containers_update(new, old, errors)


ephemeralcontainers = same_kind(_EphemeralContainers())
