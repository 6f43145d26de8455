"""Remembers, for one request and plugin, which policies or webhooks want to see the object again in the second round.

Source: the "Reinvocation policy" section; apiserver pkg/admission/plugin/webhook/mutating/reinvocationcontext.go.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy


@dataclass
class Reinvocation:
    """`of` at the beginning of a plugin's turn, `end` when it is over."""

    request: AdmissionRequest
    _seen: set[Hashable] = field(default_factory=set)
    """Those that ran, want to see changes, and have seen all so far."""
    _again: set[Hashable] = field(default_factory=set)
    _left: Object | None = None
    """The object as the plugin left it in the first round."""

    @classmethod
    def of(cls, plugin: str, request: AdmissionRequest) -> "Reinvocation":
        found = request.rounds.memory.get(plugin)
        if not isinstance(found, Reinvocation):
            found = request.rounds.memory[plugin] = cls(request)
        if request.rounds.is_second and found._left != request.obj:
            found._require()
        return found

    def is_due(self, key: Hashable) -> bool:
        """In the first round all are; in the second those that have not seen the last change."""
        return not self.request.rounds.is_second or key in self._again

    def ran(self, key: Hashable, *, has_changed: bool, if_needed: bool) -> None:
        if has_changed:
            self._require()
            self.request.rounds.is_wanted = True
        if if_needed:
            self._seen.add(key)

    def end(self) -> None:
        if not self.request.rounds.is_second:
            self._left = deep_copy(self.request.obj)

    def _require(self) -> None:
        self._again |= self._seen
        self._seen.clear()
