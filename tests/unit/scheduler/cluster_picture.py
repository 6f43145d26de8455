"""Builds snapshots for tests of decisions: nodes and pods in a few words."""

from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.scheduler.pod_info import PodInfo, read_pod
from minikube_py.scheduler.snapshot import Snapshot

_numbers = iter(range(10**9))


def node(name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **more: Any) -> Object:
    labels = {"kubernetes.io/hostname": name, **more.pop("labels", {})}
    amounts = {"cpu": cpu, "memory": memory, "pods": pods, **more.pop("resources", {})}
    return {"metadata": {"name": name, "labels": labels}, "spec": more, "status": {"allocatable": amounts}}


def pod(
    name: str = "", *, labels: dict[str, str] | None = None, requests: dict[str, str] | None = None, **spec: Any
) -> Object:
    number = next(_numbers)
    container: Object = {"name": "c", "image": "x:1", "resources": {"requests": requests or {}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name or f"pod-{number}",
            "namespace": spec.pop("namespace", "default"),
            "uid": f"uid-{number}",
            "labels": labels or {},
        },
        "spec": {"containers": [container], **spec},
    }


def info(obj: Object, on: str = "") -> PodInfo:
    return read_pod(obj, on)


def snapshot(*nodes: Object, placed: list[tuple[str, Object]] | None = None) -> Snapshot:
    picture = Snapshot()
    for one in nodes:
        picture.set_node(one)
    for where, obj in placed or []:
        picture.add_pod(read_pod(obj, where))
    return picture
