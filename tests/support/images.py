"""Builds the image that Docker tests run: Debian's static busybox with an unprivileged user; nothing is pulled."""

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

TEST_IMAGE = "mkube-test/busybox:1"
BUSYBOX = Path("/bin/busybox")
USER_ID = 1000

_PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
_GROUP = "root:x:0:\napp:x:1000:\nstaff:x:50:app\nnogroup:x:65534:\n"
_CHANGES = [
    "ENV PATH=/bin",
    "WORKDIR /",
    'CMD ["sh"]',
    'LABEL io.mkube.test="true"',
]


def root_file_system() -> bytes:
    """A tar of the image's files. Installs busybox-static where it is missing (Debian and Ubuntu, as root)."""
    if not BUSYBOX.exists():
        subprocess.run(["apt-get", "install", "-y", "-q", "busybox-static"], check=True, capture_output=True)
    applets = subprocess.run([str(BUSYBOX), "--list"], check=True, capture_output=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("var", 0o755)):
            _add_directory(archive, name, mode, 0)
        _add_directory(archive, "home", 0o755, 0)
        _add_directory(archive, "home/app", 0o755, USER_ID)
        _add_file(archive, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
        _add_file(archive, "etc/passwd", _PASSWD.encode(), 0o644)
        _add_file(archive, "etc/group", _GROUP.encode(), 0o644)
        for applet in applets:
            if applet != "busybox":
                _add_link(archive, f"bin/{applet}", "busybox")
    return buffer.getvalue()


def ensure_test_image(client: Any) -> str:
    """Import the image unless it is there (client is a docker.APIClient); its name."""
    if not client.images(TEST_IMAGE):
        repository, _, tag = TEST_IMAGE.partition(":")
        client.import_image_from_data(root_file_system(), repository=repository, tag=tag, changes=_CHANGES)
    return TEST_IMAGE


def _add_directory(archive: tarfile.TarFile, name: str, mode: int, owner: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
    archive.addfile(entry)


def _add_file(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)
