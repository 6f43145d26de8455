"""Merges matchLabelKeys and mismatchLabelKeys of a new pod into the label selectors beside them.

What a key stands for is the pod's own label at its creation, so that later changes of it change no decision. Source:
the API reference of PodAffinityTerm and TopologySpreadConstraint.
"""

from collections.abc import Iterable

from minikube_py.objects.errors import Object


def merge_label_keys(pod: Object) -> None:
    """Adds the requirements in place. A missing selector matches nothing and stays so."""
    spec, labels = pod.get("spec") or {}, pod["metadata"].get("labels") or {}
    for place in (*_affinity_terms(spec.get("affinity") or {}), *(spec.get("topologySpreadConstraints") or ())):
        selector = place.get("labelSelector")
        if selector is None:
            continue
        added = [
            {"key": key, "operator": operator, "values": [labels[key]]}
            for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
            for key in place.get(field) or ()
            if key in labels
        ]
        if added:
            selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), *added]


def _affinity_terms(affinity: Object) -> Iterable[Object]:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        for weighted in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield weighted.get("podAffinityTerm") or {}
        yield from terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
