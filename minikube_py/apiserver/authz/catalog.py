"""Lists the authorizers in the order they are asked, and asks them as one."""

from collections.abc import Sequence
from dataclasses import dataclass

from minikube_py.apiserver.admission.protocol import ObjectReader
from minikube_py.apiserver.authz.node import NodeAuthorizer
from minikube_py.apiserver.authz.protocol import Authorizer, Decision, Verdict
from minikube_py.apiserver.authz.rbac import RbacAuthorizer
from minikube_py.apiserver.authz.system_masters import SystemMasters
from minikube_py.apiserver.request_info import RequestInfo, UserInfo

NO_OPINION = Decision(Verdict.NO_OPINION)


class UnionAuthorizer:
    """The first verdict that is not NO_OPINION stands; the reasons of those without one are put together."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        reasons: list[str] = []
        for authorizer in self._authorizers:
            decision = authorizer.authorize(user, info)
            if decision.verdict is not Verdict.NO_OPINION:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(Verdict.NO_OPINION, "\n".join(reasons)) if reasons else NO_OPINION

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        resource_rules: list[dict[str, object]] = []
        url_rules: list[dict[str, object]] = []
        for authorizer in self._authorizers:
            resources, urls = authorizer.rules_for(user, namespace)
            resource_rules += resources
            url_rules += urls
        return resource_rules, url_rules


@dataclass(frozen=True)
class Authorization:
    """The cluster's authorizers: `union` answers; `node` and `rbac` are what a feed keeps up to date."""

    union: UnionAuthorizer
    node: NodeAuthorizer
    rbac: RbacAuthorizer


def build_authorization(reader: ObjectReader) -> Authorization:
    """Kubernetes' order: the masters' group, then Node, then RBAC."""
    node, rbac = NodeAuthorizer(reader), RbacAuthorizer()
    return Authorization(UnionAuthorizer((SystemMasters(), node, rbac)), node, rbac)
