"""Keeps one pod of a DaemonSet on every node that qualifies, and updates them in turn.

Source: pkg/controller/daemon.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from minikube_py.controllers.context import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS, ControllerContext
from minikube_py.controllers.daemons.placement import DAEMON_SET, Verdict, daemon_pod, judge, target_node
from minikube_py.controllers.daemons.update import is_new, limits, plan_update
from minikube_py.controllers.workloads.ownership import Claimer, OwnerKind, owners_of, selector_of
from minikube_py.controllers.workloads.pod_control import PodControl, in_growing_batches
from minikube_py.controllers.workloads.pods import (
    BY_CONTROLLER,
    controller_index,
    is_active,
    is_available,
    is_ready,
    next_availability,
    orphans_of,
    phase,
)
from minikube_py.controllers.workloads.revisions import REVISION_LABEL, History, same_data, template_patch
from minikube_py.controllers.workloads.writing import write_status
from minikube_py.objects.errors import ApiError, Object, is_namespace_terminating
from minikube_py.objects.meta import generation, is_deleting, key, labels, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source, owner_keys
from minikube_py.reconciling.informer import DELETED, InformerEvent
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder

_DAEMON_SET = OwnerKind(DAEMON_SETS, DAEMON_SET)
_BURST = 250
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 1.0, 900.0
_ByNode = dict[str, list[Object]]


class DaemonSetController:
    name = "daemonset"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("daemon-set-controller")
        informers = context.informers
        self._sets = informers.informer(DAEMON_SETS)
        self._nodes = informers.informer(NODES)
        self._pods = informers.informer(PODS, indexers={BY_CONTROLLER: controller_index})
        self._revisions = informers.informer(CONTROLLER_REVISIONS, indexers={BY_CONTROLLER: controller_index})
        self._recorder = EventRecorder(self._client, "daemonset-controller")
        self._control = PodControl(self._client, self._pods, self._recorder)
        self._claimer = Claimer(self._client, _DAEMON_SET, self._pods)
        self._history = History(self._client, _DAEMON_SET, self._revisions)
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._sets),
            Source(self._pods, owners_of(self._sets, DAEMON_SET)),
            Source(self._revisions, owner_keys("DaemonSet", "apps")),
            Source(self._nodes, self._node_changed),
        )

    def _node_changed(self, event: InformerEvent) -> Iterable[Key]:
        """The sets for which the node's labels or taints make a difference."""
        for one in self._sets.cache:
            before = judge(one, event.previous) if event.previous is not None else Verdict(False, False)
            after = Verdict(False, False) if event.type == DELETED else judge(one, event.object)
            if before != after:
                yield key(one)

    async def reconcile(self, key: Key) -> float | None:
        owner = self._sets.cache.get(*key)
        if owner is None or is_deleting(owner):
            return None
        selector = selector_of(owner)
        if selector.is_empty:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self._recorder.event(owner, WARNING, "SelectingAll", text)
            return None
        revisions = await self._history.of(owner, selector)
        current = await self._current_revision(owner, revisions)
        if current is None:
            return None
        digest = labels(current).get(REVISION_LABEL, "")
        lookup = self._pods.cache.by_index
        candidates = lookup(BY_CONTROLLER, uid(owner)) + lookup(BY_CONTROLLER, orphans_of(key.namespace))
        await self._claimer.claim(owner, candidates, selector)
        verdicts = {name(node): judge(owner, node) for node in self._nodes.cache if not is_deleting(node)}
        again = await self._manage(owner, verdicts, digest)
        if (owner["spec"].get("updateStrategy") or {}).get("type") == "RollingUpdate":
            await self._roll(owner, verdicts, digest)
        pods = lookup(BY_CONTROLLER, uid(owner))
        live = [hash_ for pod in pods if (hash_ := labels(pod).get(REVISION_LABEL))]
        limit = owner["spec"].get("revisionHistoryLimit", 10)
        await self._history.truncate(revisions, [*live, digest, name(current)], limit)
        await write_status(self._client, self._sets, owner, _status(owner, self._by_node(owner), verdicts, digest))
        soon = next_availability(pods, owner["spec"].get("minReadySeconds", 0))
        return min((wait for wait in (again, soon) if wait is not None), default=None)

    async def _current_revision(self, owner: Object, revisions: Sequence[Object]) -> Object | None:
        data = template_patch(owner)
        equal = [revision for revision in revisions if same_data(revision, {"data": data})]
        number = max((r["revision"] for r in revisions if r not in equal), default=0) + 1
        if equal:
            found = equal[-1]
            if len(equal) > 1:
                # Of several that mean the same, the one that pods have: the others are no reason to restart anything.
                used = {labels(pod).get(REVISION_LABEL) for pod in self._pods.cache.by_index(BY_CONTROLLER, uid(owner))}
                found = next((r for r in reversed(equal) if labels(r).get(REVISION_LABEL) in used), equal[-1])
            return await self._history.set_number(found, max(number, found["revision"]))
        collisions = (owner.get("status") or {}).get("collisionCount")
        draft = self._history.draft(owner, number, collisions, name_is_hash=False)
        made = await self._history.create(draft)
        if made is None:
            status = dict(owner.get("status") or {})
            await write_status(self._client, self._sets, owner, {**status, "collisionCount": (collisions or 0) + 1})
        return made

    def _by_node(self, owner: Object) -> _ByNode:
        found: _ByNode = {}
        for pod in self._pods.cache.by_index(BY_CONTROLLER, uid(owner)):
            found.setdefault(target_node(pod), []).append(pod)
        return found

    # --- one pod on each node -----------------------------------------------------------------------------------------

    async def _manage(self, owner: Object, verdicts: Mapping[str, Verdict], digest: str) -> float | None:
        by_node = self._by_node(owner)
        missing: list[str] = []
        superfluous: list[Object] = []
        waits: list[float] = []
        for node, verdict in verdicts.items():
            pods = by_node.pop(node, [])
            living: list[Object] = []
            for pod in pods:
                if is_deleting(pod):
                    continue
                wait = self._replace_ended(owner, node, pod, superfluous)
                if wait is None:
                    living.append(pod)
                elif wait > 0:
                    living.append(pod)  # it holds the place until its back-off is over
                    waits.append(wait)
            if verdict.should_run and not pods:
                missing.append(node)
            elif not verdict.may_stay:
                superfluous += [pod for pod in living if pod not in superfluous]
            elif len(living) > 1:
                superfluous += self._doubles(owner, living, digest)
        for node, pods in by_node.items():
            # The node is gone; pods that never got there wait for it in vain.
            superfluous += [pod for pod in pods if not pod["spec"].get("nodeName") and not is_deleting(pod) and node]
        await self._sync(owner, missing, superfluous, digest)
        return min(waits, default=None)

    def _replace_ended(self, owner: Object, node: str, pod: Object, superfluous: list[Object]) -> float | None:
        """None for a pod that runs; else the seconds until it is deleted (0: now, it is added to superfluous)."""
        if phase(pod) not in ("Failed", "Succeeded"):
            return None
        place = (uid(owner), node)
        now = asyncio.get_running_loop().time()
        if phase(pod) == "Failed":
            count, ready_at = self._failures.get(place, (0, now))
            if ready_at > now:
                return ready_at - now
            wait = min(_FIRST_RETRY_SECONDS * float(2 ** min(count, 12)), _LONGEST_RETRY_SECONDS)
            self._failures[place] = count + 1, now + wait
            what, reason, type_ = "failed", "FailedDaemonPod", WARNING
        else:
            what, reason, type_ = "succeeded", "SucceededDaemonPod", NORMAL
        verb = "kill" if what == "failed" else "delete"
        text = f"Found {what} daemon pod {namespace(pod)}/{name(pod)} on node {node}, will try to {verb} it"
        self._recorder.event(owner, type_, reason, text)
        superfluous.append(pod)
        return 0.0

    def _doubles(self, owner: Object, pods: Sequence[Object], digest: str) -> list[Object]:
        """All but the oldest pod of a node; an update with surge has one old and one new."""
        surge, _ = limits(owner, 1)
        groups = [pods]
        if surge and (owner["spec"].get("updateStrategy") or {}).get("type") == "RollingUpdate":
            groups = [[p for p in pods if is_new(p, digest)], [p for p in pods if not is_new(p, digest)]]
        extra: list[Object] = []
        for group in groups:
            ordered = sorted(group, key=lambda p: (not p["spec"].get("nodeName"), p["metadata"]["creationTimestamp"]))
            extra += ordered[1:]
        return extra

    async def _roll(self, owner: Object, verdicts: Mapping[str, Verdict], digest: str) -> None:
        pods = self._pods.cache.by_index(BY_CONTROLLER, uid(owner))
        if all(is_new(pod, digest) for pod in pods):
            return
        wanted = [node for node, verdict in verdicts.items() if verdict.should_run]
        by_node = self._by_node(owner)
        step = plan_update(owner, {node: by_node.get(node, []) for node in wanted}, digest, len(wanted))
        await self._sync(owner, step.create_on, step.delete, digest)

    async def _sync(self, owner: Object, nodes: Sequence[str], superfluous: Sequence[Object], digest: str) -> None:
        if superfluous:
            await self._control.delete_all(superfluous[:_BURST], owner)

        async def create(number: int) -> None:
            await self._control.create(daemon_pod(owner, nodes[number], digest), owner)

        try:
            await in_growing_batches(min(len(nodes), _BURST), create)
        except ApiError as error:
            if not is_namespace_terminating(error):
                raise


def _status(owner: Object, by_node: _ByNode, verdicts: Mapping[str, Verdict], digest: str) -> Object:
    minimum = owner["spec"].get("minReadySeconds", 0)
    counts = dict.fromkeys(("desired", "current", "misscheduled", "ready", "updated", "available"), 0)
    for node, verdict in verdicts.items():
        pods = by_node.get(node, [])
        if not verdict.should_run:
            counts["misscheduled"] += bool(pods)
            continue
        counts["desired"] += 1
        if not pods:
            continue
        living, pod = pods, pods[0]
        if len(pods) > 1:
            living = [pod for pod in pods if is_active(pod)] or pods
            pod = min(living, key=lambda p: (not is_ready(p), p["metadata"]["creationTimestamp"]))
        counts["current"] += 1
        if is_ready(pod):
            counts["ready"] += 1
            counts["available"] += is_available(pod, minimum)
        counts["updated"] += any(is_new(one, digest) for one in living)
    before = owner.get("status") or {}
    status: Object = {
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["misscheduled"],
        "desiredNumberScheduled": counts["desired"],
        "numberReady": counts["ready"],
        "observedGeneration": generation(owner),
    }
    optional = {
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
        "collisionCount": before.get("collisionCount"),
        "conditions": before.get("conditions"),
    }
    return status | {field: value for field, value in optional.items() if value}
