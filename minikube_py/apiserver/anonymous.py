"""Says which paths may be asked without any credential; nothing else is anonymous."""

from minikube_py.apiserver.request_info import UserInfo

ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))
PUBLIC_PATHS = frozenset({"/livez", "/readyz", "/version"})


def anonymous_user(path: str, method: str = "GET") -> UserInfo | None:
    """The anonymous user, when `path` is public; None means 401."""
    return ANONYMOUS if path.removesuffix("/") in PUBLIC_PATHS and method in ("GET", "HEAD") else None
