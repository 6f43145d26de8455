"""Makes service-account tokens: TokenRequest, tokens of Secrets, and the OpenID discovery documents about them.

Source: authentication.k8s.io/v1 TokenRequest, KEP-1205 (bounds, warnafter), KEP-4193 (node claims, jti).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from minikube_py import clock, ids
from minikube_py.apiserver.admission.protocol import ObjectReader
from minikube_py.apiserver.authn.service_accounts import (
    LEGACY_ISSUER,
    NODES,
    PODS,
    PRIVATE_CLAIM,
    SECRETS,
    SERVICE_ACCOUNTS,
    TokenTrust,
)
from minikube_py.objects.errors import BadRequest, Conflict, Invalid, NotFound, Object
from minikube_py.resources.fields import FieldErrors, Path

DEFAULT_SECONDS = 3600
MIN_SECONDS = 600
MAX_SECONDS = 1 << 32
# What kubelets ask for in the default projected volume; such tokens live a year and are only reported after this time,
# so that clients that never reload their token keep working.
EXTENDED_REQUEST_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True)
class TokenClaims:
    """What a token says. bound is the private claims beside namespace and serviceaccount: pod, secret, node."""

    namespace: str
    name: str
    uid: str
    audiences: Sequence[str]
    seconds: int
    warn_after_seconds: int = 0
    bound: tuple[tuple[str, dict[str, str]], ...] = ()


class TokenIssuer:
    """Signs for the first issuer of `trust`."""

    def __init__(self, trust: TokenTrust, reader: ObjectReader) -> None:
        self._trust = trust
        self._reader = reader

    def issue(self, wanted: TokenClaims) -> str:
        """A signed JWT."""
        now = int(clock.seconds())
        private: dict[str, Any] = {
            "namespace": wanted.namespace,
            "serviceaccount": {"name": wanted.name, "uid": wanted.uid},
        }
        private |= dict(wanted.bound)
        if wanted.warn_after_seconds:
            private["warnafter"] = now + wanted.warn_after_seconds
        return self._sign(
            {
                "aud": list(wanted.audiences),
                "exp": now + wanted.seconds,
                "iat": now,
                "iss": self._trust.issuers[0],
                "jti": ids.uid(),
                PRIVATE_CLAIM: private,
                "nbf": now,
                "sub": f"system:serviceaccount:{wanted.namespace}:{wanted.name}",
            }
        )

    def issue_for_secret(self, account: Object, secret: Object) -> str:
        """The token of a Secret of type kubernetes.io/service-account-token: valid as long as both objects are."""
        namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
        return self._sign(
            {
                "iss": LEGACY_ISSUER,
                "kubernetes.io/serviceaccount/namespace": namespace,
                "kubernetes.io/serviceaccount/secret.name": secret["metadata"]["name"],
                "kubernetes.io/serviceaccount/service-account.name": name,
                "kubernetes.io/serviceaccount/service-account.uid": account["metadata"]["uid"],
                "sub": f"system:serviceaccount:{namespace}:{name}",
            }
        )

    def _sign(self, claims: dict[str, Any]) -> str:
        import jwt  # noqa: PLC0415  (loaded with the first token)

        key = self._trust.keys.signing
        return jwt.encode(claims, key.private, algorithm=key.algorithm, headers={"kid": key.key_id, "typ": None})

    def default(self, request: Object, namespace: str, name: str) -> None:
        """Fill what admission and validation look at: metadata, audiences and expirationSeconds."""
        metadata = request.setdefault("metadata", {})
        if metadata.get("name") not in (None, "", name):
            raise BadRequest(f"name in URL does not match name in TokenRequest: {name} != {metadata['name']}")
        metadata["name"] = name
        if metadata.get("namespace") not in (None, "", namespace):
            raise BadRequest("namespace in URL does not match namespace in TokenRequest")
        metadata["namespace"] = namespace
        spec = request.setdefault("spec", {})
        if not spec.get("audiences"):
            spec["audiences"] = list(self._trust.audiences)
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = DEFAULT_SECONDS

    def validate(self, request: Object) -> None:
        """Raises Invalid."""
        errors = FieldErrors()
        path = Path("spec").child("expirationSeconds")
        seconds = request["spec"]["expirationSeconds"]
        if seconds < MIN_SECONDS:
            errors.invalid(path, seconds, "may not specify a duration less than 10 minutes")
        if seconds > MAX_SECONDS:
            errors.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")
        if errors:
            raise Invalid.of("authentication.k8s.io", "TokenRequest", "", errors.causes)

    def answer(self, request: Object, namespace: str, name: str) -> Object:
        """The whole of `create serviceaccounts/token` after admission: a TokenRequest with its status.

        Raises NotFound (no such account), Invalid (bounds), BadRequest and Conflict (bound object).
        """
        account = self._reader.get(SERVICE_ACCOUNTS, name, namespace)
        if account is None:
            raise NotFound.of("", "serviceaccounts", name)
        self.default(request, namespace, name)
        self.validate(request)
        spec = request["spec"]
        seconds = int(spec["expirationSeconds"])
        bound = self._bind(spec.get("boundObjectRef") or {}, account)
        lifetime, warn_after = seconds, 0
        is_own_audience = list(spec["audiences"]) == list(self._trust.audiences)
        if seconds == EXTENDED_REQUEST_SECONDS and is_own_audience and any(key == "pod" for key, _ in bound):
            lifetime, warn_after = EXTENDED_SECONDS, seconds
        claims = TokenClaims(
            namespace, name, account["metadata"]["uid"], tuple(spec["audiences"]), lifetime, warn_after, bound
        )
        request["apiVersion"], request["kind"] = "authentication.k8s.io/v1", "TokenRequest"
        request["metadata"].setdefault("creationTimestamp", clock.rfc3339())
        expires = clock.now() + timedelta(seconds=seconds)
        request["status"] = {"token": self.issue(claims), "expirationTimestamp": clock.rfc3339(expires)}
        return request

    def _bind(self, reference: Object, account: Object) -> tuple[tuple[str, dict[str, str]], ...]:
        """Private claims for the bound object, checked to exist and to be the one meant."""
        if not reference:
            return ()
        kind, version, name = reference.get("kind", ""), reference.get("apiVersion", "v1"), reference.get("name", "")
        namespace = account["metadata"]["namespace"]
        if (version, kind) == ("v1", "Pod"):
            pod = self._bound_object(PODS, name, namespace, reference)
            if (pod.get("spec") or {}).get("serviceAccountName") != account["metadata"]["name"]:
                quoted = json.dumps(account["metadata"]["name"])
                raise BadRequest(
                    f"cannot bind token for serviceaccount {quoted} to pod running with different serviceaccount name."
                )
            claims = [("pod", _reference(pod))]
            node_name = (pod.get("spec") or {}).get("nodeName")
            if node_name:
                node = self._reader.get(NODES, node_name)
                claims.append(("node", _reference(node) if node else {"name": node_name}))
            return tuple(claims)
        if (version, kind) == ("v1", "Secret"):
            return (("secret", _reference(self._bound_object(SECRETS, name, namespace, reference))),)
        if (version, kind) == ("v1", "Node"):
            return (("node", _reference(self._bound_object(NODES, name, "", reference))),)
        raise BadRequest(f"cannot bind token to object of type {version}, Kind={kind}")

    def _bound_object(self, gvr: Any, name: str, namespace: str, reference: Object) -> Object:
        obj = self._reader.get(gvr, name, namespace)
        if obj is None:
            raise NotFound.of(gvr.group, gvr.resource, name)
        uid = obj["metadata"]["uid"]
        if reference.get("uid") and reference["uid"] != uid:
            raise Conflict.of(
                gvr.group,
                gvr.resource,
                name,
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        return obj

    # -- OpenID discovery

    def openid_configuration(self, jwks_uri: str = "") -> Object:
        """`/.well-known/openid-configuration`; jwks_uri defaults to the issuer's own."""
        issuer = self._trust.issuers[0]
        return {
            "issuer": issuer,
            "jwks_uri": jwks_uri or f"{issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": self._trust.keys.algorithms,
        }

    def key_set(self) -> Object:
        """`/openid/v1/jwks` (content type application/jwk-set+json)."""
        return self._trust.keys.public_set()


def _reference(obj: Object) -> dict[str, str]:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
