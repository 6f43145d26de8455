"""Evaluates the mutations of a MutatingAdmissionPolicy: apply configurations and JSON patches made by expressions.

Source: apiserver pkg/admission/plugin/policy/mutating/patch/{smd,json_patch}.go.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from minikube_py.apiserver.admission.changed_objects import decoded_again
from minikube_py.apiserver.admission.expressions import Evaluation
from minikube_py.apiserver.admission.policies.hooks import Policy
from minikube_py.objects import apply_merge
from minikube_py.objects.cel.values import CelError, Struct, to_json
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.objects.patch import TestFailed, Unfit, apply_operations
from minikube_py.objects.schema_node import SchemaNode
from minikube_py.resources import schema
from minikube_py.resources.admissionregistration.policy_expressions import Mutation
from minikube_py.resources.kind import ResourceKind


class MutationError(Exception):
    """A mutation that can't be made; the policy's failurePolicy says what then."""


def compute(policy: Policy, mutation: Mutation, inputs: Mapping[str, Any], on_loop: int) -> Any:
    """What a mutation's expression gives. Pure but for questions to the authorizer. Raises MutationError."""
    evaluation = Evaluation(inputs, policy.expressions.variables, on_loop)
    try:
        return evaluation.run(mutation.expression)
    except CelError as error:
        raise MutationError(str(error)) from None


def patched(obj: Object, kind: ResourceKind, mutation: Mutation, value: Any) -> Object:
    """A changed copy of the object, defaulted. Raises MutationError, InternalError."""
    if mutation.patch_type == "ApplyConfiguration":
        return decoded_again(_applied(obj, kind, value), kind, is_strict=True)
    return decoded_again(_json_patched(obj, value), kind, is_strict=True)


# --- apply configurations --------------------------------------------------------------------------------------------


def _applied(obj: Object, kind: ResourceKind, value: Any) -> Object:
    if not isinstance(value, Struct):
        raise MutationError("unsupported return type from ApplyConfiguration expression")
    _check_names(value)
    configuration = _to_json(value)
    configuration.update({key: obj[key] for key in ("apiVersion", "kind") if key in obj})
    node = schema.node_for(kind)
    problems = apply_merge.problems(configuration, node)
    if problems:
        text = problems[0] if len(problems) == 1 else "\n  ".join(["errors:", *problems])
        raise MutationError(f"error applying patch: failed to convert patch object to typed object: {text}")
    atomics = list(_atomics(configuration, node, ""))
    if atomics:
        why = f"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {', '.join(atomics)}"
        raise MutationError(f"error applying patch: {why}")
    merged: Object = deep_copy(apply_merge.merge(obj, configuration, node))
    return merged


def _check_names(value: Struct) -> None:
    """Type names must follow the fields: under `spec` of an Object stands an Object.spec."""
    wrong = [_misnamed_text(*names) for names in _misnamed(value, "Object")]
    if wrong:
        raise MutationError("type mismatch: " + "\n".join(wrong))


def _misnamed_text(found: str, expected: str) -> str:
    return f'unexpected type name "{found}", expected "{expected}", which matches field name path from root Object type'


def _misnamed(value: Any, expected: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Struct):
        if value.type_name != expected:
            yield value.type_name, expected
        for key, child in value.fields.items():
            yield from _misnamed(child, f"{expected}.{key}")
    elif isinstance(value, list):
        for child in value:
            yield from _misnamed(child, expected)
    elif isinstance(value, dict):
        for child in value.values():
            yield from _misnamed(child, expected)


def _atomics(value: Any, node: SchemaNode, path: str) -> Iterator[str]:
    """The paths of what a configuration would replace as a whole."""
    if isinstance(value, dict) and node.type == "object":
        if node.map_type == "atomic":
            yield path
        for key, child in value.items():
            found = node.properties.get(key)
            if found is not None:
                yield from _atomics(child, found, f"{path}.{key}")
    elif isinstance(value, list) and node.type == "array":
        if node.list_type == "atomic":
            yield path
        if node.items is not None:
            for index, child in enumerate(value):
                yield from _atomics(child, node.items, f"{path}[{index}]")


def _to_json(value: Any) -> Any:
    try:
        return to_json(value)
    except CelError as error:
        raise MutationError(str(error)) from None


# --- JSON patches ----------------------------------------------------------------------------------------------------


def _json_patched(obj: Object, value: Any) -> Object:
    operations = []
    for item in value if isinstance(value, list) else ():
        if not isinstance(item, Struct) or item.type_name != "JSONPatch":
            raise MutationError("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
        held = item.fields.get("value")
        if isinstance(held, Struct) and held.type_name.partition(".")[0] == "Object":
            _check_parts(held)
        operation = {key: _to_json(part) for key, part in item.fields.items() if key != "from" or part}
        operations.append(operation)
    try:
        found: Object = apply_operations(obj, operations)
    except TestFailed:
        return deep_copy(obj)  # a test is a condition: where it does not hold nothing is changed
    except Unfit as error:
        raise MutationError(f"JSONPath: {error}") from None
    return found


def _check_parts(value: Struct) -> None:
    """Inside a patch's value the names must agree with each other."""
    wrong = list(_misnamed(value, value.type_name))
    if wrong:
        raise MutationError(f"type mismatch: {_misnamed_text(*wrong[0])}")
