"""Evaluates the matchConditions of webhooks and policies.

Source: apiserver pkg/admission/plugin/webhook/matchconditions/matcher.go.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from minikube_py.apiserver.admission.expressions import CONDITIONS_BUDGET, Evaluation
from minikube_py.objects.cel.values import CelError
from minikube_py.resources.admissionregistration.expressions import Compiled


class ConditionError(Exception):
    """Whether the conditions hold can't be told, and the failure policy is Fail."""


def hold(
    conditions: Sequence[tuple[str, Compiled]], inputs: Mapping[str, Any], *, fails_closed: bool, on_loop: int
) -> bool:
    """Whether all conditions hold: one that is false decides, errors only after that. Raises ConditionError."""
    if not conditions:
        return True
    evaluation = Evaluation(inputs, {}, on_loop)
    evaluation.left = CONDITIONS_BUDGET
    failures = []
    for _, compiled in conditions:
        try:
            if evaluation.run(compiled) is not True:
                return False
        except CelError as error:
            failures.append(str(error))
    if not failures:
        return True
    if not fails_closed:
        return False
    unique = list(dict.fromkeys(failures))
    raise ConditionError(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")
