"""Words a refusal exactly as Kubernetes does."""

import json

from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import Forbidden


def refusal(user: UserInfo, info: RequestInfo) -> str:
    """`User "x" cannot list resource "pods" in API group "" in the namespace "default"`."""
    name = _quote(user.name)
    if not info.is_resource:
        return f"User {name} cannot {info.verb} path {_quote(info.path)}"
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    text = f"User {name} cannot {info.verb} resource {_quote(resource)} in API group {_quote(info.group)}"
    if info.namespace:
        return f"{text} in the namespace {_quote(info.namespace)}"
    return f"{text} at the cluster scope"


def forbidden(user: UserInfo, info: RequestInfo, reason: str = "") -> Forbidden:
    """The 403 for a request that no authorizer allowed."""
    # Kubernetes keeps the message from looking like HTML to a browser.
    why = refusal(user, info).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if reason:
        why = f"{why}: {reason}"
    if not info.resource:
        return Forbidden(f"forbidden: {why}", details={})
    return Forbidden.of(info.group, info.resource, info.name, why)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
