"""Answers, with the scheduler's own decisions on a snapshot made for it, which pending pods new nodes would take."""

from collections.abc import Iterable, Sequence

from minikube_py.cloud.protocol import GrowthAnswer, GrowthQuestion
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import controller_of
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.kind import GVR
from minikube_py.scheduler.changes import scheduler_of
from minikube_py.scheduler.decide import Decision, decide
from minikube_py.scheduler.pod_info import PodInfo, read_pod
from minikube_py.scheduler.profile import DEFAULT_PROFILE, Profile, by_name
from minikube_py.scheduler.snapshot import Owners, Snapshot, Storage
from minikube_py.scheduler.views import CachedOwners, CachedStorage

_PODS = GVR("", "v1", "pods")
_NODES = GVR("", "v1", "nodes")
_NAMESPACES = GVR("", "v1", "namespaces")


class CachedGrowthPlanner:
    """Implements GrowthPlanner over the scheduler's informers."""

    def __init__(self, informers: InformerSet, profiles: Sequence[Profile] = (DEFAULT_PROFILE,)) -> None:
        self._profiles = profiles
        self._storage: Storage = CachedStorage(informers)
        self._owners: Owners = CachedOwners(informers)
        self._pods = informers.informer(_PODS)
        self._nodes = informers.informer(_NODES)
        self._namespaces = informers.informer(_NAMESPACES)

    def plan(self, question: GrowthQuestion) -> GrowthAnswer:
        snapshot = Snapshot(self._storage, self._owners)
        for namespace in self._namespaces.cache:
            metadata = namespace["metadata"]
            snapshot.counts.set_namespace(metadata["name"], metadata.get("labels") or {})
        return plan_growth(snapshot, self._nodes.cache, self._pods.cache, question, self._profiles)


def plan_growth(
    snapshot: Snapshot,
    nodes: Iterable[Object],
    pods: Iterable[Object],
    question: GrowthQuestion,
    profiles: Sequence[Profile] = (DEFAULT_PROFILE,),
) -> GrowthAnswer:
    """The same over an empty snapshot, which is filled with the nodes and the pods on them."""
    for node in nodes:
        snapshot.set_node(node)
    for pod in pods:
        if pod["spec"].get("nodeName") and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            snapshot.add_pod(read_pod(pod))
    return _Search(snapshot, question, profiles).run()


class _Search:
    """One question: places the pods one by one and adds a node for each that fits nowhere else."""

    def __init__(self, snapshot: Snapshot, question: GrowthQuestion, profiles: Sequence[Profile]) -> None:
        self._profiles = by_name(profiles)
        self._snapshot = snapshot
        self._question = question
        self._made = 0
        self._new: set[str] = set()
        self._hopeless: dict[str, tuple[str, ...]] = {}

    def run(self) -> GrowthAnswer:
        for _ in range(self._question.coming):
            self._add_node()
        helped: set[str] = set()
        placed: set[str] = set()
        reasons: dict[str, tuple[str, ...]] = {}
        for pod in sorted((read_pod(obj) for obj in self._question.pending), key=_order):
            alike = (controller_of(pod.obj) or {}).get("uid", "")
            if alike and alike in self._hopeless:
                reasons[pod.uid] = self._hopeless[alike]
                continue
            decision = self._decide(pod)
            if not decision.node_name:
                decision, why = self._try_new_node(pod)
                if not decision.node_name:
                    reasons[pod.uid] = self._hopeless[alike] = why
                    continue
            (helped if decision.node_name in self._new else placed).add(pod.uid)
            pod.node_name = decision.node_name
            self._snapshot.add_pod(pod)
        return GrowthAnswer(len(self._new), frozenset(helped), frozenset(placed), reasons)

    def _decide(self, pod: PodInfo) -> Decision:
        profile = self._profiles.get(scheduler_of(pod.obj), DEFAULT_PROFILE)
        return decide(self._snapshot, pod, profile=profile)

    def _try_new_node(self, pod: PodInfo) -> tuple[Decision, tuple[str, ...]]:
        """Where the pod goes with one node more; without a place, the reasons (() when there may be no more nodes)."""
        name = self._add_node()
        decision = self._decide(pod)
        if decision.node_name and len(self._new) < self._question.most:
            self._new.add(name)
            return decision, ()
        self._remove_node(name)
        if decision.node_name:
            return Decision(), ()
        refusal = decision.refusals.get(name) or decision.by_rule
        return decision, tuple(refusal.reasons) if refusal is not None else ("no matching node",)

    def _add_node(self) -> str:
        node = self._question.new_node(self._made)
        self._made += 1
        self._snapshot.set_node(node)
        name: str = node["metadata"]["name"]
        for companion in self._question.on_new_node(node):
            self._snapshot.add_pod(read_pod(companion, name))
        return name

    def _remove_node(self, name: str) -> None:
        for uid in list(self._snapshot.nodes[name].pods):
            self._snapshot.remove_pod(uid)
        self._snapshot.remove_node(name)


def _order(pod: PodInfo) -> tuple[int, str, str]:
    return -pod.priority, str(pod.obj["metadata"].get("creationTimestamp") or ""), pod.name
