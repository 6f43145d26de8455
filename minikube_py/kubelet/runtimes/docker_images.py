"""Images in the user's Docker: look one up, pull one with credentials and progress, bring in the pause image."""

import asyncio
import base64
import re
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from minikube_py.kubelet.runtimes.docker_engine import DockerEngine, EngineError
from minikube_py.kubelet.runtimes.image_layers import unpack_saved_image
from minikube_py.kubelet.runtimes.pause_image import (
    PAUSE_IMAGE,
    pause_archive,
    pause_image_id,
    platform_architecture,
)
from minikube_py.kubelet.runtimes.protocol import ImageState, RegistryCredentials, RuntimeFailure

_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_PATH_PART}(?:/{_PATH_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?:@(?P<digest>[a-z0-9]+:[0-9a-f]{32,}))?",
    re.ASCII,
)
_IMAGE_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")
DEFAULT_REGISTRY = "docker.io"
_DENIED = ("unauthorized", "denied", "no basic auth credentials", "authentication required")


@dataclass(frozen=True)
class Reference:
    """A parsed image reference. tag is '' only when there is a digest."""

    name: str
    tag: str
    digest: str

    @property
    def registry(self) -> str:
        first, slash, _ = self.name.partition("/")
        is_host = slash and ("." in first or ":" in first or first == "localhost")
        return first if is_host else DEFAULT_REGISTRY

    @property
    def pull_query(self) -> dict[str, str]:
        return {"fromImage": self.name, "tag": self.digest or self.tag}


def parse_reference(text: str) -> Reference:
    """Raises RuntimeFailure(InvalidImageName)."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise RuntimeFailure(
            "InvalidImageName", f'Failed to apply default image tag "{text}": couldn\'t parse image name "{text}"'
        )
    digest = match["digest"] or ""
    return Reference(match["name"], match["tag"] or ("" if digest else "latest"), digest)


def image_state(inspected: Mapping[str, Any]) -> ImageState:
    config = inspected.get("Config") or {}
    return ImageState(
        id=inspected["Id"],
        tags=tuple(tag for tag in inspected.get("RepoTags") or () if not tag.startswith("<none>")),
        digests=tuple(digest for digest in inspected.get("RepoDigests") or () if not digest.startswith("<none>")),
        size_bytes=int(inspected.get("Size") or 0),
        user=config.get("User") or "",
        architecture=inspected.get("Architecture") or "",
        os=inspected.get("Os") or "linux",
    )


class PullProgress:
    """Adds up what the engine says about each layer into one number."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._said = -1

    def take(self, line: Mapping[str, Any]) -> str:
        """A text such as '63%' when the number has changed, else ''."""
        layer, status = str(line.get("id", "")), str(line.get("status", ""))
        detail = line.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif status in ("Download complete", "Pull complete", "Extracting") and layer in self._layers:
            total = self._layers[layer][1]
            self._layers[layer] = (total, total)
        total = sum(size for _, size in self._layers.values())
        percent = sum(done for done, _ in self._layers.values()) * 100 // total if total else -1
        if percent <= self._said:
            return ""
        self._said = percent
        return f"{percent}%"


class DockerImages:
    """The image half of the Docker runtime."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        self._pause = asyncio.Lock()
        self._has_pause = False

    async def find(self, reference: str) -> ImageState | None:
        """The local image, or None. A reference that is an image id is looked up as one."""
        if not _IMAGE_ID.fullmatch(reference):
            parse_reference(reference)
        try:
            return image_state(await self._engine.lifecycle(lambda client: client.inspect_image(reference)))
        except EngineError as error:
            if error.status == 404:
                return None
            raise RuntimeFailure("ImageInspectError", error.message) from error

    async def all(self) -> list[ImageState]:
        listed = await self._engine.lifecycle(lambda client: client.images())
        return [image_state(one) for one in listed]

    async def pull(
        self, text: str, credentials: tuple[RegistryCredentials, ...], progress: Callable[[str], None]
    ) -> ImageState:
        """Try the pod's credentials in turn, then those of the user's own Docker configuration or none."""
        reference = parse_reference(text)
        tries: list[RegistryCredentials | None] = list(credentials) or [None]
        if credentials == ():
            own = await self._engine.lifecycle(lambda client: _own_credentials(client, reference.registry))
            tries = [own]
        failure: RuntimeFailure | None = None
        for one in tries:
            failure = await self._pull_once(reference, one, progress)
            if failure is None:
                break
            if not any(word in failure.message.lower() for word in _DENIED):
                break
        if failure is not None:
            raise failure
        image = await self.find(text)
        if image is None:
            raise RuntimeFailure("ErrImagePull", f'image "{text}" was pulled but is not there')
        return image

    async def _pull_once(
        self, reference: Reference, credentials: RegistryCredentials | None, progress: Callable[[str], None]
    ) -> RuntimeFailure | None:
        headers = {"X-Registry-Auth": registry_auth(credentials, reference.registry)} if credentials else {}
        seen = PullProgress()
        try:
            async with self._engine.stream("POST", "/images/create", reference.pull_query, headers=headers) as response:
                async for raw in response.content:
                    line = orjson.loads(raw) if raw.strip() else {}
                    if "error" in line:
                        return _pull_failure(reference, str(line["error"]))
                    if text := seen.take(line):
                        progress(text)
        except EngineError as error:
            return _pull_failure(reference, error.message)
        return None

    async def unpack(self, image_id: str, directory: Path) -> None:
        """Write the image's files into the directory."""

        try:
            with tempfile.TemporaryFile(dir=directory.parent) as archive:
                await self._engine.lifecycle(lambda client: _save(client, image_id, archive))
                await asyncio.to_thread(unpack_saved_image, archive, directory)
        except (EngineError, OSError, ValueError, KeyError, tarfile.TarError) as error:
            raise RuntimeFailure("FailedMount", f"cannot unpack the image {image_id}: {error}") from error

    async def ensure_pause(self) -> None:
        """Load the pause image unless exactly it is there."""
        async with self._pause:
            if self._has_pause:
                return
            engine_info = await self._engine.lifecycle(lambda client: client.version())
            architecture = platform_architecture(str(engine_info["Arch"]))
            present = await self.find(PAUSE_IMAGE)
            # Engines with the containerd image store give other ids, so a matching architecture is enough for them.
            if present is None or (present.id != pause_image_id(architecture) and not present.digests):
                archive = pause_archive(architecture)
                await self._engine.lifecycle(lambda client: list(client.load_image(archive)))
            self._has_pause = True

    def forget_pause(self) -> None:
        """Look again before the next sandbox: somebody may have removed the image."""
        self._has_pause = False


def _save(client: Any, image_id: str, archive: IO[bytes]) -> None:
    for chunk in client.get_image(image_id):
        archive.write(chunk)
    archive.seek(0)


def registry_auth(credentials: RegistryCredentials, registry: str) -> str:
    """The X-Registry-Auth header: URL-safe base64 of JSON."""
    server = "https://index.docker.io/v1/" if registry == DEFAULT_REGISTRY else registry
    fields = {"serveraddress": credentials.registry or server}
    if credentials.identity_token:
        fields["identitytoken"] = credentials.identity_token
    else:
        fields |= {"username": credentials.username, "password": credentials.password}
    return base64.urlsafe_b64encode(orjson.dumps(fields)).decode()


def _own_credentials(client: Any, registry: str) -> RegistryCredentials | None:
    """What `docker login` of the user who runs mkube has stored; may run a credential helper."""
    from docker import auth  # noqa: PLC0415 (docker is loaded lazily)

    configuration = auth.load_config(credstore_env=client.credstore_env)
    found = auth.resolve_authconfig(configuration, registry=registry)
    if not found:
        return None
    return RegistryCredentials(
        username=found.get("username") or found.get("Username") or "",
        password=found.get("password") or found.get("Password") or "",
        identity_token=found.get("identitytoken") or found.get("IdentityToken") or "",
    )


def _pull_failure(reference: Reference, message: str) -> RuntimeFailure:
    asked = f"{reference.name}@{reference.digest}" if reference.digest else f"{reference.name}:{reference.tag}"
    reason = "RegistryUnavailable" if _is_unreachable(message) else "ErrImagePull"
    return RuntimeFailure(reason, f'failed to pull image "{asked}": {message}')


def _is_unreachable(message: str) -> bool:
    texts = ("connection refused", "no such host", "i/o timeout", "network is unreachable", "no route to host")
    return any(text in message for text in texts)
