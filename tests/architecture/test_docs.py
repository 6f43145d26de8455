"""The documents name things that exist."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(set(re.findall(r"`(minikube_py(?:\.\w+)+)`", (ROOT / "docs" / "flow.md").read_text())))
LINKS = [
    (page, target)
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
]


@pytest.mark.parametrize("name", NAMES)
def test_every_symbol_of_the_flow_exists(name: str) -> None:
    module, _, symbol = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), symbol)


@pytest.mark.parametrize(("page", "target"), LINKS, ids=lambda value: str(value))
def test_every_link_leads_somewhere(page: Path, target: str) -> None:
    assert (page.parent / target).exists()


def test_decisions_are_short() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert pages
    assert [p.name for p in pages if len(p.read_text().splitlines()) > 40] == []
