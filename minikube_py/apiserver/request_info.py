"""Parses a URL once into the request tuple that authorization, admission and dispatch all use.

Source: Kubernetes' RequestInfo (apiserver pkg/endpoints/request) and the API concepts page on resource URIs.
"""

from dataclasses import dataclass, field
from typing import Any

from minikube_py.resources.kind import GVR


@dataclass(frozen=True)
class RequestInfo:
    """What a request is about. For non-resource requests only path and verb are set.

    The selectors are the query string's, for list, watch and deletecollection: nodes may list only with the right one.
    """

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    parts: tuple[str, ...] = field(default=())
    field_selector: str = ""
    label_selector: str = ""

    @property
    def gvr(self) -> GVR:
        return GVR(self.group, self.version, self.resource)


@dataclass(frozen=True)
class UserInfo:
    """Who asks. `extra` as in authentication.k8s.io/v1 UserInfo."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        user: dict[str, Any] = {"username": self.name}
        if self.uid:
            user["uid"] = self.uid
        if self.groups:
            user["groups"] = list(self.groups)
        if self.extra:
            user["extra"] = {k: list(v) for k, v in self.extra.items()}
        return user
