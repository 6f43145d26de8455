"""Puts the API server together: kinds, store, who may do what; and gives the other parts their clients."""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from minikube_py.apiserver.admission_configuration import load_configuration
from minikube_py.apiserver.aggregation.api import FrontProxy
from minikube_py.apiserver.authn.oidc import OidcOptions
from minikube_py.apiserver.authn.request_header import RequestHeaderOptions
from minikube_py.apiserver.authz.feed import AuthorizationFeed
from minikube_py.apiserver.identity import IdentityOptions, build_identity
from minikube_py.apiserver.openid_paths import openid_paths
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.server import ApiServer, ApiServerOptions
from minikube_py.apiserver.token_issuer import TokenIssuer
from minikube_py.bootstrap.pki import Pki
from minikube_py.client.node_connection import NodeConnections
from minikube_py.client.protocol import Client
from minikube_py.config import AuditConfig, OidcConfig, ServerConfig
from minikube_py.resources.kind import GVR
from minikube_py.resources.registry import KindRegistry
from minikube_py.store.protocol import Store

if TYPE_CHECKING:
    from minikube_py.apiserver.audit.auditor import Auditor
    from minikube_py.apiserver.audit.log_file import AuditLog

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
_PODS = GVR("", "v1", "pods")


@dataclass(frozen=True)
class Api:
    """The API server. `feed.load()` before the first request, `feed.run()` for as long as the server lives, `close()`
    when nobody calls any more.
    """

    server: ApiServer
    feed: AuthorizationFeed
    tokens: TokenIssuer
    audit_log: "AuditLog | None" = None

    async def close(self) -> None:
        """Everything that the audit log holds is written when this returns."""
        await self.server.aclose()
        if self.audit_log is not None:
            await asyncio.to_thread(self.audit_log.close)

    def client(self, user: str, *groups: str) -> Client:
        """The API in process as `user`."""
        return self.server.local_client(UserInfo(user, groups=(*groups, AUTHENTICATED)))

    def admin(self) -> Client:
        """The API in process as the server itself."""
        return self.client("system:apiserver", MASTERS)

    def controller(self, name: str) -> Client:
        """The API in process as the service account that Kubernetes gives this controller."""
        user = f"system:serviceaccount:kube-system:{name}"
        return self.client(user, "system:serviceaccounts", "system:serviceaccounts:kube-system")

    def node(self, name: str) -> Client:
        """The API in process as the kubelet of a node."""
        return self.client(f"system:node:{name}", "system:nodes")


def _auditor(config: AuditConfig) -> "tuple[Auditor, AuditLog]":
    """Raises ValueError or RuntimeError for a policy or a path that can't be used."""
    # Loaded only by servers with an audit log.
    from minikube_py.apiserver.audit.auditor import Auditor  # noqa: PLC0415
    from minikube_py.apiserver.audit.log_file import AuditLog, LogFileOptions  # noqa: PLC0415
    from minikube_py.apiserver.audit.policy import load_policy  # noqa: PLC0415

    policy = load_policy(config.policy_file)
    sizes = (config.log_max_megabytes, config.log_max_backups, config.log_max_age_days)
    try:
        log = AuditLog(LogFileOptions(config.log_path, *sizes))
    except OSError as error:
        raise RuntimeError(f"cannot open the audit log {config.log_path}: {error.strerror or error}") from None
    return Auditor(policy, log.write), log


def _identity_options(pki: Pki, config: ServerConfig) -> IdentityOptions:
    """Raises RuntimeError for a file that can't be used."""
    proxies, oidc = config.request_header, config.oidc
    return IdentityOptions(
        service_account_keys=pki.service_account_keys(),
        client_ca_pem=pki.client_ca_pem,
        token_file=pki.token_file,
        request_header=RequestHeaderOptions(
            proxy_authorities(pki, config),
            allowed_names=proxies.allowed_names,
            user_headers=_lower(proxies.username_headers),
            uid_headers=_lower(proxies.uid_headers),
            group_headers=_lower(proxies.group_headers),
            extra_prefixes=_lower(proxies.extra_prefixes),
        ),
        oidc=_oidc_options(oidc) if oidc is not None else None,
        issuer=f"https://kubernetes.default.svc.{config.network.cluster_domain}",
        enable_admission=config.enable_admission_plugins,
        disable_admission=config.disable_admission_plugins,
        admission_configuration=load_configuration(file) if (file := config.admission_config_file) else {},
    )


def _oidc_options(oidc: OidcConfig) -> OidcOptions:
    return OidcOptions(
        oidc.issuer_url,
        oidc.client_id,
        username_claim=oidc.username_claim,
        username_prefix=oidc.username_text,
        groups_claim=oidc.groups_claim,
        groups_prefix=oidc.groups_prefix,
        required_claims=oidc.required_claims,
        ca_pem=_read_authorities("--oidc-ca-file", oidc.ca_file) if oidc.ca_file is not None else b"",
        signing_algorithms=oidc.signing_algorithms,
    )


def proxy_authorities(pki: Pki, config: ServerConfig) -> bytes:
    """The PEM certificates of those who sign front proxies' certificates. Raises RuntimeError."""
    file = config.request_header.client_ca_file
    more = _read_authorities("--requestheader-client-ca-file", file) if file is not None else b""
    return pki.request_header_ca_pem + more


def _read_authorities(flag: str, file: Path) -> bytes:
    try:
        pem = file.read_bytes()
        ssl.create_default_context(cadata=pem.decode())
    except (ssl.SSLError, ValueError):
        raise RuntimeError(f"cannot use {flag} {file}: it holds no certificates in PEM form") from None
    except OSError as error:
        raise RuntimeError(f"cannot use {flag} {file}: {error.strerror or error}") from None
    return pem


def _lower(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def build_api(store: Store, registry: KindRegistry, pki: Pki, config: ServerConfig, nodes: NodeConnections) -> Api:
    """Raises OSError or ValueError for keys or tokens that can't be used."""
    reader = StoreReader(store, registry)
    auditor, log = _auditor(config.audit) if config.audit is not None else (None, None)
    identity = build_identity(reader, _identity_options(pki, config))
    server = ApiServer(
        ApiServerOptions(
            reader=reader,
            authorizer=identity.authorization.union,
            admission=identity.admission,
            nodes=nodes,
            authenticator=identity.authenticator,
            token_source=identity.tokens,
            reviews=identity.reviews.handlers(),
            service_cidrs=(config.network.service_cidr,),
            cluster_domain=config.network.cluster_domain,
            host_names=frozenset(config.tls_sans),
            auditor=auditor,
            front_proxy=FrontProxy(pki.certificate_path("front-proxy"), pki.key_path("front-proxy")),
        )
    )
    for path, handler in openid_paths(identity.tokens).items():
        server.paths.add(path, handler)
    pods = registry.find(_PODS)
    assert pods is not None
    feed = identity.feed(store, partial(reader.records.shared, pods))
    api = Api(server, feed, identity.tokens, log)
    identity.admission_context.client = api.admin()
    identity.admission_context.outbound = server.outbound
    server.metrics.add(identity.admission_context.counts.families)
    return api
