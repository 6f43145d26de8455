"""What people are warned of in objects that make no pods, in Kubernetes' words."""

from typing import Any

import pytest

from tests.unit.resources.checking import kind_of

DEPRECATED = "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
CLASS = "volume.beta.kubernetes.io/storage-class"
ZONE = "failure-domain.beta.kubernetes.io/zone"
INSTEAD = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
EXPRESSIONS = {"matchExpressions": [{"key": "zone", "operator": "Exists"}, {"key": ZONE, "operator": "Exists"}]}
INDEXED = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
    "might not be able to track completedIndexes when a big number of indexes fail"
)
LARGE = {"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001}


def spec(annotation: str = "", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "annotations": {annotation: "x"} if annotation else {}}, "spec": fields}


def service(annotation: str = "", **fields: Any) -> dict[str, Any]:
    return spec(annotation, **{"type": "ClusterIP", "clusterIP": "10.0.0.1", "sessionAffinity": "None", **fields})


def schema(**fields: Any) -> dict[str, Any]:
    tree = {"type": "object", "properties": {"a": {"type": "array", "items": fields}, **fields.pop("more", {})}}
    return spec(versions=[{"name": "v1", "schema": {"openAPIV3Schema": tree}}])


CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("services", service(), []),
    (
        "services", service("service.kubernetes.io/topology-aware-hints"),
        ["annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
         "service.kubernetes.io/topology-mode instead"],
    ),
    (
        "services",
        service(clusterIP="None", loadBalancerIP="10.0.0.9", externalIPs=["1.2.3.4"], sessionAffinity="ClientIP"),
        ["spec.loadBalancerIP is ignored for headless services", "spec.externalIPs is ignored for headless services",
         "spec.SessionAffinity is ignored for headless services"],
    ),
    (
        "services", service(externalIPs=["2001:DB8::1", "::ffff:1.2.3.4"]),
        ['spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
         'spec.externalIPs[1]: non-standard IP address "::ffff:1.2.3.4" is invalid: use "1.2.3.4"', DEPRECATED],
    ),
    (
        "services", service(loadBalancerSourceRanges=["10.1.2.3/16", "10.0.0.0/8"]),
        ['spec.loadBalancerSourceRanges[0]: CIDR value "10.1.2.3/16" is ambiguous in this context (should be '
         '"10.1.0.0/16" or "10.1.2.3/32"?)'],
    ),
    (
        "services", service(type="ExternalName", externalName="x.y", externalIPs=["1.2.3.4"]),
        ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
    ),
    (
        "services", service(externalName="x.y", trafficDistribution="PreferClose"),
        ['spec.externalName is ignored when spec.type is not "ExternalName"',
         'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
    ),
    (
        "persistentvolumes",
        spec(CLASS, persistentVolumeReclaimPolicy="Recycle", rbd={},
             nodeAffinity={"required": {"nodeSelectorTerms": [EXPRESSIONS]}}),
        [f'metadata.annotations[{CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead',
         "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
         "approach is to use dynamic provisioning.",
         f"spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[1].key: {ZONE} is {INSTEAD}",
         "spec.rbd: deprecated in v1.28, non-functional in v1.31+"],
    ),
    (
        "persistentvolumeclaims", spec(resources={"requests": {"storage": "1500m"}}),
        ['spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer'],
    ),
    (
        "storageclasses.storage.k8s.io",
        {"metadata": {"name": "a"}, "allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["a"]}]}]},
        [f"allowedTopologies[0].matchLabelExpressions[0].key: {INSTEAD}"],
    ),
    (
        "csistoragecapacities.storage.k8s.io",
        {"metadata": {"name": "a"}, "nodeTopology": {**EXPRESSIONS, "matchLabels": {ZONE: "a"}}},
        [f"nodeTopology.matchExpressions[1].key: {ZONE} is {INSTEAD}", f"nodeTopology.matchLabels.{ZONE}: {INSTEAD}"],
    ),
    ("nodes", spec(externalID="x"), ["spec.externalID: this field is deprecated, and is unused by Kubernetes"]),
    (
        "runtimeclasses.node.k8s.io", {"metadata": {"name": "a"}, "scheduling": {"nodeSelector": {ZONE: "a"}}},
        [f"scheduling.nodeSelector: {INSTEAD}"],
    ),
    (
        "ingresses.networking.k8s.io", spec("kubernetes.io/ingress.class"),
        ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"],
    ),
    (
        "networkpolicies.networking.k8s.io",
        spec(egress=[{"to": [{"ipBlock": {"cidr": "2001:DB8::/32", "except": ["2001:db8::1/48"]}}]}]),
        ['spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format '
         '("2001:db8::/32")',
         'spec.egress[0].to[0].ipBlock.except[0]: CIDR value "2001:db8::1/48" is ambiguous in this context (should be '
         '"2001:db8::/48" or "2001:db8::1/128"?)'],
    ),
    ("jobs.batch", spec(**LARGE), [f"spec: {INDEXED}"]),
    ("cronjobs.batch", spec(jobTemplate={"spec": LARGE}), [f"spec.jobTemplate.spec: {INDEXED}"]),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        schema(type="object", more={
            "b": {"type": "string", "format": "no-such"}, "c": {"type": "string", "format": "date-time"},
            "d": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}},
        }),
        ['unrecognized format "no-such"', 'x-kubernetes-list-type: set for items of type "object" is not supported by '
         "server-side apply or CEL validation rules"],
    ),
    (
        "pods",
        spec(affinity={"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [EXPRESSIONS]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": EXPRESSIONS}],
        }}),
        ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]."
         f"matchExpressions[1].key: {ZONE} is {INSTEAD}",
         "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[1]."
         f"key: {ZONE} is {INSTEAD}"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "obj", "expected"), CASES)
def test_warnings(resource: str, obj: dict[str, Any], expected: list[str]) -> None:
    warnings = kind_of(resource).rules.warnings
    assert warnings is not None
    assert warnings(obj) == expected
