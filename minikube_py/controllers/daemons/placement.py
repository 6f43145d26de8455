"""Decides on which nodes a DaemonSet's pods belong, and builds the pods; pure.

Source: pkg/controller/daemon (NodeShouldRunDaemonPod, util.AddOrUpdateDaemonPodTolerations).
"""

from typing import NamedTuple

from minikube_py.controllers.nodes.taints import NO_EXECUTE, taints_of, tolerates
from minikube_py.controllers.workloads.pod_control import pod_from_template
from minikube_py.controllers.workloads.revisions import REVISION_LABEL
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import labels, name
from minikube_py.objects.selectors import NodeSelector
from minikube_py.resources.kind import GVK

DAEMON_SET = GVK("apps", "v1", "DaemonSet")
TEMPLATE_GENERATION = "pod-template-generation"
_DEPRECATED_GENERATION = "deprecated.daemonset.template.generation"
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NO_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


class Verdict(NamedTuple):
    """Whether a pod should be started on a node, and whether one that is there may stay."""

    should_run: bool
    may_stay: bool


def daemon_tolerations(spec: Object) -> list[Object]:
    """The template's tolerations and those that every daemon pod has."""
    wanted = [*_TOLERATED, *((_NO_NETWORK,) if spec.get("hostNetwork") else ())]
    result = list(spec.get("tolerations") or ())
    for key, effect in wanted:
        entry = {"key": key, "operator": "Exists", "effect": effect}
        if entry not in result:
            result.append(entry)
    return result


def judge(daemon_set: Object, node: Object) -> Verdict:
    spec = daemon_set["spec"]["template"]["spec"]
    if spec.get("nodeName") not in (None, "", name(node)) or not _meets_affinity(spec, node):
        return Verdict(False, False)
    taints = [taint for taint in taints_of(node) if taint["effect"] in ("NoSchedule", NO_EXECUTE)]
    if not taints:
        return Verdict(True, True)
    tolerations = daemon_tolerations(spec)
    untolerated = [taint for taint in taints if not any(tolerates(t, taint) for t in tolerations)]
    if not untolerated:
        return Verdict(True, True)
    return Verdict(False, not any(taint["effect"] == NO_EXECUTE for taint in untolerated))


def _meets_affinity(spec: Object, node: Object) -> bool:
    own = labels(node)
    if not (spec.get("nodeSelector") or {}).items() <= own.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or NodeSelector(required).matches(own, {"metadata.name": name(node)})


def daemon_pod(daemon_set: Object, node_name: str, digest: str) -> Object:
    """A pod for one node: bound to it by node affinity, so that the scheduler still has its say."""
    pod = pod_from_template(daemon_set["spec"]["template"], daemon_set, DAEMON_SET)
    pod["metadata"]["labels"][REVISION_LABEL] = digest
    pod["metadata"]["labels"][TEMPLATE_GENERATION] = template_generation(daemon_set)
    spec = pod["spec"]
    spec["tolerations"] = daemon_tolerations(spec)
    node_affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    field = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or [{}]
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {
        "nodeSelectorTerms": [{**_labels_only(term), "matchFields": [field]} for term in terms]
    }
    return pod


def _labels_only(term: Object) -> Object:
    # The node's name replaces every other condition: whether the labels fit has been judged already.
    return {key: value for key, value in term.items() if key not in ("matchFields", "matchExpressions")}


def template_generation(daemon_set: Object) -> str:
    notes = daemon_set["metadata"].get("annotations") or {}
    return str(notes.get(_DEPRECATED_GENERATION) or daemon_set["metadata"].get("generation") or 1)


def target_node(pod: Object) -> str:
    """The node a daemon pod is on, or is meant for."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name" and len(field.get("values") or ()) == 1:
                return str(field["values"][0])
    return ""
