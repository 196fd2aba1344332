"""The last fit: with the parameters that tuning chose, on everything but the test rows."""

from dataclasses import replace

from towpath_flows import cluster
from towpath_flows.data.splits import Splits
from towpath_flows.evaluation.thresholds import choose
from towpath_flows.evidence_spec import ThresholdSpec
from towpath_flows.project import Project
from towpath_flows.training.features import Features
from towpath_flows.training.lookups import with_lookups
from towpath_flows.training.model import Model
from towpath_flows.training.preparation import Prepared, prepare, setting_of
from towpath_flows.training.suspicion import suspect
from towpath_flows.training.trainers import TRAINERS, Setting, Trainer
from towpath_flows.training.trainers.base import cores
from towpath_flows.training.trainers.clustered import trainer_on
from towpath_flows.training.trials import TuneResult
from towpath_gitops.errors import TrainingError
from towpath_gitops.records.evidence import Finding


def fit(project: Project, splits: Splits, tuned: TuneResult, threads: int | None = None) -> Model:
    """Fit on train and validation together, for the rounds that tuning found.

    Without tuning they are found first, by a fit on train that stops when validation no longer gains. The newest rows,
    which resemble tomorrow's most, are thus learned from; the test rows never are. The last bits of a model depend on
    `threads`, by default all cores, and on a cluster on how many workers there are: whoever makes it again asks for as
    many.

    Raises:
        TrainingError: the transformer or the library fails on these rows.
        InvalidFileError: a column of the schema can be no input, or none that is looked up.
        UnavailableError, MissingDependencyError, ConflictError: the cluster cannot be used, or loses its workers.
    """
    plain = Features.of(project, splits.train, splits.target)
    features = Features(with_lookups(project, plain.signature))
    setting = replace(setting_of(project, splits), threads=threads or cores())
    with cluster.opened(project.spec.train.cluster) as workers:
        trainer = trainer_on(workers, tuned.framework)
        try:
            rounds = tuned.rounds or _rounds(project, plain, splits, trainer, tuned, setting)
            last = prepare(project, features, splits.development)
            final = trainer.fit(last.train, None, tuned.params, replace(setting, rounds=rounds))
        except (ValueError, RuntimeError) as error:
            # Both libraries' own errors are of these kinds.
            raise TrainingError(f"{tuned.framework} cannot fit these rows", why=str(error)) from error
    model = Model(
        framework=tuned.framework,
        pipeline=last.pipeline,
        estimator=final.estimator,
        params=dict(tuned.params),
        rounds=rounds,
        signature=features.signature,
        trials=tuned.trials,
        findings=_suspected(project, features, last),
        workers=final.workers,
    )
    asked = project.spec.threshold
    if not isinstance(asked, ThresholdSpec) or asked.costs is not None:  # costs of many classes need no threshold
        return model
    return _deciding(project, splits, model, asked, setting)


def _rounds(  # noqa: PLR0913, PLR0917 (a fit needs rows, what to make of them, and how)
    project: Project, features: Features, splits: Splits, trainer: Trainer, tuned: TuneResult, setting: Setting
) -> int:
    """Find how many rounds do validation good; the rows of this fit are let go before the last one."""
    first = prepare(project, features, splits.train, splits.validation)
    return trainer.fit(first.train, first.judge, tuned.params, setting).rounds


def _deciding(project: Project, splits: Splits, model: Model, asked: ThresholdSpec, setting: Setting) -> Model:
    """Choose the threshold on the validation rows, by a twin of the model that has not learned from them."""
    features, trainer = Features(model.signature), TRAINERS[model.framework]
    parts = prepare(project, features, splits.train, splits.validation)
    twin = trainer.fit(parts.train, None, model.params, replace(setting, rounds=model.rounds)).estimator
    judge = parts.judge
    assert judge is not None  # noqa: S101 (narrows the type: rows to judge were handed over)
    found = choose(asked, judge.y, trainer.predict(twin, judge.x)[:, 0])
    signature = model.signature.model_copy(update={"threshold": found.value})
    return replace(model, signature=signature, threshold=found)


def _suspected(project: Project, features: Features, last: Prepared) -> tuple[Finding, ...]:
    """Look at the features of all rows; a sample, on which a flow is rehearsed, could not tell."""
    if getattr(project, "sample", None) is not None:
        return ()
    return suspect(project.spec.train.checks, features, last.inputs, last.pipeline, last.train.x)
