"""Removes join tokens (bootstrap token Secrets) when their time is over.

Source: the "Authenticating with Bootstrap Tokens" page.
"""

import base64
from collections.abc import Sequence

from minikube_py import clock
from minikube_py.client.protocol import Client, DeleteOptions, Selection
from minikube_py.controllers.context import SECRETS, ControllerContext
from minikube_py.objects.errors import NotFound, Object
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source

TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE = "kube-system"


class TokenCleaner:
    name = "token-cleaner"

    def __init__(self, context: ControllerContext) -> None:
        self._client: Client = context.client_for("token-cleaner")
        selection = Selection(namespace=NAMESPACE, field_selector=f"type={TYPE}")
        self._secrets = context.informers.informer(SECRETS, selection)

    def sources(self) -> Sequence[Source]:
        return (Source(self._secrets),)

    async def reconcile(self, key: Key) -> float | None:
        found = self._secrets.cache.get(*key)
        if found is None or found.get("type") != TYPE:
            return None
        left = _seconds_left(found)
        if left is None or left > 0:
            return left
        try:
            options = DeleteOptions(uid=found["metadata"]["uid"])
            await self._client.delete(SECRETS, key.name, key.namespace, options=options)
        except NotFound:
            return None
        return None


def _seconds_left(secret: Object) -> float | None:
    """None for a token without end; 0 for one whose end can't be read, since nobody could use it."""
    text = (secret.get("data") or {}).get("expiration")
    if not text:
        return None
    try:
        end = clock.parse(base64.b64decode(text).decode())
    except ValueError:
        return 0.0
    return (end - clock.now()).total_seconds()
