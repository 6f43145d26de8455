"""Makes a container's image present: pull policy, parallel limit, back-off, pull secrets, and Kubernetes' events."""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import orjson

from minikube_py import clock
from minikube_py.kubelet import backoff
from minikube_py.kubelet.backoff import BackOff, duration_text
from minikube_py.kubelet.kinds import SECRETS
from minikube_py.kubelet.metrics.operations import OperationCounts
from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.references import References
from minikube_py.kubelet.runtimes.protocol import (
    ContainerRuntime,
    ImageState,
    RegistryCredentials,
    RuntimeFailure,
)
from minikube_py.objects.errors import Object
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder, reference

PARALLEL_PULLS = 5

ERR_IMAGE_PULL = "ErrImagePull"
NEVER_PULL = "ErrImageNeverPull"
INVALID_IMAGE_NAME = "InvalidImageName"
PULL_FAILURES = (ERR_IMAGE_PULL, "RegistryUnavailable")
"""Reasons of a pull that went wrong: the next attempt is up to the back-off kept here."""

IMAGE_FAILURES = frozenset((*PULL_FAILURES, "ImagePullBackOff", NEVER_PULL, INVALID_IMAGE_NAME))
"""Reasons that `ensure` raises, after it has written the events about them."""

_DOCKER_HUB = "index.docker.io"


class Images:
    """Implements ImageSource."""

    def __init__(
        self,
        runtime: ContainerRuntime,
        references: References,
        recorder: EventRecorder,
        pulled: Callable[[], None],
        operations: OperationCounts,
    ) -> None:
        """pulled is called after each successful pull."""
        self._pulled = pulled
        self._operations = operations
        self._runtime = runtime
        self._references = references
        self._recorder = recorder
        self._slots = asyncio.Semaphore(PARALLEL_PULLS)
        self._back_off: dict[tuple[str, str], tuple[BackOff, float, str]] = {}

    async def ensure(self, pod: Object, container: PodContainer, progress: Callable[[str], None]) -> ImageState:
        """The image, pulled if the policy wants it. Raises RuntimeFailure with the waiting reason."""
        image, policy = container.image, _policy(container)
        if image != image.strip() or not image:
            text = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}"'
            raise self._refused(pod, container, "InspectFailed", RuntimeFailure(INVALID_IMAGE_NAME, text))
        try:
            present = await self._runtime.image(image)
        except RuntimeFailure as failure:
            if failure.reason == INVALID_IMAGE_NAME:
                self._refused(pod, container, "InspectFailed", failure)
            raise
        if policy == "Never" or (present is not None and (policy != "Always" or present.is_local_build)):
            if present is None:
                text = f'Container image "{image}" is not present with pull policy of Never'
                raise self._refused(pod, container, NEVER_PULL, RuntimeFailure(NEVER_PULL, text))
            text = f'Container image "{image}" already present on machine and can be accessed by the pod'
            self._event(pod, container, NORMAL, "Pulled", text)
            return present
        self._refuse_in_back_off(pod, container)
        try:
            return await self._pull(pod, container, progress)
        except RuntimeFailure as failure:
            if present is not None:
                text = f'Failed to pull image "{image}": {failure.message}; using the copy on this machine'
                self._event(pod, container, WARNING, "Failed", text)
                return present
            self._event(pod, container, WARNING, "Failed", f'Failed to pull image "{image}": {failure.message}')
            # What users and their scripts look for, whatever the engine's own name of the trouble is.
            reason = ERR_IMAGE_PULL if failure.reason in PULL_FAILURES else failure.reason
            self._event(pod, container, WARNING, "Failed", f"Error: {reason}")
            self._note_failure(pod, container, f"{reason}: {failure.message}")
            raise RuntimeFailure(reason, failure.message) from failure

    def _refused(self, pod: Object, container: PodContainer, reason: str, failure: RuntimeFailure) -> RuntimeFailure:
        """The failure, told in an event of that reason and in the one that every failed start has."""
        self._event(pod, container, WARNING, reason, failure.message)
        self._event(pod, container, WARNING, "Failed", f"Error: {failure.reason}")
        return failure

    def forget_back_off(self, pod_uid: str) -> None:
        """What the pull depends on has changed: try again without waiting."""
        for key in [key for key in self._back_off if key[0] == pod_uid]:
            del self._back_off[key]

    async def _pull(self, pod: Object, container: PodContainer, progress: Callable[[str], None]) -> ImageState:
        image = container.image
        self._event(pod, container, NORMAL, "Pulling", f'Pulling image "{image}"')
        loop = asyncio.get_running_loop()
        asked = loop.time()
        credentials = tuple([c async for c in self._credentials(pod)])
        async with self._slots:
            began = loop.time()
            with self._operations.timed("pull_image"):
                state = await self._runtime.pull(image, credentials, progress)
        ended = loop.time()
        took, waited = duration_text(round(ended - began, 3)), duration_text(round(ended - asked, 3))
        text = (
            f'Successfully pulled image "{image}" in {took} ({waited} including waiting). '
            f"Image size: {state.size_bytes} bytes."
        )
        self._event(pod, container, NORMAL, "Pulled", text)
        self._back_off.pop(_key(pod, container), None)
        self._pulled()
        return state

    def _refuse_in_back_off(self, pod: Object, container: PodContainer) -> None:
        found = self._back_off.get(_key(pod, container))
        if found is None:
            return
        entry, failed_at, error = found
        due = backoff.retry_at(entry, failed_at)
        if due <= clock.seconds():
            return
        text = f'Back-off pulling image "{container.image}"'
        self._event(pod, container, NORMAL, "BackOff", text)
        self._event(pod, container, WARNING, "Failed", "Error: ImagePullBackOff")
        raise PullBackOff(f"{text}: {error}", due)

    def _note_failure(self, pod: Object, container: PodContainer, error: str) -> None:
        key, now = _key(pod, container), clock.seconds()
        found = self._back_off.get(key)
        self._back_off[key] = (backoff.raised(found[0] if found is not None else None, now), now, error)

    async def _credentials(self, pod: Object) -> AsyncIterator[RegistryCredentials]:
        """Credentials of the pod's pull secrets; admission has put its service account's there."""
        meta = pod["metadata"]
        names = [s.get("name") for s in pod["spec"].get("imagePullSecrets") or ()]
        for name in dict.fromkeys(filter(None, names)):
            secret = await self._references.get(meta["uid"], SECRETS, meta["namespace"], name)
            if secret is None:
                text = (
                    f"Unable to retrieve some image pull secrets ({name}); "
                    "attempting to pull the image may not succeed."
                )
                self._recorder.event_for(_reference(pod, ""), WARNING, "FailedToRetrieveImagePullSecret", text)
                continue
            for entry in credentials_of(secret):
                yield entry

    def _event(self, pod: Object, container: PodContainer, type_: str, reason: str, message: str) -> None:
        self._recorder.event_for(_reference(pod, container.field_path), type_, reason, message)


class PullBackOff(RuntimeFailure):
    """The last pull failed lately; until is when the next one may start (epoch seconds)."""

    def __init__(self, message: str, until: float) -> None:
        super().__init__("ImagePullBackOff", message)
        self.until = until


def _reference(pod: Object, path: str) -> Object:
    return reference({"kind": "Pod", "apiVersion": "v1", **pod}, path)


def _key(pod: Object, container: PodContainer) -> tuple[str, str]:
    return pod["metadata"]["uid"], container.image


def _policy(container: PodContainer) -> str:
    policy = container.spec.get("imagePullPolicy")
    if policy:
        return str(policy)
    name = container.image.rpartition("/")[2]
    is_latest = "@" not in name and (":" not in name or name.endswith(":latest"))
    return "Always" if is_latest else "IfNotPresent"


def credentials_of(secret: Object) -> Iterable[RegistryCredentials]:
    """The registries of a kubernetes.io/dockerconfigjson or dockercfg Secret; malformed entries are left out."""
    data = secret.get("data") or {}
    auths: Any = None
    if ".dockerconfigjson" in data:
        auths = (_json(data[".dockerconfigjson"]) or {}).get("auths")
    elif ".dockercfg" in data:
        auths = _json(data[".dockercfg"])
    for registry, entry in (auths or {}).items() if isinstance(auths, dict) else ():
        if isinstance(entry, dict):
            yield _entry(registry, entry)


def _entry(registry: str, entry: dict[str, Any]) -> RegistryCredentials:
    username, password = entry.get("username") or "", entry.get("password") or ""
    if entry.get("auth") and not username:
        username, _, password = _decode(entry["auth"]).decode(errors="replace").partition(":")
    host = registry.removeprefix("https://").removeprefix("http://").rstrip("/")
    host = host.removesuffix("/v1").removesuffix("/v2")
    if host in ("docker.io", "registry-1.docker.io"):
        host = _DOCKER_HUB
    return RegistryCredentials(
        username=username,
        password=password.rstrip("\x00"),
        identity_token=entry.get("identitytoken") or "",
        registry=host,
    )


def _json(encoded: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(_decode(encoded))
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _decode(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return b""
