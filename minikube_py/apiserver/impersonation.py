"""Lets a user act as another, header by header, each one authorized first.

Source: Kubernetes' "User impersonation" page and apiserver pkg/endpoints/filters (order and texts of the checks).
"""

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from minikube_py.apiserver.authz.messages import forbidden
from minikube_py.apiserver.authz.protocol import Authorizer, Verdict
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import BadRequest, InternalError

USER = "impersonate-user"
GROUP = "impersonate-group"
UID = "impersonate-uid"
EXTRA = "impersonate-extra-"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def is_impersonating(headers: Mapping[str, str]) -> bool:
    return any(name.startswith("impersonate-") for name in headers)


def impersonate(
    user: UserInfo, headers: Mapping[str, list[str]], authorizer: Authorizer, *, requested: RequestInfo | None = None
) -> UserInfo:
    """The user to go on as. headers maps lower-case names to all their values (Impersonate-Group repeats).

    Raises Forbidden for a part that `user` may not take on, BadRequest for parts without Impersonate-User.
    """
    names = headers.get(USER, [])
    groups = headers.get(GROUP, [])
    uids = headers.get(UID, [])
    extra = {unquote(name.removeprefix(EXTRA)): v for name, v in headers.items() if name.startswith(EXTRA)}
    if not names or not names[0]:
        if groups or extra or uids:
            raise InternalError.of("requested impersonation without impersonating a user")
        return user
    if len(names) > 1 or len(uids) > 1:
        raise BadRequest("only one Impersonate-User and one Impersonate-Uid header are allowed")
    for info in _questions(names[0], groups, uids, extra):
        decision = authorizer.authorize(user, info)
        if decision.verdict is not Verdict.ALLOW:
            raise forbidden(user, info, decision.reason)
    return _target(names[0], groups, uids, extra)


def _questions(name: str, groups: list[str], uids: list[str], extra: Mapping[str, list[str]]) -> Iterator[RequestInfo]:
    parts = service_account_parts(name)
    if parts:
        yield _question("", "v1", "serviceaccounts", parts[1], namespace=parts[0])
    else:
        yield _question("", "v1", "users", name)
    for group in groups:
        yield _question("", "v1", "groups", group)
    for key, values in extra.items():
        for value in values:
            yield _question(_AUTHENTICATION, "v1", "userextras", value, subresource=key)
    for uid in uids:
        yield _question(_AUTHENTICATION, "v1", "uids", uid)


def _question(
    group: str, version: str, resource: str, name: str, *, namespace: str = "", subresource: str = ""
) -> RequestInfo:
    return RequestInfo(
        path="",
        verb="impersonate",
        is_resource=True,
        group=group,
        version=version,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _target(name: str, groups: list[str], uids: list[str], extra: Mapping[str, list[str]]) -> UserInfo:
    all_groups = list(groups)
    parts = service_account_parts(name)
    if parts and not groups:
        all_groups = ["system:serviceaccounts", f"system:serviceaccounts:{parts[0]}"]
    if name == "system:anonymous":
        all_groups.append("system:unauthenticated")
    elif "system:unauthenticated" not in all_groups:
        all_groups.append("system:authenticated")
    return UserInfo(
        name,
        uid=uids[0] if uids else "",
        groups=tuple(dict.fromkeys(all_groups)),
        extra={key: tuple(values) for key, values in extra.items()},
    )


def service_account_parts(username: str) -> tuple[str, str] | None:
    """(namespace, name) of `system:serviceaccount:<namespace>:<name>`, or None."""
    if not username.startswith(_SERVICE_ACCOUNT):
        return None
    namespace, colon, name = username.removeprefix(_SERVICE_ACCOUNT).partition(":")
    return (namespace, name) if colon and namespace and name and ":" not in name else None
