"""Compiles and evaluates CEL expressions in an environment: variables with types, functions, message types.

The parser is cel-expr-python, an optional extra; checking and evaluating are here, because only so can costs be
counted, values have Kubernetes' types, and variables be lazy (docs/decisions/022). Source: the CEL language
definition, the CEL pages of the Kubernetes documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from minikube_py.objects.cel import checker
from minikube_py.objects.cel.checker import NoStructs, StructTypes
from minikube_py.objects.cel.evaluator import Compiler, Frame, Run
from minikube_py.objects.cel.library.catalog import BASE
from minikube_py.objects.cel.overloads import Function
from minikube_py.objects.cel.syntax import is_available
from minikube_py.objects.cel.values import CelError, CelType, CostExceeded, EvaluationError

__all__ = [
    "CelError", "CelType", "CostExceeded", "Environment", "EvaluationError", "Frame", "Program", "compile_expression",
    "is_available",
]  # fmt: skip

PER_CALL_LIMIT = 1_000_000
"""What one expression may cost, as in Kubernetes."""


@dataclass(frozen=True)
class Program:
    """A compiled expression and the type it gives."""

    text: str
    run: Run = field(repr=False)
    type: CelType = checker.DYN

    def evaluate(self, variables: Mapping[str, Any], limit: int = PER_CALL_LIMIT) -> Any:
        """The value. Raises EvaluationError for errors while evaluating, CostExceeded."""
        return self.measure(variables, limit)[0]

    def measure(self, variables: Mapping[str, Any], limit: int = PER_CALL_LIMIT) -> tuple[Any, int]:
        """The value and what it cost."""
        frame = Frame(dict(variables), limit)
        try:
            value = self.run(frame)
        except RecursionError:
            raise EvaluationError("expression is nested too deeply") from None
        frame.charge(0)
        return value, frame.cost


@dataclass(frozen=True)
class Environment:
    """What expressions may name."""

    variables: Mapping[str, CelType]
    functions: Mapping[str, Function] = field(default_factory=lambda: BASE, repr=False)
    structs: StructTypes = field(default_factory=NoStructs, repr=False)

    def compile(self, text: str) -> Program:
        """Raises CelError with the compiler's text, or because no parser is installed."""
        tree, kind = checker.check(text, self.variables, self.functions, self.structs)
        try:
            return Program(text, Compiler(self.functions).compile(tree), kind)
        except RecursionError:
            raise CelError("expression is nested too deeply") from None

    def check(self, text: str) -> CelType:
        """The type of an expression, without making a program of it. Raises CelError."""
        return checker.check(text, self.variables, self.functions, self.structs)[1]


@lru_cache(maxsize=4096)
def compile_expression(text: str, variables: tuple[str, ...]) -> Program:
    """Compiles an expression over variables of any type. Raises CelError."""
    return Environment(dict.fromkeys(variables, checker.DYN)).compile(text)
