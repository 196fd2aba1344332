"""Parameters are searched on folds, kept, and continued."""

import optuna
import pytest

from towpath_flows.data import Splits
from towpath_flows.project import Project
from towpath_flows.training import Trial, TuneResult, fit, tune, tuning
from towpath_gitops.errors import TrainingError


def searching(project: Project, trials: int, **more: object) -> Project:
    """Return the project with a search of so many trials."""
    tuned = project.spec.tune.model_copy(update={"trials": trials, **more})
    return Project(project.root, project.spec.model_copy(update={"tune": tuned}))


def test_no_trials_means_defaults(project: Project, splits: Splits) -> None:
    """With no trials and one framework its defaults are taken at once; nothing is fitted or written."""
    one = project.spec.train.model_copy(update={"frameworks": ("lightgbm",)})
    result = tune(Project(project.root, project.spec.model_copy(update={"train": one})), splits)
    assert (result.framework, result.trials) == ("lightgbm", ())
    assert not (project.root / ".towpath").exists()


def test_a_search_tries_the_defaults_first_and_takes_the_best(project: Project, splits: Splits) -> None:
    """Every trial is told as it ends; the first two are the defaults of both frameworks."""
    told: list[Trial] = []
    result = tune(searching(project, 4), splits, told.append)
    assert [trial.framework for trial in told[:2]] == ["xgboost", "lightgbm"]
    assert len(told) == len(result.trials) == 4
    losses = [trial.loss for trial in result.trials if trial.loss is not None]
    assert result.loss == min(losses)
    assert fit(project, splits, result).rounds == result.rounds


def test_a_search_goes_on_where_it_stopped(project: Project, splits: Splits) -> None:
    """What was tried is not tried again; a finished search answers from what it kept."""
    first = tune(searching(project, 2), splits)
    told: list[Trial] = []
    second = tune(searching(project, 3), splits, told.append)
    assert len(told) == 1
    assert second.trials[:2] == first.trials
    told.clear()
    assert tune(searching(project, 3), splits, told.append) == second
    assert not told


def test_other_rows_are_another_search(project: Project, splits: Splits) -> None:
    """Trials on other rows prove nothing about these."""
    tune(searching(project, 2), splits)
    told: list[Trial] = []
    fewer = Splits(splits.train.iloc[:500], splits.validation, splits.test, splits.target)
    tune(searching(project, 2), fewer, told.append)
    assert len(told) == 2


def test_other_inputs_are_another_search(project: Project, splits: Splits) -> None:
    """Trials without a column prove nothing about a model that has it, nor do those of other code of the owner's."""
    tune(searching(project, 2), splits)
    told: list[Trial] = []
    fewer = Project(project.root, project.spec.model_copy(update={"exclude": ("refund_days", "express")}))
    tune(searching(fewer, 2), splits, told.append)
    assert len(told) == 2
    (project.root / "src" / "shop" / "more.py").write_text("# another way to make features\n")
    tune(searching(project, 2), splits, told.append)
    assert len(told) == 4


def test_the_test_rows_are_never_looked_at(project: Project, splits: Splits) -> None:
    """Without test rows the search finds the same."""
    with_test = tune(searching(project, 2), splits)
    (project.root / ".towpath" / "optuna" / "studies.db").unlink()
    blind = Splits(splits.train, splits.validation, splits.test.iloc[:0], splits.target)
    without = tune(searching(project, 2), blind)
    assert (without.loss, without.params) == (with_test.loss, with_test.params)


def test_without_folds_validation_judges(project: Project, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no fold has both classes, train and validation take their place."""
    monkeypatch.setattr(tuning, "folds", lambda *_: [])
    assert tune(searching(project, 2), splits).loss is not None


def test_a_hopeless_trial_is_given_up(project: Project, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that is worse than the others on the first fold is not fitted on the second."""
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number > 0)
    result = tune(searching(project, 3), splits)
    assert [trial.loss is None for trial in result.trials] == [False, True, True]


def test_a_search_without_an_end_is_refused(project: Project, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """When every trial was given up there is nothing to fit."""
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda _: True)
    with pytest.raises(TrainingError, match="No set of parameters"):
        tune(searching(project, 2), splits)


def test_random_folds_serve_tables_without_time(project: Project, splits: Splits) -> None:
    """A model without a time column is tuned on stratified folds."""
    spec = project.spec.model_copy(update={"time": None, "exclude": ("refund_days", "ordered_at")})
    result = tune(searching(Project(project.root, spec), 1), splits)
    assert isinstance(result, TuneResult)
    assert result.loss is not None
