"""Pulls from a real registry on 127.0.0.1 that asks for a password."""

import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from minikube_py.kubelet.runtimes.protocol import ContainerSpec, RegistryCredentials, RuntimeFailure
from tests.docker.node import Node
from tests.support.images import TEST_IMAGE

USER, PASSWORD = "puller", "s3cret"
# bcrypt of PASSWORD, the only kind of hash that the registry takes.
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"
_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {directory}/data}}}}
http: {{addr: 127.0.0.1:{port}}}
auth: {{htpasswd: {{realm: test, path: {directory}/htpasswd}}}}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("docker-registry")
    assert program is not None, "install docker-registry (Debian: apt-get install docker-registry)"
    port = _free_port()
    (tmp_path / "htpasswd").write_text(_HTPASSWD)
    (tmp_path / "config.yml").write_text(_CONFIG.format(directory=tmp_path, port=port))
    with subprocess.Popen([program, "serve", str(tmp_path / "config.yml")], stderr=subprocess.DEVNULL) as process:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, "the registry did not start"
        yield f"127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def image(registry: str, docker_client: docker.APIClient) -> Iterator[str]:
    """An image that is in the registry and not on the engine."""
    repository = f"{registry}/team/app-{uuid.uuid4().hex[:8]}"
    docker_client.tag(TEST_IMAGE, repository, "1")
    auth = {"username": USER, "password": PASSWORD}
    output = docker_client.push(repository, "1", auth_config=auth)
    assert "error" not in output, output
    docker_client.remove_image(f"{repository}:1")
    yield f"{repository}:1"
    if docker_client.images(f"{repository}:1"):
        docker_client.remove_image(f"{repository}:1")


async def test_pull_with_credentials(node: Node, image: str) -> None:
    assert await node.runtime.image(image) is None
    wrong, right = RegistryCredentials(USER, "wrong"), RegistryCredentials(USER, PASSWORD)
    said: list[str] = []
    pulled = await node.runtime.pull(image, (wrong, right), said.append)
    assert pulled.digests
    assert not pulled.is_local_build
    sandbox = await node.sandbox()
    by_digest = next(one for one in pulled.digests if one.startswith(image.rpartition(":")[0]))
    digest = pulled.digest_of(image)
    assert digest == by_digest
    spec = ContainerSpec(sandbox.pod, "main", by_digest, command=("true",), image_digest=digest)
    assert (await node.runtime.start_container(spec, sandbox)).image_id == f"docker-pullable://{digest}"


@pytest.mark.parametrize("credentials", [(), (RegistryCredentials(USER, "wrong"),)])
async def test_pull_without_the_right_password(
    node: Node, image: str, credentials: tuple[RegistryCredentials, ...]
) -> None:
    with pytest.raises(RuntimeFailure) as failure:
        await node.runtime.pull(image, credentials, lambda text: None)
    assert failure.value.reason == "ErrImagePull"
    assert image in failure.value.message


async def test_pull_of_what_is_not_there(node: Node, registry: str) -> None:
    credentials = (RegistryCredentials(USER, PASSWORD),)
    with pytest.raises(RuntimeFailure, match="not found") as failure:
        await node.runtime.pull(f"{registry}/none:1", credentials, lambda text: None)
    assert failure.value.reason == "ErrImagePull"
    with pytest.raises(RuntimeFailure) as failure:
        await node.runtime.pull("127.0.0.1:1/none:1", credentials, lambda text: None)
    assert failure.value.reason == "RegistryUnavailable"
    with pytest.raises(RuntimeFailure) as failure:
        await node.runtime.pull("Not A Reference", (), lambda text: None)
    assert failure.value.reason == "InvalidImageName"
