"""subPath and subPathExpr stay inside their volume."""

import os
from pathlib import Path

import pytest

from minikube_py.kubelet.runtimes.protocol import RuntimeFailure
from minikube_py.kubelet.sub_path import open_below, sub_path_of
from minikube_py.kubelet.volumes import atomic_writer
from minikube_py.kubelet.volumes.atomic_writer import File


def read(handle: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ({}, ""),
        ({"subPath": "a/b"}, "a/b"),
        ({"subPathExpr": "$(POD)/logs"}, "web/logs"),
        ({"subPathExpr": "$$(POD)"}, "$(POD)"),
    ],
)
def test_sub_path(mount: dict[str, str], expected: str) -> None:
    assert sub_path_of(mount, {"POD": "web"}) == expected


@pytest.mark.parametrize(
    "mount",
    [{"subPathExpr": "$(ROOT)"}, {"subPathExpr": "$(UP)/x"}, {"subPathExpr": "$(NONE)"}, {"subPath": "a/../.."}],
)
def test_sub_path_that_leads_out_is_refused(mount: dict[str, str]) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        sub_path_of(mount, {"ROOT": "/tmp", "UP": ".."})
    assert caught.value.reason == "CreateContainerConfigError"


def test_missing_directories_are_made(tmp_path: Path) -> None:
    assert read(open_below(tmp_path, "a/b", may_create=True)) == str(tmp_path / "a" / "b")
    with pytest.raises(RuntimeFailure):
        open_below(tmp_path, "c", may_create=False)


def test_links_inside_are_followed_and_links_out_are_not(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    atomic_writer.write(volume, {"key": File(b"1")})
    assert Path(read(open_below(volume, "key", may_create=False))).read_bytes() == b"1"
    (volume / "out").symlink_to("/etc")
    with pytest.raises(RuntimeFailure, match="leads out"):
        open_below(volume, "out/passwd", may_create=False)
