"""Lists the authenticators, in the order they are asked, and asks them as one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from minikube_py.apiserver.admission.protocol import ObjectReader
from minikube_py.apiserver.authn.bootstrap_tokens import BootstrapTokens
from minikube_py.apiserver.authn.oidc import OidcOptions, OidcTokens
from minikube_py.apiserver.authn.protocol import Authenticated, Authenticator, Credentials
from minikube_py.apiserver.authn.request_header import RequestHeaderOptions, RequestHeaders
from minikube_py.apiserver.authn.service_accounts import ServiceAccountTokens, TokenTrust
from minikube_py.apiserver.authn.static_tokens import StaticTokens
from minikube_py.apiserver.authn.x509 import ClientCertificates
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import Unauthorized

_REMEMBERED = 1024
AUTHENTICATED_GROUP = "system:authenticated"


@dataclass(frozen=True)
class AuthenticationOptions:
    """client_ca_pem b'' and None for the others switch those off."""

    reader: ObjectReader
    trust: TokenTrust
    client_ca_pem: bytes = b""
    token_file: Path | None = None
    request_header: RequestHeaderOptions | None = None
    oidc: OidcOptions | None = None


Factory = Callable[[AuthenticationOptions], Authenticator | None]

AUTHENTICATORS: dict[str, Factory] = {
    "request_header": lambda o: RequestHeaders(o.request_header) if o.request_header else None,
    "x509": lambda o: ClientCertificates(o.client_ca_pem) if o.client_ca_pem else None,
    "static_tokens": lambda o: StaticTokens.from_file(o.token_file) if o.token_file else None,
    "service_accounts": lambda o: ServiceAccountTokens(o.trust, o.reader),
    "bootstrap_tokens": lambda o: BootstrapTokens(o.reader),
    "oidc": lambda o: OidcTokens(o.oidc) if o.oidc else None,
}


class UnionAuthenticator:
    """The first that knows the credential decides; a refusal stands only when nobody else accepts."""

    name = "union"

    def __init__(self, authenticators: Sequence[Authenticator], audiences: Sequence[str] = ()) -> None:
        self._authenticators = tuple(authenticators)
        self._audiences = tuple(audiences)
        self._known: dict[int, tuple[UserInfo, Authenticated]] = {}

    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        """Adds system:authenticated. None without any credential; raises Unauthorized when none is good."""
        refusal: Unauthorized | None = None
        for authenticator in self._authenticators:
            try:
                answer = await authenticator.authenticate(credentials)
            except Unauthorized as error:
                refusal = refusal or error
                continue
            if answer is not None:
                return self._completed(answer)
        if refusal is not None:
            raise refusal
        if credentials.bearer_token:
            raise Unauthorized("Unauthorized")
        return None

    def _completed(self, answer: Authenticated) -> Authenticated:
        """Authenticators give out the same user for the same token or certificate: the group is added once to each.

        The user is kept with the answer, so that its identity is nobody else's meanwhile.
        """
        user = answer.user
        known = self._known.get(id(user))
        if known is not None and known[0] is user and known[1].audiences == answer.audiences:
            return known[1]
        completed = with_authenticated_group(answer)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[id(user)] = (user, completed)
        return completed

    async def authenticate_token(self, token: str, audiences: Sequence[str] = ()) -> Authenticated | None:
        """For TokenReview: whom a bearer token stands for, to one of `audiences` (by default the API server).

        Tokens that carry no audience are the API server's. Raises Unauthorized.
        """
        refusal: Unauthorized | None = None
        for authenticator in self._authenticators:
            try:
                if isinstance(authenticator, ServiceAccountTokens):
                    answer = authenticator.authenticate_token(token, audiences)
                else:
                    answer = await authenticator.authenticate(Credentials({}, bearer_token=token))
                    answer = self._for_audiences(answer, audiences)
            except Unauthorized as error:
                refusal = refusal or error
                continue
            if answer is not None:
                return with_authenticated_group(answer)
        if refusal is not None:
            raise refusal
        return None

    def _for_audiences(self, answer: Authenticated | None, audiences: Sequence[str]) -> Authenticated | None:
        if answer is None or answer.audiences:
            return answer
        common = tuple(a for a in self._audiences if not audiences or a in audiences)
        if not common:
            raise Unauthorized("token is not valid for the requested audiences")
        return replace(answer, audiences=common)


def with_authenticated_group(answer: Authenticated) -> Authenticated:
    user = answer.user
    if AUTHENTICATED_GROUP in user.groups or "system:unauthenticated" in user.groups:
        return answer
    return replace(answer, user=replace(user, groups=(*user.groups, AUTHENTICATED_GROUP)))


def build_authenticator(options: AuthenticationOptions) -> UnionAuthenticator:
    """Raises OSError or ValueError when the token file can't be used."""
    made = [factory(options) for factory in AUTHENTICATORS.values()]
    return UnionAuthenticator([a for a in made if a is not None], options.trust.audiences)
