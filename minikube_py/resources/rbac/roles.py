"""Roles, ClusterRoles and their bindings: defaults, checks, columns.

Source: kubernetes pkg/apis/rbac/validation.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, text
from minikube_py.resources.value_rules import validate_label_selector

GROUP = "rbac.authorization.k8s.io"


def validate_role(role: Object, errors: FieldErrors) -> None:
    for index, rule in enumerate(role.get("rules") or ()):
        _validate_rule(rule, Path("rules").index(index), errors, is_namespaced=True)


def validate_cluster_role(role: Object, errors: FieldErrors) -> None:
    for index, rule in enumerate(role.get("rules") or ()):
        _validate_rule(rule, Path("rules").index(index), errors, is_namespaced=False)
    aggregation = role.get("aggregationRule")
    if aggregation is not None:
        at = Path("aggregationRule.clusterRoleSelectors")
        if not aggregation.get("clusterRoleSelectors"):
            errors.required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        for index, selector in enumerate(aggregation.get("clusterRoleSelectors") or ()):
            validate_label_selector(selector, at.index(index), errors)


def _validate_rule(rule: Object, path: Path, errors: FieldErrors, *, is_namespaced: bool) -> None:
    if not rule.get("verbs"):
        errors.required(path.child("verbs"), "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs") or []
    if urls:
        if is_namespaced:
            why = "namespaced rules cannot apply to non-resource URLs"
            errors.invalid(path.child("nonResourceURLs"), urls, why)
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            errors.invalid(path.child("nonResourceURLs"), urls, why)
        return
    if not rule.get("apiGroups"):
        errors.required(path.child("apiGroups"), "resource rules must supply at least one api group")
    if not rule.get("resources"):
        errors.required(path.child("resources"), "resource rules must supply at least one resource")


def validate_role_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_role(new, errors)


def validate_cluster_role_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate_cluster_role(new, errors)


def default_binding(binding: Object) -> None:
    ref = binding.setdefault("roleRef", {})
    if not ref.get("apiGroup"):
        ref["apiGroup"] = GROUP
    for subject in binding.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("Group", "User"):
            subject["apiGroup"] = GROUP


def _validate_binding(binding: Object, errors: FieldErrors, *, is_namespaced: bool) -> None:
    ref, at = binding.get("roleRef") or {}, Path("roleRef")
    if ref.get("apiGroup") != GROUP:
        errors.not_supported(at.child("apiGroup"), ref.get("apiGroup", ""), (GROUP,))
    kinds = ("Role", "ClusterRole") if is_namespaced else ("ClusterRole",)
    if ref.get("kind") not in kinds:
        errors.not_supported(at.child("kind"), ref.get("kind", ""), kinds)
    if not ref.get("name"):
        errors.required(at.child("name"))
    else:
        errors.invalid_each(at.child("name"), ref["name"], meta.path_segment_name(ref["name"]))
    for index, subject in enumerate(binding.get("subjects") or ()):
        _validate_subject(subject, Path("subjects").index(index), errors, is_namespaced=is_namespaced)


def _validate_subject(subject: Object, path: Path, errors: FieldErrors, *, is_namespaced: bool) -> None:
    name, kind, group = subject.get("name", ""), subject.get("kind", ""), subject.get("apiGroup", "")
    if not name:
        errors.required(path.child("name"))
    if kind == "ServiceAccount":
        if name:
            errors.invalid_each(path.child("name"), name, meta.dns1123_subdomain(name))
        if group:
            errors.not_supported(path.child("apiGroup"), group, ("",))
        if not is_namespaced and not subject.get("namespace"):
            errors.required(path.child("namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            errors.not_supported(path.child("apiGroup"), group, (GROUP,))
    else:
        errors.not_supported(path.child("kind"), kind, ("ServiceAccount", "User", "Group"))


def validate_role_binding(binding: Object, errors: FieldErrors) -> None:
    _validate_binding(binding, errors, is_namespaced=True)


def validate_cluster_role_binding(binding: Object, errors: FieldErrors) -> None:
    _validate_binding(binding, errors, is_namespaced=False)


def _validate_same_role(new: Object, old: Object, errors: FieldErrors) -> None:
    if new.get("roleRef") != old.get("roleRef"):
        errors.invalid(Path("roleRef"), new.get("roleRef"), "cannot change roleRef")


def validate_role_binding_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate_role_binding(new, errors)
    _validate_same_role(new, old, errors)


def validate_cluster_role_binding_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate_cluster_role_binding(new, errors)
    _validate_same_role(new, old, errors)


def role_row(role: Object) -> list[Any]:
    return [meta.name(role), meta.metadata(role).get("creationTimestamp") or ""]


def binding_row(binding: Object) -> list[Any]:
    ref, subjects = binding.get("roleRef") or {}, binding.get("subjects") or ()
    names = {kind: [s.get("name", "") for s in subjects if s.get("kind") == kind] for kind in ("User", "Group")}
    accounts = [
        f"{s['namespace']}/{s.get('name', '')}" if s.get("namespace") else s.get("name", "")
        for s in subjects
        if s.get("kind") == "ServiceAccount"
    ]
    return [
        meta.name(binding),
        f"{ref.get('kind', '')}/{ref.get('name', '')}",
        age(binding),
        ", ".join(names["User"]),
        ", ".join(names["Group"]),
        ", ".join(accounts),
    ]


ROLE_COLUMNS = (NAME, text("Created At", "The server time when this object was created."))
BINDING_COLUMNS = (
    NAME,
    text("Role", "The role that is granted."),
    AGE,
    text("Users", "Users in the binding", wide=True),
    text("Groups", "Groups in the binding", wide=True),
    text("ServiceAccounts", "ServiceAccounts in the binding", wide=True),
)
ROLE_RULES = KindRules(
    validate=validate_role,
    validate_update=validate_role_update,
    columns=ROLE_COLUMNS,
    row=role_row,
    name_check=meta.path_segment_name,
)
CLUSTER_ROLE_RULES = KindRules(
    validate=validate_cluster_role,
    validate_update=validate_cluster_role_update,
    columns=ROLE_COLUMNS,
    row=role_row,
    name_check=meta.path_segment_name,
)
ROLE_BINDING_RULES = KindRules(
    default=default_binding,
    validate=validate_role_binding,
    validate_update=validate_role_binding_update,
    columns=BINDING_COLUMNS,
    row=binding_row,
    name_check=meta.path_segment_name,
)
CLUSTER_ROLE_BINDING_RULES = KindRules(
    default=default_binding,
    validate=validate_cluster_role_binding,
    validate_update=validate_cluster_role_binding_update,
    columns=BINDING_COLUMNS,
    row=binding_row,
    name_check=meta.path_segment_name,
)
