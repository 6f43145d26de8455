"""Volumes of pods on disk: content, modes, waiting, live updates, removal. Nothing is mounted."""

import asyncio
import base64
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from minikube_py import clock
from minikube_py.kubelet.kinds import (
    CLUSTER_TRUST_BUNDLES,
    CONFIG_MAPS,
    NODES,
    POD_CERTIFICATE_REQUESTS,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from minikube_py.kubelet.pod_spec import PodContainer, find_container
from minikube_py.kubelet.pod_volumes import DiskVolumes
from minikube_py.kubelet.references import References
from minikube_py.kubelet.runtimes.protocol import ImageState, Mount, RuntimeFailure
from minikube_py.kubelet.volumes import mounting
from minikube_py.kubelet.volumes.empty_dir import memory_bytes
from minikube_py.kubelet.volumes.node_paths import NodePaths
from minikube_py.kubelet.volumes.pod_certificates import PodCertificates
from minikube_py.kubelet.volumes.protocol import NodeSources
from minikube_py.kubelet.volumes.tokens import Tokens
from minikube_py.objects.errors import Object
from minikube_py.reconciling.informer import InformerSet
from tests.support.memory_api import MemoryApi
from tests.support.virtual_time import virtual_time


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    mounting.unmount_below(tmp_path)


class PresentImages:
    """An ImageSource whose images are all there."""

    async def ensure(self, pod: Object, container: PodContainer, progress: Callable[[str], None]) -> ImageState:
        return ImageState(f"sha256:{container.image}", (container.image,), (), 1)

    def forget_back_off(self, pod_uid: str) -> None:
        return None


class Unpacker:
    """Images of one file each, which holds the image's id."""

    async def unpack_image(self, image_id: str, directory: Path) -> None:
        (directory / "id").write_text(image_id)


class Node:
    """The volume part of a node and the pods that were told of changes."""

    def __init__(self, data_dir: Path) -> None:
        self.api = MemoryApi()
        self.changed: list[str] = []
        self.informers = InformerSet(self.api)  # type: ignore[arg-type]
        references = References(self.informers, self.changed.append)
        tokens = Tokens(self.api)  # type: ignore[arg-type]
        certificates = PodCertificates(self.api, references, "node-1")  # type: ignore[arg-type]
        sources = NodeSources(
            client=self.api,  # type: ignore[arg-type]
            references=references,
            tokens=tokens,
            certificates=certificates,
            images=PresentImages(),
            allocatable=lambda: {"cpu": "4", "memory": "64Mi"},
            unpacker=Unpacker(),
        )
        self.volumes = DiskVolumes(NodePaths(data_dir), sources)

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
        assert mode(root) == 0o1777
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
        recursive = {"readOnly": True, "recursiveReadOnly": "Enabled"}
        with pytest.raises(RuntimeFailure, match="requested recursive read-only mode, but it is not supported"):
            await mount_of(made, pod({"emptyDir": {}}, recursive))
        await made.volumes.remove_others(set())
        assert not root.exists()


def limited(memory: str) -> Object:
    return {"name": "c", "resources": {"limits": {"memory": memory}}}


@pytest.mark.parametrize(
    ("containers", "limit", "expected"),
    [
        ([{"name": "c"}], "", 64),
        ([limited("128Mi")], "", 64),
        ([limited("16Mi"), limited("8Mi")], "", 24),
        ([limited("16Mi"), {"name": "d"}], "", 64),
        ([limited("16Mi")], "4Mi", 4),
        ([{"name": "c"}], "100Mi", 64),
    ],
)
def test_a_memory_volume_is_no_larger_than_its_pod(containers: list[Object], limit: str, expected: int) -> None:
    source = {"medium": "Memory", **({"sizeLimit": limit} if limit else {})}
    owner = {"spec": {"containers": containers}}
    assert memory_bytes(owner, source, {"memory": "64Mi"}) == expected * 1024 * 1024


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


def test_unknown_sources_are_refused_clearly(data_dir: Path) -> None:
    _unknown(data_dir)


@virtual_time
async def _image(data_dir: Path) -> None:
    async with node(data_dir) as made:
        mount = await mount_of(made, pod({"image": {"reference": "model:1"}}))
        assert mount.read_only
        assert Path(mount.host_path, "id").read_text() == "sha256:model:1"


def test_image_volumes_hold_the_images_files(data_dir: Path) -> None:
    _image(data_dir)


def anchor(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


async def bundle(made: Node, name: str, anchors: str, signer: str = "", labels: dict[str, str] | None = None) -> None:
    spec = {"trustBundle": anchors} | ({"signerName": signer} if signer else {})
    obj = {"kind": "ClusterTrustBundle", "metadata": {"name": name, "labels": labels or {}}, "spec": spec}
    await made.api.create(CLUSTER_TRUST_BUNDLES, obj)


async def projected(made: Node, source: Object) -> Path:
    mount = await mount_of(made, pod({"projected": {"sources": [source]}}))
    return Path(mount.host_path)


async def trusted(made: Node, **source: Any) -> str:
    return (await projected(made, {"clusterTrustBundle": {"path": "ca.pem", **source}}) / "ca.pem").read_text()


@virtual_time
async def _trust_bundles(data_dir: Path) -> None:
    async with node(data_dir) as made:
        await bundle(made, "plain", "a comment\n" + anchor("QQ==") + anchor("QQ=="))
        await bundle(made, "s:1", anchor("Yg=="), "x.y/s", {"alive": "true"})
        await bundle(made, "s:2", anchor("Yw==") + anchor("Yg=="), "x.y/s", {"alive": "false"})
        await bundle(made, "t:1", anchor("ZA=="), "x.y/t")
        assert await trusted(made, name="plain") == anchor("QQ==")
        assert await trusted(made, signerName="x.y/s", labelSelector={}) == anchor("Yg==") + anchor("Yw==")
        living = {"matchLabels": {"alive": "true"}}
        assert await trusted(made, signerName="x.y/s", labelSelector=living) == anchor("Yg==")
        assert await trusted(made, signerName="x.y/s", optional=True) == ""
        assert await trusted(made, name="missing", optional=True) == ""
        with pytest.raises(RuntimeFailure, match="matched zero ClusterTrustBundles"):
            await trusted(made, signerName="x.y/s")
        with pytest.raises(RuntimeFailure, match='clustertrustbundle "missing" not found'):
            await trusted(made, name="missing")


def test_trust_bundles_by_name_and_by_signer(data_dir: Path) -> None:
    _trust_bundles(data_dir)


async def answer(made: Node, condition: str, refresh_at: str = "") -> Object:
    """What a signer does with the one request that nobody has answered."""
    requests = (await made.api.list(POD_CERTIFICATE_REQUESTS)).items
    (request,) = [r for r in requests if not r.get("status")]
    status: Object = {"conditions": [{"type": condition, "status": "True", "reason": "R", "message": "m"}]}
    if refresh_at:
        status |= {"certificateChain": anchor("Y2VydA=="), "beginRefreshAt": refresh_at}
    await made.api.update(POD_CERTIFICATE_REQUESTS, {**request, "status": status})
    return request


@virtual_time
async def _pod_certificate(data_dir: Path) -> None:
    source = {
        "signerName": "x.y/s",
        "keyType": "ED25519",
        "maxExpirationSeconds": 3600,
        "credentialBundlePath": "bundle.pem",
        "userAnnotations": {"a/b": "c"},
    }
    async with node(data_dir) as made:
        for gvr, name, namespace in ((NODES, "node-1", ""), (SERVICE_ACCOUNTS, "default", "ns")):
            await made.api.create(gvr, {"metadata": {"name": name, "uid": f"{name}-uid"}}, namespace)
        for _ in range(2):
            with pytest.raises(RuntimeFailure, match="credential bundle is not issued yet"):
                await projected(made, {"podCertificate": source})
        now = clock.now()
        made.changed.clear()
        request = await answer(made, "Issued", clock.rfc3339(now + timedelta(hours=1)))
        await asyncio.sleep(1)
        assert made.changed == ["u-1"]
        spec = request["spec"]
        assert (spec["nodeName"], spec["podUID"], spec["maxExpirationSeconds"]) == ("node-1", "u-1", 3600)
        assert spec["unverifiedUserAnnotations"] == {"a/b": "c"}
        stub = x509.load_der_x509_csr(base64.b64decode(spec["stubPKCS10Request"]))
        assert stub.is_signature_valid
        text = (await projected(made, {"podCertificate": source}) / "bundle.pem").read_text()
        key = serialization.load_pem_private_key(text.encode(), None)
        assert text.endswith(anchor("Y2VydA=="))
        assert key.public_key() == stub.public_key()
        due = made.volumes.refresh_at("u-1")
        assert now.timestamp() + 3599 <= due < now.timestamp() + 3900
        await asyncio.sleep(due - clock.seconds())
        await projected(made, {"podCertificate": source})
        await answer(made, "Denied")
        await asyncio.sleep(1)
        with pytest.raises(RuntimeFailure, match='permanently denied: reason="R" message="m"'):
            await projected(made, {"podCertificate": source})


def test_pod_certificates_are_asked_for_and_renewed(data_dir: Path) -> None:
    _pod_certificate(data_dir)
