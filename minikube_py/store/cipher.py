"""Encrypts stored values of chosen resources with a key that is kept in a file beside the database.

AES-256-GCM; a stored value is the format byte 1, a 12-byte nonce, then ciphertext with its tag. The key of the object
is the associated data, so that a value can't be moved under another name.
"""

import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from minikube_py import ids
from minikube_py.store.protocol import Key, StoreError

_FORMAT = b"\x01"
_NONCE_BYTES = 12


class Cipher:
    """seal and open values; resources outside `encrypted` pass as they are."""

    def __init__(self, key: bytes, encrypted: Collection[str]) -> None:
        self._key = key
        self._encrypted = frozenset(encrypted)
        self._engine: Any = None

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without giving the key away."""
        return hashlib.sha256(b"mkube\0" + self._key).hexdigest()[:16]

    def _aead(self) -> Any:
        if self._engine is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 (loaded when needed)

            self._engine = AESGCM(self._key)
        return self._engine

    def seal(self, key: Key, data: bytes) -> bytes:
        if key.resource not in self._encrypted:
            return data
        nonce = bytes.fromhex(ids.secret_hex(_NONCE_BYTES))
        return _FORMAT + nonce + bytes(self._aead().encrypt(nonce, data, _context(key)))

    def open(self, key: Key, data: bytes) -> bytes:
        """Raises StoreError when the value was changed or sealed with another key."""
        if not data.startswith(_FORMAT):
            return data
        nonce, body = data[1 : 1 + _NONCE_BYTES], data[1 + _NONCE_BYTES :]
        try:
            return bytes(self._aead().decrypt(nonce, body, _context(key)))
        except Exception as error:
            raise StoreError(f"the stored value of {key} can't be decrypted with this data directory's key") from error


def _context(key: Key) -> bytes:
    return "\0".join(key).encode()


def read_key(path: Path) -> bytes | None:
    """The 32-byte key in `path`, None when there is no such file. Raises StoreError for a damaged one."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(key) != 32:
        raise StoreError(f"{path} is damaged: it has {len(key)} bytes, not 32; put it back from your copy")
    return key


def make_key(path: Path) -> bytes:
    """A new key, on disk (mode 0600) before anything is encrypted with it."""
    key = bytes.fromhex(ids.secret_hex(32))
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_directory(path.parent)
    return key


def sync_directory(path: Path) -> None:
    """Make renames and new files in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
