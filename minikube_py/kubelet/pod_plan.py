"""Decides what to do next for one pod: pure, from the pod's facts to actions and the time to look again.

Sources: pod lifecycle, init and sidecar containers (KEP-753), container restart rules (KEP-5307), in-place resize
(KEP-1287) of the Kubernetes documentation.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from minikube_py import clock
from minikube_py.kubelet import backoff, pod_spec
from minikube_py.kubelet.pod_facts import Ending, PodFacts, Waiting
from minikube_py.kubelet.pod_spec import EPHEMERAL, INIT, SIDECAR, PodContainer
from minikube_py.kubelet.resources_of import limits_changed, needs_restart, spec_hash
from minikube_py.kubelet.runtimes.protocol import ContainerState

DEADLINE_EXCEEDED = Ending(
    "DeadlineExceeded", "Pod was active on the node longer than the specified deadline", grace_seconds=None
)


@dataclass(frozen=True)
class SetUp:
    """Make directories, volumes and files of the pod."""


@dataclass(frozen=True)
class StartSandbox:
    attempt: int
    ip: str = ""


@dataclass(frozen=True)
class StartContainer:
    """Pull, create, start, hook. remove lists attempts too old to keep."""

    container: PodContainer
    restart_count: int
    remove: tuple[str, ...] = ()


@dataclass(frozen=True)
class StopContainer:
    """message is the Killing event's; grace_seconds None: the pod's."""

    container: ContainerState
    message: str
    grace_seconds: int | None = None
    skips_hook: bool = False


@dataclass(frozen=True)
class Resize:
    container: ContainerState
    resources: object


@dataclass(frozen=True)
class EndPod:
    """Stop every container with its hooks, then the sandbox; the pod does not come back."""

    grace_seconds: int


Action: TypeAlias = SetUp | StartSandbox | StartContainer | StopContainer | Resize | EndPod


@dataclass
class Plan:
    """What to do now. back_off: containers that wait for their crash back-off. wake_at: epoch seconds, 0 for never."""

    actions: list[Action] = field(default_factory=list)
    crash_waits: dict[str, Waiting] = field(default_factory=dict)
    wake_at: float = 0.0
    ending: Ending | None = None

    def look_again(self, at: float) -> None:
        self.wake_at = at if not self.wake_at else min(self.wake_at, at)


def plan_pod(facts: PodFacts) -> Plan:
    """The next step of a pod. Operations that are in flight are never planned twice."""
    plan = Plan(ending=facts.ending or _passed_deadline(facts))
    if _must_end(facts, plan):
        if not facts.is_stopped:
            plan.actions.append(EndPod(_grace(facts, plan)))
        return plan
    _plan_deadline(facts, plan)
    if not facts.is_set_up:
        if "" not in facts.in_flight and _is_due(facts.sandbox_wait, facts, plan):
            plan.actions.append(SetUp())
        return plan
    if facts.sandbox is None:
        _plan_sandbox(facts, plan)
        return plan
    _plan_containers(facts, plan)
    return plan


def is_finished(facts: PodFacts) -> bool:
    """Whether every container has ended for good, or an init container failed for good."""
    pod = facts.pod
    for container in pod_spec.init_containers(pod):
        newest = facts.newest(container.name)
        if container.kind == INIT and newest is not None and _failed_for_good(facts, container, newest):
            return not _any_running(facts)
    regular = pod_spec.regular_containers(pod)
    return bool(regular) and all(_ended_for_good(facts, c) for c in regular)


def _must_end(facts: PodFacts, plan: Plan) -> bool:
    pod = facts.pod
    return pod_spec.is_deleting(pod) or plan.ending is not None or pod_spec.is_terminal(pod) or is_finished(facts)


def _grace(facts: PodFacts, plan: Plan) -> int:
    if plan.ending is not None and plan.ending.grace_seconds is not None and not pod_spec.is_deleting(facts.pod):
        return plan.ending.grace_seconds
    return pod_spec.grace_seconds(facts.pod)


def _deadline(facts: PodFacts) -> float | None:
    seconds = facts.pod["spec"].get("activeDeadlineSeconds")
    started = (facts.pod.get("status") or {}).get("startTime")
    return clock.parse(started).timestamp() + seconds if seconds and started else None


def _passed_deadline(facts: PodFacts) -> Ending | None:
    deadline = _deadline(facts)
    return DEADLINE_EXCEEDED if deadline is not None and facts.now >= deadline else None


def _plan_deadline(facts: PodFacts, plan: Plan) -> None:
    deadline = _deadline(facts)
    if deadline is not None:
        plan.look_again(deadline)


def _is_due(waiting: Waiting | None, facts: PodFacts, plan: Plan) -> bool:
    if waiting is None or waiting.until <= facts.now:
        return True
    plan.look_again(waiting.until)
    return False


def _plan_sandbox(facts: PodFacts, plan: Plan) -> None:
    """A dead sandbox takes its containers with it: the new one starts from the first init container."""
    old = facts.newest_sandbox
    if facts.in_flight or not _is_due(facts.sandbox_wait, facts, plan):
        return
    running = [c for c in (facts.state.containers if facts.state else ()) if c.state == "running"]
    if running:
        plan.actions += [StopContainer(c, "Pod sandbox changed, it will be killed and re-created.") for c in running]
        return
    attempt, ip = (old.attempt + 1, _last_ip(facts)) if old is not None else (0, "")
    plan.actions.append(StartSandbox(attempt, ip))


def _last_ip(facts: PodFacts) -> str:
    return str((facts.pod.get("status") or {}).get("podIP") or "")


def _plan_containers(facts: PodFacts, plan: Plan) -> None:
    pod = facts.pod
    if _plan_restart_of_all(facts, plan):
        return
    initial, regular = pod_spec.init_containers(pod), pod_spec.regular_containers(pod)
    starts: list[StartContainer] = []
    # A pod whose regular containers have been created is past its init containers, whatever became of them.
    is_initialized = any(facts.current(c.name) is not None for c in regular)
    if is_initialized:
        for container in initial:
            if container.kind == SIDECAR:
                _plan_container(facts, plan, container, starts)
    else:
        is_initialized = _plan_init(facts, plan, initial, starts)
    if is_initialized:
        for container in regular:
            _plan_container(facts, plan, container, starts)
    for container in pod_spec.ephemeral_containers(pod):
        _plan_container(facts, plan, container, starts)
    # Containers start one after the other in their order, each after the hook of the one before.
    if starts and not facts.is_starting:
        plan.actions.append(starts[0])


def _plan_restart_of_all(facts: PodFacts, plan: Plan) -> bool:
    """What comes before the new start: everything that still runs is killed at once, then the back-off passes.

    Source: KEP-5532. True while that is so.
    """
    trigger, containers = facts.restart_trigger, facts.state.containers if facts.state is not None else ()
    if trigger is None or not any(facts.is_outdated(c) for c in containers):
        return False
    text = f"Container {trigger.name} exited and restarts all containers"
    running = [c for c in containers if c.state == "running" and facts.is_outdated(c)]
    plan.actions += [StopContainer(c, text, 0, skips_hook=True) for c in running if c.name not in facts.in_flight]
    due = backoff.retry_at(facts.back_off.get(trigger.name), trigger.finished_at)
    if running or due <= facts.now or facts.newest(trigger.name) is not trigger:
        return bool(running)
    found = pod_spec.find_container(facts.pod, trigger.name)
    if found is not None:
        plan.crash_waits[trigger.name] = _crash_waiting(facts, found, due)
    plan.look_again(due)
    return True


def _plan_init(facts: PodFacts, plan: Plan, initial: list[PodContainer], starts: list[StartContainer]) -> bool:
    """Plan init containers and sidecars in order; True once all are done or, for sidecars, started."""
    for container in initial:
        current = facts.current(container.name)
        _plan_container(facts, plan, container, starts)
        if current is None:
            return False
        if container.kind == SIDECAR:
            if current.state != "running" or not facts.health_of(current).has_started:
                return False
        elif current.state != "exited" or current.exit_code != 0:
            return False
    return True


def _plan_container(facts: PodFacts, plan: Plan, container: PodContainer, starts: list[StartContainer]) -> None:
    if container.name in facts.in_flight:
        return
    current = facts.current(container.name)
    if current is not None and current.state == "running":
        _plan_running(facts, plan, container, current)
        return
    newest = facts.newest(container.name)
    if current is not None and current.state == "exited":
        if not pod_spec.should_restart(facts.pod, container, current.exit_code):
            return
        due = backoff.retry_at(facts.back_off.get(container.name), current.finished_at)
        if due > facts.now:
            plan.crash_waits[container.name] = _crash_waiting(facts, container, due)
            plan.look_again(due)
            return
    if current is None and newest is not None and container.kind != INIT and not facts.is_outdated(newest):
        # Its sandbox is gone; what had ended for good by then does not run again.
        if newest.state == "exited" and not pod_spec.should_restart(facts.pod, container, newest.exit_code):
            return
    if not _is_due(facts.waiting.get(container.name), facts, plan):
        return
    count = newest.restart_count + 1 if newest is not None else 0
    if newest is not None and newest.state == "created":
        count = newest.restart_count  # an earlier kubelet ended between making and starting it
    old = tuple(c.id for c in facts.attempts(container.name)[:-1] if not _is_still_needed(facts, c))
    starts.append(StartContainer(container, count, remove=old))


def _is_still_needed(facts: PodFacts, attempt: ContainerState) -> bool:
    """The end that asked for a restart of all is remembered until all have been made anew."""
    newest = [facts.newest(c.name) for c in pod_spec.all_containers(facts.pod)]
    return attempt is facts.restart_trigger and any(c is not None and facts.is_outdated(c) for c in newest)


def _crash_waiting(facts: PodFacts, container: PodContainer, due: float) -> Waiting:
    delay = backoff.duration_text(facts.back_off[container.name].delay)
    name = pod_spec.full_name(facts.pod)
    text = f"back-off {delay} restarting failed container={container.name} pod={name}"
    return Waiting("CrashLoopBackOff", text, due)


def _plan_running(facts: PodFacts, plan: Plan, container: PodContainer, current: ContainerState) -> None:
    if container.kind == EPHEMERAL:
        return
    health = facts.health_of(current)
    name = container.name
    if current.spec_hash and current.spec_hash != spec_hash(container.spec):
        text = f"Container {name} definition changed, will be restarted"
        plan.actions.append(StopContainer(current, text))
    elif health.failure and current.id not in facts.hooked:
        plan.actions.append(StopContainer(current, health.failure, health.grace_seconds))
    elif is_resized(facts, container, current) and facts.resize_refusal is None:
        if needs_restart(container.spec, facts.applied_resources[current.id]):
            plan.actions.append(StopContainer(current, f"Container {name} resize requires restart"))
        else:
            plan.actions.append(Resize(current, container.spec.get("resources") or {}))


def is_resized(facts: PodFacts, container: PodContainer, current: ContainerState) -> bool:
    """Whether the running container has other cpu or memory than its spec asks for."""
    return container.kind != INIT and limits_changed(container.spec, facts.applied_resources.get(current.id))


def _ended_for_good(facts: PodFacts, container: PodContainer) -> bool:
    newest = facts.newest(container.name)
    if newest is None or newest.state != "exited" or container.name in facts.in_flight or facts.is_outdated(newest):
        return False
    return not pod_spec.should_restart(facts.pod, container, newest.exit_code)


def _failed_for_good(facts: PodFacts, container: PodContainer, newest: ContainerState) -> bool:
    return newest.exit_code != 0 and _ended_for_good(facts, container)


def _any_running(facts: PodFacts) -> bool:
    containers: Iterable[ContainerState] = facts.state.containers if facts.state is not None else ()
    regular = {c.name for c in pod_spec.regular_containers(facts.pod)}
    return any(c.state == "running" and c.name in regular for c in containers)
