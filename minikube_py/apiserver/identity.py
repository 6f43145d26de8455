"""Builds everything that decides who a caller is and what it may do, in the order in which the parts depend."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minikube_py.apiserver.admission.catalog import build_chain
from minikube_py.apiserver.admission.context import AdmissionContext
from minikube_py.apiserver.admission.protocol import AdmissionPlugin, ObjectReader
from minikube_py.apiserver.authn.catalog import AuthenticationOptions, UnionAuthenticator, build_authenticator
from minikube_py.apiserver.authn.oidc import OidcOptions
from minikube_py.apiserver.authn.request_header import RequestHeaderOptions
from minikube_py.apiserver.authn.service_accounts import TokenTrust
from minikube_py.apiserver.authn.token_keys import TokenKeys
from minikube_py.apiserver.authz.catalog import Authorization, build_authorization
from minikube_py.apiserver.authz.feed import AuthorizationFeed, parse
from minikube_py.apiserver.authz.reviews import Reviews
from minikube_py.apiserver.token_issuer import TokenIssuer
from minikube_py.objects.errors import Object
from minikube_py.store.protocol import Record, Store


@dataclass(frozen=True)
class IdentityOptions:
    """service_account_keys are PEM private keys, the first of which signs; issuer is whom tokens come from."""

    service_account_keys: Sequence[bytes] = field(repr=False)
    client_ca_pem: bytes = b""
    token_file: Path | None = None
    request_header: RequestHeaderOptions | None = None
    oidc: OidcOptions | None = None
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    audiences: Sequence[str] = ()
    enable_admission: Sequence[str] = ()
    disable_admission: Sequence[str] = ()
    admission_configuration: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """The parts of one server. Set admission_context.client once the server can give a client of its own."""

    authenticator: UnionAuthenticator
    authorization: Authorization
    admission: tuple[AdmissionPlugin, ...]
    admission_context: AdmissionContext
    tokens: TokenIssuer
    reviews: Reviews

    def feed(self, store: Store, read_pod: Callable[[Record], Object] = parse) -> AuthorizationFeed:
        """What keeps the authorizers in step: `load()` before the first request, `run()` beside the server."""
        return AuthorizationFeed(store, self.authorization, read_pod)


def build_identity(reader: ObjectReader, options: IdentityOptions) -> Identity:
    """Raises OSError or ValueError for a token file, a key or a plugin name that can't be used."""
    audiences = tuple(options.audiences) or (options.issuer,)
    trust = TokenTrust(TokenKeys(options.service_account_keys), (options.issuer,), audiences)
    authenticator = build_authenticator(
        AuthenticationOptions(
            reader,
            trust,
            client_ca_pem=options.client_ca_pem,
            token_file=options.token_file,
            request_header=options.request_header,
            oidc=options.oidc,
        )
    )
    authorization = build_authorization(reader)
    context = AdmissionContext(
        reader, authorization.union, authorization.rbac, configuration=options.admission_configuration
    )
    chain = build_chain(context, enable=options.enable_admission, disable=options.disable_admission)
    return Identity(
        authenticator,
        authorization,
        (chain,),
        context,
        TokenIssuer(trust, reader),
        Reviews(authorization.union, authenticator.authenticate_token),
    )
