"""A server in the test's loop with everything that decides who may do what, and clients for any user."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from minikube_py.apiserver.authn.protocol import Credentials
from minikube_py.apiserver.identity import Identity, IdentityOptions, build_identity
from minikube_py.apiserver.local_client import LocalClient
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.server import ApiServer, ApiServerOptions
from minikube_py.bootstrap.first_objects import FirstObjectsOptions, write_first_objects
from minikube_py.bootstrap.pki import Pki
from minikube_py.bootstrap.rbac_controller_roles import controller_identity
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.store.memory import MemoryStore

FIRST_OBJECTS = FirstObjectsOptions(("10.43.0.0/16",), "10.43.0.1", 6443, b"client ca", b"header ca")


@dataclass
class IdentityServer:
    api: ApiServer
    identity: Identity
    admin: LocalClient

    def user(self, name: str, *groups: str) -> LocalClient:
        return self.api.local_client(UserInfo(name, groups=(*groups, "system:authenticated")), name)

    def controller(self, account: str) -> LocalClient:
        name, groups = controller_identity(account)
        return self.api.local_client(UserInfo(name, groups=groups), account)

    async def bearer(self, token: str) -> LocalClient:
        return await self._authenticated(Credentials({}, bearer_token=token))

    async def certificate(self, der: bytes) -> LocalClient:
        return await self._authenticated(Credentials({}, peer_certificate=der))

    async def _authenticated(self, credentials: Credentials) -> LocalClient:
        answer = await self.identity.authenticator.authenticate(credentials)
        assert answer is not None
        return self.api.local_client(answer.user, answer.user.name)


@asynccontextmanager
async def identity_server(pki: Pki) -> AsyncIterator[IdentityServer]:
    """With the first objects in it."""
    store = MemoryStore()
    reader = StoreReader(store, built_in_kinds())
    keys = pki.service_account_keys()
    identity = build_identity(reader, IdentityOptions(keys, pki.client_ca_pem, pki.token_file))
    api = ApiServer(
        ApiServerOptions(
            reader,
            authorizer=identity.authorization.union,
            admission=identity.admission,
            authenticator=identity.authenticator,
            token_source=identity.tokens,
            reviews=identity.reviews.handlers(),
        )
    )
    admin = api.local_client(UserInfo("system:apiserver", groups=("system:masters",)), "kube-apiserver")
    identity.admission_context.client = admin
    feed = identity.feed(store)
    feed.load()
    following = asyncio.create_task(feed.run())
    await write_first_objects(admin, FIRST_OBJECTS)
    await feed.settle()
    try:
        yield IdentityServer(api, identity, admin)
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
