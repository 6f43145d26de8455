"""MutatingAdmissionPolicy: changes objects as the cluster's policies say.

Source: the "Mutating Admission Policy" page; texts as in apiserver pkg/admission/plugin/policy/{generic,mutating}.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minikube_py.apiserver.admission.context import refuse
from minikube_py.apiserver.admission.policies.plugin import PolicyPlugin
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.admission.reinvocation import Reinvocation
from minikube_py.objects.errors import ApiError, Forbidden
from minikube_py.resources.kind import GVR

if TYPE_CHECKING:
    from minikube_py.apiserver.admission.expressions import Inputs
    from minikube_py.apiserver.admission.policies.invocations import Invocation


class MutatingAdmissionPolicy(PolicyPlugin):
    name = "MutatingAdmissionPolicy"
    policies = GVR("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies")
    bindings = "mutatingadmissionpolicybindings"

    async def mutate(self, request: AdmissionRequest) -> None:
        found = self.invocations(request)
        if found:
            await self._run(request, found)

    async def _run(self, request: AdmissionRequest, found: "list[Invocation]") -> None:
        from minikube_py.apiserver.admission.expressions import Inputs  # noqa: PLC0415

        inputs = Inputs(request, self.context.equivalents, self.context.authorizer)
        memory = Reinvocation.of(self.name, request)
        failures: list[tuple[Invocation, str, str]] = []
        for one in found:
            if one.error:
                failures.append((one, one.error, ""))
                continue
            for why in await self._invoke(request, one, inputs, memory):
                failures.append((one, why, "Invalid"))
        memory.end()
        closed = [failure for failure in failures if failure[0].policy.fails_closed]
        if closed:
            raise _refusal(request, closed)

    async def _invoke(
        self, request: AdmissionRequest, one: "Invocation", inputs: "Inputs", memory: Reinvocation
    ) -> list[str]:
        """Runs the mutations of one policy; gives what went wrong."""
        from minikube_py.apiserver.admission.conditions import ConditionError, hold  # noqa: PLC0415
        from minikube_py.apiserver.admission.expressions import off_the_loop_when_long  # noqa: PLC0415

        policy = one.policy
        try:
            seen = await _with_param(one, inputs)
            is_wanted = await off_the_loop_when_long(
                lambda on_loop: hold(
                    policy.expressions.conditions, seen, fails_closed=policy.fails_closed, on_loop=on_loop
                )
            )
        except ConditionError as error:
            return [str(error)]
        if not is_wanted or not memory.is_due(one.key) or request.obj is None:
            return []
        has_changed, failures = await self._mutate(request, one, inputs)
        if_needed = policy.spec.get("reinvocationPolicy") == "IfNeeded"
        memory.ran(one.key, has_changed=has_changed, if_needed=if_needed)
        return failures

    async def _mutate(self, request: AdmissionRequest, one: "Invocation", inputs: "Inputs") -> tuple[bool, list[str]]:
        from minikube_py.apiserver.admission.expressions import off_the_loop_when_long  # noqa: PLC0415
        from minikube_py.apiserver.admission.policies.mutating import MutationError, compute, patched  # noqa: PLC0415

        places, has_changed, failures = self.context.equivalents, False, []
        kind = places.find_kind(one.match.kind) or request.kind
        for mutation in one.policy.expressions.mutations:
            seen = await _with_param(one, inputs)
            current = seen["object"]
            try:
                value = await off_the_loop_when_long(
                    lambda on_loop, mutation=mutation, seen=seen: compute(  # type: ignore[misc]
                        one.policy, mutation, seen, on_loop
                    )
                )
                changed = patched(current, kind, mutation, value)
            except MutationError as error:
                failures.append(str(error))
                continue
            if changed != current:
                has_changed = True
                if one.match.resource != request.info.gvr:
                    changed = await places.convert(changed, kind, request.kind.gvk) or changed
                request.replace(changed)
                inputs.forget()
        return has_changed, failures


async def _with_param(one: "Invocation", inputs: "Inputs") -> dict[str, Any]:
    seen = await inputs.of(one.match)
    return {**seen, "params": one.param} if one.policy.param_kind is not None else seen


def _refusal(request: AdmissionRequest, failures: "Sequence[tuple[Invocation, str, str]]") -> ApiError:
    error, messages = refuse(request, "admission request denied by policy"), []
    for one, why, _ in failures:
        if one.binding is not None:
            messages.append(f"policy '{one.policy.name}' with binding '{one.binding.name}' denied request: {why}")
        else:
            messages.append(f'policy "{one.policy.name}" denied request: {why}')
    details = error.details or {}
    details["causes"] = [*details.get("causes", ()), *({"message": message} for message in messages)]
    return Forbidden(messages[0], details=details, reason=failures[0][2] or error.reason)
