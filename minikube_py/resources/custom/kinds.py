"""Turns a CustomResourceDefinition into the kinds that are served for it, one a version.

Source: apiextensions-apiserver pkg/apiserver/customresource_handler.go and pkg/registry/customresource.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from minikube_py.objects import go_text
from minikube_py.objects.errors import Forbidden, Object
from minikube_py.objects.meta import deep_copy
from minikube_py.objects.schema_node import SchemaNode
from minikube_py.resources.custom import cleaning
from minikube_py.resources.custom.checks import MISSING, ValueCheck
from minikube_py.resources.custom.columns import columns_of
from minikube_py.resources.custom.conversion import convert
from minikube_py.resources.custom.definition import (
    ScalePaths,
    is_terminating,
    scale_paths,
    schema_of,
    spec_of,
    storage_version,
    versions_of,
)
from minikube_py.resources.custom.invariants import validate_embedded, validate_lists
from minikube_py.resources.custom.json_path import find, parse
from minikube_py.resources.custom.rules import BLOCKING, RuleSet
from minikube_py.resources.custom.scale import validate_spec_replicas, validate_status_replicas
from minikube_py.resources.custom.structural import Structural, root_node
from minikube_py.resources.custom.structural import parse as parse_schema
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import GVK, KindRules, ResourceKind, Subresource
from minikube_py.resources.schema_check import SchemaReport

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_SUBRESOURCE_VERBS = ("get", "patch", "update")
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


@dataclass(frozen=True, eq=False)
class CustomSchema:
    """What the server knows of one version of a custom kind beyond its names.

    raw is the OpenAPI schema as in the CRD. Objects stored at a revision up to `clean_after` may not look as this
    schema wants them, because it came later: they are cleaned when they are read. webhook: spec.conversion.webhook,
    where versions are converted by one. What is worked out from the schema is so when it is first asked for: a cluster
    may have hundreds of large ones that nobody uses today.
    """

    gvk: GVK
    storage: GVK
    strategy: str
    plural: str
    raw: Mapping[str, Any]
    keeps_unknown: bool = False
    clean_after: int = 0
    scale: ScalePaths | None = None
    deprecation: str = ""
    is_terminating: bool = False
    webhook: Mapping[str, Any] | None = None

    @cached_property
    def root(self) -> Structural:
        return parse_schema(self.raw)

    @cached_property
    def node(self) -> SchemaNode:
        return root_node(self.root)

    @cached_property
    def values(self) -> ValueCheck:
        return ValueCheck.of(self.root)

    @cached_property
    def status_values(self) -> ValueCheck | None:
        status = self.root.properties.get("status")
        return ValueCheck.of(status) if status is not None else None

    @cached_property
    def rules(self) -> RuleSet:
        return RuleSet.of(self.root)

    def check(self, obj: Object) -> SchemaReport:
        """What decoding does: prunes, drops nulls and checks metadata, in place."""
        return cleaning.clean(obj, self.root, keeps_unknown=self.keeps_unknown)

    def read(self, obj: Object) -> None:
        """Makes a stored object look as one of this version: its apiVersion, no unknown fields, all defaults."""
        convert(obj, self.gvk, self.strategy)
        cleaning.clean(obj, self.root, keeps_unknown=self.keeps_unknown)
        self.default(obj)

    def to_storage(self, obj: Object) -> None:
        convert(obj, self.storage, self.strategy)

    def default(self, obj: Object) -> None:
        cleaning.default(obj, self.root)

    def refuse_while_terminating(self, obj: Object) -> None:
        if self.is_terminating:
            name = obj["metadata"].get("name", "")
            why = "create not allowed while custom resource definition is terminating"
            raise Forbidden.of(self.gvk.group, self.plural, name, why)

    def validate(self, obj: Object, errors: FieldErrors) -> None:
        self.values.validate(obj, errors)
        self._validate_scale(obj, errors)
        validate_embedded(obj, self.root, Path(), errors)
        validate_lists(obj, self.root, Path(), errors)
        self._run_rules(obj, None, errors)

    def validate_update(self, new: Object, old: Object, errors: FieldErrors) -> None:
        self.values.validate(new, errors, old=old)
        self._validate_scale(new, errors)
        validate_embedded(new, self.root, Path(), errors)
        self._validate_lists_again(new, old, errors)
        self._run_rules(new, old, errors)

    def validate_status(self, new: Object, old: Object, errors: FieldErrors) -> None:
        if self.status_values is not None and "status" in new:
            self.status_values.validate(new["status"], errors, "status", old.get("status", MISSING))
        if self.scale is not None:
            validate_status_replicas(self.scale, new, errors)
        self._validate_lists_again(new, old, errors)
        self._run_rules(new, old, errors)

    def _validate_scale(self, obj: Object, errors: FieldErrors) -> None:
        if self.scale is not None:
            validate_spec_replicas(self.scale, obj, errors)
            validate_status_replicas(self.scale, obj, errors)

    def _validate_lists_again(self, new: Object, old: Object, errors: FieldErrors) -> None:
        """Duplicates that are stored already are nobody's fault now."""
        found, before = FieldErrors(), FieldErrors()
        validate_lists(new, self.root, Path(), found)
        if found:
            validate_lists(old, self.root, Path(), before)
        if not before:
            errors.extend(found.causes)

    def _run_rules(self, new: Object, old: Object | None, errors: FieldErrors) -> None:
        if not self.rules:
            return
        if any(cause.reason in BLOCKING for cause in errors.causes):
            errors.add("FieldValueInvalid", Path(), f"Invalid value: null: {_NOT_CHECKED}")
            return
        self.rules.validate(new, old, errors)


def kinds_of(definition: Object, clean_after: int = 0) -> list[ResourceKind]:
    """The served kinds of an established CRD."""
    return [
        _kind(definition, version, clean_after) for version in versions_of(definition) if version.get("served")
    ]  # fmt: skip


def _kind(definition: Object, version: Object, clean_after: int) -> ResourceKind:
    spec = spec_of(definition)
    names = {**(spec.get("names") or {}), **((definition.get("status") or {}).get("acceptedNames") or {})}
    group, name = spec.get("group", ""), version.get("name", "")
    gvk = GVK(group, name, names.get("kind", ""))
    schema = _schema(definition, version, gvk, clean_after)
    return ResourceKind(
        group=group,
        version=name,
        kind=gvk.kind,
        plural=names.get("plural", ""),
        singular=names.get("singular", ""),
        namespaced=spec.get("scope") == "Namespaced",
        verbs=VERBS,
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=_subresources(version, gvk),
        storage=GVK(group, storage_version(definition), gvk.kind),
        rules=_rules(version, schema),
        custom=True,
        custom_schema=schema,
    )


def _schema(definition: Object, version: Object, gvk: GVK, clean_after: int) -> CustomSchema:
    spec = spec_of(definition)
    default_warning = f"{gvk.api_version} {gvk.kind} is deprecated"
    return CustomSchema(
        gvk=gvk,
        storage=GVK(gvk.group, storage_version(definition), gvk.kind),
        strategy=(spec.get("conversion") or {}).get("strategy") or "None",
        plural=(spec.get("names") or {}).get("plural", ""),
        raw=schema_of(version) or {},
        keeps_unknown=bool(spec.get("preserveUnknownFields")),
        clean_after=clean_after,
        scale=scale_paths(version),
        deprecation=(version.get("deprecationWarning") or default_warning) if version.get("deprecated") else "",
        is_terminating=is_terminating(definition),
        webhook=_webhook(spec),
    )


def _webhook(spec: Object) -> Object | None:
    conversion = spec.get("conversion") or {}
    return conversion.get("webhook") if conversion.get("strategy") == "Webhook" else None


def _subresources(version: Object, gvk: GVK) -> dict[str, Subresource]:
    declared = version.get("subresources") or {}
    found = {}
    if declared.get("status") is not None:
        found["status"] = Subresource("status", gvk, _SUBRESOURCE_VERBS)
    if declared.get("scale"):
        found["scale"] = Subresource("scale", GVK("autoscaling", "v1", "Scale"), _SUBRESOURCE_VERBS)
    return found


def _rules(version: Object, schema: CustomSchema) -> KindRules:
    columns, row = columns_of(version)
    return KindRules(
        deprecation=schema.deprecation,
        default=schema.default,
        prepare_create=schema.refuse_while_terminating,
        validate=schema.validate,
        validate_update=schema.validate_update,
        validate_status=schema.validate_status,
        columns=columns,
        row=row,
        fields=_fields(version),
        from_storage=schema.read,
        to_storage=schema.to_storage,
        has_generation=True,
        allows_unconditional_update=False,
    )


def _fields(version: Object) -> Any:
    """The function that gives the selectable fields; None when there are none."""
    paths = [entry.get("jsonPath", "") for entry in version.get("selectableFields") or ()]
    if not paths:
        return None
    readers = {path.removeprefix("."): parse(path) for path in paths}

    def fields(obj: Object) -> dict[str, str]:
        found = {name: find(steps, obj) for name, steps in readers.items()}
        return {name: go_text.plain(v[0]) if v and v[0] is not None else "" for name, v in found.items()}

    return fields


def openapi_schema(kind: ResourceKind) -> Object | None:
    """A custom kind's schema as a tree of the caller's own, for the OpenAPI documents; None for other kinds."""
    schema = kind.custom_schema
    if schema is None:
        return None
    body: Object = deep_copy(dict(schema.raw))
    known = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    body["properties"] = {**known, **(body.get("properties") or {})}
    return body
