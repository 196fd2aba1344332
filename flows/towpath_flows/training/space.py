"""Where parameters are looked for: the trainer's own ranges, the owner's over them, or the owner's function."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from towpath_flows.project import Project
from towpath_flows.training.trainers import TRAINERS
from towpath_flows.training_spec import Dimension, Framework, Range, Value
from towpath_gitops.errors import InvalidFileError

if TYPE_CHECKING:
    import optuna

Suggest = Callable[["optuna.Trial", Framework], dict[str, Value]]


def suggester(project: Project) -> Suggest:
    """Return what gives a trial the parameters of a framework, after `tune.space` in model.yaml.

    Raises:
        InvalidFileError: `tune.space` names a parameter that may not be tuned, or a function that cannot be imported.
    """
    space = project.spec.tune.space
    if isinstance(space, str):
        return _asked(project.load_owners(space, "tune.space"), space)
    spaces = {name: {**TRAINERS[name].space(), **(space or {}).get(name, {})} for name in project.spec.train.frameworks}
    for framework, dimensions in spaces.items():
        _check(framework, dimensions, "tune.space")
    return lambda trial, framework: {
        name: _suggested(trial, f"{framework}.{name}", dimension) for name, dimension in spaces[framework].items()
    }


def queued(project: Project, framework: Framework) -> dict[str, Value]:
    """Return the framework's defaults by the names of the study, for the first trials; what is fixed stays fixed."""
    space = project.spec.tune.space
    if isinstance(space, str):
        return {}  # the owner's function names its parameters itself
    given = (space or {}).get(framework, {})
    defaults = {name: value for name, value in TRAINERS[framework].defaults().items() if _within(value, given, name)}
    return {f"{framework}.{name}": value for name, value in defaults.items()}


def _within(value: Value, given: Mapping[str, Dimension], name: str) -> bool:
    """Say whether the owner's dimension (where there is one) holds the value: else the sampler draws one."""
    dimension = given.get(name)
    if isinstance(dimension, Range):
        return not isinstance(value, str) and dimension.low <= value <= dimension.high
    return dimension is None or (isinstance(dimension, tuple) and value in dimension)


def _suggested(trial: "optuna.Trial", name: str, dimension: Dimension) -> Value:
    if isinstance(dimension, Range):
        low, high, log = dimension.low, dimension.high, dimension.log
        if isinstance(low, int) and isinstance(high, int):
            return trial.suggest_int(name, low, high, log=log)
        return trial.suggest_float(name, low, high, log=log)
    if isinstance(dimension, tuple):
        return trial.suggest_categorical(name, dimension)  # type: ignore[return-value]  # one of those given
    return dimension


def _asked(function: Callable[["optuna.Trial", Framework], object], reference: str) -> Suggest:
    def suggest(trial: "optuna.Trial", framework: Framework) -> dict[str, Value]:
        params = function(trial, framework)
        if not isinstance(params, dict) or not all(isinstance(value, Value) for value in params.values()):
            raise InvalidFileError(
                f"model.yaml: tune.space: {reference} returned {params!r}",
                why="Parameters are a dict of names and numbers, truths or text.",
            )
        _check(framework, params, reference)
        return params

    return suggest


def _check(framework: Framework, params: Mapping[str, object], where: str) -> None:
    known = TRAINERS[framework].tunable()
    for name in params:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise InvalidFileError(
                f"model.yaml: {where}: {framework} has no parameter {name} to tune",
                why="The library would ignore it, or it belongs to the trainer (`train` in model.yaml sets it).",
                hint=f"Did you mean {near[0]}?" if near else f"There are {', '.join(sorted(known))}.",
            )
