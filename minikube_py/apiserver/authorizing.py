"""Asks the server's authorizer, and refuses what it does not allow."""

from dataclasses import replace

from minikube_py.apiserver.authz.messages import forbidden
from minikube_py.apiserver.authz.protocol import Verdict
from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.request_info import RequestInfo, UserInfo

_NODE_PAGES = frozenset(("healthz", "metrics", "pods", "stats"))


def node_page(info: RequestInfo) -> RequestInfo | None:
    """The narrower right that is enough to read one of a node's pages: `get nodes/metrics` instead of `nodes/proxy`.

    Source: "Kubelet authorization" of the Kubernetes documentation; here the node proxy is the only way to a kubelet.
    """
    if (info.group, info.resource, info.subresource, info.verb) != ("", "nodes", "proxy", "get"):
        return None
    page = info.parts[3] if len(info.parts) > 3 else ""
    return replace(info, subresource=page) if page in _NODE_PAGES else None


def authorize(
    context: ServerContext, user: UserInfo, info: RequestInfo, annotations: dict[str, str] | None = None
) -> None:
    """Raises Forbidden unless an authorizer allows the request. annotations: where the audit log wants to know why."""
    if context.authorizer is None:
        return
    decision = context.authorizer.authorize(user, info)
    if decision.verdict is not Verdict.ALLOW and (page := node_page(info)) is not None:
        finer = context.authorizer.authorize(user, page)
        decision = finer if finer.verdict is Verdict.ALLOW else decision
    is_allowed = decision.verdict is Verdict.ALLOW
    if annotations is not None:
        annotations["authorization.k8s.io/decision"] = "allow" if is_allowed else "forbid"
        annotations["authorization.k8s.io/reason"] = decision.reason
    if not is_allowed:
        raise forbidden(user, info, decision.reason)
