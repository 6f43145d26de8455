"""Holds the kinds that are served right now: the built-in ones, and custom ones as CRDs come and go."""

from collections.abc import Callable, Iterable

from minikube_py.resources.kind import GVK, GVR, ResourceKind

# Higher first, as kube-aggregator orders the groups it serves itself; a group that is not listed is a custom one.
GROUP_PRIORITY = {
    "": 18000,
    "apiregistration.k8s.io": 17900,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "admissionregistration.k8s.io": 16700,
    "apiextensions.k8s.io": 16690,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "internal.apiserver.k8s.io": 16000,
    "resource.k8s.io": 15900,
    "storagemigration.k8s.io": 15800,
    "lifecycle.k8s.io": 15700,
    "metrics.k8s.io": 100,
}
CUSTOM_PRIORITY = 1000


def version_priority(version: str) -> tuple[int, int, int, str]:
    """A sort key with the preferred version last: v2 over v1 over v1beta1 over v1alpha1 over anything else."""
    text = version[1:] if version.startswith("v") else ""
    for rank, word in ((1, "alpha"), (2, "beta")):
        major, found, minor = text.partition(word)
        if found and major.isdigit() and (minor.isdigit() or not minor):
            return (rank, int(major), int(minor or 0), "")
    if text.isdigit():
        return (3, int(text), 0, "")
    return (0, 0, 0, "".join(chr(0x10FFFF - ord(c)) for c in version))


class KindRegistry:
    """Every served kind by resource and by kind. Callbacks run after each change, with no arguments."""

    def __init__(self, kinds: Iterable[ResourceKind] = ()) -> None:
        self._by_gvr: dict[GVR, ResourceKind] = {}
        self._by_gvk: dict[GVK, ResourceKind] = {}
        self._subscribers: list[Callable[[], None]] = []
        for kind in kinds:
            self._put(kind)

    def find(self, gvr: GVR) -> ResourceKind | None:
        return self._by_gvr.get(gvr)

    def find_kind(self, gvk: GVK) -> ResourceKind | None:
        return self._by_gvk.get(gvk)

    def all(self) -> list[ResourceKind]:
        """Every kind, grouped by group version in discovery order and by plural inside."""
        order = {gv: index for index, gv in enumerate(self.group_versions())}
        return sorted(self._by_gvr.values(), key=lambda k: (order[k.group, k.version], k.plural))

    def in_group_version(self, group: str, version: str) -> list[ResourceKind]:
        """The kinds of one group version, by plural."""
        found = [k for k in self._by_gvr.values() if k.group == group and k.version == version]
        return sorted(found, key=lambda k: k.plural)

    def add(self, kind: ResourceKind) -> None:
        """Serves the kind; replaces what was served under the same resource."""
        self._drop(kind.gvr)
        self._put(kind)
        self._tell()

    def remove(self, gvr: GVR) -> None:
        """Stops serving the resource; nothing happens when it isn't served."""
        if self._drop(gvr):
            self._tell()

    def group_versions(self) -> list[tuple[str, str]]:
        """(group, version) in the order of discovery: groups by priority, in a group the preferred version first."""
        pairs = {(kind.group, kind.version) for kind in self._by_gvr.values()}
        by_version = sorted(pairs, key=lambda gv: version_priority(gv[1]), reverse=True)
        return sorted(by_version, key=lambda gv: (-GROUP_PRIORITY.get(gv[0], CUSTOM_PRIORITY), gv[0]))

    def versions_of(self, group: str, plural: str) -> list[ResourceKind]:
        """Every served version of a resource, the preferred one first."""
        found = [k for k in self._by_gvr.values() if k.group == group and k.plural == plural]
        return sorted(found, key=lambda k: version_priority(k.version), reverse=True)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back after each add and remove; the returned function ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def _put(self, kind: ResourceKind) -> None:
        self._by_gvr[kind.gvr] = kind
        self._by_gvk[kind.gvk] = kind

    def _drop(self, gvr: GVR) -> bool:
        old = self._by_gvr.pop(gvr, None)
        if old is None:
            return False
        if self._by_gvk.get(old.gvk) is old:
            del self._by_gvk[old.gvk]
        return True

    def _tell(self) -> None:
        for callback in list(self._subscribers):
            callback()
