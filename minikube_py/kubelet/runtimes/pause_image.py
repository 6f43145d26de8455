"""Makes the pause image: a hand-assembled static program that holds a pod's namespaces and uses next to no memory.

The program ignores SIGCHLD with SA_NOCLDWAIT (the kernel reaps orphans of a shared process namespace), blocks SIGTERM
and SIGINT, waits for one of them and exits 0. Blocked signals are delivered to process 1 too, so no handler is needed.
"""

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Sequence

PAUSE_IMAGE = "mkube/pause:1"
IMAGE_KIND_LABEL = "io.mkube.kind"

_BASE = 0x400000
_ELF_HEADER_SIZE = 64
_PROGRAM_HEADER_SIZE = 56
_CODE_START = _ELF_HEADER_SIZE + _PROGRAM_HEADER_SIZE
_SIGCHLD, _SIGTERM, _SIGINT = 17, 15, 2
_SIGNAL_SET = struct.pack("<Q", 1 << (_SIGTERM - 1) | 1 << (_SIGINT - 1))
# struct sigaction of the kernel: handler SIG_IGN (1), flags SA_NOCLDWAIT (2), restorer, mask.
_IGNORE_CHILDREN = struct.pack("<QQQQ", 1, 2, 0, 0)

_MACHINES = {"amd64": 62, "arm64": 183}
_PLATFORM_NAMES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def platform_architecture(machine: str) -> str:
    """Go's name for a `uname -m` machine name (unknown names are returned as they are)."""
    return _PLATFORM_NAMES.get(machine, machine)


def pause_program(architecture: str) -> bytes:
    """A static ELF executable for amd64 or arm64. Raises ValueError for another architecture."""
    if architecture not in _MACHINES:
        raise ValueError(f"no pause program for architecture {architecture!r}")
    assemble = _code_amd64 if architecture == "amd64" else _code_arm64
    # The code's length does not depend on the addresses it refers to, so one pass measures and one emits.
    data_start = _CODE_START + (len(assemble(0, 0)) + 7) // 8 * 8
    code = assemble(_BASE + data_start, _BASE + data_start + len(_IGNORE_CHILDREN))
    body = code.ljust(data_start - _CODE_START, b"\0") + _IGNORE_CHILDREN + _SIGNAL_SET
    return _headers(_MACHINES[architecture], _CODE_START + len(body)) + body


def _headers(machine: int, file_size: int) -> bytes:
    identity = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    elf = identity + struct.pack(
        "<HHIQQQIHHHHHH",
        2,  # ET_EXEC
        machine,
        1,
        _BASE + _CODE_START,
        _ELF_HEADER_SIZE,
        0,
        0,
        _ELF_HEADER_SIZE,
        _PROGRAM_HEADER_SIZE,
        1,
        0,
        0,
        0,
    )
    read_execute = 5
    return elf + struct.pack("<IIQQQQQQ", 1, read_execute, 0, _BASE, _BASE, file_size, file_size, 0x10000)


def _code_amd64(action: int, signals: int) -> bytes:
    def call(number: int, rdi: bytes, rsi: bytes) -> bytes:
        size_and_rest = b"\x31\xd2" + b"\x41\xba\x08\x00\x00\x00"  # xor edx,edx; mov r10d,8
        return b"\xb8" + struct.pack("<I", number) + rdi + rsi + size_and_rest + b"\x0f\x05"

    edi, esi = b"\xbf", b"\xbe"  # mov r32, imm32 (addresses are below 4 GiB)
    zero_edi, zero_esi = b"\x31\xff", b"\x31\xf6"
    sigaction = call(13, edi + struct.pack("<I", _SIGCHLD), esi + struct.pack("<I", action))
    sigprocmask = call(14, zero_edi, esi + struct.pack("<I", signals))
    wait = call(128, edi + struct.pack("<I", signals), zero_esi)
    test = b"\x85\xc0"  # test eax,eax
    jump_back = b"\x7e" + struct.pack("<b", -(len(wait) + len(test) + 2))  # jle wait (EINTR)
    leave = b"\xb8" + struct.pack("<I", 231) + zero_edi + b"\x0f\x05"
    return sigaction + sigprocmask + wait + test + jump_back + leave


def _code_arm64(action: int, signals: int) -> bytes:
    def put(register: int, value: int) -> list[int]:
        low = 0xD2800000 | (value & 0xFFFF) << 5 | register  # movz
        high = 0xF2A00000 | (value >> 16 & 0xFFFF) << 5 | register  # movk, lsl 16
        return [low, high]

    def call(number: int, x0: int, x1: int) -> list[int]:
        return [*put(0, x0), *put(1, x1), *put(2, 0), *put(3, 8), *put(8, number), 0xD4000001]  # svc 0

    wait = call(137, signals, 0)
    compare = 0xF100001F  # cmp x0, #0
    jump_back = 0x54000000 | (-(len(wait) + 1) & 0x7FFFF) << 5 | 0xD  # b.le wait
    words: Sequence[int] = [
        *call(134, _SIGCHLD, action),
        *call(135, 0, signals),
        *wait,
        compare,
        jump_back,
        *call(94, 0, 0),
    ]
    return struct.pack(f"<{len(words)}I", *words)


def pause_archive(architecture: str) -> bytes:
    """The image as `docker load` takes it: a tar of manifest, configuration and one layer. Always the same bytes."""
    layer = _tar({"pause": (pause_program(architecture), 0o755)})
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {
                "Entrypoint": ["/pause"],
                "User": "65535:65535",
                "Labels": {IMAGE_KIND_LABEL: "image"},
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "mkube"}],
        },
        sort_keys=True,
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [PAUSE_IMAGE], "Layers": [f"{layer_digest}/layer.tar"]}]
    return _tar(
        {
            config_name: (config, 0o644),
            f"{layer_digest}/layer.tar": (layer, 0o644),
            "manifest.json": (json.dumps(manifest).encode(), 0o644),
        }
    )


def pause_image_id(architecture: str) -> str:
    """The image id that the engine gives to `pause_archive`."""
    with tarfile.open(fileobj=io.BytesIO(pause_archive(architecture))) as archive:
        name = next(member.name for member in archive if member.name.endswith(".json"))
    return "sha256:" + name.removesuffix(".json")


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
