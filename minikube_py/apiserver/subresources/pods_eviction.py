"""pods/eviction: deletes a pod unless its PodDisruptionBudget says that it can't be spared now."""

from dataclasses import replace

from minikube_py import clock
from minikube_py.apiserver.call import Answer, ApiCall, TreeBody
from minikube_py.apiserver.deleting import delete_object, read_options
from minikube_py.apiserver.reads import find
from minikube_py.apiserver.subresources.bodies import decode_body
from minikube_py.apiserver.updating import change
from minikube_py.apiserver.writes import STATUS_ONLY, admission_request, admit, mutate
from minikube_py.objects.conditions import observed
from minikube_py.objects.errors import BadRequest, Cause, Forbidden, InternalError, Object, TooManyRequests, UnknownPath
from minikube_py.objects.meta import deep_copy
from minikube_py.objects.selectors import LabelSelector
from minikube_py.resources.kind import GVK, GVR

EVICTION = GVK("policy", "v1", "Eviction")
_BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")
_MAX_DISRUPTED = 2000
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


async def evict(call: ApiCall) -> Answer:
    """POST an Eviction. Raises TooManyRequests when the budget is used up."""
    eviction = decode_body(call, EVICTION)
    name = eviction.setdefault("metadata", {}).setdefault("name", call.info.name)
    if name != call.info.name:
        raise BadRequest("name in URL does not match name in Eviction object")
    request = admission_request(call, "CREATE", eviction, None)
    await mutate(call, request)
    await admit(call, request)
    options = dict(eviction.get("deleteOptions") or {})
    deletion = replace(call, body=TreeBody(options), info=replace(call.info, subresource="", verb="delete"))
    choices = read_options(deletion)
    pod = call.context.records.shared(call.kind, find(call))
    if not _may_go_freely(pod):
        await _charge(deletion, pod)
    if not deletion.dry_run and not pod["metadata"].get("deletionTimestamp"):
        await change(deletion, _marked_as_target, STATUS_ONLY)
    await delete_object(deletion, choices)
    return Answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, code=201)


def _may_go_freely(pod: Object) -> bool:
    """Pods that have ended, never began, or are on their way out count for no budget."""
    if pod["metadata"].get("deletionTimestamp"):
        return True
    return (pod.get("status") or {}).get("phase", "Pending") in ("Succeeded", "Failed", "Pending")


async def _charge(call: ApiCall, pod: Object) -> None:
    """Takes one disruption from the pod's budget, if it has one."""
    kind = call.context.registry.find(_BUDGETS)
    if kind is None:
        raise UnknownPath
    labels = pod["metadata"].get("labels") or {}
    budgets = [
        budget
        for budget in call.context.reader.list(_BUDGETS, call.info.namespace)
        if _selects((budget.get("spec") or {}).get("selector"), labels)
    ]
    if len(budgets) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    if not budgets or not _counts(pod, budgets[0]):
        return
    budget_name = budgets[0]["metadata"]["name"]
    info = replace(
        call.info, group="policy", resource="poddisruptionbudgets", subresource="status", name=budget_name,
        verb="update",
    )  # fmt: skip
    charge = replace(call, kind=kind, info=info)
    await change(charge, lambda budget: _charged(budget, call.info.name), STATUS_ONLY, is_admitted=True)


def _selects(selector: Object | None, labels: Object) -> bool:
    return selector is not None and LabelSelector.from_dict(selector).matches(labels)


def _counts(pod: Object, budget: Object) -> bool:
    """Whether evicting this pod needs an allowed disruption; an unready one may not, by the budget's policy."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    if any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions):
        return True
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    desired = status.get("desiredHealthy") or 0
    return not (desired > 0 and (status.get("currentHealthy") or 0) >= desired)


def _charged(budget: Object, pod_name: str) -> Object:
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        why = f"The disruption budget {name} is still being processed by the server."
        raise _refused(why, retry_after=10)
    allowed = status.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise Forbidden.of("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > _MAX_DISRUPTED:
        raise Forbidden.of(
            "policy",
            "poddisruptionbudget",
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        )
    if allowed == 0:
        why = (
            f"The disruption budget {name} needs {status.get('desiredHealthy') or 0} healthy pods and has "
            f"{status.get('currentHealthy') or 0} currently"
        )
        raise _refused(why)
    new = deep_copy(budget)
    new["status"]["disruptionsAllowed"] = allowed - 1
    new["status"].setdefault("disruptedPods", {})[pod_name] = clock.rfc3339()
    return new


def _refused(why: str, *, retry_after: int = 0) -> TooManyRequests:
    details: Object = {"causes": [Cause("DisruptionBudget", why).to_dict()]}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return TooManyRequests(_REFUSED, details=details)


def _marked_as_target(pod: Object) -> Object:
    """The pod with the condition that tells why it goes."""
    new = deep_copy(pod)
    status = new.setdefault("status", {})
    condition = {
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastTransitionTime": clock.rfc3339(), **observed(pod),
    }  # fmt: skip
    status["conditions"] = [c for c in status.get("conditions") or () if c["type"] != "DisruptionTarget"] + [condition]
    return new
