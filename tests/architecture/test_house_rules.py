"""The house rules that no linter checks: names, sizes, catalogs, clocks and what a module may do at import."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "minikube_py"
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "_migrations" not in p.parts)
CODE = [p for p in MODULES if p.name != "__init__.py"]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BANNED_NAMES = {"util", "utils", "common", "helper", "helpers", "misc", "manager", "base"}
MAX_LINES = 600
MAX_FUNCTION_LINES = 50


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_file_has_a_drawers_name() -> None:
    assert [named(p) for p in MODULES if p.stem in BANNED_NAMES] == []


def test_package_files_are_empty() -> None:
    assert [named(p) for p in MODULES if p.name == "__init__.py" and p.read_text().strip()] == []


@pytest.mark.parametrize("path", CODE, ids=named)
def test_a_module_opens_with_a_sentence_and_is_not_too_long(path: Path) -> None:
    text = path.read_text()
    docstring = ast.get_docstring(tree(path))
    assert docstring, "no docstring"
    first = docstring.splitlines()[0]
    assert first.endswith("."), "the first line of the docstring is no sentence"
    assert len(text.splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", CODE, ids=named)
def test_functions_are_short(path: Path) -> None:
    def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        first = node.body[0]
        start = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else first.lineno
        return (node.end_lineno or start) - start + 1

    long = {n.name: body_lines(n) for n in functions(path) if body_lines(n) > MAX_FUNCTION_LINES}
    assert long == {}


CLOCKS = re.compile(r"\b(time\.time\(|datetime\.now\(|datetime\.utcnow\(|date\.today\()")
RANDOM = re.compile(r"^\s*(import|from) (random|secrets|uuid)\b", re.MULTILINE)
FORBIDDEN = re.compile(r"\b(pickle|marshal|shelve)\b|shell=True|yaml\.load\(|(?<![\w.])eval\(|(?<![\w.])exec\(")


@pytest.mark.parametrize("path", CODE, ids=named)
def test_clock_and_randomness_have_one_door_each(path: Path) -> None:
    text = path.read_text()
    if path.name != "clock.py":
        assert CLOCKS.search(text) is None
    if path.name != "ids.py":
        assert RANDOM.search(text) is None
    assert FORBIDDEN.search(text) is None


CATALOGS = {
    "cloud": r"minikube_py\.cloud\.",
    "controllers": r"minikube_py\.controllers\.",
    "scheduler/filters": r"minikube_py\.scheduler\.filters\.",
    "scheduler/scores": r"minikube_py\.scheduler\.scores\.",
    "apiserver/authn": r"minikube_py\.apiserver\.authn\.",
    "apiserver/admission": r"minikube_py\.apiserver\.admission\.",
    "apiserver/subresources": r"minikube_py\.apiserver\.subresources\.",
    "kubelet/volumes": r"minikube_py\.kubelet\.volumes\.",
    "proxy/backends": r"minikube_py\.proxy\.backends\.",
}


def reachable(start: Path) -> set[Path]:
    """Files of the package that `start` imports, directly or through others."""
    found: set[Path] = set()
    queue = [start]
    while queue:
        path = queue.pop()
        for node in ast.walk(tree(path)):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                target = ROOT / (name.replace(".", "/") + ".py")
                if target.exists() and target not in found:
                    found.add(target)
                    queue.append(target)
    return found


@pytest.mark.parametrize("folder", CATALOGS)
def test_every_file_of_a_cataloged_folder_is_reached_from_its_catalog(folder: str) -> None:
    directory = PACKAGE / folder
    catalog = directory / "catalog.py"
    assert catalog.exists(), f"{folder} has no catalog.py"
    known = reachable(catalog) | {catalog}
    missing = [
        named(p)
        for p in directory.glob("*.py")
        if p.name not in ("__init__.py", "protocol.py", "runner.py") and p not in known
    ]
    assert missing == []


def test_every_file_of_a_kind_is_in_the_catalog_of_kinds() -> None:
    known = reachable(PACKAGE / "resources" / "catalog.py")
    files = [p for p in (PACKAGE / "resources").glob("*/*.py") if re.search(r"^RULES\b", p.read_text(), re.MULTILINE)]
    assert files
    assert [named(p) for p in files if p not in known] == []


SLEEP = re.compile(r"\btime\.sleep\(")


@pytest.mark.parametrize("path", [p for p in TESTS if p != Path(__file__)], ids=named)
def test_tests_never_sleep_nor_skip_for_a_missing_tool(path: Path) -> None:
    """asyncio.sleep is virtual time in the flows; what waits for a real process polls in one place, waiting.py."""
    text = path.read_text()
    assert SLEEP.search(text) is None or path.name == "waiting.py"
    assert not re.search(r"pytest\.skip\(|mark\.skip|importorskip", text)


SQL_FREE = [p for p in CODE if "store" not in p.parts]


@pytest.mark.parametrize("path", SQL_FREE, ids=named)
def test_libraries_stay_in_their_layer(path: Path) -> None:
    modules = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.add(node.module.split(".")[0])
    assert not modules & {"sqlalchemy", "alembic", "aiosqlite"}
    if "kubelet" not in path.parts:
        assert "docker" not in modules
    if "cli" not in path.parts:
        assert "click" not in modules
