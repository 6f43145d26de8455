"""Allows everything to the group system:masters, so that no role or binding can lock the administrator out."""

from minikube_py.apiserver.authz.protocol import Decision, Verdict
from minikube_py.apiserver.request_info import RequestInfo, UserInfo

GROUP = "system:masters"
_ALLOW = Decision(Verdict.ALLOW)
_NO_OPINION = Decision(Verdict.NO_OPINION)


class SystemMasters:
    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return _ALLOW if GROUP in user.groups else _NO_OPINION

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        if GROUP not in user.groups:
            return [], []
        return (
            [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        )
