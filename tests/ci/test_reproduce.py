"""A release is made again from its commit, rows and recipe; what differs is told."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from towpath_ci.drills.barges import barges
from towpath_ci.drills.stage import Stage, git
from towpath_ci.main import app
from towpath_flows.recipe import Recipe, read_recipe
from towpath_gitops import layout
from towpath_gitops.errors import NotFoundError, TrainingError

Rewrite = Callable[[dict[str, object]], None]


def run(*arguments: str) -> int:
    """Run a verb in this process."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def _there(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stage.root)


@pytest.fixture
def kept(stage: Stage) -> Iterator[Path]:
    """Return the file of the good release's recipe; what is done to it is undone."""
    (path,) = layout.mlartifacts(stage.root).rglob("recipe.json")
    text = path.read_text()
    yield path
    path.write_text(text)


def test_a_release_comes_out_the_same_byte_for_byte(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever main says by now: the code and the model.yaml of its commit count, and every byte is the same."""
    model = stage.root / layout.MODEL
    text = model.read_text()
    try:
        model.write_text(text.replace("seed: 7, rounds: 40", "seed: 8, rounds: 4"))
        git(stage.root, "commit", "--all", "--quiet", "--message=Another seed")
        assert run("reproduce", "1.0.0", "--json") == 0
    finally:
        model.write_text(text)
        git(stage.root, "commit", "--all", "--quiet", "--message=The old seed")
    told = json.loads(capsys.readouterr().out)
    assert told["identical"] is True
    assert {"model.onnx", "booster.ubj", "golden.json", "pipeline.skops", "reference.parquet"} <= set(told["same"])
    assert (told["changed"], told["environment"], told["difference"]) == ([], [], None)
    assert not list(layout.state(stage.root, "reproduce").iterdir())


def test_other_rows_are_noticed(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the rows of then nothing is made; the digests are told."""
    stage.write(barges(seed=8))
    try:
        assert run("reproduce", "1.0.0") == TrainingError.exit_code
    finally:
        stage.write(barges())
    assert "rows of then cannot be read again" in capsys.readouterr().err


def test_another_model_is_noticed(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other parameters give other bytes and answers, another environment is named, and the verb fails."""
    recipe = json.loads(kept.read_text())
    recipe["params"]["max_depth"] = 2
    recipe["libraries"]["xgboost"] = "0.1"
    kept.write_text(json.dumps(recipe))
    assert run("reproduce", "1.0.0") == TrainingError.exit_code
    words = capsys.readouterr()
    assert "booster.ubj" in words.out
    assert "Another environment: xgboost" in words.out
    assert "decisions differ" in words.out
    assert "another model" in words.err


def test_the_environment_of_then_can_be_installed(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """What was installed is listed as pip reads it; the recipe of this environment differs from it in nothing."""
    assert run("reproduce", "1.0.0", "--requirements") == 0
    lines = capsys.readouterr().out.splitlines()
    recipe = read_recipe(stage.registry, stage.good)
    assert f"xgboost=={recipe.libraries['xgboost']}" in lines
    assert not [line for line in lines if line.startswith("towpath")]
    assert recipe.differences(recipe.workers) == []
    older = Recipe.model_validate(recipe.plain() | {"python": "3.9.1"})
    assert older.differences(None)[0].endswith("then 3.9.1")


def test_a_release_without_a_recipe_says_so(stage: Stage, kept: Path) -> None:
    """It was registered by something else, and cannot be made again."""
    kept.unlink()
    with pytest.raises(NotFoundError, match="No recipe"):
        read_recipe(stage.registry, stage.good)


def test_a_python_without_the_libraries_is_no_environment(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason why the child gave up is told."""
    assert run("reproduce", "1.0.0", "--python", "/bin/false") == TrainingError.exit_code
    assert "could not be made again" in capsys.readouterr().err
