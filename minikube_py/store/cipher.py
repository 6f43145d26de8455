"""Encrypts stored values of chosen resources with a key that is kept in a file beside the database.

AES-256-GCM; a stored value is the format byte 1, a 12-byte nonce, then ciphertext with its tag. The key of the object
is the associated data, so that a value can't be moved under another name.
"""

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


def load_or_make_key(path: Path) -> bytes:
    """The 32-byte key in `path` (mode 0600), made at the first call. Raises StoreError for a damaged file."""
    if path.exists():
        key = path.read_bytes()
        if len(key) != 32:
            raise StoreError(f"{path} is damaged: it has {len(key)} bytes, not 32")
        return key
    key = bytes.fromhex(ids.secret_hex(32))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(stream.fileno())
    return key
