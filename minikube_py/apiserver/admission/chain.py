"""Asks the admission plugins one after the other, leaving out those that have nothing to do with a resource."""

from collections.abc import Sequence

from minikube_py.apiserver.admission.context import Plugin
from minikube_py.apiserver.admission.protocol import AdmissionPlugin, AdmissionRequest


class AdmissionChain:
    """Several plugins as one. Which of them concern a resource, in which phase, is worked out once."""

    name = "AdmissionChain"

    def __init__(self, plugins: Sequence[AdmissionPlugin]) -> None:
        self.plugins = tuple(plugins)
        self._mutating: dict[tuple[str, str], tuple[AdmissionPlugin, ...]] = {}
        self._validating: dict[tuple[str, str], tuple[AdmissionPlugin, ...]] = {}

    async def mutate(self, request: AdmissionRequest) -> None:
        place = (request.info.group, request.info.resource)
        found = self._mutating.get(place)
        if found is None:
            found = self._mutating[place] = tuple(p for p in self._about(place) if type(p).mutate is not Plugin.mutate)
        for plugin in found:
            await plugin.mutate(request)

    async def validate(self, request: AdmissionRequest) -> None:
        place = (request.info.group, request.info.resource)
        found = self._validating.get(place)
        if found is None:
            kept = (p for p in self._about(place) if type(p).validate is not Plugin.validate)
            found = self._validating[place] = tuple(kept)
        for plugin in found:
            await plugin.validate(request)

    def _about(self, place: tuple[str, str]) -> list[AdmissionPlugin]:
        wanted = ((plugin, getattr(plugin, "resources", None)) for plugin in self.plugins)
        return [plugin for plugin, resources in wanted if resources is None or place in resources]
