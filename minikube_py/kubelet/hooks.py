"""Runs lifecycle hooks of containers: a command, an HTTP GET or a sleep."""

import asyncio

from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.probe_calls import Calls, CallTarget
from minikube_py.kubelet.runtimes.protocol import ContainerState, RuntimeFailure
from minikube_py.kubelet.services import StartedPod
from minikube_py.objects.errors import Object

HOOK_FAILED = "FailedHook"

# The caller sets the limit (preStop: the grace period; postStart: until the pod ends).
_NO_LIMIT_SECONDS = 7 * 24 * 3600.0


class Hooks:
    """Implements HookRunner."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def run(self, started: StartedPod, container: PodContainer, state: ContainerState, hook: Object) -> None:
        if "sleep" in hook:
            await asyncio.sleep(float(hook["sleep"].get("seconds") or 0))
            return
        handler = dict(hook)
        if "httpGet" in handler and not handler["httpGet"].get("port"):
            handler["httpGet"] = {**handler["httpGet"], "port": 80}
        result = await self._calls.run(CallTarget(started, container, state), handler, _NO_LIMIT_SECONDS)
        if not result.is_success:
            raise RuntimeFailure(HOOK_FAILED, result.message)


class SimulatedHooks:
    """Hooks where there is nothing to run: only a sleep takes its time."""

    async def run(self, started: StartedPod, container: PodContainer, state: ContainerState, hook: Object) -> None:
        if "sleep" in hook:
            await asyncio.sleep(float(hook["sleep"].get("seconds") or 0))
