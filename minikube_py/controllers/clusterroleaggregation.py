"""Fills aggregated ClusterRoles with the rules of the roles that their selectors name.

Source: pkg/controller/clusterroleaggregation.
"""

from collections.abc import Iterable, Sequence

from minikube_py.controllers.context import CLUSTER_ROLES, ControllerContext
from minikube_py.controllers.workloads.writing import write_object
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy, key, labels, name
from minikube_py.objects.selectors import LabelSelector
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import InformerEvent


class ClusterRoleAggregationController:
    name = "clusterroleaggregation"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("clusterrole-aggregation-controller")
        self._roles = context.informers.informer(CLUSTER_ROLES)

    def sources(self) -> Sequence[Source]:
        return (Source(self._roles, self._aggregates),)

    def _aggregates(self, _event: InformerEvent) -> Iterable[Key]:
        return [key(role) for role in self._roles.cache if role.get("aggregationRule")]

    async def reconcile(self, key: Key) -> float | None:
        role = self._roles.cache.get(*key)
        if role is None or not role.get("aggregationRule"):
            return None
        rules: list[Object] = []
        for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
            parsed = LabelSelector.from_dict(selector)
            for other in sorted(self._roles.cache, key=name):
                if name(other) != name(role) and parsed.matches(labels(other)):
                    rules += [rule for rule in other.get("rules") or () if rule not in rules]
        if rules != (role.get("rules") or []):
            await write_object(self._client, self._roles, {**deep_copy(role), "rules": deep_copy(rules)})
        return None
