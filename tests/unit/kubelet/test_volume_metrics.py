"""How full the volumes of claims are."""

import os
from pathlib import Path

from minikube_py.kubelet.metrics.volumes import claim_paths, volume_families
from minikube_py.objects.errors import Object
from minikube_py.prometheus import render
from tests.support.prometheus import parse

POD: Object = {
    "metadata": {"name": "p", "namespace": "d", "uid": "u"},
    "spec": {
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}},
            {"name": "own", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "pending", "persistentVolumeClaim": {"claimName": "other"}},
        ]
    },
}


def test_which_claims_are_where(tmp_path: Path) -> None:
    ready = {("u", name): tmp_path / name for name in ("data", "own", "scratch")}
    found = claim_paths([POD], lambda uid, name: ready.get((uid, name)))
    assert found == {("d", "mine"): tmp_path / "data", ("d", "p-own"): tmp_path / "own"}


def test_a_volume_shows_its_file_system(tmp_path: Path) -> None:
    paths = {("d", "mine"): tmp_path, ("d", "gone"): tmp_path / "gone"}
    found = parse(render(volume_families(paths)).decode())
    system = os.statvfs(tmp_path)
    claim = {"namespace": "d", "persistentvolumeclaim": "mine"}
    capacity = found.value("kubelet_volume_stats_capacity_bytes", **claim)
    assert capacity == system.f_blocks * system.f_frsize
    assert 0 <= found.value("kubelet_volume_stats_used_bytes", **claim) <= capacity
    assert 0 <= found.value("kubelet_volume_stats_available_bytes", **claim) <= capacity
    assert found.value("kubelet_volume_stats_inodes", **claim) == system.f_files
    assert len(found.samples["kubelet_volume_stats_capacity_bytes"]) == 1
