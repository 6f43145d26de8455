"""The committed schema table is what its sources say."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


@pytest.mark.parametrize("name", ["build_schema", "build_go_fields"])
def test_the_schema_table_is_up_to_date(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--check"])
    assert module.main() == 0
