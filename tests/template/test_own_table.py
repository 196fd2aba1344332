"""A repository that starts empty, for a table of the owner's: its own checks pass before and after `towpath infer`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from copier import run_update

Render = Callable[..., Path]
OWN = {"starting_point": "own", "model": "late-boats", "frameworks": ["xgboost"]}


@pytest.fixture(scope="module")
def root(render_at: Render, commit: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a repository rendered for a table of the owner's, committed."""
    folder = render_at(tmp_path_factory.mktemp("own") / "r", OWN)
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table outside of the repository, with names and classes that need care."""
    random = np.random.default_rng(0)
    wind = random.normal(10, 3, 300)
    path = tmp_path_factory.mktemp("elsewhere") / "boats – 2025.csv"  # noqa: RUF001 (a dash as people write it)
    classes = np.select([wind + random.normal(0, 2, 300) > 12, wind < 8], ["très tard", "on time"], "a bit")
    pd.DataFrame({"wind (m/s)": wind, "class": classes, "port.of": random.choice(["Żary", "Köln"], 300)}).to_csv(
        path, index=False
    )
    return path


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, in the environment of these tests."""
    measured = ("COVERAGE", "COV_", "PYTEST")  # the render is no part of what is measured here
    variables = {key: value for key, value in os.environ.items() if not key.startswith(measured)} | environment
    return subprocess.run(command, cwd=folder, env=variables, check=False, capture_output=True, text=True)


def towpath(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb."""
    return run(folder, sys.executable, "-m", "towpath_ci", *arguments)


def test_nothing_of_the_example_is_in_it(root: Path) -> None:
    """There is no model yet, no flight, and no need of the example's data."""
    files = [path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert not {"model.yaml", "dataset.py", "schema.py", "features.py"} & {path.name for path in files}
    texts = [path.read_text() for path in files if path.name not in {"README.md", "requirements.txt"}]
    assert not [text for text in texts if "data/flights" in text or "example," in text]


def test_its_checks_pass_before_and_after_a_table_is_inferred(
    root: Path, table: Path, kept: Callable[[str], Path], commit: Callable[[Path], str]
) -> None:
    """`make test` passes in the empty repository; `towpath infer` fills it; `make test`, doctor and validate pass then.

    One test, since each step builds on the one before.
    """
    make = ("make", "test", f"VENV={sys.prefix}")
    cache = {"MYPY_CACHE_DIR": str(kept("mypy-of-renders"))}
    empty = run(root, *make, **cache)
    assert empty.returncode == 0, empty.stdout + empty.stderr
    assert "2 skipped" in empty.stdout
    inferred = towpath(root, "infer", str(table), "--target", "class")
    assert inferred.returncode == 0, inferred.stderr
    commit(root)
    filled = run(root, *make, **cache)
    assert filled.returncode == 0, filled.stdout + filled.stderr
    assert "3 passed" in filled.stdout
    told = json.loads(towpath(root, "validate", "--json").stdout)
    assert {finding["verdict"] for finding in told["findings"]} == {"pass"}
    broken = [
        check
        for check in json.loads(towpath(root, "doctor", "--json").stdout)
        if check["title"].startswith("model.yaml says")
    ]
    assert [check["state"] for check in broken] == ["ok"]


def test_an_update_leaves_what_was_inferred(root: Path, git: Callable[..., str]) -> None:
    """`copier update` takes nothing away that `towpath infer` wrote, and brings no example back."""
    run_update(root, defaults=True, overwrite=True, quiet=True, unsafe=False)
    assert git(root, "status", "--porcelain") == ""
    assert "task: multiclass" in (root / "model.yaml").read_text()


def test_the_owners_edits_are_kept(root: Path, table: Path) -> None:
    """A second `infer` refuses with the code of a conflict, and says how to force it."""
    (root / "model.yaml").write_text((root / "model.yaml").read_text() + "# mine\n")
    again = towpath(root, "infer", str(table), "--target", "class")
    assert again.returncode == 6
    assert "--force" in again.stderr
    assert (root / "model.yaml").read_text().endswith("# mine\n")


def test_a_repository_with_an_example_is_not_overwritten(
    render_at: Render, commit: Callable[[Path], str], table: Path, tmp_path: Path
) -> None:
    """The flights' model.yaml and schema are edits of somebody, too."""
    folder = render_at(tmp_path / "r")
    commit(folder)
    done = towpath(folder, "infer", str(table), "--target", "class")
    assert done.returncode == 6
    assert "schema.py and model.yaml" in done.stderr
