"""Fills Secrets of type kubernetes.io/service-account-token, and removes those whose account is gone.

Source: the service account administration page ("Token controller"); details as in pkg/controller/serviceaccount.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Protocol

from minikube_py.client.protocol import Client, DeleteOptions, Selection
from minikube_py.controllers.context import SECRETS, SERVICE_ACCOUNTS, ControllerContext
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.meta import annotations, deep_copy, is_deleting, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import InformerEvent

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"


class SecretTokens(Protocol):
    """Makes tokens that live as long as their Secret, from ControllerOptions.secret_tokens."""

    def issue_for_secret(self, account: Object, secret: Object) -> str: ...


class ServiceAccountTokenController:
    name = "service-account-token"

    def __init__(self, context: ControllerContext) -> None:
        self._client: Client = context.client_for("service-account-token-controller")
        self._tokens: SecretTokens | None = context.options.secret_tokens
        self._ca = context.options.root_ca_pem.encode()
        self._accounts = context.informers.informer(SERVICE_ACCOUNTS)
        self._secrets = context.informers.informer(SECRETS, Selection(field_selector=f"type={TYPE}"))

    def sources(self) -> Sequence[Source]:
        return Source(self._secrets), Source(self._accounts, self._of_account)

    def _of_account(self, event: InformerEvent) -> Iterable[Key]:
        account = event.object
        for secret in self._secrets.cache.list(namespace(account)):
            if annotations(secret).get(ACCOUNT_NAME) == name(account):
                yield Key(namespace(secret), name(secret))

    async def reconcile(self, key: Key) -> float | None:
        secret = self._secrets.cache.get(*key)
        if secret is None or self._tokens is None or is_deleting(secret):
            return None
        account = await self._account(secret)
        if account is None:
            try:
                await self._client.delete(SECRETS, key.name, key.namespace, options=DeleteOptions(uid=uid(secret)))
            except NotFound:
                return None
            return None
        data = secret.get("data") or {}
        wanted = {"ca.crt": _base64(self._ca), "namespace": _base64(key.namespace.encode())}
        is_known = annotations(secret).get(ACCOUNT_UID) == uid(account)
        if is_known and data.get("token") and all(data.get(k) == v for k, v in wanted.items()):
            return None
        changed = deep_copy(secret)
        changed["data"] = {**data, **wanted}
        if not is_known or not data.get("token"):
            changed["data"]["token"] = _base64(self._tokens.issue_for_secret(account, secret).encode())
        changed["metadata"].setdefault("annotations", {})[ACCOUNT_UID] = uid(account)
        await self._client.update(SECRETS, changed)
        return None

    async def _account(self, secret: Object) -> Object | None:
        """The Secret's account; None when it is gone, or another one of the same name has taken its place."""
        wanted = annotations(secret)
        found = self._accounts.cache.get(namespace(secret), wanted.get(ACCOUNT_NAME, ""))
        if found is None:
            # The cache may be behind; a Secret must not be deleted for that.
            try:
                found = await self._client.get(SERVICE_ACCOUNTS, wanted.get(ACCOUNT_NAME, ""), namespace(secret))
            except NotFound:
                return None
        expected = wanted.get(ACCOUNT_UID)
        return found if not expected or expected == uid(found) else None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
