"""Which clusters count as gone, so that what they left on the machine may be removed."""

import json
import os
import shutil
from pathlib import Path

import pytest

from minikube_py.bootstrap.cluster_files import ClusterFiles
from minikube_py.bootstrap.host_claims import HostClaims

NO_PROCESS = 2**22 + 1
"""Above the kernel's highest number."""


@pytest.fixture
def claims(tmp_path: Path) -> HostClaims:
    return HostClaims(tmp_path / "claims")


def claimed(claims: HostClaims, data_dir: Path, **changes: object) -> str:
    """A cluster in data_dir whose process has ended; its UID. changes: fields of the claim."""
    files = ClusterFiles(data_dir)
    cluster_id = files.cluster_id()
    claims.hold(files, "")
    file = data_dir.parent / "claims" / f"{cluster_id}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "pid": NO_PROCESS, **changes}))
    return cluster_id


def gone(claims: HostClaims) -> list[str]:
    return [claim.cluster_id for claim in claims.abandoned()]


def test_a_cluster_whose_directory_was_removed_is_gone(claims: HostClaims, tmp_path: Path) -> None:
    removed, stopped = claimed(claims, tmp_path / "a"), claimed(claims, tmp_path / "b")
    assert gone(claims) == []
    shutil.rmtree(tmp_path / "a")
    assert gone(claims) == [removed]
    claims.drop(removed)
    assert gone(claims) == []
    assert (tmp_path / "claims" / f"{stopped}.json").exists()


def test_a_directory_with_another_cluster_counts_as_removed(claims: HostClaims, tmp_path: Path) -> None:
    first = claimed(claims, tmp_path / "a")
    (tmp_path / "a" / "cluster.json").unlink()
    assert gone(claims) == [first]
    second = claimed(claims, tmp_path / "a")
    assert first != second
    assert gone(claims) == [first]


def test_a_process_that_still_runs_keeps_its_cluster(claims: HostClaims, tmp_path: Path) -> None:
    claimed(claims, tmp_path / "a", pid=os.getpid())
    shutil.rmtree(tmp_path / "a")
    assert gone(claims) == []


def test_the_same_number_of_a_later_process_does_not(claims: HostClaims, tmp_path: Path) -> None:
    removed = claimed(claims, tmp_path / "a", pid=os.getpid(), process_start="1")
    shutil.rmtree(tmp_path / "a")
    assert gone(claims) == [removed]


def test_a_file_system_that_is_away_keeps_its_clusters(claims: HostClaims, tmp_path: Path) -> None:
    claimed(claims, tmp_path / "a", device=1)
    shutil.rmtree(tmp_path / "a")
    assert gone(claims) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cluster_id": "../x"}'])
def test_files_that_make_no_sense_are_passed_over(claims: HostClaims, tmp_path: Path, text: str) -> None:
    removed = claimed(claims, tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "claims" / "odd.json").write_text(text)
    assert gone(claims) == [removed]


def test_what_others_may_have_written_is_not_believed(claims: HostClaims, tmp_path: Path) -> None:
    removed = claimed(claims, tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "claims" / f"{removed}.json").chmod(0o666)
    assert gone(claims) == []
