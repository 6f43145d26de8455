"""Finds what has to be evaluated for a request: each policy with each binding that matches, and each parameter.

Source: apiserver pkg/admission/plugin/policy/generic/policy_dispatcher.go.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minikube_py.apiserver.admission.equivalents import Equivalents
from minikube_py.apiserver.admission.matching import Match
from minikube_py.apiserver.admission.policies.hooks import (
    Binding,
    ConfigurationError,
    Hook,
    Policy,
    collect_params,
    find_param_kind,
)
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import NotFound, Object


@dataclass(frozen=True)
class Invocation:
    """One policy to evaluate. `error` is set instead where the policy or binding can't be used."""

    policy: Policy
    binding: Binding | None
    match: Match
    param: Object | None = None
    error: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is known by in a second round."""
        metadata = (self.param or {}).get("metadata") or {}
        binding = self.binding.name if self.binding is not None else ""
        return self.policy.name, binding, metadata.get("namespace") or "", metadata.get("name") or ""


def invocations(hooks: Sequence[Hook], request: AdmissionRequest, places: Equivalents) -> Iterator[Invocation]:
    for hook in hooks:
        policy, own = hook.policy, Match(request.info.gvr, request.kind.gvk)
        try:
            match = policy.constraints.find(request, places)
            if match is None:
                continue
            own = match
            kind = find_param_kind(policy, places)
        except (ConfigurationError, NotFound) as error:
            yield Invocation(policy, None, own, error=f"failed to configure policy: {error}")
            continue
        for binding in hook.bindings:
            try:
                if binding.constraints is not None and binding.constraints.find(request, places) is None:
                    continue
                params = collect_params(kind, binding.spec.get("paramRef"), request, places.reader)
            except (ConfigurationError, NotFound) as error:
                yield Invocation(policy, binding, match, error=f"failed to configure binding: {error}")
                continue
            for param in params:
                yield Invocation(policy, binding, match, param)
