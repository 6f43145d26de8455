"""The layout and atomicity of ConfigMap-like volumes."""

import os
import stat
from pathlib import Path

import pytest

from minikube_py.kubelet.volumes import atomic_writer
from minikube_py.kubelet.volumes.atomic_writer import File


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def visible(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.iterdir() if not p.name.startswith("..")}


def test_files_are_links_into_a_dated_directory(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    assert atomic_writer.write(volume, {"a": File(b"1", 0o400), "b": File(b"2")})
    assert visible(volume) == {"a": b"1", "b": b"2"}
    assert os.readlink(volume / "a") == "..data/a"
    dated = os.readlink(volume / "..data")
    assert dated.startswith("..20")
    assert mode(volume / "a") == 0o400
    assert mode(volume / "b") == 0o644
    assert mode(volume) == 0o777
    assert mode(volume / dated) == 0o755


def test_the_umask_has_no_say(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        atomic_writer.write(tmp_path / "v", {"d/a": File(b"1", 0o666)})
    finally:
        os.umask(old)
    assert mode(tmp_path / "v" / "d" / "a") == 0o666
    assert mode(tmp_path / "v") == 0o777
    assert mode(tmp_path / "v" / "d") == 0o755


def test_same_content_changes_nothing(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, {"a": File(b"1")})
    before = os.readlink(tmp_path / "..data")
    assert not atomic_writer.write(tmp_path, {"a": File(b"1")})
    assert os.readlink(tmp_path / "..data") == before


@pytest.mark.parametrize("new", [{"a": File(b"2")}, {"a": File(b"1", 0o600)}, {"b": File(b"1")}, {}])
def test_changes_replace_the_whole_set(tmp_path: Path, new: dict[str, File]) -> None:
    atomic_writer.write(tmp_path, {"a": File(b"1"), "c/d": File(b"x")})
    old = os.readlink(tmp_path / "..data")
    assert atomic_writer.write(tmp_path, new)
    assert set(visible(tmp_path)) == set(new)
    assert not (tmp_path / old).exists()
    assert [p for p in tmp_path.iterdir() if p.name.startswith("..20")] == [tmp_path / os.readlink(tmp_path / "..data")]


def test_group_may_read_what_the_owner_alone_could(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, {"a": File(b"1", 0o400)}, group=os.getgid())
    assert mode(tmp_path / "a") == 0o440


def test_directories_of_a_group_are_its_own(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    atomic_writer.write(volume, {"d/a": File(b"1", 0o400)}, group=os.getgid(), mode=atomic_writer.MEMORY_MODE)
    assert mode(volume) == 0o3777
    assert [mode(volume / name) for name in ("..data", "d")] == [0o2755] * 2
    assert {(volume / name).stat().st_gid for name in (".", "..data", "d", "d/a")} == {os.getgid()}


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../b", "..data", "", "a//b", "a/./b"])
def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        atomic_writer.write(tmp_path / "v", {path: File(b"1")})


def test_a_link_put_in_place_of_a_key_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    volume = tmp_path / "v"
    atomic_writer.write(volume, {"a": File(b"1")})
    (volume / "a").unlink()
    (volume / "a").symlink_to(victim)
    atomic_writer.write(volume, {"a": File(b"2")})
    assert victim.read_text() == "keep"
