"""Lets a user act as another: each part of the other is authorized first, in one of the modes that Kubernetes has.

Source: Kubernetes' "User impersonation" page, KEP-5284 (constrained impersonation) and apiserver
pkg/endpoints/filters/impersonation (order and texts of the checks).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from minikube_py.apiserver.authz.messages import forbidden
from minikube_py.apiserver.authz.protocol import Authorizer, Verdict
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import BadRequest, Forbidden
from minikube_py.objects.meta import dns1123_subdomain, qualified_name

USER = "impersonate-user"
GROUP = "impersonate-group"
UID = "impersonate-uid"
EXTRA = "impersonate-extra-"
MASTERS = "system:masters"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_NODE = "system:node:"
_NODES = "system:nodes"
_NODE_NAME_KEY = "authentication.kubernetes.io/node-name"
_AUTHENTICATION = "authentication.k8s.io"
_AUTHENTICATED, _UNAUTHENTICATED, _ANONYMOUS = "system:authenticated", "system:unauthenticated", "system:anonymous"


@dataclass(frozen=True)
class Wanted:
    """Whom the headers ask for, as they say it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_name_alone(self) -> bool:
        return not (self.uid or self.groups or self.extra)


@dataclass(frozen=True)
class Impersonated:
    """constraint is the verb of the mode that allowed it, '' for the unconstrained one."""

    user: UserInfo
    constraint: str = ""


def is_impersonating(headers: Mapping[str, str]) -> bool:
    return any(name.startswith("impersonate-") for name in headers)


def impersonate(
    user: UserInfo, headers: Mapping[str, list[str]], authorizer: Authorizer, requested: RequestInfo
) -> Impersonated:
    """The user to go on as. headers maps lower-case names to all their values (Impersonate-Group repeats); requested
    is what the user asks for, which constrained modes look at.

    Raises Forbidden when no mode allows it, BadRequest for parts without Impersonate-User.
    """
    wanted = _wanted(headers)
    if wanted is None:
        return Impersonated(user)
    refusal: Forbidden | None = None
    for mode in _MODES:
        if not mode.applies(user, wanted):
            continue
        try:
            for question in mode.questions(wanted, requested):
                _check(authorizer, user, question)
        except Forbidden as error:
            refusal = error  # the last mode's, which is the one that people know
            continue
        return Impersonated(_target(wanted, mode), mode.constraint)
    raise refusal or Forbidden("all impersonation modes failed", details={})


def _wanted(headers: Mapping[str, list[str]]) -> Wanted | None:
    names, groups, uids = headers.get(USER, []), headers.get(GROUP, []), headers.get(UID, [])
    extra = {unquote(name.removeprefix(EXTRA)): tuple(v) for name, v in headers.items() if name.startswith(EXTRA)}
    if not names or not names[0]:
        if groups or extra or any(uids):
            raise BadRequest("requested impersonation without impersonating a user name")
        return None
    if len(names) > 1 or len(uids) > 1:
        raise BadRequest("only one Impersonate-User and one Impersonate-Uid header are allowed")
    return Wanted(names[0], uids[0] if uids else "", tuple(groups), extra)


def _check(authorizer: Authorizer, user: UserInfo, question: "RequestInfo | _Refusal") -> None:
    if isinstance(question, _Refusal):
        raise forbidden(user, question.info, question.why)
    decision = authorizer.authorize(user, question)
    if decision.verdict is not Verdict.ALLOW:
        raise forbidden(user, question, decision.reason)


# --- modes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Refusal:
    """A part that a constrained mode never allows."""

    info: RequestInfo
    why: str


@dataclass(frozen=True)
class Mode:
    """name '' is the mode of old: whoever may impersonate may then do anything as the other."""

    name: str
    applies: Callable[[UserInfo, Wanted], bool]

    @property
    def constraint(self) -> str:
        return f"impersonate:{self.name}" if self.name else ""

    def questions(self, wanted: Wanted, requested: RequestInfo) -> Iterator[RequestInfo | _Refusal]:
        """What the user must be allowed, in order."""
        if self.name:
            yield replace(requested, verb=f"impersonate-on:{self.name}:{requested.verb}")
        yield self._about_name(wanted.name)
        if wanted.uid:
            yield self._about("uids", wanted.uid)
        yield from self._about_groups(wanted.groups)
        yield from self._about_extra(wanted.extra)

    def _about(self, resource: str, name: str, subresource: str = "", namespace: str = "") -> RequestInfo:
        is_core = not self.name and resource in ("users", "groups", "serviceaccounts")
        return RequestInfo(
            path="",
            verb=self.constraint or "impersonate",
            is_resource=True,
            group="" if is_core else _AUTHENTICATION,
            version="v1",
            resource=resource,
            subresource=subresource,
            namespace=namespace,
            name=name,
        )

    def _about_name(self, name: str) -> RequestInfo:
        node = _node_of(name)
        if self.name and node:
            # An associated node is allowed for every node alike: the user can only ask for its own.
            return self._about("nodes", "*" if self.name == "associated-node" else node)
        account = service_account_parts(name)
        if account:
            return self._about("serviceaccounts", account[1], namespace=account[0])
        return self._about("users", name)

    def _about_groups(self, groups: tuple[str, ...]) -> Iterator[RequestInfo | _Refusal]:
        if self.name and "" in groups:
            yield _Refusal(self._about("groups", ""), "impersonating the empty string group is not allowed")
        if self.name and MASTERS in groups:
            yield _Refusal(self._about("groups", MASTERS), "impersonating the system:masters group is not allowed")
        for group in groups:
            yield self._about("groups", group)

    def _about_extra(self, extra: Mapping[str, tuple[str, ...]]) -> Iterator[RequestInfo | _Refusal]:
        for key, values in extra.items():
            why = _extra_fault(key, values) if self.name else ""
            if why:
                yield _Refusal(self._about("userextras", ""), why)
            for value in values:
                yield self._about("userextras", value, key)


def _is_own_node(user: UserInfo, wanted: Wanted) -> bool:
    """A pod's service account may stand for the node that the pod runs on."""
    node = _node_of(wanted.name)
    if not node or not wanted.is_name_alone or service_account_parts(user.name) is None:
        return False
    return user.extra.get(_NODE_NAME_KEY) == (node,)


def _is_node(user: UserInfo, wanted: Wanted) -> bool:
    return wanted.is_name_alone and bool(_node_of(wanted.name))


def _is_account(user: UserInfo, wanted: Wanted) -> bool:
    return wanted.is_name_alone and service_account_parts(wanted.name) is not None


def _is_other(user: UserInfo, wanted: Wanted) -> bool:
    return not _node_of(wanted.name) and service_account_parts(wanted.name) is None


_MODES = (
    Mode("associated-node", _is_own_node),
    Mode("arbitrary-node", _is_node),
    Mode("serviceaccount", _is_account),
    Mode("user-info", _is_other),
    Mode("", lambda user, wanted: True),
)


def _extra_fault(key: str, values: tuple[str, ...]) -> str:
    if not key:
        return "impersonating the empty string key in extra is not allowed"
    if "/" not in key or qualified_name(key):
        return f"impersonating an invalid key in extra is not allowed: {key}"
    if key != key.lower():
        return f"impersonating a non-lowercase key in extra is not allowed: {key}"
    if not values or "" in values:
        return "impersonating empty values in extra is not allowed"
    return ""


# --- the other user --------------------------------------------------------------------------------------------------


def _target(wanted: Wanted, mode: Mode) -> UserInfo:
    groups = list(wanted.groups)
    account = service_account_parts(wanted.name)
    if mode.name and _node_of(wanted.name):
        groups = [_NODES]
    elif account and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    if wanted.name == _ANONYMOUS:
        groups.append(_UNAUTHENTICATED)
    elif _UNAUTHENTICATED not in groups:
        groups.append(_AUTHENTICATED)
    return UserInfo(wanted.name, uid=wanted.uid, groups=tuple(dict.fromkeys(groups)), extra=dict(wanted.extra))


def _node_of(name: str) -> str:
    node = name.removeprefix(_NODE) if name.startswith(_NODE) else ""
    return "" if node and dns1123_subdomain(node) else node


def service_account_parts(username: str) -> tuple[str, str] | None:
    """(namespace, name) of `system:serviceaccount:<namespace>:<name>`, or None."""
    if not username.startswith(_SERVICE_ACCOUNT):
        return None
    namespace, colon, name = username.removeprefix(_SERVICE_ACCOUNT).partition(":")
    return (namespace, name) if colon and namespace and name and ":" not in name else None
