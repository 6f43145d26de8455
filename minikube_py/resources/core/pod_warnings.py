"""What Kubernetes warns of in pods and pod templates: legal, but hardly what was meant.

Source: kubernetes pkg/api/pod/warnings.go, pkg/api/node/util.go.
"""

from collections.abc import Callable, Iterator
from typing import Any

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import Path

Warnings = list[str]

NODE_LABELS = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": ("v1.16", "priorityClassName"),
    "security.alpha.kubernetes.io/sysctls": ("v1.11", "sysctls"),
    "security.alpha.kubernetes.io/unsafe-sysctls": ("v1.11", "sysctls"),
}
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_WHOLE_BYTES = ("memory", "ephemeral-storage")


def of_pod(pod: Object) -> Warnings:
    found = [*of_name(pod, "the Pod's hostname")]
    found += _of_parts(pod.get("metadata") or {}, pod.get("spec") or {}, Path())
    return found


def of_workload(*at: str) -> Callable[[Object], Warnings]:
    """For a kind that makes pods from the template at that path, under names made from its own."""

    def warnings(obj: Object) -> Warnings:
        return [*of_name(obj, "Pod names and hostnames"), *of_template(obj, *at)]

    return warnings


def of_template(obj: Object, *at: str) -> Warnings:
    template = obj
    for key in at:
        template = template.get(key) or {}
    return list(_of_parts(template.get("metadata") or {}, template.get("spec") or {}, Path().child(*at)))


def of_name(obj: Object, use: str) -> Iterator[str]:
    problems = meta.dns1123_label(meta.name(obj))
    if problems:
        why = "which can result in surprising behavior; a DNS label is recommended"
        yield f"metadata.name: this is used in {use}, {why}: [{' '.join(problems)}]"


def _of_parts(metadata: Object, spec: Object, at: Path) -> Iterator[str]:
    where = at.child("spec")
    for label in spec.get("nodeSelector") or ():
        if label in NODE_LABELS:
            yield f"{where.child('nodeSelector').key(label)}: {deprecated_label(label)}"
    yield from _of_node_affinity((spec.get("affinity") or {}).get("nodeAffinity") or {}, where)
    for index, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        yield from _of_spread(spread, where.child("topologySpreadConstraints").index(index))
    for name in metadata.get("annotations") or ():
        if name in _ANNOTATIONS:
            since, instead = _ANNOTATIONS[name]
            place = at.child("metadata", "annotations").key(name)
            yield f'{place}: non-functional in {since}+; use the "{instead}" field instead'
    for index, volume in enumerate(spec.get("volumes") or ()):
        for kind in volume:
            if kind in _VOLUMES:
                yield f"{where.child('volumes').index(index).child(kind)}: {_VOLUMES[kind]}"
    yield from _repeated(spec.get("hostAliases"), "ip", where.child("hostAliases"))
    yield from _of_pull_secrets(spec.get("imagePullSecrets") or (), where.child("imagePullSecrets"))
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        place = where.child("terminationGracePeriodSeconds")
        yield f"{place}: must be >= 0; negative values are invalid and will be treated as 1"
    ports: dict[tuple[Any, Any], list[tuple[Path, Object]]] = {}
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield from _of_container(container, where.child(group).index(index), ports)


def _of_node_affinity(affinity: Object, at: Path) -> Iterator[str]:
    place = at.child("affinity", "nodeAffinity")
    required = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    where = place.child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    for index, term in enumerate(required):
        yield from of_expressions(term.get("matchExpressions"), where.index(index))
    where = place.child("preferredDuringSchedulingIgnoredDuringExecution")
    for index, preferred in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        expressions = (preferred.get("preference") or {}).get("matchExpressions")
        yield from of_expressions(expressions, where.index(index).child("preference"))


def of_expressions(expressions: Any, at: Path) -> Iterator[str]:
    """Of deprecated node labels in a term's matchExpressions."""
    for index, expression in enumerate(expressions or ()):
        key = expression.get("key", "")
        if key in NODE_LABELS:
            yield f"{at.child('matchExpressions').index(index).child('key')}: {key} is {deprecated_label(key)}"


def deprecated_label(label: str) -> str:
    since, instead = NODE_LABELS[label]
    return f'deprecated since {since}; use "{instead}" instead'


def _of_spread(spread: Object, at: Path) -> Iterator[str]:
    key = spread.get("topologyKey", "")
    if key in NODE_LABELS:
        yield f"{at.child('topologyKey')}: {key} is {deprecated_label(key)}"
    if spread.get("labelSelector") is None:
        yield f"{at.child('labelSelector')}: a null labelSelector results in matching no pod"


def _repeated(items: list[Object] | None, key: str, at: Path) -> Iterator[str]:
    seen: set[Any] = set()
    for index, item in enumerate(items or ()):
        if item.get(key) in seen:
            yield f'{at.index(index).child(key)}: duplicate {key} "{item.get(key)}"'
        seen.add(item.get(key))


def _of_pull_secrets(secrets: Any, at: Path) -> Iterator[str]:
    yield from _repeated(secrets, "name", at)
    for index, secret in enumerate(secrets):
        if not secret.get("name"):
            yield f'{at.index(index).child("name")}: invalid empty name ""'


def _of_container(
    container: Object, at: Path, ports: dict[tuple[Any, Any], list[tuple[Path, Object]]]
) -> Iterator[str]:
    for part in ("limits", "requests"):
        amounts = (container.get("resources") or {}).get(part) or {}
        for name in _WHOLE_BYTES:
            if name in amounts and quantity.milli(amounts[name]) % 1000:
                place = at.child("resources", part).key(name)
                yield f'{place}: fractional byte value "{amounts[name]}" is invalid, must be an integer'
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in seen and not _extends(variable):
            place = at.child("env").index(index)
            yield f'{place}: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)
    for index, port in enumerate(container.get("ports") or ()):
        place = at.child("ports").index(index)
        others = ports.setdefault((port.get("containerPort"), port.get("protocol")), [])
        for other_place, other in others:
            if (port.get("hostIP"), port.get("hostPort")) == (other.get("hostIP"), other.get("hostPort")):
                yield f"{place}: duplicate port definition with {other_place}"
            elif not port.get("hostPort") or not other.get("hostPort"):
                yield f"{place}: overlapping port definition with {other_place}"
        others.append((place, port))


def _extends(variable: Object) -> bool:
    """Whether a second definition of a variable adds to the first, as in `$(PATH):/bin`."""
    value, reference = variable.get("value") or "", f"$({variable.get('name')})"
    return variable.get("valueFrom") is None and value != reference and reference in value
