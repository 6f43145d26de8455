"""Compiles and evaluates CEL expressions; the evaluator is an optional extra and is loaded when first needed.

The one module that knows cel-expr-python. Source: the CEL language definition, the CEL pages of the Kubernetes
documentation (which libraries expressions may use).
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

_PREFIX = "INVALID_ARGUMENT: "


class CelError(Exception):
    """An expression that can't be compiled, or that failed; the text is the evaluator's, without its status codes."""


@dataclass(frozen=True)
class Program:
    """A compiled expression. `type_name` is the type it gives, as CEL calls it (BOOL, STRING, DYN, ...)."""

    expression: Any
    type_name: str

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The plain value. Raises CelError for errors while evaluating."""
        try:
            found = self.expression.eval(data=dict(variables))
        except (RuntimeError, ValueError, TypeError) as error:
            raise CelError(_clean(str(error))) from None
        if found.type().name() == "ERROR":
            raise CelError(_clean(str(found.plain_value())))
        return found.plain_value()


def is_available() -> bool:
    return importlib.util.find_spec("cel_expr_python") is not None


@lru_cache(maxsize=4096)
def compile_expression(text: str, variables: tuple[str, ...]) -> Program:
    """Compiles an expression over variables of any type. Raises CelError."""
    if not is_available():
        raise CelError("no CEL evaluator is installed: install mkube with the extra `cel`")
    try:
        expression = _environment(variables).compile(text)
    except (RuntimeError, ValueError) as error:
        raise CelError(_clean(str(error))) from None
    return Program(expression, expression.return_type().name())


@cache
def _environment(variables: tuple[str, ...]) -> Any:
    from cel_expr_python import cel  # noqa: PLC0415  heavy, and an optional extra
    from cel_expr_python.ext import (  # noqa: PLC0415
        ext_bindings,
        ext_encoders,
        ext_optional,
        ext_strings,
    )

    from minikube_py.objects.cel.functions import declarations  # noqa: PLC0415  built on the evaluator's own types

    extensions = [
        ext_strings.ExtStrings(),
        ext_optional.ExtOptional(),
        ext_bindings.ExtBindings(),
        ext_encoders.ExtEncoders(),
    ]
    declared = {name: cel.Type.DYN for name in variables}
    return cel.NewEnv(variables=declared, extensions=extensions, functions=declarations(cel))


_CODES = ("INVALID_ARGUMENT: ", "NOT_FOUND: ", "UNKNOWN: ", "OUT_OF_RANGE: ", "INTERNAL: ")


def _clean(text: str) -> str:
    for code in _CODES:
        text = text.removeprefix(code)
        text = text.replace(f" [{code[:-2]}]", "")
    if text.startswith("No matching overloads found"):
        return "no such overload"
    if text.startswith("Key not found in map : "):
        return "no such key: " + text.removeprefix("Key not found in map : ").strip('"')
    return "division by zero" if text == "divide by zero" else text
