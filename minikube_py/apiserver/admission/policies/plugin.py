"""What both kinds of admission policies have in common: which of them a request meets, and with what parameters."""

from functools import cached_property
from typing import TYPE_CHECKING

from minikube_py.apiserver.admission.context import Plugin
from minikube_py.apiserver.admission.matching import is_exempt
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.resources.kind import GVR

if TYPE_CHECKING:
    from minikube_py.apiserver.admission.policies.hooks import PolicyHooks
    from minikube_py.apiserver.admission.policies.invocations import Invocation


class PolicyPlugin(Plugin):
    """A plugin over policies of one kind and their bindings. Without policies a request costs one look-up."""

    policies: GVR
    bindings: str

    @cached_property
    def _hooks(self) -> "PolicyHooks":
        from minikube_py.apiserver.admission.policies.hooks import PolicyHooks  # noqa: PLC0415  brings the evaluator

        return PolicyHooks(self.reader, self.policies, self.bindings, self.context.equivalents)

    def invocations(self, request: AdmissionRequest) -> "list[Invocation]":
        """Every policy to be run for the request, once for each binding and parameter."""
        if not self.reader.changed_at(self.policies) or is_exempt(request):
            return []
        hooks = self._hooks.relevant(request)
        if not hooks:
            return []
        from minikube_py.apiserver.admission.policies.invocations import invocations  # noqa: PLC0415

        return list(invocations(hooks, request, self.context.equivalents))
