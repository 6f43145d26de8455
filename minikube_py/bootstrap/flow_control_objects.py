"""Kubernetes' default flow schemas and priority levels, as data.

mkube stores and serves them as every cluster has them; requests are not queued by them.
Source: flowcontrol.apiserver.k8s.io/v1 and the "API Priority and Fairness" page (default objects).
"""

from minikube_py.objects.errors import Object

_GROUP_VERSION = "flowcontrol.apiserver.k8s.io/v1"
_AUTOUPDATE = {"apf.kubernetes.io/autoupdate-spec": "true"}

# name: (nominal shares, lendable per cent, queues, hand size)
_LEVELS: dict[str, tuple[int, int, int, int]] = {
    "system": (30, 33, 64, 6),
    "node-high": (40, 25, 64, 6),
    "leader-election": (10, 0, 16, 4),
    "workload-high": (40, 50, 128, 6),
    "workload-low": (100, 90, 128, 6),
    "global-default": (20, 50, 128, 6),
}


def priority_levels() -> list[Object]:
    exempt = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    reject = {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}}
    specs: dict[str, Object] = {"exempt": exempt, "catch-all": {"type": "Limited", "limited": reject}}
    for name, (shares, lendable, queues, hand) in _LEVELS.items():
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
        specs[name] = {
            "type": "Limited",
            "limited": {
                "nominalConcurrencyShares": shares,
                "lendablePercent": lendable,
                "limitResponse": {"type": "Queue", "queuing": queuing},
            },
        }
    return [_object("PriorityLevelConfiguration", name, spec) for name, spec in specs.items()]


def flow_schemas() -> list[Object]:
    everybody = _groups("system:unauthenticated", "system:authenticated")
    system_accounts = [{"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}}]
    manager, scheduler = _users("system:kube-controller-manager"), _users("system:kube-scheduler")
    leases = _resources("coordination.k8s.io", "leases")
    probes = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}
    elections = _resources("coordination.k8s.io", "leases", verbs=["get", "create", "update"])
    nodes = _resources("", "nodes", "nodes/status", cluster_scope=True)
    return [
        _schema("exempt", "exempt", 1, "", _anything(_groups("system:masters"))),
        _schema("probes", "exempt", 2, "", {"subjects": everybody, "nonResourceRules": [probes]}),
        _schema(
            "system-leader-election",
            "leader-election",
            100,
            "ByUser",
            {"subjects": [*manager, *scheduler, *system_accounts], "resourceRules": [elections]},
        ),
        _schema(
            "system-node-high",
            "node-high",
            400,
            "ByUser",
            {"subjects": _groups("system:nodes"), "resourceRules": [nodes, leases]},
        ),
        _schema("system-nodes", "system", 500, "ByUser", _anything(_groups("system:nodes"))),
        _schema("kube-controller-manager", "workload-high", 800, "ByNamespace", _anything(manager)),
        _schema("kube-scheduler", "workload-high", 800, "ByNamespace", _anything(scheduler)),
        _schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _anything(system_accounts)),
        _schema("service-accounts", "workload-low", 9000, "ByUser", _anything(_groups("system:serviceaccounts"))),
        _schema("global-default", "global-default", 9900, "ByUser", _anything(everybody)),
        _schema("catch-all", "catch-all", 10000, "ByUser", _anything(everybody)),
    ]


def _object(kind: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "annotations": dict(_AUTOUPDATE)}
    return {"apiVersion": _GROUP_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _schema(name: str, level: str, precedence: int, distinguisher: str, rules: Object) -> Object:
    spec: Object = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rules]}
    if distinguisher:
        spec["distinguisherMethod"] = {"type": distinguisher}
    return _object("FlowSchema", name, spec)


def _anything(subjects: list[Object]) -> Object:
    return {
        "subjects": subjects,
        "resourceRules": [_resources("*", "*", cluster_scope=True)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }


def _resources(group: str, *resources: str, verbs: list[str] | None = None, cluster_scope: bool = False) -> Object:
    rule: Object = {
        "verbs": verbs or ["*"],
        "apiGroups": [group],
        "resources": list(resources),
        "namespaces": ["*"],
    }
    if cluster_scope:
        rule["clusterScope"] = True
    return rule


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]
