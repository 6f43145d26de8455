"""Holds pods that wait for a node: ready ones by priority, failed ones until their back-off ends or something changes.

Source: pkg/scheduler/backend/queue. There is one task that takes pods, and no periodic work: a timer exists only
while a pod is backing off. Pods that fit nowhere are not tried again from time to time, only after a change.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from minikube_py.scheduler.framework import Change, Wake
from minikube_py.scheduler.pod_info import PodInfo

_FIRST_BACKOFF_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 10.0


@dataclass
class Waiting:
    """One pod in the queue. rules are the filters that refused it the last time."""

    pod: PodInfo
    arrived: float
    attempts: int = 0
    rules: frozenset[str] = frozenset()


class SchedulingQueue:
    """helps says whether a change is worth another try for a pod refused by a rule.

    wakes says the same of the kind of change alone, for all pods refused by the same rules at a time.
    """

    def __init__(
        self,
        helps: Callable[[PodInfo, str, Change], bool],
        *,
        wakes: Callable[[str, Wake], bool] = lambda _rule, _wake: True,
        first_backoff_seconds: float = _FIRST_BACKOFF_SECONDS,
        longest_backoff_seconds: float = _LONGEST_BACKOFF_SECONDS,
    ) -> None:
        self._helps = helps
        self._wakes = wakes
        self._first_backoff = first_backoff_seconds
        self._longest_backoff = longest_backoff_seconds
        self._active: list[tuple[int, float, int, str]] = []
        self._entries: dict[str, Waiting] = {}
        self._is_active: set[str] = set()
        self._resting: dict[str, float] = {}
        # The same pods by the rules that refused them: a change asks each kind of refusal first, then its pods.
        self._resting_by_rules: dict[frozenset[str], dict[str, None]] = {}
        self._backing_off: dict[str, asyncio.TimerHandle] = {}
        self._sequence = 0
        self._ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def pending(self) -> dict[str, int]:
        """How many pods wait where, under kube-scheduler's names."""
        return {
            "active": len(self._is_active),
            "backoff": len(self._backing_off),
            "unschedulable": len(self._resting),
        }

    # --- pods that come and go ----------------------------------------------------------------------------------------

    def put(self, pod: PodInfo) -> None:
        """A new or changed pending pod; a change brings a failed pod back at once."""
        entry = self._entries.get(pod.uid)
        if entry is None:
            entry = self._entries[pod.uid] = Waiting(pod, asyncio.get_running_loop().time())
        entry.pod = pod
        self._to_backoff_or_active(entry)

    def refresh(self, pod: PodInfo) -> bool:
        """A change of a pending pod that can't help it (its status); False when the pod isn't known."""
        entry = self._entries.get(pod.uid)
        if entry is None:
            return False
        entry.pod = pod
        return True

    def remove(self, uid: str) -> None:
        """The pod is gone, or has a node."""
        self._end_rest(uid)
        self._entries.pop(uid, None)
        self._is_active.discard(uid)
        timer = self._backing_off.pop(uid, None)
        if timer is not None:
            timer.cancel()

    async def take(self) -> Waiting:
        """The next pod to decide on; answer with `remove`, `failed` or `retry`.

        A decision and its `failed` happen without a pause in between, so no change can be missed meanwhile.
        """
        while True:
            while self._active:
                _, _, _, uid = heapq.heappop(self._active)
                if uid in self._is_active:
                    self._is_active.discard(uid)
                    entry = self._entries[uid]
                    entry.attempts += 1
                    return entry
            self._ready.clear()
            await self._ready.wait()

    def failed(self, entry: Waiting, rules: Iterable[str]) -> None:
        """No node for a taken pod: it rests until something changes for one of these rules."""
        if entry.pod.uid not in self._entries:
            return
        entry.rules = frozenset(rules)
        self._resting[entry.pod.uid] = asyncio.get_running_loop().time()
        self._resting_by_rules.setdefault(entry.rules, {})[entry.pod.uid] = None

    def retry(self, entry: Waiting) -> None:
        """An error that has nothing to do with the pod: try again after the back-off."""
        if entry.pod.uid in self._entries:
            self._back_off(entry, self._backoff_seconds(entry))

    # --- changes in the cluster ---------------------------------------------------------------------------------------

    def wake(self, change: Change) -> None:
        """Bring back the resting pods that this change may help."""
        for rules, uids in list(self._resting_by_rules.items()):
            asked = [rule for rule in rules if self._wakes(rule, change.wake)]
            if rules and not asked:
                continue
            for uid in list(uids):
                entry = self._entries[uid]
                if not rules or any(self._helps(entry.pod, rule, change) for rule in asked):
                    if _is_awaited(entry.pod, change):
                        self._end_rest(uid)
                        self._activate(entry)
                    else:
                        self._to_backoff_or_active(entry)

    def _end_rest(self, uid: str) -> float | None:
        """Since when the pod has rested; None when it did not."""
        since = self._resting.pop(uid, None)
        if since is not None:
            rules = self._entries[uid].rules
            uids = self._resting_by_rules[rules]
            del uids[uid]
            if not uids:
                del self._resting_by_rules[rules]
        return since

    def _backoff_seconds(self, entry: Waiting) -> float:
        doublings = min(max(entry.attempts - 1, 0), 10)
        return min(self._first_backoff * float(2**doublings), self._longest_backoff)

    def _to_backoff_or_active(self, entry: Waiting) -> None:
        uid = entry.pod.uid
        rested_since = self._end_rest(uid)
        left = 0.0
        if entry.attempts:
            since = rested_since if rested_since is not None else asyncio.get_running_loop().time()
            left = since + self._backoff_seconds(entry) - asyncio.get_running_loop().time()
        if uid in self._backing_off:
            return
        if left > 0:
            self._back_off(entry, left)
        else:
            self._activate(entry)

    def _back_off(self, entry: Waiting, seconds: float) -> None:
        uid = entry.pod.uid
        self._backing_off[uid] = asyncio.get_running_loop().call_later(seconds, self._end_backoff, uid)

    def _end_backoff(self, uid: str) -> None:
        del self._backing_off[uid]
        self._activate(self._entries[uid])

    def _activate(self, entry: Waiting) -> None:
        uid = entry.pod.uid
        if uid in self._is_active:
            return
        self._is_active.add(uid)
        self._sequence += 1
        heapq.heappush(self._active, (-entry.pod.priority, entry.arrived, self._sequence, uid))
        self._ready.set()


def _is_awaited(pod: PodInfo, change: Change) -> bool:
    """Whether a pod is gone from the node that this pod has been promised: it need not wait any longer."""
    return bool(pod.nominated) and change.pod is not None and change.pod.node_name == pod.nominated
