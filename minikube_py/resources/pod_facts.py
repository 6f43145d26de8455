"""Says what kind of pod a pod is: its QoS class, what it refers to, whether it mirrors a static pod."""

from collections.abc import Iterator

from minikube_py.objects import quantity
from minikube_py.objects.errors import Object

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


def containers_of(spec: Object) -> Iterator[Object]:
    """All of them, in Kubernetes' order for messages: init, ordinary, ephemeral."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(key) or []


def is_mirror(pod: Object) -> bool:
    return MIRROR_ANNOTATION in ((pod.get("metadata") or {}).get("annotations") or {})


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort (the "Pod Quality of Service Classes" page)."""
    spec = pod.get("spec") or {}
    holders = (
        [spec] if spec.get("resources") else [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    )
    is_guaranteed, has_any = True, False
    for holder in holders:
        resources = holder.get("resources") or {}
        requests, limits = _positive(resources.get("requests")), _positive(resources.get("limits"))
        has_any = has_any or bool(requests) or bool(limits)
        if set(limits) != {"cpu", "memory"} or any(requests.get(n, limits[n]) != limits[n] for n in limits):
            is_guaranteed = False
    if not has_any:
        return "BestEffort"
    return "Guaranteed" if is_guaranteed else "Burstable"


def _positive(amounts: Object | None) -> dict[str, quantity.Quantity]:
    parsed = {n: quantity.parse(a) for n, a in (amounts or {}).items() if n in ("cpu", "memory")}
    return {n: a for n, a in parsed.items() if a.nanos > 0}


def secret_names(pod: Object) -> Iterator[str]:
    """Every Secret of its namespace that a pod names."""
    spec = pod.get("spec") or {}
    for reference in spec.get("imagePullSecrets") or []:
        yield reference.get("name", "")
    yield from _environment(spec, "secretRef", "secretKeyRef")
    for volume in spec.get("volumes") or []:
        if volume.get("secret"):
            yield volume["secret"].get("secretName", "")
        for source in (volume.get("projected") or {}).get("sources") or []:
            if source.get("secret"):
                yield source["secret"].get("name", "")
        for driver in ("csi", "cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"):
            body = volume.get(driver) or {}
            reference = body.get("nodePublishSecretRef") or body.get("secretRef")
            if reference:
                yield reference.get("name", "")
        if volume.get("azureFile"):
            yield volume["azureFile"].get("secretName", "")


def config_map_names(pod: Object) -> Iterator[str]:
    """Every ConfigMap of its namespace that a pod names."""
    spec = pod.get("spec") or {}
    yield from _environment(spec, "configMapRef", "configMapKeyRef")
    for volume in spec.get("volumes") or []:
        if volume.get("configMap"):
            yield volume["configMap"].get("name", "")
        for source in (volume.get("projected") or {}).get("sources") or []:
            if source.get("configMap"):
                yield source["configMap"].get("name", "")


def _environment(spec: Object, whole: str, key: str) -> Iterator[str]:
    for container in containers_of(spec):
        for source in container.get("envFrom") or []:
            if source.get(whole):
                yield source[whole].get("name", "")
        for variable in container.get("env") or []:
            reference = (variable.get("valueFrom") or {}).get(key)
            if reference:
                yield reference.get("name", "")
