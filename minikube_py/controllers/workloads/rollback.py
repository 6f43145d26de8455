"""Takes a Deployment back to the template of an earlier ReplicaSet, as the annotation of old clients asks for.

Source: pkg/controller/deployment/rollback.go.
"""

from collections.abc import Iterable

from minikube_py.controllers.workloads.rollout import NOT_COPIED, ROLLBACK_TO, int_annotation, revision
from minikube_py.controllers.workloads.template import POD_TEMPLATE_HASH
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import annotations, deep_copy


def wanted_revision(deployment: Object) -> int | None:
    """The revision to go back to, 0 for the last one; None when no rollback is asked for."""
    return int_annotation(deployment, ROLLBACK_TO)


def last_revision(replica_sets: Iterable[Object]) -> int:
    """The second highest revision, 0 when there is none."""
    ordered = sorted(map(revision, replica_sets), reverse=True)
    return ordered[1] if len(ordered) > 1 else 0


def rolled_back(deployment: Object, rs: Object) -> Object:
    """The Deployment with the template and annotations that the ReplicaSet keeps."""
    made = deep_copy(deployment)
    template = deep_copy(rs["spec"]["template"])
    ((template.get("metadata") or {}).get("labels") or {}).pop(POD_TEMPLATE_HASH, None)
    made["spec"]["template"] = template
    own = {key: value for key, value in annotations(deployment).items() if key in NOT_COPIED}
    kept = {key: value for key, value in annotations(rs).items() if key not in NOT_COPIED}
    made["metadata"]["annotations"] = own | kept
    return made


def without_request(deployment: Object) -> Object:
    made = deep_copy(deployment)
    made["metadata"]["annotations"].pop(ROLLBACK_TO, None)
    return made
