"""Decides how a Deployment moves from its old ReplicaSets to its new one; pure functions over objects.

Source: pkg/controller/deployment/util and rolling.go. Counts come from spec.replicas (what was asked for) where pods
may be created or removed, and from status.availableReplicas where availability is at stake.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from minikube_py.controllers.workloads.template import same_template
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import annotations, generation, is_deleting, name, uid

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
NOT_COPIED = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        ROLLBACK_TO,
    )
)
_LONGEST_HISTORY = 2000
_NO_DEADLINE = 2**31 - 1


def scaled_value(value: Any, total: int, *, round_up: bool) -> int:
    """An IntOrString as a number: a percentage is taken of total."""
    if isinstance(value, str):
        share = int(value.rstrip("%")) * total / 100
        return ceil(share) if round_up else floor(share)
    return int(value or 0)


def replicas(obj: Object) -> int:
    return int(obj["spec"].get("replicas", 1))


def counted(obj: Object, field: str) -> int:
    return int((obj.get("status") or {}).get(field) or 0)


def total_replicas(replica_sets: Iterable[Object]) -> int:
    return sum(replicas(rs) for rs in replica_sets)


def is_rolling(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type") == "RollingUpdate")


def fence_posts(deployment: Object) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; never both 0."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas(deployment)
    surge = scaled_value(rolling.get("maxSurge", "25%"), wanted, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), wanted, round_up=False)
    if not surge and not unavailable:
        unavailable = 1
    return surge, unavailable


def max_surge(deployment: Object) -> int:
    return fence_posts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Object) -> int:
    if not is_rolling(deployment) or not replicas(deployment):
        return 0
    return min(fence_posts(deployment)[1], replicas(deployment))


def has_progress_deadline(deployment: Object) -> bool:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and seconds != _NO_DEADLINE


def by_age(replica_sets: Iterable[Object]) -> list[Object]:
    """Oldest first; names break ties."""
    return sorted(replica_sets, key=lambda rs: (rs["metadata"].get("creationTimestamp", ""), name(rs)))


def active(replica_sets: Iterable[Object]) -> list[Object]:
    return [rs for rs in replica_sets if replicas(rs) > 0]


def find_new(deployment: Object, replica_sets: Sequence[Object]) -> Object | None:
    """The oldest ReplicaSet that has the Deployment's template."""
    template = deployment["spec"]["template"]
    return next((rs for rs in by_age(replica_sets) if same_template(rs["spec"]["template"], template)), None)


def revision(obj: Object) -> int:
    try:
        return int(annotations(obj).get(REVISION) or 0)
    except ValueError:
        return 0


def int_annotation(obj: Object, key: str) -> int | None:
    try:
        return int(annotations(obj)[key])
    except (KeyError, ValueError):
        return None


def new_replica_count(deployment: Object, replica_sets: Iterable[Object], new: Object) -> int:
    """How far the new ReplicaSet may grow now."""
    if not is_rolling(deployment):
        return replicas(deployment)
    room = replicas(deployment) + max_surge(deployment) - total_replicas(replica_sets)
    if room <= 0:
        return replicas(new)
    return replicas(new) + min(room, replicas(deployment) - replicas(new))


def replica_annotations(deployment: Object) -> dict[str, str]:
    wanted = replicas(deployment)
    return {DESIRED_REPLICAS: str(wanted), MAX_REPLICAS: str(wanted + max_surge(deployment))}


def new_set_annotations(deployment: Object, rs: Object, new_revision: int, *, exists: bool) -> dict[str, str]:
    """The annotations that the new ReplicaSet should have."""
    made = dict(annotations(rs))
    for key, value in annotations(deployment).items():
        if key not in NOT_COPIED:
            made[key] = value
    before = made.get(REVISION)
    if before is not None and not before.isdigit():
        return made
    if int(before or 0) < new_revision:
        made[REVISION] = str(new_revision)
        if before is not None:
            made[REVISION_HISTORY] = _with_revision(made.get(REVISION_HISTORY, ""), before)
    if not exists:
        made.update(replica_annotations(deployment))
    return made


def _with_revision(history: str, old: str) -> str:
    past = [entry for entry in history.split(",") if entry]
    past.append(old)
    while len(",".join(past)) > _LONGEST_HISTORY and len(past) > 1:
        past.pop(0)
    return ",".join(past)


@dataclass(frozen=True)
class Resize:
    """A decision: this ReplicaSet shall have that many replicas."""

    uid: str
    replicas: int


def shrink_old(deployment: Object, old: Sequence[Object], new: Object) -> list[Resize]:
    """Which old ReplicaSets give up pods in this step of a rolling update: unhealthy pods first."""
    everything = [*old, new]
    if not total_replicas(old):
        return []
    minimum = replicas(deployment) - max_unavailable(deployment)
    new_unavailable = replicas(new) - counted(new, "availableReplicas")
    may_go = total_replicas(everything) - minimum - new_unavailable
    if may_go <= 0:
        return []
    sizes = {uid(rs): replicas(rs) for rs in old}
    for rs in by_age(old):
        unhealthy = sizes[uid(rs)] - counted(rs, "availableReplicas")
        taken = min(may_go, max(unhealthy, 0))
        sizes[uid(rs)] -= taken
        may_go -= taken
    may_go = sum(counted(rs, "availableReplicas") for rs in everything) - minimum
    for rs in by_age(old):
        taken = min(max(may_go, 0), sizes[uid(rs)])
        sizes[uid(rs)] -= taken
        may_go -= taken
    return [Resize(uid(rs), sizes[uid(rs)]) for rs in by_age(old) if sizes[uid(rs)] != replicas(rs)]


def active_or_latest(new: Object | None, old: Sequence[Object]) -> Object | None:
    """The only ReplicaSet with pods, or the newest if none has; None when several have."""
    having = active([*old, new] if new is not None else old)
    if len(having) > 1:
        return None
    if having:
        return having[0]
    if new is not None:
        return new
    return by_age(old)[-1] if old else None


def is_saturated(deployment: Object, rs: Object | None) -> bool:
    """Whether the new ReplicaSet alone fulfils the Deployment."""
    if rs is None:
        return False
    wanted = replicas(deployment)
    desired = int_annotation(rs, DESIRED_REPLICAS)
    return replicas(rs) == wanted and desired == wanted and counted(rs, "availableReplicas") == wanted


def spread_proportionally(deployment: Object, new: Object | None, old: Sequence[Object]) -> list[Resize]:
    """Share out a change of the Deployment's size over several active ReplicaSets by their sizes."""
    sets = active([*old, new] if new is not None else old)
    allowed = replicas(deployment) + max_surge(deployment) if replicas(deployment) > 0 else 0
    to_add = allowed - total_replicas(sets)
    ordered = by_age(sets)
    if to_add > 0:
        ordered.reverse()
    ordered.sort(key=replicas, reverse=True)
    sizes, added = [], 0
    for rs in ordered:
        share = _share(deployment, rs, to_add, added)
        sizes.append(replicas(rs) + share)
        added += share
    if sizes and to_add:
        sizes[0] = max(sizes[0] + to_add - added, 0)
    return [Resize(uid(rs), size) for rs, size in zip(ordered, sizes, strict=True)]


def _share(deployment: Object, rs: Object, to_add: int, added: int) -> int:
    if not replicas(rs) or not to_add or to_add == added:
        return 0
    fraction = _fraction(deployment, rs)
    allowed = to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _fraction(deployment: Object, rs: Object) -> int:
    if not replicas(deployment):
        return -replicas(rs)
    before = int_annotation(rs, MAX_REPLICAS) or counted(deployment, "replicas")
    if not before:
        return 0
    size = replicas(rs) * (replicas(deployment) + max_surge(deployment)) / before
    return floor(size + 0.5) - replicas(rs)


def removable_history(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """The old ReplicaSets beyond revisionHistoryLimit that hold no pods, oldest revision first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:
        return []
    alive = sorted((rs for rs in old if not is_deleting(rs)), key=lambda rs: (revision(rs), name(rs)))
    surplus = alive[: max(len(alive) - limit, 0)]
    return [rs for rs in surplus if not replicas(rs) and not counted(rs, "replicas") and _is_observed(rs)]


def _is_observed(rs: Object) -> bool:
    return generation(rs) <= counted(rs, "observedGeneration")


def is_complete(deployment: Object, status: Object) -> bool:
    wanted = replicas(deployment)
    counts = (status.get("updatedReplicas", 0), status.get("replicas", 0), status.get("availableReplicas", 0))
    return counts == (wanted, wanted, wanted) and status.get("observedGeneration", 0) >= generation(deployment)


def is_progressing(before: Object, after: Object) -> bool:
    """Whether new pods came, became ready or available, or old ones went."""

    def old_pods(status: Object) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return any(after.get(f, 0) > before.get(f, 0) for f in grown) or old_pods(after) < old_pods(before)
