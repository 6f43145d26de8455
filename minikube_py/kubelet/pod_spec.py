"""Reads what the kubelet needs from a pod object: its containers and their kinds, restart rules, QoS class, grace."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from minikube_py.kubelet.runtimes.protocol import PodRef
from minikube_py.objects import quantity
from minikube_py.objects.errors import Object

INIT = "init"
SIDECAR = "sidecar"
REGULAR = "regular"
EPHEMERAL = "ephemeral"
VOLUME = "volume"

RESTART_ALL = "RestartAllContainers"

DEFAULT_GRACE_SECONDS = 30
MINIMUM_GRACE_SECONDS = 2

_FIELD_PATHS = {
    INIT: "initContainers",
    SIDECAR: "initContainers",
    REGULAR: "containers",
    EPHEMERAL: "ephemeralContainers",
    VOLUME: "volumes",
}


@dataclass(frozen=True)
class PodContainer:
    """One container of a pod's spec with its kind: init, sidecar (restartable init), regular or ephemeral.

    An image volume is pulled as one of the kind volume.
    """

    kind: str
    spec: Object

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def image(self) -> str:
        return str(self.spec.get("image") or "")

    @property
    def field_path(self) -> str:
        """The fieldPath of events about it."""
        return f"spec.{_FIELD_PATHS[self.kind]}{{{self.name}}}"


def reference(pod: Object) -> PodRef:
    meta = pod["metadata"]
    return PodRef(uid=meta["uid"], namespace=meta["namespace"], name=meta["name"])


def full_name(pod: Object) -> str:
    """`name_namespace(uid)`, the form of Kubernetes' back-off messages."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def init_containers(pod: Object) -> list[PodContainer]:
    """Init containers and sidecars in the order of the spec."""
    return [
        PodContainer(SIDECAR if c.get("restartPolicy") == "Always" else INIT, c)
        for c in pod["spec"].get("initContainers") or ()
    ]


def regular_containers(pod: Object) -> list[PodContainer]:
    return [PodContainer(REGULAR, c) for c in pod["spec"].get("containers") or ()]


def ephemeral_containers(pod: Object) -> list[PodContainer]:
    return [PodContainer(EPHEMERAL, c) for c in pod["spec"].get("ephemeralContainers") or ()]


def all_containers(pod: Object) -> Iterator[PodContainer]:
    yield from init_containers(pod)
    yield from regular_containers(pod)
    yield from ephemeral_containers(pod)


def find_container(pod: Object, name: str) -> PodContainer | None:
    return next((c for c in all_containers(pod) if c.name == name), None)


def restart_policy(pod: Object) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def should_restart(pod: Object, container: PodContainer, exit_code: int) -> bool:
    """Whether a container that ended with exit_code runs again, after its own rules and the pod's restart policy."""
    if container.kind == EPHEMERAL:
        return False
    if container.kind == SIDECAR:
        return True
    if _action(container, exit_code) in ("Restart", RESTART_ALL):
        return True
    policy = container.spec.get("restartPolicy") or restart_policy(pod)
    if container.kind == INIT:
        return exit_code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def restarts_all(container: PodContainer, exit_code: int) -> bool:
    """Whether a container that ended with exit_code takes all containers of its pod with it, to begin anew."""
    return _action(container, exit_code) == RESTART_ALL


def _action(container: PodContainer, exit_code: int) -> str:
    """Of the first rule that matches, or ''."""
    rules = container.spec.get("restartPolicyRules") or ()
    return next((str(rule.get("action")) for rule in rules if _rule_matches(rule, exit_code)), "")


def _rule_matches(rule: Object, exit_code: int) -> bool:
    on = rule.get("exitCodes") or {}
    is_in = exit_code in (on.get("values") or ())
    return not is_in if on.get("operator") == "NotIn" else is_in


def is_deleting(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_terminal(pod: Object) -> bool:
    """Whether the API already has the pod as Succeeded or Failed."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def grace_seconds(pod: Object) -> int:
    """How long the pod's containers get to stop: what the deletion asks for, else the spec's."""
    meta = pod["metadata"]
    if meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds") is not None:
        # A grace of 0 comes only when the object is being forced away: stop fast, yet with a signal first.
        return max(1, int(meta["deletionGracePeriodSeconds"]))
    value = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE_SECONDS if value is None else int(value)


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort, from cpu and memory of init and regular containers (or of the pod)."""
    sources = [c.spec for c in (*init_containers(pod), *regular_containers(pod))]
    if pod["spec"].get("resources"):
        sources = [pod["spec"]]
    is_guaranteed, is_anything_set = bool(sources), False
    for source in sources:
        resources = source.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            request, limit = amount(requests, name), amount(limits, name)
            is_anything_set = is_anything_set or request > 0 or limit > 0
            if limit <= 0 or (request > 0 and request != limit):
                is_guaranteed = False
    if not is_anything_set:
        return "BestEffort"
    return "Guaranteed" if is_guaranteed else "Burstable"


def amount(amounts: Mapping[str, Any], name: str) -> int:
    """cpu in thousandths of a core, everything else in whole units (bytes); 0 when it is not there."""
    text = amounts.get(name)
    if text is None:
        return 0
    parsed = quantity.parse(str(text))
    return quantity.milli(parsed) if name == "cpu" else quantity.value(parsed)


def host_ports(pod: Object) -> set[tuple[str, str, int]]:
    """(host IP or '0.0.0.0', protocol, port) of every host port."""
    ports = set()
    for container in (*init_containers(pod), *regular_containers(pod)):
        for port in container.spec.get("ports") or ():
            if port.get("hostPort"):
                ports.add((port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"])))
    return ports
