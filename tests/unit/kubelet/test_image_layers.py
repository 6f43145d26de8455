"""Images that are unpacked into a directory: layers over each other, whiteouts, paths that lead out."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from minikube_py.kubelet.runtimes.image_layers import unpack_saved_image

Member = tuple[str, bytes | str]
"""A file with its content, a directory (name with a final slash), or a link to the given target."""


def layer(*members: Member) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o750
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            elif name.endswith("/"):
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return made.getvalue()


def unpack(directory: Path, *layers: bytes) -> dict[str, str]:
    saved = io.BytesIO()
    files = {f"{number}/layer.tar": data for number, data in enumerate(layers)}
    files["manifest.json"] = json.dumps([{"Layers": list(files)}]).encode()
    with tarfile.open(fileobj=saved, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    saved.seek(0)
    target = directory / "out"
    target.mkdir()
    unpack_saved_image(saved, target)
    return {str(p.relative_to(target)): p.read_text() for p in target.rglob("*") if p.is_file()}


def test_layers_cover_each_other(tmp_path: Path) -> None:
    first = layer(("etc/", b""), ("etc/a", b"1"), ("etc/b", b"1"), ("d/", b""), ("d/x", b"1"), ("t", b"file"))
    second = layer(("etc/.wh.a", b""), ("etc/b", b"2"), ("d/new", b"2"), ("d/.wh..wh..opq", b""), ("t/", b""))
    third = layer(("t/u", b"3"), ("l", "etc/b"), (".wh.gone", b""))
    assert unpack(tmp_path, first, second, third) == {"etc/b": "2", "d/new": "2", "t/u": "3", "l": "2"}
    assert (tmp_path / "out" / "etc" / "b").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    "members",
    [[("../evil", b"x")], [("out", "/tmp"), ("out/evil", b"x")], [("up", ".."), ("up/evil", b"x")]],
    ids=["dots", "absolute link", "relative link"],
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, members: list[Member]) -> None:
    with pytest.raises(ValueError, match="leads out of it"):
        unpack(tmp_path, layer(*members))
    assert os.listdir(tmp_path) == ["out"]


def test_links_may_point_anywhere_when_nothing_is_written_through_them(tmp_path: Path) -> None:
    unpack(tmp_path, layer(("bin/", b""), ("bin/sh", "/bin/busybox"), ("bin/sh", b"now a file")))
    assert (tmp_path / "out" / "bin" / "sh").read_text() == "now a file"
