"""Asks the server's authorizer, and refuses what it does not allow."""

from minikube_py.apiserver.authz.messages import forbidden
from minikube_py.apiserver.authz.protocol import Verdict
from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.request_info import RequestInfo, UserInfo


def authorize(
    context: ServerContext, user: UserInfo, info: RequestInfo, annotations: dict[str, str] | None = None
) -> None:
    """Raises Forbidden unless an authorizer allows the request. annotations: where the audit log wants to know why."""
    if context.authorizer is None:
        return
    decision = context.authorizer.authorize(user, info)
    is_allowed = decision.verdict is Verdict.ALLOW
    if annotations is not None:
        annotations["authorization.k8s.io/decision"] = "allow" if is_allowed else "forbid"
        annotations["authorization.k8s.io/reason"] = decision.reason
    if not is_allowed:
        raise forbidden(user, info, decision.reason)
