"""All that is known of one pod on this node at one moment: what plan and status are computed from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from minikube_py.kubelet import pod_spec
from minikube_py.kubelet.backoff import BackOff
from minikube_py.kubelet.runtimes.protocol import ContainerState, PodState, SandboxState
from minikube_py.objects.errors import Object


@dataclass(frozen=True)
class Waiting:
    """Why a container does not run: its waiting state; until is when to try again (epoch seconds)."""

    reason: str
    message: str = ""
    until: float = 0.0


@dataclass(frozen=True)
class Health:
    """Probe verdicts on one running container. A probe that does not exist counts as passed.

    failure is the message of the Killing event when a liveness or startup probe wants the container restarted;
    grace_seconds is that probe's own termination grace period, or None for the pod's.
    """

    has_started: bool = True
    is_ready: bool = True
    failure: str = ""
    grace_seconds: int | None = None


@dataclass(frozen=True)
class Ending:
    """The kubelet itself ends the pod (deadline, admission, eviction): the phase is Failed with this reason."""

    reason: str
    message: str
    grace_seconds: int | None = None


@dataclass(frozen=True)
class PodFacts:
    """An immutable view; pod is the API object (never changed here), now is epoch seconds.

    in_flight names the operations under way: '' for set-up and sandbox, else container names. is_starting: one of them
    is a set-up or a start (starts go one after the other, stops side by side).
    hooked holds the ids of running containers whose postStart hook has not returned yet.
    """

    pod: Object
    now: float
    state: PodState | None = None
    is_set_up: bool = True
    in_flight: frozenset[str] = frozenset()
    is_starting: bool = False
    hooked: frozenset[str] = frozenset()
    health: Mapping[str, Health] = field(default_factory=dict)
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    back_off: Mapping[str, BackOff] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    applied_resources: Mapping[str, Object] = field(default_factory=dict)
    resize_refusal: tuple[str, str] | None = None
    sandbox_wait: Waiting | None = None
    ending: Ending | None = None
    is_stopped: bool = False
    host_ips: tuple[str, ...] = ()

    @property
    def sandbox(self) -> SandboxState | None:
        """The newest sandbox if it runs."""
        return running_sandbox(self.state)

    @property
    def newest_sandbox(self) -> SandboxState | None:
        return newest_sandbox(self.state)

    def attempts(self, name: str) -> list[ContainerState]:
        """Every attempt of a container that the runtime still has, newest last."""
        found = [c for c in (self.state.containers if self.state is not None else ()) if c.name == name]
        if len(found) > 1:
            found.sort(key=lambda c: (c.restart_count, c.created_at))
        return found

    def newest(self, name: str) -> ContainerState | None:
        attempts = self.attempts(name)
        return attempts[-1] if attempts else None

    def current(self, name: str) -> ContainerState | None:
        """The newest attempt, unless it belongs to a sandbox that is gone, or to what was before a restart of all."""
        newest, sandbox = self.newest(name), self.newest_sandbox
        if newest is None or sandbox is None or newest.created_at < sandbox.created_at or self.is_outdated(newest):
            return None
        return newest

    @cached_property
    def restart_trigger(self) -> ContainerState | None:
        """The container whose end was the last to ask for a restart of all (KEP-5532)."""
        containers = self.state.containers if self.state is not None else ()
        rules = {c.name: c for c in pod_spec.all_containers(self.pod) if c.spec.get("restartPolicyRules")}
        ends = [
            c
            for c in containers
            if c.state == "exited" and c.name in rules and pod_spec.restarts_all(rules[c.name], c.exit_code)
        ]
        return max(ends, key=lambda c: c.finished_at, default=None)

    def is_outdated(self, container: ContainerState) -> bool:
        """Whether it was made before the last end that asked for a restart of all."""
        trigger = self.restart_trigger
        return trigger is not None and container.created_at < trigger.finished_at

    def health_of(self, container: ContainerState) -> Health:
        return self.health.get(container.id, _UNKNOWN)


def newest_sandbox(state: PodState | None) -> SandboxState | None:
    sandboxes = state.sandboxes if state is not None else ()
    return max(sandboxes, key=lambda s: s.attempt, default=None)


def running_sandbox(state: PodState | None) -> SandboxState | None:
    """The newest sandbox if it runs."""
    newest = newest_sandbox(state)
    return newest if newest is not None and newest.is_running else None


def adopted_health(pod: Object, container: ContainerState) -> Health:
    """What the API says of a container that ran before this kubelet did; unknown when it says nothing."""
    status = pod.get("status") or {}
    for field_name in ("containerStatuses", "initContainerStatuses"):
        for entry in status.get(field_name) or ():
            if (entry.get("containerID") or "").endswith(container.id):
                return Health(has_started=bool(entry.get("started")), is_ready=bool(entry.get("ready")))
    return _UNKNOWN


_UNKNOWN = Health(has_started=False, is_ready=False)
