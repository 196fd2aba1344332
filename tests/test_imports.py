"""The house stands: imports point down only, and the ground floor holds no machine-learning library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the ground up: a room may import those before it.
FLOORS = ["gitops", "bento", "flows", "ci"]
# What the ground floor may never load when it is imported; mlflow may be imported inside functions of one file.
HEAVY = {"bentoml", "lightgbm", "matplotlib", "mlflow", "numpy", "onnx", "onnxruntime", "optuna", "pandas", "pandera"}
HEAVY |= {"prefect", "pyarrow", "scipy", "skl2onnx", "sklearn", "skops", "xgboost"}


def files(room: str) -> list[Path]:
    """Return every Python file of a room."""
    return sorted((ROOT / room / f"towpath_{room}").rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Return the absolute name of every module that a file imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{'.' * node.level}{node.module or ''}"


def rising(room: str, source: str) -> list[str]:
    """Return the imports in `source`, a file of `room`, that point to a floor above it or outside the house."""
    above = FLOORS[FLOORS.index(room) + 1 :]
    names = [name for name in imported(ast.parse(source)) if name.startswith(("towpath", "."))]
    allowed = tuple(f"towpath_{floor}" for floor in FLOORS if floor not in above)
    return [name for name in names if name.split(".")[0] not in allowed]


@pytest.mark.parametrize("room", FLOORS)
def test_imports_point_down_only(room: str) -> None:
    """No file of a room imports a room above it, nor anything by a relative name."""
    found = {str(path): rising(room, path.read_text()) for path in files(room)}
    assert found
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize(
    "source",
    [
        "import towpath_flows.stages",
        "from towpath_ci import main",
        "def f():\n    from towpath_bento import lane",
        "from . import x",
    ],
)
def test_a_rising_import_is_seen(source: str) -> None:
    """The check above notices each way to import upwards from the ground floor."""
    assert rising("gitops", source)


def test_the_ground_floor_needs_no_heavy_library() -> None:
    """The room gitops imports no machine-learning library; only delivery/registry.py names mlflow."""
    for path in files("gitops"):
        heavy = {name.split(".")[0] for name in imported(ast.parse(path.read_text()))} & HEAVY
        assert heavy <= ({"mlflow"} if path.match("delivery/registry.py") else set()), path


def test_the_ground_floor_loads_none_either() -> None:
    """Importing all of gitops leaves every heavy library unloaded, also through others."""
    modules = [".".join(path.relative_to(ROOT / "gitops").with_suffix("").parts) for path in files("gitops")]
    names = [module.removesuffix(".__init__") for module in modules]
    script = f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\nprint(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not HEAVY & set(result.stdout.split())
