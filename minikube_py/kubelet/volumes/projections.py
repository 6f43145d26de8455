"""What ConfigMaps, Secrets, the downward API and tokens put into a volume, as files by relative path."""

import base64
from collections.abc import Mapping
from typing import Any

from minikube_py.kubelet import environment, pod_spec
from minikube_py.kubelet.kinds import CLUSTER_TRUST_BUNDLES, CONFIG_MAPS, SECRETS
from minikube_py.kubelet.volumes.atomic_writer import File
from minikube_py.kubelet.volumes.protocol import VolumeContext, VolumeFailure
from minikube_py.kubelet.volumes.tokens import DEFAULT_SECONDS
from minikube_py.objects.errors import ApiError, Object

DEFAULT_MODE = 0o644
TOKEN_MODE = 0o600

Files = dict[str, File]


async def config_map_files(context: VolumeContext, source: Object, name: str, mode: int) -> Files:
    found = await context.refer(CONFIG_MAPS, name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeFailure(f'configmap "{name}" not found')
    data: dict[str, bytes] = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return _selected(source, data, mode, "config")


async def secret_files(context: VolumeContext, source: Object, name: str, mode: int) -> Files:
    found = await context.refer(SECRETS, name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeFailure(f'secret "{name}" not found')
    data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return _selected(source, data, mode, "secret")


def _selected(source: Object, data: Mapping[str, bytes], mode: int, kind: str) -> Files:
    items = source.get("items")
    if not items:
        return {key: File(value, mode) for key, value in data.items()}
    files: Files = {}
    for item in items:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            raise VolumeFailure(f"references non-existent {kind} key: {item['key']}")
        files[item["path"]] = File(data[item["key"]], _mode(item, mode))
    return files


def downward_files(context: VolumeContext, source: Object, mode: int) -> Files:
    files: Files = {}
    for item in source.get("items") or ():
        try:
            text = _downward_value(context, item)
        except ValueError as error:
            raise VolumeFailure(str(error)) from error
        files[item["path"]] = File(text.encode(), _mode(item, mode))
    return files


def _downward_value(context: VolumeContext, item: Object) -> str:
    if item.get("fieldRef"):
        return environment.field_value(context.pod, item["fieldRef"]["fieldPath"], (), ())
    selector = item["resourceFieldRef"]
    container = pod_spec.find_container(context.pod, selector.get("containerName") or "")
    spec = container.spec if container is not None else {}
    return environment.resource_value(spec, selector, context.allocatable)


async def token_files(context: VolumeContext, source: Object, mode: int) -> Files:
    seconds = int(source.get("expirationSeconds") or DEFAULT_SECONDS)
    try:
        text = await context.tokens.token(context.pod, source.get("audience") or "", seconds)
    except ApiError as error:
        raise VolumeFailure(f"failed to fetch token: {error}") from error
    owner = _only_user(context.pod)
    is_private = owner is not None or context.fs_group is not None
    return {source["path"]: File(text.encode(), TOKEN_MODE if is_private else mode, owner)}


def _only_user(pod: Object) -> int | None:
    """The user that all containers run as; None when they differ or it is the image's own."""
    of_pod = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users: set[Any] = set()
    for container in pod_spec.all_containers(pod):
        own = (container.spec.get("securityContext") or {}).get("runAsUser")
        users.add(of_pod if own is None else own)
    return int(users.pop()) if len(users) == 1 and None not in users else None


async def trust_bundle_files(context: VolumeContext, source: Object, mode: int) -> Files:
    if not source.get("name"):
        raise VolumeFailure("clusterTrustBundle projections by signerName are not supported yet")
    found = await context.refer(CLUSTER_TRUST_BUNDLES, source["name"], "")
    if found is None:
        if source.get("optional"):
            return {source["path"]: File(b"", mode)}
        raise VolumeFailure(f'clustertrustbundle "{source["name"]}" not found')
    return {source["path"]: File((found["spec"].get("trustBundle") or "").encode(), mode)}


def _mode(item: Object, mode: int) -> int:
    found = item.get("mode")
    return mode if found is None else int(found)


def default_mode(source: Object) -> int:
    found = source.get("defaultMode")
    return DEFAULT_MODE if found is None else int(found)
