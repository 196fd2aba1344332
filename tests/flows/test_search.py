"""A search is the owner's to shape, outlives a kill, and runs on several workers."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import lightgbm
import numpy as np
import optuna
import pytest
import xgboost

from towpath_flows.data import Splits
from towpath_flows.project import Project
from towpath_flows.training import Trial, tune
from towpath_flows.training.study import opened
from towpath_flows.training.trainers import TRAINERS, Data, Setting
from towpath_flows.training_spec import Framework, Range, TuneSpec
from towpath_gitops.errors import ConflictError, InvalidFileError, TrainingError

SEARCH = """\
import sys
from pathlib import Path
from towpath_flows.data import load, split, validate
from towpath_flows.project import Project
from towpath_flows.training import tune

project = Project.open(Path(sys.argv[1]))
parts = split(project, validate(project, load(project)).frame)
tune(project, parts, lambda trial: print(trial.number, flush=True))
"""


def searching(project: Project, trials: int, **more: object) -> Project:
    """Return the project with a search of so many trials."""
    tuned = TuneSpec.model_validate(project.spec.tune.plain() | {"trials": trials} | more)
    return Project(project.root, project.spec.model_copy(update={"tune": tuned}))


def on_disk(project: Project, trials: int) -> Project:
    """Write the search of so many trials, with slow fits, to model.yaml, so that another process finds it."""
    path = project.root / "model.yaml"
    text = path.read_text().replace("tune: {trials: 0, folds: 2}", f"tune: {{trials: {trials}, folds: 2}}")
    path.write_text(text.replace("rounds: 40, patience: 10", "rounds: 120, patience: 120"))
    return Project.open(project.root)


def states(project: Project) -> dict[int, str]:
    """Return the state of each trial as the file has it."""
    with closing(sqlite3.connect(project.root / ".towpath" / "optuna" / "studies.db")) as database:
        return dict(database.execute("SELECT number, state FROM trials").fetchall())


def tried(trials: tuple[Trial, ...]) -> list[tuple[object, ...]]:
    """Return what was tried and found, without when."""
    return [(trial.framework, dict(trial.params), trial.loss, trial.rounds) for trial in trials]


def test_a_killed_search_goes_on_and_repeats_nothing(project: Project, splits: Splits) -> None:
    """After SIGKILL in the middle of a trial the search ends with the trials of one that was never killed."""
    project = on_disk(project, 4)
    search = [sys.executable, "-c", SEARCH, str(project.root)]
    with subprocess.Popen(search, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        before = [process.stdout.readline().strip() for _ in range(2)]
        while "RUNNING" not in states(project).values():
            assert process.poll() is None
        process.kill()
    assert process.returncode == -signal.SIGKILL
    finished = {number for number, state in states(project).items() if state in {"COMPLETE", "PRUNED"}}
    assert before == ["0", "1"]
    assert finished >= {0, 1}
    assert "RUNNING" in states(project).values()
    told: list[Trial] = []
    resumed = tune(project, splits, told.append)
    assert not {trial.number for trial in told} & finished
    assert len(finished) + len(told) == 4
    assert "FAIL" in states(project).values()
    (project.root / ".towpath" / "optuna" / "studies.db").unlink()
    assert tried(tune(project, splits).trials) == tried(resumed.trials)


def test_the_first_trials_of_a_killed_search_are_tried_again(project: Project, splits: Splits) -> None:
    """The defaults were queued; when their trial died with its process, they are queued anew."""
    project = searching(project, 3)
    with opened(project, splits) as study:
        assert study.ask().number == 0  # and never told of: its process is dead
    result = tune(project, splits)
    assert [trial.number for trial in result.trials] == [1, 2, 3]
    assert {trial.framework for trial in result.trials[:2]} == {"xgboost", "lightgbm"}
    assert TRAINERS["xgboost"].defaults() in [trial.params for trial in result.trials]


def test_two_processes_do_not_search_at_once(project: Project, splits: Splits) -> None:
    """The second is told to wait: both would try the same."""
    project = searching(project, 2)
    with opened(project, splits), pytest.raises(ConflictError, match="Another process"):
        tune(project, splits)
    assert len(tune(project, splits).trials) == 2


def test_workers_share_a_search(project: Project, splits: Splits) -> None:
    """Several trials at a time: all are kept and told, none twice, and the best is taken."""
    told: list[Trial] = []
    result = tune(searching(project, 6, workers=3), splits, told.append)
    assert sorted(trial.number for trial in told) == list(range(6))
    assert {trial.number for trial in result.trials} == set(range(6))
    assert result.loss == min(trial.loss for trial in result.trials if trial.loss is not None)


def test_the_owner_narrows_the_space(project: Project, splits: Splits) -> None:
    """A range, a list and a fixed value in model.yaml replace the trainer's own; the others stay."""
    space = {"xgboost": {"max_depth": {"low": 2, "high": 3}, "max_bin": [64, 128], "reg_lambda": 2.0}}
    project = searching(project, 5, space=space)
    one = project.spec.train.model_copy(update={"frameworks": ("xgboost",)})
    result = tune(Project(project.root, project.spec.model_copy(update={"train": one})), splits)
    for trial in result.trials:
        assert trial.params["max_depth"] in {2, 3}
        assert trial.params["max_bin"] in {64, 128}
        assert trial.params["reg_lambda"] == 2.0
        assert "subsample" in trial.params


def test_the_owner_writes_the_space(project: Project, splits: Splits) -> None:
    """A function below src/ has the last word: its parameters are those that are fitted and told."""
    (project.root / "src" / "shop" / "space.py").write_text(
        "def space(trial, framework):\n"
        '    rate = trial.suggest_float("rate", 0.1, 0.2)\n'
        '    return {"learning_rate": rate} if framework == "xgboost" else {"learning_rate": rate, "num_leaves": 7}\n'
    )
    result = tune(searching(project, 3, space="shop.space:space"), splits)
    assert {trial.framework for trial in result.trials} == {"xgboost", "lightgbm"}
    for trial in result.trials:
        assert 0.1 <= float(trial.params["learning_rate"]) <= 0.2
        assert ("num_leaves" in trial.params) == (trial.framework == "lightgbm")
        assert "rate" not in trial.params


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"xgboost": {"max_dept": 3}}, "Did you mean max_depth"),
        ({"lightgbm": {"objective": "binary"}}, "There are"),
        ("shop.none:space", "looked for below"),
    ],
)
def test_a_wrong_space_is_refused(project: Project, splits: Splits, space: object, told: str) -> None:
    """A parameter that the library would ignore, one that the trainer sets, and a function that is not there."""
    with pytest.raises(InvalidFileError, match=r"tune\.space") as refused:
        tune(searching(project, 2, space=space), splits)
    assert told in str(refused.value.hint)


def test_parameters_that_the_library_refuses_are_an_error(project: Project, splits: Splits) -> None:
    """The trial is named with what it tried; it does not count, and the search does not end as if it were done."""
    space = {"xgboost": {"grow_policy": "sideways"}}
    with pytest.raises(TrainingError, match=r"Trial 0 cannot be fitted: .*sideways"):
        tune(searching(project, 2, space=space), splits)


@pytest.mark.parametrize("range_", [{"low": 3, "high": 3}, {"low": 0, "high": 1, "log": True}])
def test_a_range_is_a_range(range_: dict[str, object]) -> None:
    """Its ends are in order, and magnitudes begin above zero."""
    with pytest.raises(ValueError, match=r"must be below|above zero"):
        Range.model_validate(range_)


def test_a_hopeless_trial_does_not_see_the_end_of_its_first_fold(project: Project, splits: Splits) -> None:
    """Trials that do worse than most at the same round are given up there and then."""
    (project.root / "src" / "shop" / "space.py").write_text(
        "def space(trial, framework):\n"
        '    depth = trial.suggest_int("max_depth", 3, 6)\n'
        '    return {"max_depth": depth, "min_child_weight": 1.0 if trial.number < 4 else 300.0}\n'
    )
    train = project.spec.train.model_copy(update={"frameworks": ("xgboost",), "rounds": 60, "patience": 60})
    project = Project(project.root, project.spec.model_copy(update={"train": train}))
    project = searching(project, 6, space="shop.space:space")
    assert [trial.loss is None for trial in tune(project, splits).trials] == [False] * 4 + [True] * 2
    with opened(project, splits) as study:
        assert [max(trial.intermediate_values) for trial in study.trials[4:]] == [30, 30]


@pytest.mark.parametrize("framework", ["xgboost", "lightgbm"])
def test_a_trial_is_given_up_within_a_fold(framework: Framework) -> None:
    """Whoever hears of the rounds may end a fit by raising: no round comes after that."""
    random = np.random.default_rng(0)
    x = random.random((200, 2), dtype=np.float32)
    rows = Data(x, (x[:, 0] > 0.5).astype(np.int64))
    heard: list[tuple[int, float]] = []

    def on_round(done: int, loss: float) -> None:
        heard.append((done, loss))
        if done == 3:
            raise optuna.TrialPruned

    setting = Setting("binary", 2, rounds=50, patience=50, seed=1)
    with pytest.raises(optuna.TrialPruned):
        TRAINERS[framework].fit(rows, rows, TRAINERS[framework].defaults(), setting, on_round)
    assert [done for done, _ in heard] == [0, 1, 2, 3]
    assert all(0 <= loss <= 1 for _, loss in heard)


def test_what_may_be_tuned_is_known_to_the_library() -> None:
    """Both libraries ignore names that they do not know, so the lists are held against theirs."""
    known = xgboost.XGBClassifier().get_params()
    assert TRAINERS["xgboost"].tunable() <= set(known)
    aliases = lightgbm.basic._ConfigAliases._get_all_param_aliases()
    assert TRAINERS["lightgbm"].tunable() <= set(aliases) | {name for names in aliases.values() for name in names}
    for trainer in TRAINERS.values():
        assert set(trainer.space()) == set(trainer.defaults()) <= trainer.tunable()
