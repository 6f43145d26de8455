"""ComponentStatuses: columns of a kind that is only kept for old clients."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import NAME, text


def row(component: Object) -> list[Any]:
    condition = get_condition(component.get("conditions"), "Healthy")
    if condition is None:
        return [meta.name(component), "Unknown", "", ""]
    status = "Healthy" if condition.get("status") == "True" else "Unhealthy"
    return [meta.name(component), status, condition.get("message") or "", condition.get("error") or ""]


RULES = KindRules(
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
    columns=(
        NAME,
        text("Status", "Status of the component conditions"),
        text("Message", "Message of the component conditions"),
        text("Error", "Error of the component conditions"),
    ),
    row=row,
)
