"""Refuses nodes with a NoSchedule or NoExecute taint that the pod doesn't tolerate."""

from minikube_py.scheduler.framework import Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.tolerations import tolerates


class TaintToleration:
    name = "TaintToleration"
    is_local = True
    wakes_on = frozenset((Wake.NODE_ADDED, Wake.NODE_TAINTS))

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        tolerations = pod.tolerations

        def check(node: NodeInfo) -> Refusal | None:
            for taint in node.hard_taints:
                for toleration in tolerations:
                    if tolerates(toleration, taint):
                        break
                else:
                    text = f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
                    return Refusal((text,), is_final=True)
            return None

        return check
