"""Answers from roles and bindings, held in memory in the shape that questions come in.

Source: the RBAC reference page; reasons are worded as in plugin/pkg/auth/authorizer/rbac.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from minikube_py.apiserver.authz.protocol import Decision, Verdict
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import Object
from minikube_py.resources.rbac_rules import Access, CompiledRule, PolicyRule

GROUP = "rbac.authorization.k8s.io"
RESOURCES = ("clusterroles", "roles", "clusterrolebindings", "rolebindings")
_REMEMBERED_USERS = 2048
_REMEMBERED_ANSWERS = 20000

_Place = tuple[str, str]
"""(namespace, name); the namespace is '' for cluster-scoped objects."""


@dataclass(frozen=True)
class _Binding:
    """A ClusterRoleBinding (namespace '') or RoleBinding, its subjects as keys of the subject index."""

    name: str
    namespace: str
    role_kind: str
    role_name: str
    subjects: tuple[tuple[str, str], ...]

    @property
    def role(self) -> _Place:
        return ("" if self.role_kind == "ClusterRole" else self.namespace, self.role_name)

    def describe(self, subject: str) -> str:
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        name = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f"{kind} {json.dumps(name)} of {self.role_kind} {json.dumps(self.role_name)} to {subject}"


@dataclass
class _Grant:
    """One binding that reaches a user, with the rules of its role."""

    binding: _Binding
    reason: str
    rules: list[CompiledRule]
    source: list[PolicyRule]


@dataclass
class _Grants:
    """Everything that reaches one user: by namespace, '' for everywhere. problems: roles that don't exist."""

    by_namespace: dict[str, list[_Grant]] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    answers: dict[tuple[str, Access], Decision] = field(default_factory=dict)

    def reaching(self, namespace: str) -> Iterable[_Grant]:
        yield from self.by_namespace.get("", ())
        if namespace:
            yield from self.by_namespace.get(namespace, ())


class RbacAuthorizer:
    """`observe` keeps it up to date; every change forgets the answers worked out before."""

    def __init__(self) -> None:
        self._rules: dict[_Place, tuple[list[PolicyRule], list[CompiledRule]]] = {}
        self._bindings: dict[_Place, _Binding] = {}
        self._by_subject: dict[str, set[_Place]] = {}
        self._users: dict[tuple[str, tuple[str, ...]], _Grants] = {}

    # -- keeping up

    def observe(self, resource: str, obj: Object, *, deleted: bool = False) -> None:
        """Take in one object of `resource` (clusterroles, roles, clusterrolebindings, rolebindings)."""
        metadata = obj["metadata"]
        place = (metadata.get("namespace") or "", metadata["name"])
        if resource in ("clusterroles", "roles"):
            self._observe_role(place, obj, deleted)
        else:
            self._observe_binding(place, obj, deleted)
        self._users.clear()

    def _observe_role(self, place: _Place, obj: Object, deleted: bool) -> None:
        if deleted:
            self._rules.pop(place, None)
            return
        rules = list(obj.get("rules") or [])
        self._rules[place] = (rules, [CompiledRule.of(rule) for rule in rules])

    def _observe_binding(self, place: _Place, obj: Object, deleted: bool) -> None:
        old = self._bindings.pop(place, None)
        for key, _ in old.subjects if old else ():
            self._by_subject[key].discard(place)
        if deleted:
            return
        reference = obj.get("roleRef") or {}
        subjects = [_subject(s, place[0]) for s in obj.get("subjects") or []]
        binding = _Binding(
            place[1], place[0], reference.get("kind", ""), reference.get("name", ""), tuple(s for s in subjects if s)
        )
        self._bindings[place] = binding
        for key, _ in binding.subjects:
            self._by_subject.setdefault(key, set()).add(place)

    # -- answering

    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        grants = self._grants_of(user)
        namespace = info.namespace if info.is_resource else ""
        access = access_of(info)
        known = grants.answers.get((namespace, access))
        if known is None:
            known = _decide(grants, namespace, access)
            if len(grants.answers) >= _REMEMBERED_ANSWERS:
                grants.answers.clear()
            grants.answers[namespace, access] = known
        return known

    def policy_rules(self, user: UserInfo, namespace: str) -> tuple[list[PolicyRule], list[str]]:
        """Every rule that reaches `user` in `namespace` ('' for the whole cluster), and roles that are missing."""
        grants = self._grants_of(user)
        rules = [rule for grant in grants.reaching(namespace) for rule in grant.source]
        return rules, _problems(grants, namespace)

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        rules, _ = self.policy_rules(user, namespace)
        resource_rules: list[dict[str, object]] = []
        url_rules: list[dict[str, object]] = []
        for rule in rules:
            if rule.get("resources"):
                kept = ("verbs", "apiGroups", "resources", "resourceNames")
                resource_rules.append({k: list(rule[k]) for k in kept if rule.get(k)})
            if rule.get("nonResourceURLs"):
                url_rules.append({k: list(rule[k]) for k in ("verbs", "nonResourceURLs") if rule.get(k)})
        return resource_rules, url_rules

    def role_rules(self, namespace: str, role_ref: Object) -> list[PolicyRule] | None:
        """The rules of the role that a binding in `namespace` refers to; None when there is no such role."""
        place = ("" if role_ref.get("kind") == "ClusterRole" else namespace, role_ref.get("name", ""))
        found = self._rules.get(place)
        return found[0] if found else None

    def _grants_of(self, user: UserInfo) -> _Grants:
        key = (user.name, user.groups)
        grants = self._users.get(key)
        if grants is None:
            if len(self._users) >= _REMEMBERED_USERS:
                self._users.clear()
            grants = self._users[key] = self._collect(user)
        return grants

    def _collect(self, user: UserInfo) -> _Grants:
        grants = _Grants()
        # Where several subjects of one binding name the user, the first listed one is the reason.
        keys = {f"User:{user.name}", *(f"Group:{group}" for group in user.groups)}
        places = {place for key in keys for place in self._by_subject.get(key, ())}
        for place in sorted(places):
            binding = self._bindings[place]
            subject = next(text for key, text in binding.subjects if key in keys)
            found = self._rules.get(binding.role)
            if found is None:
                problem = _missing_role(binding)
                grants.problems.setdefault(binding.namespace, []).append(problem)
                continue
            reason = f"RBAC: allowed by {binding.describe(subject)}"
            grant = _Grant(binding, reason, found[1], found[0])
            grants.by_namespace.setdefault(binding.namespace, []).append(grant)
        return grants


def access_of(info: RequestInfo) -> Access:
    if not info.is_resource:
        return Access(info.verb, path=info.path or "/")
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return Access(info.verb, info.group, resource, info.name)


def _decide(grants: _Grants, namespace: str, access: Access) -> Decision:
    for grant in grants.reaching(namespace):
        if any(rule.allows(access) for rule in grant.rules):
            return Decision(Verdict.ALLOW, grant.reason)
    problems = _problems(grants, namespace)
    if not problems:
        return Decision(Verdict.NO_OPINION)
    text = problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"
    return Decision(Verdict.NO_OPINION, f"RBAC: {text}")


def _problems(grants: _Grants, namespace: str) -> list[str]:
    return [*grants.problems.get("", ()), *(grants.problems.get(namespace, ()) if namespace else ())]


def _missing_role(binding: _Binding) -> str:
    resource = "clusterrole" if binding.role_kind == "ClusterRole" else "role"
    return f"{resource}.{GROUP} {json.dumps(binding.role_name)} not found"


def _subject(subject: Object, namespace: str) -> tuple[str, str] | None:
    """(index key, text for reasons) of one subject; None for a kind that RBAC doesn't know."""
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind in ("User", "Group"):
        return f"{kind}:{name}", f"{kind} {json.dumps(name)}"
    if kind == "ServiceAccount":
        home = subject.get("namespace") or namespace
        return f"User:system:serviceaccount:{home}:{name}", f"ServiceAccount {json.dumps(f'{name}/{home}')}"
    return None
