"""Keeps as many pods as a ReplicationController asks for."""

from minikube_py.controllers.context import REPLICATION_CONTROLLERS
from minikube_py.controllers.replicaset import ReplicaSetController
from minikube_py.controllers.workloads.ownership import OwnerKind
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import LabelSelector
from minikube_py.resources.kind import GVK


class ReplicationControllerController(ReplicaSetController):
    """The selector is a plain map of labels here."""

    name = "replicationcontroller"
    kind = OwnerKind(REPLICATION_CONTROLLERS, GVK("", "v1", "ReplicationController"))
    component = "replication-controller"
    account = "replication-controller"

    def selector(self, owner: Object) -> LabelSelector:
        return LabelSelector.from_dict({"matchLabels": owner["spec"].get("selector") or {}})
