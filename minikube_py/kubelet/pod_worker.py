"""Brings one pod to what its spec says: facts, plan, operations, status. It has a task only while there is work."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from minikube_py import clock
from minikube_py.client.protocol import DeleteOptions
from minikube_py.kubelet import backoff, pod_spec
from minikube_py.kubelet.backoff import BackOff
from minikube_py.kubelet.images import IMAGE_FAILURES, PULL_FAILURES, PullBackOff
from minikube_py.kubelet.kinds import PODS
from minikube_py.kubelet.pod_facts import Ending, Health, PodFacts, Waiting, adopted_health, running_sandbox
from minikube_py.kubelet.pod_operations import PodOperations, StartProgress
from minikube_py.kubelet.pod_plan import (
    DEADLINE_EXCEEDED,
    Action,
    EndPod,
    Plan,
    Resize,
    SetUp,
    StartContainer,
    StartSandbox,
    StopContainer,
    is_resized,
    plan_pod,
)
from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.resources_of import cgroup_limits
from minikube_py.kubelet.runtimes.protocol import ContainerState, PodState, RuntimeFailure
from minikube_py.kubelet.services import PodServices, StartedPod
from minikube_py.kubelet.status import build_status
from minikube_py.kubelet.status_writer import StatusWriter
from minikube_py.kubelet.termination import termination_message
from minikube_py.objects.errors import ApiError, Conflict, NotFound, Object
from minikube_py.reconciling.informer import revision_of
from minikube_py.reconciling.recorder import NORMAL, WARNING

log = logging.getLogger(__name__)

SANDBOX, END, REFRESH, DELETE = "", " end", " refresh", " delete"
"""Keys of operations that are no container's; container names never hold blanks."""

CONFIG_FAILURES = frozenset(("CreateContainerConfigError", "CreateContainerError"))
"""Reasons of a container that could not be made from what its pod says."""

_CREATING_SECONDS = 0.1
"""How long a status that only says ContainerCreating waits for a better one."""

_TROUBLE_SECONDS = 5.0
_MISTAKE_SECONDS = 60.0
_REFRESH_RETRY_SECONDS = 10.0
_ERR_IMAGE_PULL_SHOWN_SECONDS = 2.0


@dataclass
class Operation:
    """One slow step under way."""

    task: asyncio.Task[None]
    is_start: bool = False
    progress: StartProgress = field(default_factory=StartProgress)


class PodWorker:
    """All calls are made on the loop and return at once; `ended` is called when nothing of the pod is left."""

    def __init__(
        self, pod: Object, services: PodServices, ended: Callable[[str], None], state: PodState | None = None
    ) -> None:
        self.pod = pod
        self.uid = str(pod["metadata"]["uid"])
        self.state = state
        self.ending: Ending | None = None
        self.is_stopped = False
        self._services = services
        self._ended = ended
        self._operations = PodOperations(services)
        self._writer = StatusWriter(services.client, self._status_written)
        self._running: dict[str, Operation] = {}
        self._waiting: dict[str, Waiting] = {}
        self._failures: dict[str, BackOff] = {}
        self._back_off: dict[str, BackOff] = {}
        self._messages: dict[str, str] = {}
        self._applied: dict[str, Object] = {}
        self._resize_refusal: tuple[str, str] | None = None
        self._sandbox_wait: Waiting | None = None
        self._is_set_up = False
        self._refreshed_at = 0.0
        self._is_refresh_wanted = False
        self._is_gone = False
        self._is_stale = state is not None
        self._is_wanted = False
        self._has_asked_to_delete = False
        self._is_closed = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._slow_timer: asyncio.TimerHandle | None = None
        self._is_slow = False
        self._ending_grace: int | None = None

    def update(self, pod: Object) -> None:
        """A state of the pod from the API; one that is known already (from an answer to a write) is passed over."""
        if revision_of(pod) <= revision_of(self.pod) or pod["metadata"]["uid"] != self.uid:
            return
        old, self.pod = self.pod, pod
        if _fields_of(old) != _fields_of(pod) and self._is_set_up:
            self._refresh_volumes()
        self._forget_waits_of_changed_images(old)
        if _fields_of(old) != _fields_of(pod):
            # What stood in the way may have been one of these.
            self._failures.clear()
            self._waiting = {n: w for n, w in self._waiting.items() if w.reason not in CONFIG_FAILURES}
        self.wake()

    def _status_written(self, answer: Object) -> None:
        """Also a write that changed nothing is worth a look: something may have waited for it."""
        self.update(answer)
        self.wake()

    def runtime_changed(self) -> None:
        self._is_stale = True
        self.wake()

    def runtime_returned(self) -> None:
        """The engine was away: what failed meanwhile is tried again now, not when its back-off ends."""
        self._sandbox_wait = None
        self._failures.clear()
        self.runtime_changed()

    def objects_changed(self) -> None:
        """A ConfigMap, Secret or claim that the pod uses has changed: whatever waits for one is tried again now."""
        self._services.images.forget_back_off(self.uid)
        self._sandbox_wait = None
        self._failures.clear()
        self._waiting = {n: w for n, w in self._waiting.items() if w.reason == "CrashLoopBackOff"}
        if self._is_set_up:
            self._refresh_volumes()
        self.wake()

    def end(self, ending: Ending) -> None:
        """The kubelet ends the pod (refused by admission, evicted)."""
        self.ending = self.ending or ending
        self.wake()

    def removed(self) -> None:
        """The pod is no longer in the API."""
        self._is_gone = True
        self._writer.close()
        self.wake()

    def wake(self) -> None:
        """Look at the pod soon."""
        if self._is_closed:
            return
        self._is_wanted = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name=f"pod {self.uid}")

    def close(self) -> None:
        """Stop working; the pod itself runs on."""
        self._is_closed = True
        self._writer.close()
        self._cancel_timers()
        for operation in self._running.values():
            operation.task.cancel()
        if self._task is not None:
            self._task.cancel()

    @property
    def holds_resources(self) -> bool:
        """Whether the pod counts against the node's ports and amounts."""
        return not self.is_stopped and self.ending is None and not pod_spec.is_terminal(self.pod)

    @property
    def started(self) -> StartedPod | None:
        """The pod with its running sandbox, if it has one."""
        sandbox = running_sandbox(self.state)
        if sandbox is None or self.state is None:
            return None
        running = {c.name: c.id for c in self.state.containers if c.state == "running"}
        return StartedPod(self.pod, sandbox, self._services.host_ips(), running)

    @property
    def waits_for_room(self) -> bool:
        """Whether a resize of the pod was put off."""
        return self._resize_refusal is not None

    async def _work(self) -> None:
        try:
            while self._is_wanted:
                self._is_wanted = False
                try:
                    await self._look()
                except (RuntimeFailure, ApiError, OSError) as error:
                    log.warning("pod %s: %s", pod_spec.full_name(self.pod), error)
                    self._set_timer(clock.seconds() + _TROUBLE_SECONDS)
                except Exception:
                    # One pod that trips over a mistake of the program must not stop, nor be forgotten.
                    log.exception("pod %s", pod_spec.full_name(self.pod))
                    self._set_timer(clock.seconds() + _MISTAKE_SECONDS)
        finally:
            self._task = None

    async def _look(self) -> None:
        if self._is_stale:
            self._is_stale = False
            self.state = await self._services.runtime.pod_state(self.uid)
            self._adopt_resources()
            await self._read_messages()
        facts = self._judge_resize(self._facts())
        plan = plan_pod(facts)
        is_changed = bool(plan.actions or plan.crash_waits) or plan.ending is not self.ending
        if plan.ending is DEADLINE_EXCEEDED and self.ending is None:
            self._services.event(self.pod, NORMAL, plan.ending.reason, plan.ending.message)
        self.ending = plan.ending
        self._note_crash_waits(facts, plan)
        for action in plan.actions:
            self._perform(action)
        if is_changed:
            facts = self._facts()
        self._watch_health(facts)
        self._publish(facts if facts.health == self._health() else self._facts())
        self._finish_if_stopped()
        self._plan_refresh(plan)
        self._set_timer(plan.wake_at)

    def _plan_refresh(self, plan: Plan) -> None:
        """Renew tokens in time; when that fails, not at once again. And what changed while a refresh failed."""
        if self._is_refresh_wanted and self._is_set_up and REFRESH not in self._running:
            self._refresh_volumes()
        due = self._services.volumes.refresh_at(self.uid) if self._is_set_up and not self.is_stopped else 0.0
        if not due or REFRESH in self._running:
            return
        due = max(due, self._refreshed_at + _REFRESH_RETRY_SECONDS)
        if due <= clock.seconds():
            self._refresh_volumes()
        else:
            plan.look_again(due)

    def _health(self) -> dict[str, Health]:
        health: dict[str, Health] = {}
        for container in self.state.containers if self.state is not None else ():
            if container.state == "running":
                is_adopted = not self._is_set_up
                found = adopted_health(self.pod, container) if is_adopted else self._services.health.health(container)
                health[container.id] = found
        return health

    def _facts(self) -> PodFacts:
        waiting = dict(self._waiting)
        for name, operation in self._running.items():
            if operation.progress.text:
                waiting[name] = Waiting("ContainerCreating", operation.progress.text)
        return PodFacts(
            pod=self.pod,
            now=clock.seconds(),
            state=self.state,
            is_set_up=self._is_set_up,
            in_flight=frozenset(self._running) - {REFRESH, DELETE},
            is_starting=any(o.is_start for o in self._running.values()),
            hooked=self._hooked(),
            health=self._health(),
            waiting=waiting,
            back_off=self._back_off,
            messages=self._messages,
            applied_resources=self._applied,
            resize_refusal=self._resize_refusal,
            sandbox_wait=self._sandbox_wait,
            ending=self.ending if not self._is_gone else Ending("Removed", "The pod is no longer in the API", 1),
            is_stopped=self.is_stopped,
            host_ips=self._services.host_ips(),
        )

    def _hooked(self) -> frozenset[str]:
        """Containers in their postStart hook, or about to be: the runtime may tell of a start before it returns."""
        found: set[str] = set()
        for container in self.state.containers if self.state is not None else ():
            operation = self._running.get(container.name)
            if container.state == "running" and operation is not None and operation.is_start:
                started = pod_spec.find_container(self.pod, container.name)
                if started is not None and (started.spec.get("lifecycle") or {}).get("postStart"):
                    found.add(container.id)
        return frozenset(found)

    def _perform(self, action: Action) -> None:
        match action:
            case SetUp():
                self._start(SANDBOX, self._set_up(), True, StartProgress(is_interruptible=False))
            case StartSandbox():
                self._start(SANDBOX, self._start_sandbox(action), True, StartProgress(is_interruptible=False))
            case StartContainer():
                progress = StartProgress()
                self._start(action.container.name, self._start_container(action, progress), True, progress)
            case StopContainer():
                self._start(action.container.name, self._stop_container(action))
            case Resize():
                self._start(action.container.name, self._resize(action))
            case EndPod():
                self._end_pod(action.grace_seconds)

    def _start(
        self, key: str, step: Coroutine[Any, Any, None], is_start: bool = False, progress: StartProgress | None = None
    ) -> None:
        if key in self._running:
            step.close()
            return
        task = asyncio.get_running_loop().create_task(self._run(key, step), name=f"pod {self.uid}{key}")
        self._running[key] = Operation(task, is_start, progress or StartProgress())

    async def _run(self, key: str, step: Coroutine[Any, Any, None]) -> None:
        try:
            await step
        except (RuntimeFailure, ApiError, OSError) as error:
            log.warning("pod %s: %s", pod_spec.full_name(self.pod), error)
            await asyncio.sleep(_TROUBLE_SECONDS)
        except Exception:
            log.exception("pod %s", pod_spec.full_name(self.pod))
            await asyncio.sleep(_MISTAKE_SECONDS)
        finally:
            if key in self._running and self._running[key].task is asyncio.current_task():
                del self._running[key]
            self._is_stale = self._is_stale or (key not in (REFRESH, DELETE) and self._is_set_up)
            self.wake()

    async def _set_up(self) -> None:
        try:
            await self._services.volumes.set_up(self.pod)
        except RuntimeFailure as failure:
            self._sandbox_wait = self._failed(SANDBOX, self._no_volumes(failure))
            return
        self._is_set_up = True
        self._sandbox_wait = None
        self._failures.pop(SANDBOX, None)

    def _no_volumes(self, failure: RuntimeFailure) -> Waiting:
        if failure.reason in IMAGE_FAILURES:  # of an image volume
            until = failure.until if isinstance(failure, PullBackOff) else 0.0
            return Waiting(failure.reason, failure.message, until)
        self._services.event(self.pod, WARNING, failure.reason, failure.message)
        return Waiting("ContainerCreating", failure.message)

    async def _start_sandbox(self, action: StartSandbox) -> None:
        if action.attempt:
            text = "Pod sandbox changed, it will be killed and re-created."
            self._services.event(self.pod, NORMAL, "SandboxChanged", text)
        try:
            await self._operations.start_sandbox(self.pod, action)
        except RuntimeFailure as failure:
            text = f"Failed to create pod sandbox: {failure.message}"
            self._sandbox_wait = self._failed(SANDBOX, Waiting("ContainerCreating", text))
            return
        self._sandbox_wait = None
        self._failures.pop(SANDBOX, None)
        for old in self.state.sandboxes if self.state is not None else ():
            if old.attempt < action.attempt:
                await self._services.runtime.remove_container(old.id)

    async def _start_container(self, action: StartContainer, progress: StartProgress) -> None:
        started, name = self.started, action.container.name
        if started is None:
            return
        self._note_crash(name)
        try:
            state = await self._operations.start_container(started, action, progress, self.wake)
        except RuntimeFailure as failure:
            until = failure.until if isinstance(failure, PullBackOff) else 0.0
            self._waiting[name] = self._failed(name, Waiting(failure.reason, failure.message, until))
            return
        self._applied[state.id] = action.container.spec.get("resources") or {}
        self._waiting.pop(name, None)
        self._failures.pop(name, None)

    def _failed(self, key: str, waiting: Waiting) -> Waiting:
        """The waiting state with the time of the next attempt."""
        now = clock.seconds()
        if waiting.reason in PULL_FAILURES:
            # The next attempt finds the puller's own back-off and shows that instead.
            return Waiting(waiting.reason, waiting.message, now + _ERR_IMAGE_PULL_SHOWN_SECONDS)
        if waiting.until:
            return waiting
        entry = self._failures[key] = backoff.raised(self._failures.get(key), now)
        return Waiting(waiting.reason, waiting.message, now + entry.delay)

    def _note_crash(self, name: str) -> None:
        """Raise the crash back-off when a container starts again after an end in this sandbox."""
        facts = self._facts()
        current, trigger = facts.current(name), facts.restart_trigger
        if current is None and trigger is not None and facts.newest(name) is trigger:
            current = trigger
        if current is not None and current.state == "exited":
            self._back_off[name] = backoff.raised(self._back_off.get(name), clock.seconds(), current.finished_at)

    def _note_crash_waits(self, facts: PodFacts, plan: Plan) -> None:
        for name, waiting in plan.crash_waits.items():
            if self._waiting.get(name) == waiting:
                continue
            self._waiting[name] = waiting
            container = pod_spec.find_container(facts.pod, name)
            text = f"Back-off restarting failed container {name} in pod {pod_spec.full_name(facts.pod)}"
            self._services.event(facts.pod, WARNING, "BackOff", text, container)

    async def _stop_container(self, action: StopContainer) -> None:
        container = pod_spec.find_container(self.pod, action.container.name)
        grace = action.grace_seconds if action.grace_seconds is not None else pod_spec.grace_seconds(self.pod)
        if action.skips_hook:
            self._operations.hooks_run.add(action.container.id)
        await self._operations.stop_container(self.started, container, action.container, grace, action.message)

    async def _resize(self, action: Resize) -> None:
        container = pod_spec.find_container(self.pod, action.container.name)
        if container is None:
            return
        info = await self._services.runtime.info()
        limits = cgroup_limits(self.pod, container.spec, info.memory_bytes)
        await self._services.runtime.update_limits(action.container.id, limits)
        self._applied[action.container.id] = container.spec.get("resources") or {}

    def _end_pod(self, grace: int) -> None:
        for operation in self._running.values():
            if operation.is_start and operation.progress.is_interruptible:
                operation.task.cancel()
        if any(o.is_start and not o.progress.is_interruptible for o in self._running.values()):
            return
        ending = self._running.get(END)
        if ending is not None and self._ending_grace is not None and grace < self._ending_grace:
            ending.task.cancel()
            del self._running[END]
        if END not in self._running:
            self._ending_grace = grace
            self._start(END, self._end(grace))

    async def _end(self, grace: int) -> None:
        self._services.health.begin_end(self.uid)
        state = await self._services.runtime.pod_state(self.uid)
        await self._operations.end_pod(self.pod, state, grace)
        self._services.health.forget(self.uid)
        self.is_stopped = True

    def _finish_if_stopped(self) -> None:
        if not self.is_stopped or {DELETE, REFRESH} & self._running.keys():
            return
        if self._has_asked_to_delete and not self._is_gone:
            return
        if self._is_gone:
            self._start(DELETE, self._clean_up())
        elif pod_spec.is_deleting(self.pod) and self._writer.is_idle and not self._is_stale:
            self._start(DELETE, self._delete())

    async def _delete(self) -> None:
        """Everything has stopped and the final status is written: let the API forget the pod."""
        await self._services.volumes.tear_down(self.uid)
        meta = self.pod["metadata"]
        options = DeleteOptions(grace_seconds=0, uid=self.uid)
        try:
            await self._services.client.delete(PODS, meta["name"], meta["namespace"], options=options)
        except (NotFound, Conflict):
            pass
        # With finalizers the object stays; there is nothing left for this node to do.
        self._has_asked_to_delete = True

    async def _clean_up(self) -> None:
        await self._services.volumes.tear_down(self.uid)
        await self._services.runtime.remove_pod(self.uid)
        self._services.release(self.uid)
        self._cancel_timers()
        self._is_closed = True
        self._ended(self.uid)

    def _watch_health(self, facts: PodFacts) -> None:
        started = self.started
        if started is None or self.is_stopped or END in self._running:
            return
        hooked = facts.hooked
        running: list[tuple[PodContainer, ContainerState]] = []
        for container in pod_spec.all_containers(self.pod):
            current = facts.current(container.name)
            if current is not None and current.state == "running" and current.id not in hooked:
                running.append((container, current))
        self._services.health.watch(started, running)

    def _publish(self, facts: PodFacts) -> None:
        if self._is_gone or self._has_just_begun(facts):
            return
        status = build_status(facts)
        is_brief = facts.is_starting and status["phase"] == "Pending" and not self._waiting and not self._sandbox_wait
        self._writer.publish(self.pod, status, delay=_CREATING_SECONDS if is_brief and not self._is_slow else 0.0)

    def _has_just_begun(self, facts: PodFacts) -> bool:
        """Whether nothing but a start is under way: for a moment its states are not worth a status, nor a write."""
        if self._is_slow or not facts.is_starting or self._waiting or self._sandbox_wait:
            return False
        if (self.pod.get("status") or {}).get("phase", "Pending") != "Pending":
            return False
        if self.state is not None and self.state.containers:
            return False
        if self._slow_timer is None:
            self._slow_timer = asyncio.get_running_loop().call_later(_CREATING_SECONDS, self._becomes_slow)
        return True

    def _becomes_slow(self) -> None:
        self._is_slow = True
        self.wake()

    def _refresh_volumes(self) -> None:
        """What changes during a refresh may have been read by it before: then there is one more."""
        self._is_refresh_wanted = True
        if not self.is_stopped and REFRESH not in self._running:
            self._refreshed_at = clock.seconds()
            self._start(REFRESH, self._refresh())

    async def _refresh(self) -> None:
        while self._is_refresh_wanted and not self.is_stopped:
            self._is_refresh_wanted = False
            await self._services.volumes.refresh(self.pod)

    def _forget_waits_of_changed_images(self, old: Object) -> None:
        images = {c.name: c.image for c in pod_spec.all_containers(old)}
        for container in pod_spec.all_containers(self.pod):
            if images.get(container.name, container.image) != container.image:
                self._waiting.pop(container.name, None)
                self._back_off.pop(container.name, None)
                self._services.images.forget_back_off(self.uid)

    def _judge_resize(self, facts: PodFacts) -> PodFacts:
        """Ask the node for room when the spec asks for other cpu or memory than the running containers have."""
        running = [(c, facts.current(c.name)) for c in pod_spec.all_containers(self.pod)]
        is_changed = any(s is not None and s.state == "running" and is_resized(facts, c, s) for c, s in running)
        refusal = self._services.resize_refusal(self.pod) if is_changed else None
        if refusal == self._resize_refusal:
            return facts
        self._resize_refusal = refusal
        return replace(facts, resize_refusal=refusal)

    def _adopt_resources(self) -> None:
        """Of containers that an earlier kubelet started, the API's status says what they were given."""
        status = self.pod.get("status") or {}
        for field_name in ("containerStatuses", "initContainerStatuses"):
            for entry in status.get(field_name) or ():
                container_id = (entry.get("containerID") or "").removeprefix("docker://")
                if container_id and entry.get("resources") is not None:
                    self._applied.setdefault(container_id, entry["resources"])

    async def _read_messages(self) -> None:
        for container in self.state.containers if self.state is not None else ():
            if container.state == "exited" and container.id not in self._messages:
                found = pod_spec.find_container(self.pod, container.name)
                if found is not None:
                    text = await termination_message(self._services, self.pod, found, container)
                    self._messages[container.id] = text

    def _set_timer(self, at: float) -> None:
        self._cancel_timer()
        if at:
            delay = max(at - clock.seconds(), 0.0) + 0.001
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel_timers(self) -> None:
        self._cancel_timer()
        if self._slow_timer is not None:
            self._slow_timer.cancel()


def _fields_of(pod: Object) -> tuple[Any, Any]:
    """What downward API volumes may show."""
    return pod["metadata"].get("labels"), pod["metadata"].get("annotations")
