"""Makes the store's directory and holds it for this process alone."""

import fcntl
import os
from pathlib import Path

from minikube_py.store.protocol import StoreError


class DirectoryInUse(StoreError):
    """Another server holds the data directory."""


class DataDirectory:
    """`<data_dir>/db` and its lock. The kernel drops the lock when the process ends, however it ends."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.path = data_dir / "db"
        self.database = self.path / "state.db"
        self.secrets_key = self.path / "secrets.key"
        self._descriptor = -1

    def acquire(self) -> None:
        """Raises DirectoryInUse, which names the process that holds it, and StoreError when it can't be made."""
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
            self.path.chmod(0o700)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(f"the data directory {self._data_dir} can't be used: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise DirectoryInUse(
                f"another mkube server (process {holder}) runs on {self._data_dir}: "
                "stop it with `mkube stop`, or choose another --data-dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
