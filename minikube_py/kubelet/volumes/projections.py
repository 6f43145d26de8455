"""What ConfigMaps, Secrets, the downward API and tokens put into a volume, as files by relative path."""

import base64
from collections.abc import Mapping
from typing import Any

from minikube_py.kubelet import environment, pod_spec
from minikube_py.kubelet.kinds import CLUSTER_TRUST_BUNDLES, CONFIG_MAPS, SECRETS
from minikube_py.kubelet.volumes.atomic_writer import File
from minikube_py.kubelet.volumes.pod_certificates import NotIssued, Source, pem_blocks
from minikube_py.kubelet.volumes.protocol import VolumeContext, VolumeFailure
from minikube_py.kubelet.volumes.tokens import DEFAULT_SECONDS
from minikube_py.objects.errors import ApiError, Object
from minikube_py.objects.selectors import LabelSelector

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
    return environment.resource_value(spec, selector, context.sources.allocatable())


async def token_files(context: VolumeContext, source: Object, mode: int) -> Files:
    seconds = int(source.get("expirationSeconds") or DEFAULT_SECONDS)
    try:
        text = await context.sources.tokens.token(context.pod, source.get("audience") or "", seconds)
    except ApiError as error:
        raise VolumeFailure(f"failed to fetch token: {error}") from error
    return {source["path"]: _private(context, text, mode)}


def _private(context: VolumeContext, text: str, mode: int, user: int | None = None) -> File:
    """A file for the pod's own user alone, where that is known."""
    owner = _only_user(context.pod) if user is None else user
    is_private = owner is not None or context.fs_group is not None
    return File(text.encode(), TOKEN_MODE if is_private else mode, owner)


def _only_user(pod: Object) -> int | None:
    """The user that all containers run as; None when they differ or it is the image's own. Debuggers don't count."""
    of_pod = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users: set[Any] = set()
    for container in (*pod_spec.init_containers(pod), *pod_spec.regular_containers(pod)):
        own = (container.spec.get("securityContext") or {}).get("runAsUser")
        users.add(of_pod if own is None else own)
    return int(users.pop()) if len(users) == 1 and None not in users else None


async def trust_bundle_files(context: VolumeContext, source: Object, mode: int) -> Files:
    """One file with the trust anchors of a bundle, or of all bundles of a signer that a label selector picks."""
    name, signer = source.get("name"), source.get("signerName") or ""
    if name:
        one = await context.refer(CLUSTER_TRUST_BUNDLES, name, "")
        found, missing = [one] if one is not None else [], f'clustertrustbundle "{name}" not found'
    else:
        selector = LabelSelector.from_dict(source.get("labelSelector"))
        fields = f"spec.signerName={signer}"
        listed = await context.sources.references.select(context.pod_uid, CLUSTER_TRUST_BUNDLES, fields)
        found = [bundle for bundle in listed if selector.matches(bundle["metadata"].get("labels"))]
        missing = "combination of signerName and labelSelector matched zero ClusterTrustBundles"
    if not found and not source.get("optional"):
        raise VolumeFailure(missing)
    # Each anchor once, in an order that does not change from one look to the next.
    blocks = sorted({block for bundle in found for block in pem_blocks(bundle["spec"].get("trustBundle") or "")})
    return {source["path"]: File("".join(blocks).encode(), mode)}


async def pod_certificate_files(context: VolumeContext, source: Object, index: int, mode: int) -> Files:
    """The key and the chain, in one file or in two. index: the source's place in its volume."""
    place = Source(context.pod_uid, context.name, index)
    try:
        issued = await context.sources.certificates.credentials(context.pod, place, source)
    except ApiError as error:
        raise VolumeFailure(f"failed to request a pod certificate: {error}") from error
    except NotIssued as error:
        raise VolumeFailure(str(error)) from error
    texts = {
        "credentialBundlePath": issued.key + issued.chain,
        "keyPath": issued.key,
        "certificateChainPath": issued.chain,
    }
    user = source.get("user")
    return {source[field]: _private(context, text, mode, user) for field, text in texts.items() if source.get(field)}


def _mode(item: Object, mode: int) -> int:
    found = item.get("mode")
    return mode if found is None else int(found)


def default_mode(source: Object) -> int:
    found = source.get("defaultMode")
    return DEFAULT_MODE if found is None else int(found)
