"""Authenticates ID tokens of an OpenID Connect issuer outside the cluster.

Source: Kubernetes' "Authenticating" page (OpenID Connect Tokens); checks as in apiserver's oidc authenticator.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minikube_py import clock
from minikube_py.apiserver.authn.json_web_tokens import peek, strings
from minikube_py.apiserver.authn.oidc_keys import IssuerKeys, IssuerUnreachable
from minikube_py.apiserver.authn.protocol import Authenticated, Credentials
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import Unauthorized

if TYPE_CHECKING:
    import jwt

NOT_BEFORE_LEEWAY_SECONDS = 300
_REMEMBERED = 4096


@dataclass(frozen=True)
class OidcOptions:
    """What `--oidc-...` says. username_prefix and groups_prefix are put in front as they are; ca_pem b'' means the
    machine's own authorities.
    """

    issuer_url: str
    client_id: str
    username_claim: str = "sub"
    username_prefix: str = ""
    groups_claim: str = ""
    groups_prefix: str = ""
    required_claims: Mapping[str, str] = field(default_factory=dict)
    ca_pem: bytes = field(default=b"", repr=False)
    signing_algorithms: Sequence[str] = ("RS256",)


class OidcTokens:
    """Signatures are checked once per token and remembered; dates are looked at every time."""

    name = "oidc"

    def __init__(self, options: OidcOptions, keys: IssuerKeys | None = None) -> None:
        self._options = options
        self._keys = keys or IssuerKeys(options.issuer_url, options.ca_pem)
        self._verified: OrderedDict[bytes, dict[str, Any]] = OrderedDict()

    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        token = credentials.bearer_token
        if token.count(".") != 2:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._verified.get(digest)
        if claims is None:
            header, payload = peek(token)
            if payload.get("iss") != self._options.issuer_url:
                return None
            claims = await self._verify(token, header)
            self._verified[digest] = claims
            while len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(digest)
        self._check_dates(claims)
        return Authenticated(self._user(claims))

    async def _verify(self, token: str, header: Mapping[str, Any]) -> dict[str, Any]:
        algorithm, key_id = header.get("alg"), str(header.get("kid") or "")
        if algorithm not in self._options.signing_algorithms:
            wanted = " or ".join(self._options.signing_algorithms)
            raise Unauthorized(f"oidc: the token is signed with {algorithm}, but {wanted} is expected")
        try:
            claims = _claims_of(token, await self._keys.current(), (str(algorithm), key_id))
            if claims is None:
                # The issuer may have rotated its keys since they were fetched.
                claims = _claims_of(token, await self._keys.newer(), (str(algorithm), key_id))
        except IssuerUnreachable as error:
            raise Unauthorized(f"oidc: {error}") from None
        if claims is None:
            raise Unauthorized("oidc: failed to verify the token's signature with the issuer's keys")
        held = strings(claims.get("aud"))
        if self._options.client_id not in held:
            raise Unauthorized(f"oidc: expected audience {json.dumps(self._options.client_id)} got {json.dumps(held)}")
        return claims

    def _check_dates(self, claims: Mapping[str, Any]) -> None:
        now = clock.seconds()
        if now >= _number(claims, "exp", 0.0):
            raise Unauthorized("oidc: token is expired")
        if now + NOT_BEFORE_LEEWAY_SECONDS < _number(claims, "nbf", now):
            raise Unauthorized("oidc: the token is not valid yet (nbf claim)")

    def _user(self, claims: Mapping[str, Any]) -> UserInfo:
        options = self._options
        name = _text(claims, options.username_claim, "username claim")
        if options.username_claim == "email" and claims.get("email_verified", True) is not True:
            raise Unauthorized("oidc: email not verified")
        groups: tuple[str, ...] = ()
        if options.groups_claim and options.groups_claim in claims:
            groups = tuple(options.groups_prefix + group for group in _texts(claims, options.groups_claim))
        for claim, wanted in options.required_claims.items():
            found = _text(claims, claim, "required claim")
            if found != wanted:
                raise Unauthorized(f"oidc: required claim {claim} value does not match. Got = {found}, want = {wanted}")
        if not name:
            raise Unauthorized(f"oidc: the username claim {json.dumps(options.username_claim)} is empty")
        return UserInfo(options.username_prefix + name, groups=groups)


def _claims_of(token: str, keys: "Sequence[jwt.PyJWK]", kind: tuple[str, str]) -> dict[str, Any] | None:
    """The claims, if one of the keys has signed them. kind is (algorithm, key id)."""
    import jwt  # noqa: PLC0415  (loaded with the first token)

    algorithm, key_id = kind
    # Only the signature is checked here; who, for whom and when are checked by us, against the replaceable clock.
    names = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
    options: Any = {"verify_signature": True, **{f"verify_{name}": False for name in names}}
    for key in keys:
        if key_id and key.key_id and key.key_id != key_id:
            continue
        try:
            return dict(jwt.decode(token, key.key, algorithms=[algorithm], options=options))
        except (jwt.InvalidTokenError, TypeError, ValueError):
            continue
    return None


def _number(claims: Mapping[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unauthorized(f"oidc: the claim {name} is not a number")
    return float(value)


def _text(claims: Mapping[str, Any], name: str, what: str) -> str:
    if name not in claims:
        raise Unauthorized(f"oidc: {what} {json.dumps(name)} not present in ID token")
    value = claims[name]
    if not isinstance(value, str):
        raise Unauthorized(f"oidc: {what} {json.dumps(name)} is not a string")
    return value


def _texts(claims: Mapping[str, Any], name: str) -> list[str]:
    """A list of strings, or one string, as some issuers send."""
    value = claims[name]
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise Unauthorized(f"oidc: groups claim {json.dumps(name)} is neither a string nor a list of strings")
    return values
