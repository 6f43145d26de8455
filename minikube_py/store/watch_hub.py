"""Hands every committed change to the watchers of its resource, each behind a bounded buffer."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from minikube_py.store.protocol import Change, WatcherTooSlow

BUFFER_CHANGES = 20_000


class Subscription(AsyncIterator[Sequence[Change]]):
    """One watcher's stream of change batches. It listens from the moment it is made until aclose()."""

    def __init__(self, hub: "WatchHub", resource: str, namespace: str, backlog: Iterable[Change]) -> None:
        self._hub = hub
        self.resource = resource
        self.namespace = namespace
        self._buffer: list[Change] = [c for c in backlog if self._is_mine(c)]
        self._waiter: asyncio.Future[None] | None = None
        self._is_closed = False
        self._is_overrun = False

    def _is_mine(self, change: Change) -> bool:
        key = change.record.key
        return key.resource == self.resource and (not self.namespace or key.namespace == self.namespace)

    def offer(self, changes: Sequence[Change]) -> None:
        """Called by the hub with changes of this resource."""
        if self.namespace:
            changes = [c for c in changes if c.record.key.namespace == self.namespace]
            if not changes:
                return
        if len(self._buffer) + len(changes) > self._hub.buffer_changes:
            self._is_overrun = True
            self._buffer.clear()
            self._hub.remove(self)
        else:
            self._buffer.extend(changes)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __anext__(self) -> Sequence[Change]:
        while not self._buffer:
            if self._is_overrun:
                raise WatcherTooSlow(f"a watcher of {self.resource} fell {self._hub.buffer_changes} changes behind")
            if self._is_closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        batch, self._buffer = self._buffer, []
        return batch

    async def aclose(self) -> None:
        """Stop listening; an iteration under way ends."""
        self._is_closed = True
        self._buffer.clear()
        self._hub.remove(self)
        self._wake()


class WatchHub:
    """Routes changes by resource. Publishing never waits: a slow watcher only fills its own buffer."""

    def __init__(self, buffer_changes: int = BUFFER_CHANGES) -> None:
        self.buffer_changes = buffer_changes
        self._subscriptions: dict[str, dict[Subscription, None]] = {}

    def subscribe(self, resource: str, namespace: str, backlog: Iterable[Change]) -> Subscription:
        """backlog is what happened after the watcher's revision and was published before this call."""
        subscription = Subscription(self, resource, namespace, backlog)
        self._subscriptions.setdefault(resource, {})[subscription] = None
        return subscription

    def remove(self, subscription: Subscription) -> None:
        watchers = self._subscriptions.get(subscription.resource)
        if watchers is not None:
            watchers.pop(subscription, None)
            if not watchers:
                del self._subscriptions[subscription.resource]

    def publish(self, changes: Sequence[Change]) -> None:
        if not self._subscriptions:
            return
        by_resource: dict[str, list[Change]] = {}
        for change in changes:
            by_resource.setdefault(change.record.key.resource, []).append(change)
        for resource, batch in by_resource.items():
            for subscription in list(self._subscriptions.get(resource, ())):
                subscription.offer(batch)
