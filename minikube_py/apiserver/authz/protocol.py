"""An authorizer says yes, no, or nothing to one request tuple."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from minikube_py.apiserver.request_info import RequestInfo, UserInfo


class Verdict(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


@dataclass(frozen=True)
class Decision:
    verdict: Verdict
    reason: str = ""


class Authorizer(Protocol):
    """Answers from memory, so it does not wait. The first verdict that is not NO_OPINION stands."""

    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision: ...

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        """(resource rules, non-resource rules) for SelfSubjectRulesReview."""
        ...
