"""What Kubernetes warns of in other objects than pods: legal, but deprecated, ignored, or hardly what was meant.

Source: kubernetes pkg/api/{service,persistentvolume,persistentvolumeclaim,storage,node,job}, the strategies in
pkg/registry, and apimachinery's GetWarningsForIP and GetWarningsForCIDR.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address, ip_interface

from minikube_py.objects import quantity
from minikube_py.objects.errors import Object
from minikube_py.resources.core import pod_warnings
from minikube_py.resources.core.pod_warnings import NODE_LABELS, Warnings, deprecated_label, of_expressions
from minikube_py.resources.fields import Path

_METADATA, _SPEC = Path("metadata"), Path("spec")
_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_INGRESS_CLASS = "kubernetes.io/ingress.class"
_TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
_VOLUMES = {
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
_MANY_COMPLETIONS, _MANY_PODS = 100_000, 10_000


def _annotations(obj: Object) -> Object:
    found: Object = (obj.get("metadata") or {}).get("annotations") or {}
    return found


# --- addresses -------------------------------------------------------------------------------------------------------


def of_ip(text: str, at: Path) -> Iterator[str]:
    """Of an address in a form that others may read as another one."""
    try:
        address = ip_address(text)
    except ValueError:
        return
    if not isinstance(address, IPv6Address):
        return
    if address.ipv4_mapped is not None:
        yield f'{at}: non-standard IP address "{text}" is invalid: use "{address.ipv4_mapped}"'
    elif str(address) != text:
        yield f'{at}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{address}")'


def of_cidr(text: str, at: Path) -> Iterator[str]:
    try:
        given = ip_interface(text)
    except ValueError:
        return
    network = given.network
    if given.ip != network.network_address:
        single = f"{given.ip}/{network.max_prefixlen}"
        yield f'{at}: CIDR value "{text}" is ambiguous in this context (should be "{network}" or "{single}"?)'
    elif isinstance(given.ip, IPv6Address) and str(network) != text:
        yield f'{at}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")'


def of_service(service: Object) -> Warnings:
    return list(_of_service(service))


def _of_service(service: Object) -> Iterator[str]:
    spec = service.get("spec") or {}
    type_, external = spec.get("type"), spec.get("externalIPs") or ()
    is_headless = type_ == "ClusterIP" and spec.get("clusterIP") == "None"
    if _TOPOLOGY_HINTS in _annotations(service):
        yield f"annotation {_TOPOLOGY_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
    if spec.get("clusterIP") not in (None, "", "None"):
        yield from _of_ips(spec.get("clusterIPs") or (), _SPEC.child("clusterIPs"))
    if is_headless:
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if external:
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    yield from _of_ips(external, _SPEC.child("externalIPs"))
    if external and not is_headless and type_ != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    yield from of_ip(spec.get("loadBalancerIP") or "", _SPEC.child("loadBalancerIP"))
    for index, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from of_cidr(cidr, _SPEC.child("loadBalancerSourceRanges").index(index))
    if type_ == "ExternalName" and external:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if type_ != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _of_ips(addresses: Iterable[str], at: Path) -> Iterator[str]:
    for index, address in enumerate(addresses):
        yield from of_ip(address, at.index(index))


def of_network_policy(policy: Object) -> Warnings:
    found: Warnings = []
    for rules, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate((policy.get("spec") or {}).get(rules) or ()):
            for place, peer in enumerate(rule.get(peers) or ()):
                block = peer.get("ipBlock") or {}
                at = _SPEC.child(rules).index(index).child(peers).index(place).child("ipBlock")
                found += of_cidr(block.get("cidr") or "", at.child("cidr"))
                for number, cidr in enumerate(block.get("except") or ()):
                    found += of_cidr(cidr, at.child("except").index(number))
    return found


def of_ingress(ingress: Object) -> Warnings:
    if _INGRESS_CLASS in _annotations(ingress) and (ingress.get("spec") or {}).get("ingressClassName") is None:
        return [f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"]
    return []


# --- storage ---------------------------------------------------------------------------------------------------------


def _of_class_annotation(obj: Object) -> Iterator[str]:
    if _STORAGE_CLASS in _annotations(obj):
        place = _METADATA.child("annotations").key(_STORAGE_CLASS)
        yield f'{place}: deprecated since v1.8; use "storageClassName" attribute instead'


def of_volume(volume: Object) -> Warnings:
    spec = volume.get("spec") or {}
    found = [*_of_class_annotation(volume)]
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(terms):
        at = _SPEC.child("nodeAffinity", "required", "nodeSelectorTerms").index(index)
        found += of_expressions(term.get("matchExpressions"), at)
    return [*found, *(f"{_SPEC.child(name)}: {why}" for kind, (name, why) in _VOLUMES.items() if kind in spec)]


def of_claim(claim: Object) -> Warnings:
    return [*_of_class_annotation(claim), *of_claim_spec(claim.get("spec") or {}, _SPEC)]


def of_claim_spec(spec: Object, at: Path) -> Iterator[str]:
    for part in ("requests", "limits"):
        amount = ((spec.get("resources") or {}).get(part) or {}).get("storage")
        if amount is not None and quantity.milli(amount) % 1000:
            place = at.child("resources", part).key("storage")
            yield f'{place}: fractional byte value "{amount}" is invalid, must be an integer'


def of_storage_class(storage_class: Object) -> Warnings:
    found: Warnings = []
    for index, term in enumerate(storage_class.get("allowedTopologies") or ()):
        for place, expression in enumerate(term.get("matchLabelExpressions") or ()):
            at = Path("allowedTopologies").index(index).child("matchLabelExpressions").index(place).child("key")
            if expression.get("key") in NODE_LABELS:
                found.append(f"{at}: {deprecated_label(expression['key'])}")
    return found


def of_storage_capacity(capacity: Object) -> Warnings:
    topology, at = capacity.get("nodeTopology") or {}, Path("nodeTopology")
    labels = [label for label in topology.get("matchLabels") or () if label in NODE_LABELS]
    return [
        *of_expressions(topology.get("matchExpressions"), at),
        *(f"{at.child('matchLabels').child(label)}: {deprecated_label(label)}" for label in labels),
    ]


# --- nodes and jobs --------------------------------------------------------------------------------------------------


def of_node(node: Object) -> Warnings:
    spec, found = node.get("spec") or {}, Warnings()
    if spec.get("configSource") is not None:
        found.append("spec.configSource: the feature is removed")
    if spec.get("externalID"):
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    return found


def of_runtime_class(runtime_class: Object) -> Warnings:
    labels = (runtime_class.get("scheduling") or {}).get("nodeSelector") or ()
    return [f"scheduling.nodeSelector: {deprecated_label(label)}" for label in labels if label in NODE_LABELS]


def of_job(job: Object) -> Warnings:
    return [*pod_warnings.of_name(job, "Pod names and hostnames"), *_of_job_spec(job, "spec")]


def of_cron_job(cron_job: Object) -> Warnings:
    path = ("spec", "jobTemplate", "spec")
    return [*pod_warnings.of_name(cron_job, "Pod names and hostnames"), *_of_job_spec(cron_job, *path)]


def _of_job_spec(obj: Object, *at: str) -> Iterator[str]:
    spec = obj
    for key in at:
        spec = spec.get(key) or {}
    is_large = (spec.get("completions") or 0) > _MANY_COMPLETIONS and (spec.get("parallelism") or 0) > _MANY_PODS
    if spec.get("completionMode") == "Indexed" and is_large:
        yield (
            f"{Path().child(*at)}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism "
            "higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    yield from pod_warnings.of_template(obj, *at, "template")
