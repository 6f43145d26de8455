"""Gives pending pods a node: keeps the snapshot and the queue up to date, decides, and writes what was decided."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from time import perf_counter
from typing import Any

from minikube_py import clock
from minikube_py.client.protocol import Client, DeleteOptions, PatchType, WriteOptions
from minikube_py.objects.conditions import get_condition, observed
from minikube_py.objects.errors import ApiError, NotFound, Object
from minikube_py.reconciling.informer import InformerSet
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.resources.kind import GVR
from minikube_py.scheduler.changes import ChangeFeed, scheduler_of
from minikube_py.scheduler.configuration.settings import DEFAULT_CONFIGURATION, SchedulerConfiguration
from minikube_py.scheduler.decide import decide
from minikube_py.scheduler.framework import Change, Wake
from minikube_py.scheduler.metrics import SchedulerCounts
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.preemption import Preemption, Victims, preempt
from minikube_py.scheduler.profile import Profile, by_name, wakes
from minikube_py.scheduler.queue import SchedulingQueue, Waiting
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.views import CachedOwners, CachedStorage
from minikube_py.scheduler.volumes import VolumeBinder

log = logging.getLogger(__name__)

_SLICE_SECONDS = 0.005
_PODS = GVR("", "v1", "pods")
_BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")
_BINDING = WriteOptions(subresource="binding", is_answer_shared=True)
_STATUS = WriteOptions(subresource="status", is_answer_shared=True)
_TOLD = ("status", "reason", "message", "observedGeneration")
"""What a condition says: only when that changes, it is written again."""


class Scheduler:
    """Serves the pods whose schedulerName is that of a profile. `run` ends by cancellation only."""

    def __init__(
        self, client: Client, informers: InformerSet, configuration: SchedulerConfiguration = DEFAULT_CONFIGURATION
    ) -> None:
        self._client = client
        self._profiles = by_name(configuration.profiles)
        storage = CachedStorage(informers)
        self.snapshot = Snapshot(storage, CachedOwners(informers))
        self.queue = SchedulingQueue(
            lambda pod, rule, change: self._profiles[scheduler_of(pod.obj)].helps(pod, rule, change),
            wakes=lambda rule, wake: wakes(configuration.profiles, rule, wake),
            first_backoff_seconds=configuration.first_backoff_seconds,
            longest_backoff_seconds=configuration.longest_backoff_seconds,
        )
        self._budgets = informers.informer(_BUDGETS)
        self._pods = informers.informer(_PODS)
        self._feed = ChangeFeed(informers, self.snapshot, self.queue, self._profiles.keys())
        self._volumes = VolumeBinder(client, storage)
        self._recorders = {name: EventRecorder(client, name) for name in self._profiles}
        self.counts = SchedulerCounts(self._profiles, self.queue)
        self._start = 0
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """The caller runs the informers."""
        with self._feed.following():
            await self._feed.wait_synced()
            async with asyncio.TaskGroup() as group:
                self._group = group
                while True:
                    # Others want the loop too: decide for a few milliseconds, then let them have a turn.
                    pause_at = perf_counter() + _SLICE_SECONDS
                    while perf_counter() < pause_at:
                        entry = await self.queue.take()
                        began = perf_counter()
                        self._schedule(entry)
                        self.counts.decided(
                            scheduler_of(entry.pod.obj), bool(entry.pod.node_name), perf_counter() - began
                        )
                    await asyncio.sleep(0)

    # --- one pod ------------------------------------------------------------------------------------------------------

    def _schedule(self, entry: Waiting) -> None:
        """Decide and note the decision without a pause; writing it down goes on in the background."""
        pod = entry.pod
        profile = self._profiles[scheduler_of(pod.obj)]
        decision = decide(self.snapshot, pod, self._start, profile)
        self._start = decision.next_start
        if decision.node_name:
            pod.node_name = decision.node_name
            self.snapshot.nominate(pod, "")
            self.snapshot.add_pod(pod)
            self._feed.assumed[pod.uid] = pod
            self._spawn(self._bind(entry, self.snapshot.nodes[decision.node_name], profile))
            return
        outcome = Preemption()
        if decision.node_count and profile.preempts:
            outcome = preempt(self.snapshot, pod, decision, self._budgets.cache.list(), profile)
        nominated = pod.nominated if outcome.keeps_nomination else ""
        if outcome.victims is not None:
            nominated = outcome.victims.node_name
        self.snapshot.nominate(pod, nominated)
        pod.nominated = nominated
        self.queue.failed(entry, decision.rules)
        self._spawn(self._report(pod, decision.message(outcome.message), nominated))
        if outcome.victims is not None:
            self._take_back_nominations(pod, nominated)
            self.counts.preempted(len(outcome.victims.pods))
            self._spawn(self._make_room(pod, outcome.victims))

    def _take_back_nominations(self, pod: PodInfo, node_name: str) -> None:
        """Less important pods that wait for room on the node look for another one: there may be none left for them."""
        for other in list(self.snapshot.nominated.get(node_name, {}).values()):
            if other.priority < pod.priority and other.uid != pod.uid:
                self.snapshot.nominate(other, "")
                other.nominated = ""
                self._spawn(self._forget_nomination(other))

    async def _forget_nomination(self, pod: PodInfo) -> None:
        patch = {"metadata": {"uid": pod.uid}, "status": {"nominatedNodeName": None}}
        await self._client.patch(_PODS, pod.name, patch, pod.namespace, patch_type=PatchType.STRATEGIC, options=_STATUS)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None
        self._group.create_task(self._logged(work))

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except NotFound:
            return
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("scheduler: %s", error)

    async def _bind(self, entry: Waiting, node: NodeInfo, profile: Profile) -> None:
        pod = entry.pod
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node.name},
        }
        try:
            if pod.claims:
                await self._volumes.bind(pod, node, profile.bind_timeout_seconds)
            await self._client.create(_PODS, binding, pod.namespace, name=pod.name, options=_BINDING)
        except (ApiError, OSError, TimeoutError) as error:
            if not await self._is_bound(pod, node.name):
                self._give_up(entry)
                self.counts.failed(profile.name)
                if not isinstance(error, NotFound):
                    text = f"binding rejected: {error}"
                    self._recorders[scheduler_of(pod.obj)].event(
                        pod.obj, WARNING, "FailedScheduling", text, action="Scheduling"
                    )
                raise
        self.counts.bound(entry.attempts, asyncio.get_running_loop().time() - entry.arrived)
        text = f"Successfully assigned {pod.namespace}/{pod.name} to {node.name}"
        self._recorders[scheduler_of(pod.obj)].event(pod.obj, NORMAL, "Scheduled", text, action="Binding")

    async def _is_bound(self, pod: PodInfo, node_name: str) -> bool:
        """Whether a binding that was answered with an error is there all the same: then its place is taken."""
        try:
            found = await self._client.get(_PODS, pod.name, pod.namespace)
        except (ApiError, OSError, TimeoutError):
            return False
        return bool(found["metadata"]["uid"] == pod.uid and found["spec"].get("nodeName") == node_name)

    def _give_up(self, entry: Waiting) -> None:
        """The pod did not get the node after all."""
        pod = entry.pod
        if self._feed.assumed.pop(pod.uid, None) is None:
            return  # the watch has reported the pod's fate already
        self.snapshot.remove_pod(pod.uid)
        pod.node_name = ""
        self.queue.wake(Change(Wake.POD_GONE, pod=pod))
        self.queue.retry(entry)

    # --- a pod that fits nowhere --------------------------------------------------------------------------------------

    async def _report(self, pod: PodInfo, message: str, nominated: str) -> None:
        self._recorders[scheduler_of(pod.obj)].event(pod.obj, WARNING, "FailedScheduling", message, action="Scheduling")
        status = pod.obj.get("status") or {}
        now = clock.rfc3339()
        condition: Object = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": now,
            **observed(pod.obj),
        }
        current = get_condition(status.get("conditions"), "PodScheduled")
        if current is not None and current["status"] == "False":
            condition["lastTransitionTime"] = current.get("lastTransitionTime", now)
        changes: Object = {}
        if current is None or any(current.get(f) != condition.get(f) for f in _TOLD):
            changes["conditions"] = [condition]
        if (status.get("nominatedNodeName") or "") != nominated:
            changes["nominatedNodeName"] = nominated or None
        if changes:
            patch = {"metadata": {"uid": pod.uid}, "status": changes}
            await self._client.patch(
                _PODS, pod.name, patch, pod.namespace, patch_type=PatchType.STRATEGIC, options=_STATUS
            )

    async def _make_room(self, pod: PodInfo, victims: Victims) -> None:
        """When a victim could not be told to go, the pod is looked at again: nothing else may happen to wake it."""
        try:
            await self._evict(pod, victims)
        except (ApiError, OSError, TimeoutError):
            if self.queue.refresh(pod):
                self.queue.put(pod)
            raise

    async def _evict(self, pod: PodInfo, victims: Victims) -> None:
        name = scheduler_of(pod.obj)
        recorder = self._recorders[name]

        async def evict(victim: PodInfo) -> None:
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "PreemptionByScheduler",
                "message": f"{name}: preempting to accommodate a higher priority pod",
                "lastTransitionTime": clock.rfc3339(),
                **observed(victim.obj),
            }
            patch = {"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}}
            with suppress(NotFound):
                await self._client.patch(
                    _PODS, victim.name, patch, victim.namespace, patch_type=PatchType.STRATEGIC, options=_STATUS
                )
                await self._client.delete(_PODS, victim.name, victim.namespace, options=DeleteOptions(uid=victim.uid))
                text = f"Preempted by pod {pod.uid} on node {victims.node_name}"
                recorder.event(victim.obj, NORMAL, "Preempted", text, action="Preempting")

        await asyncio.gather(*(evict(victim) for victim in victims.pods))
