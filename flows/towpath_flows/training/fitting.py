"""The last fit: with the parameters that tuning chose, on everything but the test rows."""

from dataclasses import replace

from towpath_flows.data.splits import Splits
from towpath_flows.project import Project
from towpath_flows.training.features import Features
from towpath_flows.training.model import Model
from towpath_flows.training.preparation import prepare, setting_of
from towpath_flows.training.trainers import TRAINERS
from towpath_flows.training.tuning import TuneResult
from towpath_gitops.errors import TrainingError


def fit(project: Project, splits: Splits, tuned: TuneResult) -> Model:
    """Fit on train and validation together, for the rounds that tuning found.

    Without tuning they are found first, by a fit on train that stops when validation no longer gains. The newest rows,
    which resemble tomorrow's most, are thus learned from; the test rows never are.

    Raises:
        TrainingError: the transformer or the library fails on these rows.
        InvalidFileError: a column of the schema can be no input.
    """
    features = Features.of(project, splits.train, splits.target)
    trainer, setting = TRAINERS[tuned.framework], setting_of(project, splits)
    try:
        rounds = tuned.rounds
        if rounds is None:
            first = prepare(project, features, splits.train, splits.validation)
            rounds = trainer.fit(first.train, first.judge, tuned.params, setting).rounds
        last = prepare(project, features, splits.development)
        final = trainer.fit(last.train, None, tuned.params, replace(setting, rounds=rounds))
    except (ValueError, RuntimeError) as error:
        # Both libraries' own errors are of these kinds.
        raise TrainingError(f"{tuned.framework} cannot fit these rows", why=str(error)) from error
    return Model(tuned.framework, last.pipeline, final.estimator, dict(tuned.params), rounds, features.signature)
