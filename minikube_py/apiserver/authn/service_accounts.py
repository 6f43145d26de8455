"""Authenticates service-account tokens: signed by this cluster, in time, for us, and bound to things that still exist.

Source: KEP-1205 (bound tokens), KEP-4193 (node claims), the service account administration page.
"""

import base64
import hashlib
import hmac
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from minikube_py import clock
from minikube_py.apiserver.admission.protocol import ObjectReader
from minikube_py.apiserver.authn.json_web_tokens import peek, strings
from minikube_py.apiserver.authn.protocol import Authenticated, Credentials
from minikube_py.apiserver.authn.token_keys import TokenKeys
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import Object, Unauthorized
from minikube_py.resources.kind import GVR

SERVICE_ACCOUNTS = GVR("", "v1", "serviceaccounts")
SECRETS = GVR("", "v1", "secrets")
PODS = GVR("", "v1", "pods")
NODES = GVR("", "v1", "nodes")

LEGACY_ISSUER = "kubernetes/serviceaccount"
PRIVATE_CLAIM = "kubernetes.io"
_LEGACY = "kubernetes.io/serviceaccount/"
_EXTRA = "authentication.kubernetes.io/"
# Objects that are being deleted vouch for their tokens this much longer (Kubernetes' leeway).
_DELETION_LEEWAY_SECONDS = 60
_REMEMBERED = 4096


@dataclass(frozen=True)
class TokenTrust:
    """Whose tokens are accepted. audiences are the API server's own names; tokens are made for issuers[0]."""

    keys: TokenKeys
    issuers: Sequence[str] = ("https://kubernetes.default.svc.cluster.local",)
    audiences: Sequence[str] = ("https://kubernetes.default.svc.cluster.local",)


class ServiceAccountTokens:
    """Signatures are checked once per token and remembered; everything that can change is checked every time."""

    name = "service-account"

    def __init__(self, trust: TokenTrust, reader: ObjectReader) -> None:
        self._trust = trust
        self._reader = reader
        self._verified: OrderedDict[bytes, dict[str, Any]] = OrderedDict()

    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        return self.authenticate_token(credentials.bearer_token, self._trust.audiences)

    def authenticate_token(self, token: str, audiences: Sequence[str] = ()) -> Authenticated | None:
        """None for anything that isn't a service-account token of this cluster. Raises Unauthorized for a bad one.

        Without audiences, the API server's own are meant; the answer names those that the token is good for.
        """
        claims = self._claims(token)
        if claims is None:
            return None
        wanted = list(audiences) or list(self._trust.audiences)
        if claims["iss"] == LEGACY_ISSUER:
            user = self._legacy_user(claims, token)
            held = list(self._trust.audiences)
        else:
            user = self._bound_user(claims)
            held = strings(claims.get("aud")) or list(self._trust.audiences)
        common = tuple(a for a in held if a in wanted)
        if not common:
            raise Unauthorized(
                f"token audiences {_listing(held)} is invalid for the target audiences {_listing(wanted)}"
            )
        return Authenticated(user, common)

    def _claims(self, token: str) -> dict[str, Any] | None:
        """The verified claims, or None when the token is somebody else's."""
        if token.count(".") != 2:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        if digest in self._verified:
            self._verified.move_to_end(digest)
            return self._verified[digest]
        header, payload = peek(token)
        issuer = payload.get("iss")
        if issuer not in self._trust.issuers and issuer != LEGACY_ISSUER:
            return None
        claims = self._verify(token, str(header.get("kid") or ""))
        self._verified[digest] = claims
        while len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return claims

    def _verify(self, token: str, key_id: str) -> dict[str, Any]:
        import jwt  # noqa: PLC0415  (loaded with the first token)

        # Times are checked by us, against the replaceable clock; here only the signature counts.
        options = {"verify_signature": True, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
        options |= {"verify_aud": False, "verify_iss": False, "verify_sub": False, "verify_jti": False}
        for key in self._trust.keys.find(key_id):
            try:
                claims = jwt.decode(token, key.public, algorithms=[key.algorithm], options=options)  # type: ignore[arg-type]
            except jwt.InvalidTokenError:
                continue
            return dict(claims)
        raise Unauthorized("invalid bearer token")

    # -- bound tokens

    def _bound_user(self, claims: dict[str, Any]) -> UserInfo:
        now = clock.seconds()
        if "exp" not in claims or now >= float(claims["exp"]):
            raise Unauthorized("service account token has expired")
        if now + 1 < float(claims.get("nbf") or 0):
            raise Unauthorized("service account token is issued in the future")
        private = claims.get(PRIVATE_CLAIM) or {}
        namespace = str(private.get("namespace") or "")
        account = private.get("serviceaccount") or {}
        name, uid = str(account.get("name") or ""), str(account.get("uid") or "")
        if not namespace or not name or claims.get("sub") != f"system:serviceaccount:{namespace}:{name}":
            raise Unauthorized("service account token has invalid claims")
        self._existing(SERVICE_ACCOUNTS, namespace, name, uid)
        extra: dict[str, tuple[str, ...]] = {}
        if claims.get("jti"):
            extra[_EXTRA + "credential-id"] = (f"JTI={claims['jti']}",)
        secret, pod, node = private.get("secret"), private.get("pod"), private.get("node")
        if secret:
            self._existing(SECRETS, namespace, str(secret.get("name")), str(secret.get("uid")))
        if pod:
            self._existing(PODS, namespace, str(pod.get("name")), str(pod.get("uid")))
            extra[_EXTRA + "pod-name"] = (str(pod.get("name")),)
            extra[_EXTRA + "pod-uid"] = (str(pod.get("uid")),)
        if node:
            # A pod vouches for its node; a token bound to the node alone needs the node itself.
            if not pod:
                self._existing(NODES, "", str(node.get("name")), str(node.get("uid")))
            extra[_EXTRA + "node-name"] = (str(node.get("name")),)
            if node.get("uid"):
                extra[_EXTRA + "node-uid"] = (str(node["uid"]),)
        return service_account_user(namespace, name, uid, extra)

    def _existing(self, gvr: GVR, namespace: str, name: str, uid: str) -> Object:
        obj = self._reader.get(gvr, name, namespace)
        if obj is None or obj["metadata"].get("uid") != uid:
            raise Unauthorized("service account token has been invalidated")
        deleted = obj["metadata"].get("deletionTimestamp")
        if deleted and _timestamp(deleted) + _DELETION_LEEWAY_SECONDS < clock.seconds():
            raise Unauthorized("service account token has been invalidated")
        return obj

    # -- tokens in Secrets, from before bound tokens

    def _legacy_user(self, claims: dict[str, Any], token: str) -> UserInfo:
        namespace, secret_name = str(claims.get(_LEGACY + "namespace")), str(claims.get(_LEGACY + "secret.name"))
        name = str(claims.get(_LEGACY + "service-account.name"))
        uid = str(claims.get(_LEGACY + "service-account.uid"))
        if claims.get("sub") != f"system:serviceaccount:{namespace}:{name}":
            raise Unauthorized("service account token has invalid claims")
        secret = self._reader.get(SECRETS, secret_name, namespace)
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            raise Unauthorized("service account token has been invalidated")
        try:
            stored = base64.b64decode((secret.get("data") or {}).get("token", ""))
        except ValueError:
            stored = b""
        if not hmac.compare_digest(stored, token.encode()):
            raise Unauthorized("service account token does not match server's copy")
        self._existing(SERVICE_ACCOUNTS, namespace, name, uid)
        return service_account_user(namespace, name, uid, {})


def service_account_user(
    namespace: str, name: str, uid: str = "", extra: dict[str, tuple[str, ...]] | None = None
) -> UserInfo:
    """The user that a service account acts as, without system:authenticated."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", uid=uid, groups=groups, extra=extra or {})


def token_id(token: str) -> str:
    """The `jti` claim of a token that was just signed here."""
    return str(peek(token)[1].get("jti", ""))


def _listing(values: Sequence[str]) -> str:
    return "[" + " ".join(json.dumps(v) for v in values) + "]"


def _timestamp(text: str) -> float:
    moment: datetime = clock.parse(text)
    return moment.timestamp()
