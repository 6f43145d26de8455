"""ValidatingAdmissionPolicy: refuses, warns or notes for the audit log what the cluster's policies say.

Source: the "Validating Admission Policy" page; texts as in apiserver pkg/admission/plugin/policy/validating.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from minikube_py.apiserver.admission.context import refuse
from minikube_py.apiserver.admission.policies.plugin import PolicyPlugin
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import ApiError
from minikube_py.resources.kind import GVR

if TYPE_CHECKING:
    from minikube_py.apiserver.admission.policies.invocations import Invocation
    from minikube_py.apiserver.admission.policies.validating import Denial, Outcome

_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
_FAILURE_KEY = "validation.policy.admission.k8s.io/validation_failure"
_LONGEST_ANNOTATION = 10 * 1024


@dataclass
class _Findings:
    """The first denial, and the audit annotations by policy and key."""

    denial: tuple[str, str] | None = None
    annotations: dict[str, list[str]] = field(default_factory=dict)

    def deny(self, message: str, reason: str) -> None:
        if self.denial is None:
            self.denial = (message, reason or "Invalid")


class ValidatingAdmissionPolicy(PolicyPlugin):
    name = "ValidatingAdmissionPolicy"
    policies = GVR("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
    bindings = "validatingadmissionpolicybindings"

    async def validate(self, request: AdmissionRequest) -> None:
        found = self.invocations(request)
        if found:
            await self._decide(request, found)

    async def _decide(self, request: AdmissionRequest, found: "list[Invocation]") -> None:
        from minikube_py.apiserver.admission.expressions import Inputs, off_the_loop_when_long  # noqa: PLC0415
        from minikube_py.apiserver.admission.policies.validating import evaluate  # noqa: PLC0415

        inputs, findings = Inputs(request, self.context.equivalents, self.context.authorizer), _Findings()
        for one in found:
            if one.error:
                if one.policy.fails_closed:
                    findings.deny(denied_text(one, one.error), "")
                continue
            seen: dict[str, Any] = await inputs.of(one.match)
            if one.policy.param_kind is not None:
                seen = {**seen, "params": one.param}
            outcome = await off_the_loop_when_long(
                lambda on_loop, policy=one.policy, seen=seen: evaluate(policy, seen, on_loop)  # type: ignore[misc]
            )
            _act(request, one, outcome, findings)
        for key, values in findings.annotations.items():
            request.annotate(key, ", ".join(values))
        if findings.denial is not None:
            raise refusal(request, *findings.denial)


def denied_text(one: "Invocation", why: str) -> str:
    binding = f" with binding '{one.binding.name}'" if one.binding is not None else ""
    return f"ValidatingAdmissionPolicy '{one.policy.name}'{binding} denied request: {why}"


def refusal(request: AdmissionRequest, message: str, reason: str) -> ApiError:
    error = refuse(request, message)
    error.reason, error.code = reason, _CODES.get(reason, 422)
    details = error.details or {}
    details["causes"] = [*details.get("causes", ()), {"message": message}]
    error.details = details
    return error


def _act(request: AdmissionRequest, one: "Invocation", outcome: "Outcome", findings: _Findings) -> None:
    """Does with each failure what the binding's validationActions say."""
    assert one.binding is not None
    policy, binding = one.policy.name, one.binding
    actions = binding.spec.get("validationActions") or ()
    for denial in outcome.denials:
        if "Deny" in actions:
            findings.deny(denied_text(one, denial.message), denial.reason)
        if "Audit" in actions:
            request.annotate(_FAILURE_KEY, _failure(one, denial))
        if "Warn" in actions:
            place = f"ValidatingAdmissionPolicy '{policy}' with binding '{binding.name}'"
            request.warnings.append(f"Validation failed for {place}: {denial.message}")
    for key, value in outcome.audits:
        values = findings.annotations.setdefault(f"{policy}/{key}", [])
        if value[:_LONGEST_ANNOTATION] not in values:
            values.append(value[:_LONGEST_ANNOTATION])
    for error in outcome.audit_errors:
        findings.deny(denied_text(one, error), "")


def _failure(one: "Invocation", denial: "Denial") -> str:
    assert one.binding is not None
    return orjson.dumps([{
        "message": denial.message, "policy": one.policy.name, "binding": one.binding.name,
        "expressionIndex": denial.index, "validationActions": one.binding.spec.get("validationActions") or [],
    }]).decode()  # fmt: skip
