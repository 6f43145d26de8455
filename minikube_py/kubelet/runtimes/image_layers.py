"""Unpacks a saved image, layer over layer, into a directory. Source: OCI image specification (layers, whiteouts)."""

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Any

import orjson

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


def unpack_saved_image(archive: IO[bytes], directory: Path) -> None:
    """archive: what `docker save` writes. Raises ValueError or OSError for a broken one, or one that leads out."""
    with tarfile.open(fileobj=archive, mode="r:") as saved:
        manifest = saved.extractfile("manifest.json")
        if manifest is None:
            raise ValueError("the image has no manifest")
        for name in orjson.loads(manifest.read())[0]["Layers"]:
            layer = saved.extractfile(name)
            if layer is None:
                raise ValueError(f"the image lacks its layer {name}")
            with tarfile.open(fileobj=layer, mode="r:*") as files:
                _apply(files, directory)


def _apply(layer: tarfile.TarFile, directory: Path) -> None:
    own: set[Path] = set()
    for member in layer:
        target = _inside(directory, member.name)
        if target.name == _OPAQUE:
            _remove_below(target.parent, own)
        elif target.name.startswith(_WHITEOUT):
            _remove(target.with_name(target.name.removeprefix(_WHITEOUT)))
        elif target != directory and not member.isdev():
            if member.islnk():
                _inside(directory, member.linkname)
            if target.is_symlink() or not (target.is_dir() and member.isdir()):
                _remove(target)
            layer.extract(member, directory, numeric_owner=True, **_AS_IT_IS)
            own.add(target)


# The image's own permissions are wanted; where paths lead is checked here. Older Pythons have no such argument.
_AS_IT_IS: dict[str, Any] = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}


def _inside(directory: Path, name: str) -> Path:
    """The path of a member, whose parents must not lead out of the directory."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".")]
    if ".." in parts:
        raise ValueError(f"the image has a path that leads out of it: {name}")
    target = directory.joinpath(*parts)
    root = os.path.realpath(directory)
    if parts and os.path.commonpath((root, os.path.realpath(target.parent))) != root:
        raise ValueError(f"the image has a path that leads out of it: {name}")
    return target


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_below(directory: Path, kept: set[Path]) -> None:
    """Everything that lower layers have put into the directory."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if not any(path == one or path in one.parents for one in kept):
            _remove(path)
