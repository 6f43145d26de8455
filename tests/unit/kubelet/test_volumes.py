"""Volumes of pods on disk: content, modes, waiting, live updates, removal. Nothing is mounted."""

import asyncio
import base64
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from minikube_py import clock
from minikube_py.kubelet.kinds import CONFIG_MAPS, SECRETS
from minikube_py.kubelet.pod_spec import find_container
from minikube_py.kubelet.pod_volumes import DiskVolumes
from minikube_py.kubelet.references import References
from minikube_py.kubelet.runtimes.protocol import Mount, RuntimeFailure
from minikube_py.kubelet.volumes import mounting
from minikube_py.kubelet.volumes.node_paths import NodePaths
from minikube_py.kubelet.volumes.tokens import Tokens
from minikube_py.objects.errors import Object
from minikube_py.reconciling.informer import InformerSet
from tests.support.memory_api import MemoryApi
from tests.support.virtual_time import virtual_time


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    mounting.unmount_below(tmp_path)


class Node:
    """The volume part of a node and the pods that were told of changes."""

    def __init__(self, data_dir: Path) -> None:
        self.api = MemoryApi()
        self.changed: list[str] = []
        self.informers = InformerSet(self.api)  # type: ignore[arg-type]
        references = References(self.informers, self.changed.append)
        tokens = Tokens(self.api)  # type: ignore[arg-type]
        self.volumes = DiskVolumes(NodePaths(data_dir), references, tokens, lambda: {"cpu": "4"})

    async def config_map(self, name: str, data: dict[str, str]) -> None:
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}, "data": data}
        if (CONFIG_MAPS, "ns", name) in self.api.objects:
            await self.api.update(CONFIG_MAPS, obj)
        else:
            await self.api.create(CONFIG_MAPS, obj, "ns")

    async def secret(self, name: str, data: dict[str, str]) -> None:
        encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
        obj = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "ns"}, "data": encoded}
        await self.api.create(SECRETS, obj, "ns")


@asynccontextmanager
async def node(data_dir: Path) -> AsyncIterator[Node]:
    made = Node(data_dir)
    task = asyncio.create_task(made.informers.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def pod(volume: Object, mount: Object | None = None, **spec: Any) -> Object:
    mounts = [{"name": "v", "mountPath": "/v", **(mount or {})}]
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u-1", "labels": {"app": "x"}},
        "spec": {"volumes": [{"name": "v", **volume}], "containers": [{"name": "c", "volumeMounts": mounts}], **spec},
    }


async def mount_of(node: Node, pod: Object) -> Mount:
    await node.volumes.set_up(pod)
    container = find_container(pod, "c")
    assert container is not None
    return (await node.volumes.mounts(pod, container, {"POD": "p"}))[0]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@virtual_time
async def _config_map(data_dir: Path) -> None:
    async with node(data_dir) as made:
        await made.config_map("cm", {"a": "1", "b": "2"})
        items = [{"key": "a", "path": "deep/x", "mode": 0o400}]
        wanted = pod({"configMap": {"name": "cm", "items": items}})
        mount = await mount_of(made, wanted)
        assert mount.read_only
        root = Path(mount.host_path)
        assert (root / "deep" / "x").read_text() == "1"
        assert mode(root / "deep" / "x") == 0o400
        await made.config_map("cm", {"a": "new"})
        await asyncio.sleep(0.1)
        assert made.changed == ["u-1"]
        await made.volumes.refresh(wanted)
        assert (root / "deep" / "x").read_text() == "new"


def test_config_map(data_dir: Path) -> None:
    _config_map(data_dir)


@virtual_time
async def _missing(data_dir: Path) -> None:
    async with node(data_dir) as made:
        with pytest.raises(RuntimeFailure) as caught:
            await made.volumes.set_up(pod({"configMap": {"name": "cm"}}))
        assert caught.value.reason == "FailedMount"
        assert caught.value.message == 'MountVolume.SetUp failed for volume "v" : configmap "cm" not found'
        optional = pod({"configMap": {"name": "cm", "optional": True}})
        root = Path((await mount_of(made, optional)).host_path)
        await made.config_map("cm", {"a": "1"})
        await asyncio.sleep(0.1)
        assert made.changed == ["u-1"]
        await made.volumes.refresh(optional)
        assert (root / "a").read_text() == "1"
        items = {"name": "cm", "items": [{"key": "none", "path": "x"}]}
        with pytest.raises(RuntimeFailure, match="references non-existent config key: none"):
            await made.volumes.set_up(pod({"configMap": items}))


def test_missing_config_map_waits_and_optional_appears(data_dir: Path) -> None:
    _missing(data_dir)


@virtual_time
async def _secret(data_dir: Path) -> None:
    async with node(data_dir) as made:
        await made.secret("s", {"k": "hidden"})
        spec = {"securityContext": {"fsGroup": os.getgid()}}
        mount = await mount_of(made, pod({"secret": {"secretName": "s", "defaultMode": 0o400}}, **spec))
        root = Path(mount.host_path)
        assert (root / "k").read_text() == "hidden"
        assert mode(root / "k") == 0o440
        assert root.is_relative_to(data_dir / "kubelet" / "memory")
        if mounting.can_mount():
            assert os.path.ismount(data_dir / "kubelet" / "memory")
        await made.volumes.tear_down("u-1")
        assert not root.exists()
        assert not (data_dir / "kubelet" / "pods" / "u-1").exists()


def test_secret_is_in_memory_and_goes_with_the_pod(data_dir: Path) -> None:
    _secret(data_dir)


@virtual_time
async def _projected(data_dir: Path) -> None:
    async with node(data_dir) as made:
        await made.config_map("ca", {"ca.crt": "CERT"})
        sources = [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]
        wanted = pod({"projected": {"sources": sources, "defaultMode": 0o644}}, serviceAccountName="sa")
        root = Path((await mount_of(made, wanted)).host_path)
        assert sorted(p.name for p in root.iterdir() if not p.name.startswith("..")) == ["ca.crt", "namespace", "token"]
        assert (root / "namespace").read_text() == "ns"
        first = (root / "token").read_text()
        assert made.volumes.refresh_at("u-1") == pytest.approx(clock.seconds() + 3607 * 0.8, abs=1)
        await made.volumes.refresh(wanted)
        assert (root / "token").read_text() == first
        await made.config_map("other", {})
        await asyncio.sleep(3607 * 0.8 + 1)
        await made.volumes.refresh(wanted)
        assert (root / "token").read_text() != first


def test_projected_token_is_renewed_in_time(data_dir: Path) -> None:
    _projected(data_dir)


@virtual_time
async def _empty_dir(data_dir: Path) -> None:
    async with node(data_dir) as made:
        mount = await mount_of(made, pod({"emptyDir": {}}))
        assert not mount.read_only
        root = Path(mount.host_path)
        assert mode(root) == 0o777
        (root / "keep").write_text("x")
        assert Path((await mount_of(made, pod({"emptyDir": {}}))).host_path, "keep").read_text() == "x"
        sub = await mount_of(made, pod({"emptyDir": {}}, {"subPathExpr": "$(POD)/logs"}))
        Path(sub.host_path, "line").write_text("y")
        assert (root / "p" / "logs" / "line").read_text() == "y"
        memory = await mount_of(made, pod({"emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}))
        if mounting.can_mount():
            assert os.path.ismount(memory.host_path)
        else:
            assert memory.size_bytes == 8 * 1024 * 1024
        await made.volumes.remove_others(set())
        assert not root.exists()


def test_empty_dir_and_sub_paths(data_dir: Path) -> None:
    _empty_dir(data_dir)


@virtual_time
async def _host_path(data_dir: Path, kind: str, make: str) -> None:
    target = data_dir / "host"
    if make == "file":
        target.write_text("x")
    elif make == "directory":
        target.mkdir()
    async with node(data_dir) as made:
        await made.volumes.set_up(pod({"hostPath": {"path": str(target), "type": kind}}))
    assert target.exists()


@pytest.mark.parametrize(
    ("kind", "make"),
    [("", ""), ("DirectoryOrCreate", ""), ("FileOrCreate", ""), ("Directory", "directory"), ("File", "file")],
)
def test_host_path(data_dir: Path, kind: str, make: str) -> None:
    _host_path(data_dir, kind, make)


@pytest.mark.parametrize(
    ("kind", "make"),
    [("Directory", ""), ("File", ""), ("Directory", "file"), ("File", "directory"), ("Socket", "file")],
)
def test_host_path_of_another_type_is_refused(data_dir: Path, kind: str, make: str) -> None:
    with pytest.raises(RuntimeFailure, match="hostPath type check failed"):
        _host_path(data_dir, kind, make)


@virtual_time
async def _unknown(data_dir: Path) -> None:
    async with node(data_dir) as made:
        with pytest.raises(RuntimeFailure, match="no volume plugin matched"):
            await made.volumes.set_up(pod({"nfs": {"server": "x", "path": "/"}}))
        with pytest.raises(RuntimeFailure, match="image volumes are not supported yet"):
            await made.volumes.set_up(pod({"image": {"reference": "x"}}))


def test_unknown_sources_are_refused_clearly(data_dir: Path) -> None:
    _unknown(data_dir)
