"""Writes audit events to a file or to standard output in a thread of its own, so that a slow disk never holds the loop.

The file is rotated by size; old files are named as lumberjack (kube-apiserver's log writer) names them.
"""

import logging
import os
import queue
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from minikube_py import clock

log = logging.getLogger(__name__)

DEFAULT_MAX_MEGABYTES = 100
MAX_WAITING = 20_000
_STDOUT = "-"
_MEGABYTE = 1024 * 1024
_BATCH = 512
_STAMP = "%Y-%m-%dT%H-%M-%S"


@dataclass(frozen=True)
class LogFileOptions:
    """path '-' is standard output. max_backups and max_age_days 0 keep every old file."""

    path: str
    max_megabytes: int = DEFAULT_MAX_MEGABYTES
    max_backups: int = 0
    max_age_days: int = 0


class AuditLog:
    """Takes lines from the loop and writes them in order. Raises OSError when the file can't be opened.

    At most MAX_WAITING events wait; more are dropped, and the log of the server says how many.
    """

    def __init__(self, options: LogFileOptions) -> None:
        self._options = options
        self._path = Path(options.path)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._file: BinaryIO | None = None
        self._size = 0
        self._dropped = 0
        self._rotated = datetime.fromtimestamp(0, UTC)
        if options.path != _STDOUT:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open()
        self._thread = threading.Thread(target=self._run, name="audit log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Never waits."""
        if self._lines.qsize() >= MAX_WAITING:
            self._dropped += 1
            if self._dropped == 1:
                log.error("the audit log %s can't be written fast enough: events are dropped", self._options.path)
            return
        if self._dropped:
            log.error("%d audit events were dropped", self._dropped)
            self._dropped = 0
        self._lines.put(line)

    def close(self) -> None:
        """Waits until everything is written: for a thread, not for the loop."""
        self._lines.put(None)
        self._thread.join()

    # -- in the thread

    def _run(self) -> None:
        is_open, has_failed = True, False
        while is_open:
            batch = [self._lines.get()]
            while len(batch) < _BATCH and not self._lines.empty():
                batch.append(self._lines.get())
            is_open = batch[-1] is not None and None not in batch
            try:
                self._append([line for line in batch if line is not None])
                has_failed = False
            except OSError as error:
                if not has_failed:
                    log.error("cannot write the audit log %s: %s", self._options.path, error)
                has_failed = True
        if self._file is not None:
            self._file.close()

    def _append(self, lines: list[bytes]) -> None:
        if self._options.path == _STDOUT:
            sys.stdout.buffer.write(b"".join(lines))
            sys.stdout.buffer.flush()
            return
        limit = (self._options.max_megabytes or DEFAULT_MAX_MEGABYTES) * _MEGABYTE
        for line in lines:
            if self._size and self._size + len(line) > limit:
                self._rotate()
            if self._file is None:
                self._open()
            assert self._file is not None
            self._file.write(line)
            self._size += len(line)
        if self._file is not None:
            self._file.flush()

    def _open(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "ab")
        self._size = os.fstat(descriptor).st_size

    def _rotate(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.rename(self._free_name())
        self._open()
        self._remove_old()

    def _free_name(self) -> Path:
        """`audit-2026-01-02T03-04-05.678.log` for `audit.log`; names rise, also when two fall into one millisecond."""
        moment = max(clock.now(), self._rotated + timedelta(milliseconds=1))
        while True:
            self._rotated = moment
            stamp = f"{moment.strftime(_STAMP)}.{moment.microsecond // 1000:03}"
            name = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
            if not name.exists():
                return name
            moment += timedelta(milliseconds=1)

    def _remove_old(self) -> None:
        options = self._options
        kept = sorted(self._path.parent.glob(f"{self._path.stem}-????-??-??T??-??-??.???{self._path.suffix}"))
        old = kept[: -options.max_backups] if options.max_backups else []
        if options.max_age_days:
            start = clock.now() - timedelta(days=options.max_age_days)
            first = f"{self._path.stem}-{start.strftime(_STAMP)}.000{self._path.suffix}"
            old += [name for name in kept if name.name < first and name not in old]
        for name in old:
            name.unlink(missing_ok=True)
