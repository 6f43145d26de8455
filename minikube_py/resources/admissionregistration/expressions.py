"""The CEL environments of admission policies and match conditions, and the checks when they are written.

What expressions may name: object and oldObject of any type, request, namespaceObject, params, authorizer, variables.
Source: apiserver pkg/admission/plugin/cel/compile.go, pkg/apis/admissionregistration/validation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from minikube_py.objects.cel.engine import CelError, Environment, Program
from minikube_py.objects.cel.library.authorization import AUTHORIZER, RESOURCE_CHECK
from minikube_py.objects.cel.values import DYN, CelType, list_of
from minikube_py.objects.errors import Object
from minikube_py.resources.cel_types import SchemaTypes
from minikube_py.resources.fields import FieldErrors, Path

VARIABLES = CelType("kubernetes.variables")
BOOL, STRING, NULL = CelType("bool"), CelType("string"), CelType("null_type")
OBJECT, PATCHES = CelType("Object"), list_of(CelType("JSONPatch"))
REQUEST, NAMESPACE = "kubernetes.AdmissionRequest", "kubernetes.Namespace"
_TEXT: Object = {"type": "string"}
_TEXTS: Object = {"type": "array", "items": _TEXT}
_TEXT_MAP: Object = {"type": "object", "additionalProperties": _TEXT}
_TIME: Object = {"type": "string", "format": "date-time"}
_GVK = {"type": "object", "properties": {"group": _TEXT, "version": _TEXT, "kind": _TEXT}}
_GVR = {"type": "object", "properties": {"group": _TEXT, "version": _TEXT, "resource": _TEXT}}
_USER = {
    "type": "object",
    "properties": {
        "username": _TEXT, "uid": _TEXT, "groups": _TEXTS,
        "extra": {"type": "object", "additionalProperties": _TEXTS},
    },
}  # fmt: skip
_REQUEST: Mapping[str, Any] = {
    "kind": _GVK, "resource": _GVR, "subResource": _TEXT, "requestKind": _GVK, "requestResource": _GVR,
    "requestSubResource": _TEXT, "name": _TEXT, "namespace": _TEXT, "operation": _TEXT, "userInfo": _USER,
    "dryRun": {"type": "boolean"}, "options": {},
}  # fmt: skip
_METADATA: Object = {
    "type": "object",
    "properties": {
        "name": _TEXT, "generateName": _TEXT, "namespace": _TEXT, "labels": _TEXT_MAP, "annotations": _TEXT_MAP,
        "UID": _TEXT, "creationTimestamp": _TIME, "deletionGracePeriodSeconds": {"type": "integer"},
        "deletionTimestamp": _TIME, "generation": {"type": "integer"}, "resourceVersion": _TEXT, "finalizers": _TEXTS,
    },
}  # fmt: skip
_CONDITION: Object = {
    "type": "object",
    "properties": {"status": _TEXT, "type": _TEXT, "lastTransitionTime": _TIME, "message": _TEXT, "reason": _TEXT},
}
_NAMESPACE: Mapping[str, Any] = {
    "metadata": _METADATA,
    "spec": {"type": "object", "properties": {"finalizers": _TEXTS}},
    "status": {
        "type": "object", "properties": {"conditions": {"type": "array", "items": _CONDITION}, "phase": _TEXT},
    },
}  # fmt: skip
_PATCH_FIELDS = {"op": STRING, "path": STRING, "from": STRING, "value": DYN}


class PolicyTypes:
    """The message types of policies: request, namespace, the composed variables, and in mutations Object and JSONPatch.

    `schemas` holds further types, those of object and params when a policy is type-checked.
    """

    def __init__(self, schemas: SchemaTypes, variables: Mapping[str, CelType], *, is_mutating: bool = False) -> None:
        self._schemas = schemas
        self._variables = variables
        self._is_mutating = is_mutating

    def is_known(self, name: str) -> bool:
        if name == VARIABLES.name or self._schemas.is_known(name):
            return True
        return self._is_mutating and (name in ("Object", "JSONPatch") or name.startswith("Object."))

    def field(self, name: str, field: str) -> CelType | None:
        if name == VARIABLES.name:
            return self._variables.get(field)
        if name == "JSONPatch":
            return _PATCH_FIELDS.get(field)
        return self._schemas.field(name, field) if self._schemas.is_known(name) else DYN


@dataclass(frozen=True)
class Scope:
    """Which of the variables that not every expression has are there."""

    has_params: bool = False
    has_authorizer: bool = True
    is_mutating: bool = False


def base_types() -> SchemaTypes:
    """A fresh set with the types of request and namespaceObject."""
    types = SchemaTypes(only_escaped=False)
    types.struct(REQUEST, _REQUEST)
    types.struct(NAMESPACE, _NAMESPACE)
    return types


@cache
def _shared_types() -> SchemaTypes:
    return base_types()


def environment(
    scope: Scope,
    variables: Mapping[str, CelType],
    *,
    schemas: SchemaTypes | None = None,
    typed: Mapping[str, CelType] | None = None,
) -> Environment:
    """typed: the types of object, oldObject and params where they are known."""
    names = {
        "object": DYN, "oldObject": DYN, "request": CelType(REQUEST), "namespaceObject": CelType(NAMESPACE),
        "variables": VARIABLES, **(typed or {}),
    }  # fmt: skip
    if scope.has_params:
        names.setdefault("params", DYN)
    if scope.has_authorizer:
        names["authorizer"] = CelType(AUTHORIZER)
        names["authorizer.requestResource"] = CelType(RESOURCE_CHECK)
    types = PolicyTypes(schemas or _shared_types(), variables, is_mutating=scope.is_mutating)
    return Environment(names, types, scope.is_mutating)


@dataclass(frozen=True)
class Compiled:
    """An expression and its program, or why there is none (with `compilation failed:` in front where it is so)."""

    text: str
    program: Program | None = field(default=None, repr=False)
    error: str = ""


def compile_in(env: Environment, text: str, wanted: Sequence[CelType] = ()) -> Compiled:
    """`wanted`: the types the expression may give; none of them is any."""
    try:
        program = env.compile(text)
    except CelError as error:
        return Compiled(text, None, f"compilation failed: {error}")
    if wanted and program.type not in wanted:
        shown = ["null" if kind == NULL else str(kind) for kind in (*wanted, program.type)]
        expected = shown[0] if len(wanted) == 1 else f"one of [{' '.join(shown[:-1])}]"
        return Compiled(text, None, f"must evaluate to {expected} but got {shown[-1]}")
    return Compiled(text, program)


@lru_cache(maxsize=1024)
def compile_condition(text: str, has_params: bool = False) -> Compiled:
    """A match condition: it can't use variables."""
    return compile_in(environment(Scope(has_params), {}), text.strip(), (BOOL,))


def compile_variables(
    variables: Sequence[Object],
    scope: Scope,
    *,
    schemas: SchemaTypes | None = None,
    typed: Mapping[str, CelType] | None = None,
) -> tuple[dict[str, Compiled], dict[str, CelType]]:
    """The variables in order, each seeing those before it, and their types; one that does not compile has none."""
    compiled: dict[str, Compiled] = {}
    types: dict[str, CelType] = {}
    for variable in variables:
        name = variable.get("name") or ""
        env = environment(scope, dict(types), schemas=schemas, typed=typed)
        found = compiled[name] = compile_in(env, variable.get("expression") or "")
        types[name] = found.program.type if found.program is not None else DYN
    return compiled, types


def report(compiled: Compiled, path: Path, errors: FieldErrors, shown: Any = None) -> None:
    """Adds what is wrong with an expression; `shown` is the value in the error where it is not the text itself."""
    if compiled.error:
        errors.invalid(path, compiled.text if shown is None else shown, compiled.error)


def check_conditions(conditions: Sequence[Object], path: Path, errors: FieldErrors, *, has_params: bool) -> None:
    for index, condition in enumerate(conditions):
        text = (condition.get("expression") or "").strip()
        if text:
            report(compile_condition(text, has_params), path.index(index).child("expression"), errors)
