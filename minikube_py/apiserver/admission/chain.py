"""Asks the admission plugins one after the other, leaving out those that have nothing to do with a resource."""

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from minikube_py.apiserver.admission.context import Plugin
from minikube_py.apiserver.admission.counts import ADMIT, VALIDATE, AdmissionCounts
from minikube_py.apiserver.admission.protocol import AdmissionPlugin, AdmissionRequest
from minikube_py.prometheus import Histogram

_Call = Callable[[AdmissionRequest], Awaitable[None]]
_Timed = tuple[str, _Call, Histogram]
"""A plugin's name, its part in one phase, and where the time goes that it takes."""


class AdmissionChain:
    """Several plugins as one. Which of them concern a kind of request, in which phase, is worked out once."""

    name = "AdmissionChain"

    def __init__(self, plugins: Sequence[AdmissionPlugin], counts: AdmissionCounts) -> None:
        self.plugins = tuple(plugins)
        self._counts = counts
        self._calls: dict[tuple[str, str, str, str], tuple[_Timed, ...]] = {}

    async def mutate(self, request: AdmissionRequest) -> None:
        await self._run(ADMIT, request)

    async def validate(self, request: AdmissionRequest) -> None:
        await self._run(VALIDATE, request)

    async def _run(self, phase: str, request: AdmissionRequest) -> None:
        info, operation = request.info, request.operation
        place = (phase, operation, info.group, info.resource)
        found = self._calls.get(place)
        if found is None:
            found = self._calls[place] = tuple(self._timed(*place))
        began = now = perf_counter()
        refusing = ""
        try:
            for name, call, took in found:
                refusing = name
                await call(request)
                before, now = now, perf_counter()
                took.observe(now - before)
        except Exception:
            end = perf_counter()
            self._counts.plugin(refusing, phase, operation, rejected=True).observe(end - now)
            self._counts.step(phase, operation, rejected=True).observe(end - began)
            raise
        self._counts.step(phase, operation, rejected=False).observe(now - began)

    def _timed(self, phase: str, operation: str, group: str, resource: str) -> list[_Timed]:
        timed: list[_Timed] = []
        for plugin in self.plugins:
            resources = getattr(plugin, "resources", None)
            is_inert = (
                type(plugin).mutate is Plugin.mutate if phase == ADMIT else type(plugin).validate is Plugin.validate
            )
            if is_inert or (resources is not None and (group, resource) not in resources):
                continue
            took = self._counts.plugin(plugin.name, phase, operation, rejected=False)
            timed.append((plugin.name, plugin.mutate if phase == ADMIT else plugin.validate, took))
        return timed
