"""Compiles and evaluates CEL expressions in an environment: variables with types, functions, message types.

The parser is cel-expr-python, an optional extra; checking and evaluating are here, because only so can costs be
counted, values have Kubernetes' types, and variables be lazy (docs/decisions/022). All of it is loaded with the first
expression. Source: the CEL language definition, the CEL pages of the Kubernetes documentation.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from minikube_py.objects.cel.values import (
    DYN,
    CelError,
    CelType,
    CostExceeded,
    EvaluationError,
    Frame,
    NoStructs,
    StructTypes,
)

__all__ = [
    "CelError", "CelType", "CostExceeded", "Environment", "EvaluationError", "Program", "compile_expression",
    "is_available",
]  # fmt: skip

PER_CALL_LIMIT = 1_000_000
"""What one expression may cost, as in Kubernetes."""


def is_available() -> bool:
    return importlib.util.find_spec("cel_expr_python") is not None


@dataclass(frozen=True)
class Program:
    """A compiled expression and the type it gives."""

    text: str
    run: Callable[[Frame], Any] = field(repr=False)
    type: CelType = DYN
    tree: Any = field(default=None, repr=False, compare=False)
    """The checked tree (syntax.Node), for whoever estimates what it costs."""

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
    """What expressions may name. is_mutating: the functions of mutations are there too."""

    variables: Mapping[str, CelType]
    structs: StructTypes = field(default_factory=NoStructs, repr=False)
    is_mutating: bool = False

    def compile(self, text: str) -> Program:
        """Raises CelError with the compiler's text, or because no parser is installed."""
        from minikube_py.objects.cel import checker, evaluator  # noqa: PLC0415  loaded with the first expression
        from minikube_py.objects.cel.library import catalog  # noqa: PLC0415

        functions = catalog.MUTATING if self.is_mutating else catalog.BASE
        tree, kind = checker.check(text, self.variables, functions, self.structs)
        try:
            return Program(text, evaluator.Compiler(functions).compile(tree), kind, tree)
        except RecursionError:
            raise CelError("expression is nested too deeply") from None


@lru_cache(maxsize=4096)
def compile_expression(text: str, variables: tuple[str, ...]) -> Program:
    """Compiles an expression over variables of any type. Raises CelError."""
    return Environment(dict.fromkeys(variables, DYN)).compile(text)
