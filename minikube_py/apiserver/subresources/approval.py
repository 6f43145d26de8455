"""certificatesigningrequests/approval: who may say yes or no sets the Approved, Denied and Failed conditions."""

from minikube_py import clock
from minikube_py.apiserver.subresources.same_kind import same_kind
from minikube_py.apiserver.writes import StatusOnly
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.certificates.certificatesigningrequest import validate_approval
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import ResourceKind


class _Approval(StatusOnly):
    subresource = "approval"

    def prepare(self, kind: ResourceKind, new: Object, old: Object) -> None:
        super().prepare(kind, new, old)
        conditions = (new.get("status") or {}).get("conditions") or []
        stored = {c.get("type"): c for c in (old.get("status") or {}).get("conditions") or ()}
        for condition in conditions:
            condition.setdefault("lastUpdateTime", clock.rfc3339())
            before = stored.get(condition.get("type"))
            if not condition.get("lastTransitionTime"):
                same = before is not None and before.get("status") == condition.get("status")
                condition["lastTransitionTime"] = before["lastTransitionTime"] if same and before else clock.rfc3339()
        new["status"] = {**deep_copy(old.get("status") or {}), "conditions": conditions}

    def validate(self, kind: ResourceKind, new: Object, old: Object, errors: FieldErrors) -> None:
        validate_approval(new, old, errors)


approval = same_kind(_Approval())
