"""Authenticates bootstrap tokens, the short-lived secrets with which machines join.

Source: Kubernetes' "Authenticating with Bootstrap Tokens" page. Unlike there, a token whose secret is right but whose
time is over is told so, and so is one that isn't known: a machine that can't join should say why.
"""

import base64
import hmac
import re

from minikube_py import clock
from minikube_py.apiserver.admission.protocol import ObjectReader
from minikube_py.apiserver.authn.protocol import Authenticated, Credentials
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import Unauthorized
from minikube_py.resources.kind import GVR

SECRETS = GVR("", "v1", "secrets")
GROUP = "system:bootstrappers"
_FORM = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokens:
    """Reads Secrets of type bootstrap.kubernetes.io/token in kube-system."""

    name = "bootstrap-token"

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader

    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        match = _FORM.fullmatch(credentials.bearer_token)
        if not match:
            return None
        token_id, token_secret = match.groups()
        secret = self._reader.get(SECRETS, f"bootstrap-token-{token_id}", "kube-system")
        data = _decode(secret.get("data") or {}) if secret else {}
        known = data.get("token-secret", "")
        right = hmac.compare_digest(known.encode(), token_secret.encode()) and data.get("token-id") == token_id
        if (
            not secret
            or not right
            or secret.get("type") != "bootstrap.kubernetes.io/token"
            or secret.get("metadata", {}).get("deletionTimestamp")
        ):
            raise Unauthorized(f'bootstrap token "{token_id}" is not known here (deleted, expired, or mistyped)')
        if _is_over(data.get("expiration", "")):
            raise Unauthorized(f'bootstrap token "{token_id}" expired at {data["expiration"]}')
        if data.get("usage-bootstrap-authentication") != "true":
            raise Unauthorized(f'bootstrap token "{token_id}" is not for authentication')
        extra_groups = [g for g in data.get("auth-extra-groups", "").split(",") if g]
        if not all(_EXTRA_GROUP.fullmatch(g) for g in extra_groups):
            raise Unauthorized(f'bootstrap token "{token_id}" names a group outside of {GROUP}:')
        return Authenticated(UserInfo(f"system:bootstrap:{token_id}", groups=(GROUP, *sorted(set(extra_groups)))))


def _decode(data: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _is_over(expiration: str) -> bool:
    if not expiration:
        return False
    try:
        return clock.parse(expiration) <= clock.now()
    except ValueError:
        return True
