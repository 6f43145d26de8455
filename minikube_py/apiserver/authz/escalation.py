"""Keeps users from granting what they don't have: checks every write of a role or binding.

Source: the RBAC reference page, "Privilege escalation prevention and bootstrapping"; texts as in pkg/registry/rbac.
"""

from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.authz.protocol import Authorizer, Verdict
from minikube_py.apiserver.authz.rbac import GROUP, RESOURCES, RbacAuthorizer
from minikube_py.apiserver.authz.system_masters import GROUP as MASTERS
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import Forbidden, NotFound, Object
from minikube_py.resources.rbac_rules import PolicyRule, compact, describe, quoted_list, uncovered

_EVERYTHING: list[PolicyRule] = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]


class EscalationCheck:
    """An admission plugin of its own: the last to validate, since it must see the final object."""

    name = "RBACEscalationCheck"
    resources = frozenset((GROUP, resource) for resource in RESOURCES)

    def __init__(self, authorizer: Authorizer, rbac: RbacAuthorizer) -> None:
        self.authorizer = authorizer
        self.rbac = rbac

    async def mutate(self, request: AdmissionRequest) -> None:
        return None

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises Forbidden, and NotFound for a binding to a role that does not exist and may not be bound blindly."""
        if request.info.group != GROUP or request.operation not in ("CREATE", "UPDATE") or request.subresource:
            return
        if MASTERS in request.user.groups or request.obj is None:
            return
        if request.old is not None and _is_same_grant(request.obj, request.old):
            return
        if request.info.resource in ("roles", "clusterroles"):
            self._check_role(request, request.obj)
        elif request.info.resource in ("rolebindings", "clusterrolebindings"):
            self._check_binding(request, request.obj)

    def _check_role(self, request: AdmissionRequest, role: Object) -> None:
        name = role["metadata"].get("name", "")
        if self._may(request, "escalate", request.info.resource, name, request.namespace):
            return
        if role.get("aggregationRule"):
            owned, _ = self.rbac.policy_rules(request.user, request.namespace)
            if uncovered(owned, _EVERYTHING):
                why = "must have cluster-admin privileges to use the aggregationRule"
                raise Forbidden.of(GROUP, request.info.resource, name, why)
        self._confirm(request, name, list(role.get("rules") or []))

    def _check_binding(self, request: AdmissionRequest, binding: Object) -> None:
        reference = binding.get("roleRef") or {}
        resource = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
        role_name = reference.get("name", "")
        if self._may(request, "bind", resource, role_name, request.namespace):
            return
        rules = self.rbac.role_rules(request.namespace, reference)
        if rules is None:
            raise NotFound.of(GROUP, resource, role_name)
        self._confirm(request, binding["metadata"].get("name", ""), rules)

    def _may(self, request: AdmissionRequest, verb: str, resource: str, name: str, namespace: str) -> bool:
        question = RequestInfo(
            path="",
            verb=verb,
            is_resource=True,
            group=GROUP,
            version="*",
            resource=resource,
            namespace=namespace,
            name=name,
        )
        return self.authorizer.authorize(request.user, question).verdict is Verdict.ALLOW

    def _confirm(self, request: AdmissionRequest, name: str, rules: list[PolicyRule]) -> None:
        owned, problems = self.rbac.policy_rules(request.user, request.namespace)
        missing = uncovered(owned, rules)
        if missing:
            text = refusal(request.user, missing)
            if problems:
                text += f"; resolution errors: [{', '.join(problems)}]"
            raise Forbidden.of(GROUP, request.info.resource, name, text)


def refusal(user: UserInfo, missing: list[PolicyRule]) -> str:
    """Names the permissions that `user` tries to grant without holding them."""
    rules = "\n".join(describe(rule) for rule in compact(missing))
    who = f"user {quoted_list([user.name])[1:-1]} (groups={quoted_list(user.groups)})"
    return f"{who} is attempting to grant RBAC permissions not currently held:\n{rules}"


def _is_same_grant(new: Object, old: Object) -> bool:
    return all(new.get(key) == old.get(key) for key in ("rules", "aggregationRule", "roleRef", "subjects"))
