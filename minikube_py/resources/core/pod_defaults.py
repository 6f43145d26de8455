"""Sets the defaults of pod specs and pod templates, and what only a real pod gets on top.

Source: kubernetes pkg/apis/core/v1/defaults.go.
"""

from typing import Any

from minikube_py.objects import quantity
from minikube_py.objects.errors import Object
from minikube_py.resources.core.resource_names import is_hugepage

DEFAULT_MODE = 0o644
POD_LEVEL_RESOURCES = frozenset(("cpu", "memory"))


def default_pod_template(template: Object | None) -> None:
    """Defaults of a template inside a workload."""
    if template is not None:
        default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: Object) -> None:
    """Defaults that pods and templates share."""
    _default_empty(spec, "dnsPolicy", "ClusterFirst")
    _default_empty(spec, "restartPolicy", "Always")
    _default_empty(spec, "schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    _sync_service_account(spec)
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    for key in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            default_container(container)
    for claim in spec.get("resourceClaims") or ():
        claim.setdefault("name", "")
    _round_resources(spec.get("overhead"))


def default_pod(pod: Object) -> None:
    """Defaults of a pod itself."""
    spec = pod.setdefault("spec", {})
    for key in ("containers", "initContainers"):
        for container in spec.get(key) or ():
            _default_requests(container.setdefault("resources", {}))
    default_pod_spec(spec)
    if spec["terminationGracePeriodSeconds"] < 0:  # a template keeps it: only its pods are put right
        spec["terminationGracePeriodSeconds"] = 1
    _default_pod_level_resources(spec)
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        for key in ("containers", "initContainers"):
            for container in spec.get(key) or ():
                for port in container.get("ports") or ():
                    if not port.get("hostPort") and port.get("containerPort"):
                        port["hostPort"] = port["containerPort"]


def _default_empty(obj: Object, key: str, value: Any) -> None:
    if not obj.get(key):
        obj[key] = value


def _sync_service_account(spec: Object) -> None:
    """`serviceAccount` is the old name of `serviceAccountName`; both are always shown."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def default_container(container: Object) -> None:
    """Defaults of any container."""
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = default_pull_policy(container.get("image", ""))
    _default_empty(container, "terminationMessagePath", "/dev/termination-log")
    _default_empty(container, "terminationMessagePolicy", "File")
    resources = container.setdefault("resources", {})
    _round_resources(resources.get("limits"))
    _round_resources(resources.get("requests"))
    for port in container.get("ports") or ():
        _default_empty(port, "protocol", "TCP")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key) is not None:
            default_probe(container[key])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_http_get(hook.get("httpGet"))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if source.get("fieldRef") is not None:
            _default_empty(source["fieldRef"], "apiVersion", "v1")
        if source.get("resourceFieldRef") is not None:
            source["resourceFieldRef"].setdefault("divisor", "0")


def default_pull_policy(image: str) -> str:
    """Always for `:latest` (also when it is only implied), IfNotPresent for any other tag and for digests."""
    name, at, _digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if at and not tag:
        return "IfNotPresent"
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def default_probe(probe: Object) -> None:
    _default_empty(probe, "timeoutSeconds", 1)
    _default_empty(probe, "periodSeconds", 10)
    _default_empty(probe, "successThreshold", 1)
    _default_empty(probe, "failureThreshold", 3)
    _default_http_get(probe.get("httpGet"))
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _default_http_get(action: Object | None) -> None:
    if action is not None:
        _default_empty(action, "path", "/")
        _default_empty(action, "scheme", "HTTP")


def default_volume(volume: Object) -> None:
    """Defaults of one volume; a volume without a source is an emptyDir."""
    if all(key == "name" or value is None for key, value in volume.items()):
        volume["emptyDir"] = {}
    for key in ("secret", "configMap", "downwardAPI", "projected"):
        if volume.get(key) is not None:
            volume[key].setdefault("defaultMode", DEFAULT_MODE)
    _default_downward_items(volume.get("downwardAPI"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
        if source.get("podCertificate") is not None:
            source["podCertificate"].setdefault("maxExpirationSeconds", 86400)
        _default_downward_items(source.get("downwardAPI"))
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    if volume.get("image") is not None and not volume["image"].get("pullPolicy"):
        volume["image"]["pullPolicy"] = default_pull_policy(volume["image"].get("reference", ""))
    _default_disks(volume)
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template is not None:
        template.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def _default_downward_items(source: Object | None) -> None:
    for item in (source or {}).get("items") or ():
        if item.get("fieldRef") is not None:
            _default_empty(item["fieldRef"], "apiVersion", "v1")
        if item.get("resourceFieldRef") is not None:
            item["resourceFieldRef"].setdefault("divisor", "0")


def _default_disks(volume: Object) -> None:
    """The disks of clouds and appliances, in volumes of pods and in persistent volumes alike."""
    if volume.get("iscsi") is not None:
        _default_empty(volume["iscsi"], "iscsiInterface", "default")
    if volume.get("rbd") is not None:
        _default_empty(volume["rbd"], "pool", "rbd")
        _default_empty(volume["rbd"], "user", "admin")
        _default_empty(volume["rbd"], "keyring", "/etc/ceph/keyring")
    if volume.get("azureDisk") is not None:
        disk = volume["azureDisk"]
        disk.setdefault("cachingMode", "ReadWrite")
        disk.setdefault("kind", "Shared")
        disk.setdefault("fsType", "ext4")
        disk.setdefault("readOnly", False)
    if volume.get("scaleIO") is not None:
        _default_empty(volume["scaleIO"], "storageMode", "ThinProvisioned")
        _default_empty(volume["scaleIO"], "fsType", "xfs")


default_disks = _default_disks


def _default_requests(resources: Object) -> None:
    limits = resources.get("limits")
    if limits:
        requests = resources.setdefault("requests", {})
        for name, amount in limits.items():
            requests.setdefault(name, amount)


def _round_resources(amounts: Object | None) -> None:
    """Amounts finer than a thousandth are rounded up."""
    for name, amount in (amounts or {}).items():
        if amount.endswith(("n", "u")):
            amounts[name] = quantity.canonical(f"{quantity.milli(amount)}m")  # type: ignore[index]


def _default_pod_level_resources(spec: Object) -> None:
    resources = spec.get("resources")
    if not resources or not resources.get("limits"):
        return
    requests = dict(resources.get("requests") or {})
    for name, amount in aggregate_requests(spec).items():
        if name in POD_LEVEL_RESOURCES:
            requests.setdefault(name, amount)
    for name, amount in resources["limits"].items():
        if name in POD_LEVEL_RESOURCES or is_hugepage(name):
            requests.setdefault(name, amount)
    if requests:
        resources["requests"] = requests


def aggregate_requests(spec: Object) -> dict[str, str]:
    """What all containers of a pod ask for together: containers and sidecars add up, init containers overlap."""
    totals: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(totals, container)
    sidecars: dict[str, int] = {}
    peaks: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            _add(totals, container)
            _add(sidecars, container)
            amounts = dict(sidecars)
        else:
            amounts = dict(sidecars)
            _add(amounts, container)
        for name, nanos in amounts.items():
            peaks[name] = max(peaks.get(name, 0), nanos)
    for name, nanos in peaks.items():
        totals[name] = max(totals.get(name, 0), nanos)
    shown = {name: _format_of(spec, name) for name in totals}
    return {name: _print(nanos, shown[name]) for name, nanos in totals.items()}


def _add(totals: dict[str, int], container: Object) -> None:
    for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
        totals[name] = totals.get(name, 0) + quantity.parse(amount).nanos


def _format_of(spec: Object, name: str) -> str:
    for key in ("containers", "initContainers"):
        for container in spec.get(key) or ():
            amount = ((container.get("resources") or {}).get("requests") or {}).get(name)
            if amount:
                return str(quantity.parse(amount).format)
    return "DecimalSI"


def _print(nanos: int, shown: str) -> str:
    if shown == "BinarySI" and nanos % 10**9 == 0:
        amount = nanos // 10**9
        return quantity.canonical(f"{amount / 1024:.0f}Ki" if amount % 1024 == 0 and amount else str(amount))
    return quantity.canonical(f"{nanos}n")
