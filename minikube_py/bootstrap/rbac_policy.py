"""Writes the default roles and bindings, and at later starts adds what is missing from them.

As in Kubernetes, reconciling only adds (rules, subjects, labels), and the annotation
`rbac.authorization.kubernetes.io/autoupdate: "false"` keeps an object as the administrator made it.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from minikube_py.bootstrap.rbac_controller_roles import CONTROLLER_ROLES, NAMESPACE_ROLE_BINDINGS, NAMESPACE_ROLES
from minikube_py.bootstrap.rbac_roles import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC, DefaultBinding, DefaultRole
from minikube_py.client.protocol import Client
from minikube_py.objects.errors import AlreadyExists, Object
from minikube_py.resources.kind import GVR
from minikube_py.resources.rbac_rules import compact, uncovered

CLUSTER_ROLE = GVR(RBAC, "v1", "clusterroles")
CLUSTER_ROLE_BINDING = GVR(RBAC, "v1", "clusterrolebindings")
ROLE = GVR(RBAC, "v1", "roles")
ROLE_BINDING = GVR(RBAC, "v1", "rolebindings")
_KINDS = {
    CLUSTER_ROLE: "ClusterRole",
    CLUSTER_ROLE_BINDING: "ClusterRoleBinding",
    ROLE: "Role",
    ROLE_BINDING: "RoleBinding",
}

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
BOOTSTRAPPING = "kubernetes.io/bootstrapping"
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


@dataclass(frozen=True)
class Wanted:
    """One default object and where it belongs."""

    gvr: GVR
    obj: Object

    @property
    def place(self) -> tuple[str, str]:
        return self.obj["metadata"].get("namespace", ""), self.obj["metadata"]["name"]


def default_policy() -> list[Wanted]:
    """Every default role and binding, in full."""
    wanted = [_cluster_role(name, role) for name, role in CLUSTER_ROLES.items()]
    wanted += [_cluster_role(f"system:controller:{name}", DefaultRole(r)) for name, r in CONTROLLER_ROLES.items()]
    wanted += [_cluster_role_binding(name, binding) for name, binding in CLUSTER_ROLE_BINDINGS.items()]
    for name in CONTROLLER_ROLES:
        role = f"system:controller:{name}"
        wanted.append(_cluster_role_binding(role, DefaultBinding(role, service_accounts=(name,))))
    for (namespace, name), rules in NAMESPACE_ROLES.items():
        wanted.append(Wanted(ROLE, _object(ROLE, name, namespace) | {"rules": rules}))
    for (namespace, name), binding in NAMESPACE_ROLE_BINDINGS.items():
        reference = {"apiGroup": RBAC, "kind": "Role", "name": binding.role}
        body = {"roleRef": reference, "subjects": _subjects(binding)}
        wanted.append(Wanted(ROLE_BINDING, _object(ROLE_BINDING, name, namespace) | body))
    _aggregate(wanted)
    return wanted


async def reconcile_policy(client: Client) -> int:
    """Create or complete the default policy; the number of writes. Needs the kube-* namespaces to exist."""
    stored: dict[GVR, dict[tuple[str, str], Object]] = {}
    for gvr in _KINDS:
        listed = await client.list(gvr)
        stored[gvr] = {(o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in listed.items}
    writes = []
    for wanted in default_policy():
        existing = stored[wanted.gvr].get(wanted.place)
        if existing is None:
            writes.append(_create(client, wanted))
        elif (completed := _completed(wanted, existing)) is not None:
            writes.append(_replace(client, wanted.gvr, completed, existing))
    await asyncio.gather(*writes)
    return len(writes)


async def _create(client: Client, wanted: Wanted) -> None:
    try:
        await client.create(wanted.gvr, wanted.obj, wanted.place[0])
    except AlreadyExists:
        return


async def _replace(client: Client, gvr: GVR, completed: Object, existing: Object) -> None:
    if completed.get("roleRef") == existing.get("roleRef"):
        await client.update(gvr, completed)
        return
    # roleRef can't be changed: a binding that gives another role is made anew.
    metadata = existing["metadata"]
    await client.delete(gvr, metadata["name"], metadata.get("namespace", ""))
    completed["metadata"] = {k: v for k, v in completed["metadata"].items() if k not in ("uid", "resourceVersion")}
    await client.create(gvr, completed, metadata.get("namespace", ""))


def _completed(wanted: Wanted, existing: Object) -> Object | None:
    """`existing` with everything that `wanted` has and it lacks; None when it lacks nothing."""
    target, metadata = wanted.obj, existing["metadata"]
    if (metadata.get("annotations") or {}).get(AUTOUPDATE) == "false":
        return None
    changes: Object = {}
    for key in ("labels", "annotations"):
        have = metadata.get(key) or {}
        merged = {**target["metadata"].get(key, {}), **have}
        if merged != have:
            changes.setdefault("metadata", dict(metadata))[key] = merged
    if "aggregationRule" in target:
        if not existing.get("aggregationRule"):
            changes["aggregationRule"] = target["aggregationRule"]
    elif "rules" in target and existing.get("rules") != target["rules"]:
        have_rules = existing.get("rules") or []
        missing = uncovered(have_rules, target["rules"])
        if missing:
            changes["rules"] = [*have_rules, *compact(missing)]
    if "roleRef" in target:
        if existing.get("roleRef") != target["roleRef"]:
            changes["roleRef"] = target["roleRef"]
        have_subjects = existing.get("subjects") or []
        added = [s for s in target["subjects"] if s not in have_subjects]
        if added:
            changes["subjects"] = [*have_subjects, *added]
    return {**existing, **changes} if changes else None


def _object(gvr: GVR, name: str, namespace: str = "") -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = {BOOTSTRAPPING: "rbac-defaults"}
    metadata["annotations"] = {AUTOUPDATE: "true"}
    return {"apiVersion": f"{RBAC}/v1", "kind": _KINDS[gvr], "metadata": metadata}


def _cluster_role(name: str, role: DefaultRole) -> Wanted:
    obj = _object(CLUSTER_ROLE, name)
    if role.joins:
        obj["metadata"]["labels"][_AGGREGATE + role.joins] = "true"
    if role.aggregates:
        selector = {"matchLabels": {_AGGREGATE + role.aggregates: "true"}}
        obj["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    obj["rules"] = list(role.rules)
    return Wanted(CLUSTER_ROLE, obj)


def _cluster_role_binding(name: str, binding: DefaultBinding) -> Wanted:
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": binding.role}
    body = {"roleRef": reference, "subjects": _subjects(binding)}
    return Wanted(CLUSTER_ROLE_BINDING, _object(CLUSTER_ROLE_BINDING, name) | body)


def _subjects(binding: DefaultBinding) -> list[Object]:
    return [
        *({"apiGroup": RBAC, "kind": "User", "name": name} for name in binding.users),
        *({"apiGroup": RBAC, "kind": "Group", "name": name} for name in binding.groups),
        *({"kind": "ServiceAccount", "name": n, "namespace": "kube-system"} for n in binding.service_accounts),
    ]


def _aggregate(wanted: list[Wanted]) -> None:
    """Give admin, edit and view their rules from the first moment; later the aggregation controller keeps them."""
    roles = {w.obj["metadata"]["name"]: w.obj for w in wanted if w.gvr == CLUSTER_ROLE}
    for name in ("view", "edit", "admin"):
        label = _AGGREGATE + name
        parts = [o for o in _sorted(roles) if o["metadata"]["labels"].get(label) == "true"]
        rules: list[Object] = []
        for part in parts:
            rules += [r for r in part["rules"] if r not in rules]
        roles[name]["rules"] = rules


def _sorted(roles: dict[str, Object]) -> Iterator[Object]:
    return (roles[name] for name in sorted(roles))
