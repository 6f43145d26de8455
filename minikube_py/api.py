"""Puts the API server together: kinds, store, who may do what; and gives the other parts their clients."""

from dataclasses import dataclass

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
from minikube_py.config import ServerConfig
from minikube_py.resources.registry import KindRegistry
from minikube_py.store.protocol import Store

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True)
class Api:
    """The API server. `feed.load()` before the first request, `feed.run()` for as long as the server lives."""

    server: ApiServer
    feed: AuthorizationFeed
    tokens: TokenIssuer

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


def build_api(store: Store, registry: KindRegistry, pki: Pki, config: ServerConfig, nodes: NodeConnections) -> Api:
    """Raises OSError or ValueError for keys or tokens that can't be used."""
    reader = StoreReader(store, registry)
    identity = build_identity(
        reader,
        IdentityOptions(
            service_account_keys=pki.service_account_keys(),
            client_ca_pem=pki.client_ca_pem,
            token_file=pki.token_file,
            issuer=f"https://kubernetes.default.svc.{config.network.cluster_domain}",
        ),
    )
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
        )
    )
    for path, handler in openid_paths(identity.tokens).items():
        server.paths.add(path, handler)
    api = Api(server, identity.feed(store), identity.tokens)
    identity.admission_context.client = api.admin()
    return api
