"""pods/resize: changes the cpu and memory of containers while they run; nothing else of the pod changes."""

from minikube_py.apiserver.subresources.same_kind import same_kind
from minikube_py.apiserver.writes import AdmittedView, restore
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.core.pod import validate_whole
from minikube_py.resources.core.pod_update import validate_resize
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import ResourceKind

_RESIZABLE = ("resources", "resizePolicy")


class _Resize:
    subresource = "resize"
    raises_generation = True
    view: AdmittedView | None = None

    def prepare(self, kind: ResourceKind, new: Object, old: Object) -> None:
        wanted = new.get("spec") or {}
        spec = deep_copy(old["spec"])
        for key in ("containers", "initContainers"):
            sent = {c.get("name"): c for c in wanted.get(key) or ()}
            for container in spec.get(key) or ():
                _take(container, sent.get(container["name"]))
        new["spec"] = spec
        restore(new, old, "status")

    def validate(self, kind: ResourceKind, new: Object, old: Object, errors: FieldErrors) -> None:
        validate_whole(new, errors)
        validate_resize(new, old, errors)


def _take(container: Object, sent: Object | None) -> None:
    for key in _RESIZABLE:
        if sent is not None and key in sent:
            container[key] = sent[key]


resize = same_kind(_Resize())
