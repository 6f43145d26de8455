"""Prefers nodes that have the pod's images already, the larger the better."""

from collections.abc import Sequence

from minikube_py.scheduler.framework import MAX_SCORE
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot

_MB = 1024 * 1024
_LEAST = 23 * _MB
_MOST_PER_CONTAINER = 1000 * _MB


class ImageLocality:
    name = "ImageLocality"

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> list[float] | None:
        known = [name for image in pod.images if (name := _normalized(image)) in snapshot.image_nodes]
        if not known:
            return None
        total = len(snapshot.node_order) or 1
        # An image that few nodes have must not draw all pods to them.
        spread = {name: snapshot.image_nodes[name] / total for name in known}
        most = _MOST_PER_CONTAINER * len(pod.images)
        scores = []
        for node in nodes:
            size = sum(int(node.images[name] * spread[name]) for name in known if name in node.images)
            size = min(max(size, _LEAST), most)
            scores.append(MAX_SCORE * (size - _LEAST) // (most - _LEAST))
        return scores


def _normalized(image: str) -> str:
    """With `:latest` where neither tag nor digest is given."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
