"""Asks the server's authorizer, and refuses what it does not allow."""

from minikube_py.apiserver.authz.messages import forbidden
from minikube_py.apiserver.authz.protocol import Verdict
from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.request_info import RequestInfo, UserInfo


def authorize(context: ServerContext, user: UserInfo, info: RequestInfo) -> None:
    """Raises Forbidden unless an authorizer allows the request."""
    if context.authorizer is None:
        return
    decision = context.authorizer.authorize(user, info)
    if decision.verdict is not Verdict.ALLOW:
        raise forbidden(user, info, decision.reason)
