"""Hands every committed change to the watchers of its resource, each behind a bounded buffer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from minikube_py.store.protocol import Change, WatcherTooSlow

BUFFER_CHANGES = 10_000

OlderChanges = Callable[[], Awaitable[Sequence[Change]]]
"""Reads what is between a watcher's revision and the changes in memory; raises WatcherTooSlow when it is gone."""


class Subscription(AsyncIterator[Sequence[Change]]):
    """One watcher's stream of change batches. It listens from the moment it is made until aclose()."""

    def __init__(self, hub: "WatchHub", resource: str, namespace: str, after: int) -> None:
        self._hub = hub
        self.resource = resource
        self.namespace = namespace
        self._after = after
        self._older: OlderChanges | None = None
        self._backlog: list[Change] = []
        self._buffer: list[Change] = []
        self._waiter: asyncio.Future[None] | None = None
        self._is_closed = False
        self._is_overrun = False
        self._is_nudged = False

    def prime(self, backlog: Sequence[Change], older: OlderChanges | None) -> None:
        """Give it what happened after its revision and before it was made: in memory, and on disk."""
        self._backlog = [c for c in backlog if self._is_mine(c)]
        self._older = older

    def _is_mine(self, change: Change) -> bool:
        key = change.record.key
        return key.resource == self.resource and (not self.namespace or key.namespace == self.namespace)

    def offer(self, changes: Sequence[Change]) -> None:
        """Called by the hub with changes that are this watcher's."""
        if changes[0].revision <= self._after:
            changes = [c for c in changes if c.revision > self._after]
            if not changes:
                return
        if len(self._buffer) + len(changes) > self._hub.buffer_changes:
            self._is_overrun = True
            self._buffer.clear()
            self._hub.remove(self)
        else:
            self._buffer.extend(changes)
        self._wake()

    def nudge(self) -> None:
        self._is_nudged = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __anext__(self) -> Sequence[Change]:
        if self._older is not None:
            older = await self._older()
            self._older = None
            if older:
                return older
        if self._backlog:
            backlog, self._backlog = self._backlog, []
            return backlog
        while not self._buffer:
            if self._is_overrun:
                raise WatcherTooSlow(f"a watcher of {self.resource} fell {self._hub.buffer_changes} changes behind")
            if self._is_closed:
                raise StopAsyncIteration
            if self._is_nudged:
                self._is_nudged = False
                return ()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        batch, self._buffer = self._buffer, []
        return batch

    async def aclose(self) -> None:
        """Stop listening; an iteration under way ends."""
        self.end()
        self._backlog.clear()
        self._buffer.clear()

    def end(self) -> None:
        """No more changes will come: the iteration ends after those already here."""
        self._is_closed = True
        self._older = None
        self._hub.remove(self)
        self._wake()


class WatchHub:
    """Routes changes by resource. Publishing never waits: a slow watcher only fills its own buffer."""

    def __init__(self, buffer_changes: int = BUFFER_CHANGES) -> None:
        self.buffer_changes = buffer_changes
        self._subscriptions: dict[str, dict[Subscription, None]] = {}

    def subscribe(self, resource: str, namespace: str, after: int) -> Subscription:
        """A subscription to changes with a revision above `after` that are published from now on."""
        subscription = Subscription(self, resource, namespace, after)
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
            by_namespace: dict[str, list[Change]] = {"": batch}
            for subscription in list(self._subscriptions.get(resource, ())):
                namespace = subscription.namespace
                mine = by_namespace.get(namespace)
                if mine is None:
                    mine = by_namespace[namespace] = [c for c in batch if c.record.key.namespace == namespace]
                if mine:
                    subscription.offer(mine)

    def close(self) -> None:
        """End every watch."""
        for watchers in list(self._subscriptions.values()):
            for subscription in list(watchers):
                subscription.end()
