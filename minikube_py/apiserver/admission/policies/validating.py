"""Evaluates a ValidatingAdmissionPolicy for one request and parameter: what it denies, and its audit annotations.

Source: apiserver pkg/admission/plugin/policy/validating/validator.go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minikube_py.apiserver.admission.conditions import ConditionError, hold
from minikube_py.apiserver.admission.expressions import Evaluation, OutOfBudget
from minikube_py.apiserver.admission.policies.hooks import Policy
from minikube_py.objects.cel.values import CelError, type_of
from minikube_py.resources.admissionregistration.expressions import Compiled
from minikube_py.resources.admissionregistration.policy_expressions import Validation

_LONGEST_MESSAGE = 5 * 1024


@dataclass(frozen=True)
class Denial:
    """A validation that failed, or could not be evaluated (reason '')."""

    index: int
    message: str
    reason: str = ""


@dataclass
class Outcome:
    """audits are (key, value); audit_errors deny whatever the binding's actions are."""

    denials: list[Denial] = field(default_factory=list)
    audits: list[tuple[str, str]] = field(default_factory=list)
    audit_errors: list[str] = field(default_factory=list)


def evaluate(policy: Policy, inputs: Mapping[str, Any], on_loop: int) -> Outcome:
    """Pure but for questions to the authorizer."""
    expressions, outcome = policy.expressions, Outcome()
    try:
        if not hold(expressions.conditions, inputs, fails_closed=policy.fails_closed, on_loop=on_loop):
            return outcome
        evaluation = Evaluation(inputs, expressions.variables, on_loop)
        for index, validation in enumerate(expressions.validations):
            denial = _denial(index, validation, evaluation, policy.fails_closed)
            if denial is not None:
                outcome.denials.append(denial)
        # Audit annotations have a budget of their own.
        evaluation = Evaluation(inputs, expressions.variables, on_loop)
        for key, compiled in expressions.audits:
            _audit(key, compiled, evaluation, policy.fails_closed, outcome)
    except (ConditionError, OutOfBudget) as error:
        return Outcome([Denial(0, str(error))] if policy.fails_closed else [])
    return outcome


def _denial(index: int, validation: Validation, evaluation: Evaluation, fails_closed: bool) -> Denial | None:
    try:
        if evaluation.run(validation.expression) is True:
            return None
    except OutOfBudget:
        raise
    except CelError as error:
        return Denial(index, str(error)) if fails_closed else None
    reason = validation.raw.get("reason") or "Invalid"
    try:
        message = _message(validation, evaluation)
    except OutOfBudget as error:
        return Denial(index, f"failed messageExpression: {error}") if fails_closed else None
    return Denial(index, message, reason)


def _message(validation: Validation, evaluation: Evaluation) -> str:
    text: Any = ""
    if validation.message is not None:
        try:
            text = evaluation.run(validation.message)
        except OutOfBudget:
            raise
        except CelError:
            text = ""
    text = text.strip() if isinstance(text, str) else ""
    if "\n" in text or len(text.encode()) > _LONGEST_MESSAGE:
        text = ""
    text = text or (validation.raw.get("message") or "").strip()
    return text or f"failed expression: {(validation.raw.get('expression') or '').strip()}"


def _audit(key: str, compiled: Compiled, evaluation: Evaluation, fails_closed: bool, outcome: Outcome) -> None:
    try:
        value = evaluation.run(compiled)
    except OutOfBudget:
        raise
    except CelError as error:
        if fails_closed:
            outcome.audit_errors.append(str(error))
        return
    if isinstance(value, str):
        if value.strip():
            outcome.audits.append((key, value.strip()))
    elif value is not None:
        why = f"valueExpression '{compiled.text}' resulted in unsupported return type: {type_of(value)}. "
        outcome.audit_errors.append(f"{why}Return type must be either string or null.")
