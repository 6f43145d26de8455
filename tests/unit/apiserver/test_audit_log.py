"""The audit log's file: order, rotation, what is kept, and that a full disk or a slow one holds nobody."""

import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from minikube_py import clock
from minikube_py.apiserver.audit import log_file
from minikube_py.apiserver.audit.log_file import AuditLog, LogFileOptions

LINE = b"x" * 400_000 + b"\n"
START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def at_start() -> Iterator[None]:
    clock.set_source(START.timestamp)
    yield
    clock.reset_source()


def test_lines_are_written_in_order_to_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.log"
    log = AuditLog(LogFileOptions(str(path)))
    lines = [f"{number}\n".encode() for number in range(5000)]
    for line in lines:
        log.write(line)
    log.close()
    assert path.read_bytes() == b"".join(lines)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = AuditLog(LogFileOptions(str(path)))
    again.write(b"more\n")
    again.close()
    assert path.read_bytes() == b"".join(lines) + b"more\n"


@pytest.mark.usefixtures("at_start")
def test_a_large_file_is_rotated_and_few_old_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(LogFileOptions(str(path), max_megabytes=1, max_backups=2))
    for _ in range(9):
        log.write(LINE)
    log.close()
    assert path.read_bytes() == LINE
    kept = sorted(p.name for p in tmp_path.iterdir())
    assert kept == ["audit-2026-01-31T12-00-00.002.log", "audit-2026-01-31T12-00-00.003.log", "audit.log"]
    assert all(p.stat().st_size <= 1024 * 1024 for p in tmp_path.iterdir())


@pytest.mark.usefixtures("at_start")
def test_old_files_go_by_age(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    old, young, other = (
        tmp_path / name
        for name in ("audit-2026-01-28T11-59-59.000.log", "audit-2026-01-28T12-00-01.000.log", "audit-of-mine.log")
    )
    for file in (old, young, other):
        file.write_bytes(b"")
    log = AuditLog(LogFileOptions(str(path), max_megabytes=1, max_age_days=3))
    for _ in range(3):
        log.write(LINE)
    log.close()
    assert not old.exists()
    assert young.exists()
    assert other.exists()


def test_a_stuck_disk_holds_nobody_and_says_what_was_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    is_free = threading.Event()

    class StuckLog(AuditLog):
        def _append(self, lines: list[bytes]) -> None:
            is_free.wait()
            super()._append(lines)

    log = StuckLog(LogFileOptions(str(tmp_path / "audit.log")))
    for _ in range(log_file.MAX_WAITING + log_file._BATCH + 10):
        log.write(b"1\n")
    assert "can't be written fast enough" in caplog.text
    is_free.set()
    log.close()
    assert log_file.MAX_WAITING * 2 <= (tmp_path / "audit.log").stat().st_size


def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory"):
        AuditLog(LogFileOptions(str(tmp_path)))
