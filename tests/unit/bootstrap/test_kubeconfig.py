import stat
from pathlib import Path

import pytest
import yaml

from minikube_py.bootstrap.kubeconfig import (
    KubeconfigEntry,
    KubeconfigError,
    merge_kubeconfig,
    remove_from_kubeconfig,
    write_kubeconfig,
)

ENTRY = KubeconfigEntry("https://127.0.0.1:6443", b"CA", token="t: 'x'")
OTHERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work"}}],
    "users": [{"name": "work", "user": {"token": "w"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "work"}}],
    "current-context": "work",
    "extensions": [{"name": "kept", "extension": {"a": 1}}],
}


def test_own_kubeconfig(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, ENTRY)
    config = yaml.safe_load(path.read_text())
    assert config["current-context"] == "mkube"
    assert config["clusters"] == [
        {"name": "mkube", "cluster": {"certificate-authority-data": "Q0E=", "server": "https://127.0.0.1:6443"}}
    ]
    assert config["users"] == [{"name": "mkube", "user": {"token": "t: 'x'"}}]
    assert config["contexts"] == [{"name": "mkube", "context": {"cluster": "mkube", "user": "mkube"}}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_merging_leaves_the_choice_and_everything_else(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(OTHERS))
    merge_kubeconfig(path, ENTRY)
    merge_kubeconfig(path, ENTRY)
    config = yaml.safe_load(path.read_text())
    assert config["current-context"] == "work"
    assert config["extensions"] == OTHERS["extensions"]
    assert [c["name"] for c in config["clusters"]] == ["work", "mkube"]
    merge_kubeconfig(path, ENTRY, use_context=True)
    assert yaml.safe_load(path.read_text())["current-context"] == "mkube"
    assert remove_from_kubeconfig(path)
    assert [c["name"] for c in yaml.safe_load(path.read_text())["users"]] == ["work"]
    assert not (tmp_path / "config.lock").exists()


def test_a_file_that_is_no_kubeconfig_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("a: [")
    with pytest.raises(KubeconfigError, match="left as it is"):
        merge_kubeconfig(path, ENTRY)
    assert path.read_text() == "a: ["
