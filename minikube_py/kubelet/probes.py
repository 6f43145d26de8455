"""Probes running containers and keeps the verdicts; timers exist only for containers that have probes.

Source: core/v1 Probe and "Configure Liveness, Readiness and Startup Probes" of the Kubernetes documentation.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minikube_py import clock
from minikube_py.kubelet.pod_facts import Health, adopted_health
from minikube_py.kubelet.pod_spec import EPHEMERAL, INIT, PodContainer
from minikube_py.kubelet.probe_calls import CallResult, Calls, CallTarget
from minikube_py.kubelet.runtimes.protocol import ContainerState, SimulatedHealth
from minikube_py.kubelet.services import StartedPod
from minikube_py.objects.errors import Object
from minikube_py.reconciling.recorder import WARNING, EventRecorder, reference

STARTUP, LIVENESS, READINESS = "startup", "liveness", "readiness"
FIELDS: Mapping[str, str] = {STARTUP: "startupProbe", LIVENESS: "livenessProbe", READINESS: "readinessProbe"}

_PASSED = Health()


@dataclass
class Counter:
    """Turns single results into a verdict: it changes after as many equal results in a row as the threshold says."""

    success_threshold: int
    failure_threshold: int
    verdict: bool | None = None
    _last: bool | None = None
    _run: int = 0

    def add(self, is_success: bool) -> bool:
        """True when the verdict has changed."""
        self._run = self._run + 1 if is_success == self._last else 1
        self._last = is_success
        if self._run < (self.success_threshold if is_success else self.failure_threshold):
            return False
        is_change = self.verdict != is_success
        self.verdict = is_success
        return is_change


@dataclass
class _Probe:
    """One probe of one container. A probe on hold waits for the container to be restarted."""

    kind: str
    spec: Object
    counter: Counter
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    is_on_hold: bool = False

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.task is not None:
            self.task.cancel()
            self.task = None

    @property
    def is_going(self) -> bool:
        return self.timer is not None or self.task is not None


@dataclass
class _Watched:
    """One container under probes."""

    target: CallTarget
    probes: dict[str, _Probe] = field(default_factory=dict)

    def has_started(self) -> bool:
        startup = self.probes.get(STARTUP)
        return startup is None or startup.counter.verdict is True

    def stop(self) -> None:
        for probe in self.probes.values():
            probe.stop()


class Prober:
    """Implements HealthSource."""

    def __init__(self, calls: Calls, recorder: EventRecorder, changed: Callable[[str], None]) -> None:
        self._calls = calls
        self._recorder = recorder
        self._changed = changed
        self._pods: dict[str, dict[str, _Watched]] = {}
        self._without: dict[str, set[str]] = {}
        self.counts: dict[tuple[str, str, str, str], int] = {}

    def watch(self, started: StartedPod, running: Sequence[tuple[PodContainer, ContainerState]]) -> None:
        uid = started.pod["metadata"]["uid"]
        known = self._pods.get(uid, {})
        wanted: dict[str, _Watched] = {}
        plain: set[str] = set()
        for container, state in running:
            watched = known.pop(state.id, None)
            if watched is None and _has_probes(container):
                watched = self._begin(CallTarget(started, container, state))
            if watched is None:
                plain.add(state.id)
                continue
            watched.target = CallTarget(started, container, state)
            wanted[state.id] = watched
        for gone in known.values():
            gone.stop()
        _replace(self._pods, uid, wanted)
        _replace(self._without, uid, plain)
        for watched in wanted.values():
            self._go_on(watched)

    def health(self, container: ContainerState) -> Health:
        watched = self._pods.get(container.pod.uid, {}).get(container.id)
        if watched is None:
            is_plain = container.id in self._without.get(container.pod.uid, ())
            return _PASSED if is_plain else Health(has_started=False, is_ready=False)
        for kind in (STARTUP, LIVENESS):
            probe = watched.probes.get(kind)
            if probe is not None and probe.counter.verdict is False:
                text = f"Container {container.name} failed {kind} probe, will be restarted"
                grace = probe.spec.get("terminationGracePeriodSeconds")
                return Health(kind != STARTUP, kind != STARTUP and _is_ready(watched), text, grace)
        return Health(watched.has_started(), watched.has_started() and _is_ready(watched))

    def begin_end(self, pod_uid: str) -> None:
        for watched in self._pods.get(pod_uid, {}).values():
            for probe in watched.probes.values():
                if probe.kind != READINESS:
                    probe.stop()
                    probe.is_on_hold = True

    def forget(self, pod_uid: str) -> None:
        for watched in self._pods.pop(pod_uid, {}).values():
            watched.stop()
        self._without.pop(pod_uid, None)
        for key in [key for key in self.counts if key[0] == pod_uid]:
            del self.counts[key]

    def _begin(self, target: CallTarget) -> _Watched:
        adopted = adopted_health(target.started.pod, target.state)
        watched = _Watched(target)
        for kind, name in FIELDS.items():
            spec = target.container.spec.get(name)
            if not spec:
                continue
            counter = Counter(
                success_threshold=spec.get("successThreshold") or 1,
                failure_threshold=spec.get("failureThreshold") or 3,
            )
            if kind == STARTUP and adopted.has_started:
                counter.verdict = True
            elif kind == READINESS:
                counter.verdict = adopted.is_ready
            watched.probes[kind] = _Probe(kind, spec, counter)
        return watched

    def _go_on(self, watched: _Watched) -> None:
        """Start the timers that should run now: the startup probe alone until it has passed, then the others."""
        for probe in watched.probes.values():
            is_due = not watched.has_started() if probe.kind == STARTUP else watched.has_started()
            if not is_due:
                probe.stop()
            elif not probe.is_going and not probe.is_on_hold:
                delay = watched.target.state.started_at + (probe.spec.get("initialDelaySeconds") or 0) - clock.seconds()
                self._schedule(watched, probe, max(delay, 0.0))

    def _schedule(self, watched: _Watched, probe: _Probe, delay: float) -> None:
        probe.timer = asyncio.get_running_loop().call_later(delay, self._fire, watched, probe)

    def _fire(self, watched: _Watched, probe: _Probe) -> None:
        probe.timer = None
        probe.task = asyncio.get_running_loop().create_task(self._probe(watched, probe))

    async def _probe(self, watched: _Watched, probe: _Probe) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        result = await self._calls.run(watched.target, probe.spec, probe.spec.get("timeoutSeconds") or 1)
        probe.task = None
        state = watched.target.state
        outcome = "unknown" if not result.is_known else "successful" if result.is_success else "failed"
        key = (state.pod.uid, state.name, probe.kind, outcome)
        self.counts[key] = self.counts.get(key, 0) + 1
        if not result.is_success or result.is_warning:
            self._report(watched, probe, result)
        # A probe that could not be carried out says nothing about the container.
        has_changed = result.is_known and probe.counter.add(result.is_success)
        probe.is_on_hold = probe.kind != READINESS and probe.counter.verdict is False
        if not probe.is_on_hold:
            period = probe.spec.get("periodSeconds") or 10
            self._schedule(watched, probe, max(began + period - loop.time(), 0.0))
        if has_changed:
            self._go_on(watched)
            self._changed(watched.target.state.pod.uid)

    def _report(self, watched: _Watched, probe: _Probe, result: CallResult) -> None:
        words = "probe failed" if result.is_known else "probe errored and resulted in unknown state"
        if result.is_warning:
            words = "probe warning"
        text = f"{probe.kind.capitalize()} {words}: {result.message}"
        pod = {"kind": "Pod", "apiVersion": "v1", **watched.target.started.pod}
        involved = reference(pod, watched.target.container.field_path)
        self._recorder.event_for(involved, WARNING, "ProbeWarning" if result.is_warning else "Unhealthy", text)


class SimulatedProber:
    """HealthSource for runtimes without processes: the runtime itself says when a container is ready."""

    def __init__(self, runtime: SimulatedHealth) -> None:
        self._runtime = runtime
        self.counts: dict[tuple[str, str, str, str], int] = {}

    def watch(self, started: StartedPod, running: Sequence[tuple[PodContainer, ContainerState]]) -> None:
        return None

    def health(self, container: ContainerState) -> Health:
        ready_at = self._runtime.ready_at(container.id)
        return Health(is_ready=ready_at is not None and ready_at <= clock.seconds())

    def begin_end(self, pod_uid: str) -> None:
        return None

    def forget(self, pod_uid: str) -> None:
        return None


def _has_probes(container: PodContainer) -> bool:
    if container.kind in (INIT, EPHEMERAL):
        return False
    return any(container.spec.get(name) for name in FIELDS.values())


def _is_ready(watched: _Watched) -> bool:
    readiness = watched.probes.get(READINESS)
    return readiness is None or readiness.counter.verdict is True


def _replace(table: dict[str, Any], key: str, value: Any) -> None:
    """Keep no empty entries: most pods have no probes."""
    if value:
        table[key] = value
    else:
        table.pop(key, None)
