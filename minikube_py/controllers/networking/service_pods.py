"""Tells a controller of Services which of them a pod change concerns."""

from collections.abc import Iterable

from minikube_py.controllers.networking.pod_endpoints import fingerprint, selects
from minikube_py.objects.meta import key, labels, namespace
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import KeysOf
from minikube_py.reconciling.informer import MODIFIED, Informer, InformerEvent


def services_of_pods(services: Informer) -> KeysOf:
    """Keys of the Services that select the pod, or did before the change, when their endpoints may differ."""

    def keys(event: InformerEvent) -> Iterable[Key]:
        pod, previous = event.object, event.previous
        if event.type == MODIFIED and previous is not None:
            if fingerprint(pod) == fingerprint(previous) and labels(pod) == labels(previous):
                return
        for service in services.cache.list(namespace(pod)):
            if selects(service, pod) or (previous is not None and selects(service, previous)):
                yield key(service)

    return keys
