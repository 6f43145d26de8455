"""namespaces/finalize: takes finalizers out of spec.finalizers; with the last one a deleted namespace is gone."""

from minikube_py.apiserver.subresources.same_kind import same_kind
from minikube_py.apiserver.writes import AdmittedView, restore
from minikube_py.objects.errors import Object
from minikube_py.resources.core.namespace import validate_finalize
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import ResourceKind


class _Finalize:
    subresource = "finalize"
    raises_generation = False
    view: AdmittedView | None = None

    def prepare(self, kind: ResourceKind, new: Object, old: Object) -> None:
        restore(new, old, "status")

    def validate(self, kind: ResourceKind, new: Object, old: Object, errors: FieldErrors) -> None:
        validate_finalize(new, old, errors)


finalize = same_kind(_Finalize())
