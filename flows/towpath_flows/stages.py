"""The stages of a flow: each a plain function (`stage.fn`) and a Prefect task around it.

A model repository's `flows/train.py` and `flows/monitor.py` compose them in a dozen visible lines that its owner may
rearrange. Tables pass between tasks in memory: results are not persisted, and nothing is pickled. What a stage may
safely do again after a failure of something outside (a disk, MLflow, git's remote) it does, after growing pauses.
"""

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from prefect.assets import Asset, add_asset_metadata, materialize
from prefect.cache_policies import NO_CACHE

from towpath_flows import announcing, assets, registration
from towpath_flows.data import Splits, Table, Validated, contract, past, quality, sources, splits
from towpath_flows.evaluation import card, judgement
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.evaluation.cost import Clock
from towpath_flows.evaluation.facts import gather
from towpath_flows.evaluation.scoring import Scorer, find_champion
from towpath_flows.monitoring import monitor
from towpath_flows.monitoring import report as monitoring_report
from towpath_flows.project import Project
from towpath_flows.recipe import recipe_of
from towpath_flows.server import find_root, local_api
from towpath_flows.tasks import RETRIES, RETRY_DELAYS_S, STAGE_TIMEOUT_S, retryable
from towpath_flows.tasks import stage as _stage
from towpath_flows.training import Exported, Model, Trial, TuneResult, fitting, tuning
from towpath_flows.training import export as exporting
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import NotFoundError, TrainingError
from towpath_gitops.records.artifact import CARD_HTML, CARD_MARKDOWN
from towpath_gitops.records.evidence import Kind, Verdict
from towpath_gitops.records.figures import DataFigures
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

__all__ = [
    "Workspace",
    "already_trained",
    "champion",
    "check_behaviour",
    "compare",
    "evaluate",
    "examine_data",
    "export",
    "fit",
    "load",
    "load_window",
    "local_api",
    "open_project",
    "prove_parity",
    "register",
    "report",
    "split",
    "tune",
    "validate",
    "watch",
    "write_card",
]

_WRONG: Final = {Verdict.FAIL, Verdict.ERROR}
_KEPT: Final = timedelta(days=1)  # how long the files of a training that was not registered are kept


@dataclass(frozen=True)
class Workspace(Project):
    """A project whose code is pinned: `code` is the commit that was checked out, and clean, when the flow began.

    With `sample` the flow is rehearsed on so many rows: nothing is compared and nothing registered.
    """

    code: str | None = None
    sample: int | None = None
    clock: Clock = field(default_factory=Clock.start, compare=False)


@_stage("open project")
def open_project(*, clean: bool = True, sample: int | None = None) -> Workspace:
    """Open the repository around the current directory (or `TOWPATH_ROOT`).

    `clean` refuses uncommitted changes at once, rather than when the model is to be registered. With `sample`, the
    number of rows to rehearse on, they do no harm; one trial is enough then.

    Raises:
        NotFoundError: there is no model.yaml.
        InvalidFileError: it does not say what it should.
        UncleanRepositoryError: there are uncommitted changes, or no commit.
    """
    project = Project.open(find_root(Path.cwd()))
    if sample is not None:
        tune = project.spec.tune
        fewer = tune.model_copy(update={"trials": min(tune.trials, 1)})
        return Workspace(project.root, project.spec.model_copy(update={"tune": fewer}), sample=sample)
    if not clean:
        return Workspace(project.root, project.spec)
    repository = Repository.discover(project.root)
    repository.require_clean()
    workspace = Workspace(project.root, project.spec, repository.head())
    assets.begin(workspace, repository.head())
    return workspace


@_stage("load", outside=True)
def load(project: Project, since: datetime | None = None, until: datetime | None = None) -> Table:
    """Read the rows from `since` to `until`; what is None comes from `data.window` in model.yaml."""
    table = sources.load(project, since=since, until=until)
    announcing.say(f"Read {len(table.frame):,} rows of {table.source}: {table.memory_bytes / 1e6:,.1f} MB in memory")
    assets.read(table)
    assets.tell_of_data(project, table)
    return table


@_stage("look for the same training", outside=True)
def already_trained(project: Project, table: Table) -> str | None:
    """Return the id of the release that these rows and this commit have given; None where something is new.

    A rehearsal is never the same: it registers nothing.
    """
    code = getattr(project, "code", None)
    found = registration.find_same(project.root, project.spec.name, table.digest, code) if code else None
    if found is None:
        return None
    announcing.say(f"The same rows, code, parameters and seed have given {found}: nothing is trained")
    assets.announce(found)
    return found.id


@_stage("load window", outside=True)
def load_window(project: Project, since: datetime | None = None, until: datetime | None = None) -> Table:
    """Read the rows to monitor: from `since` to `until`, by default the last `monitor.window` of the data."""
    spec = project.spec
    everything = spec.model_copy(update={"data": spec.data.model_copy(update={"window": None})})
    table = sources.load(Project(project.root, everything), since=since, until=until)
    if spec.time is None or since is not None:
        return table
    first = table.frame[spec.time].max() - spec.monitor.window
    frame = table.frame[table.frame[spec.time] > first].reset_index(drop=True)
    return replace(table, frame=frame, digest=sources.digest_frame(frame), window=(first.to_pydatetime(), until))


@_stage("validate")
def validate(project: Project, table: Table) -> Validated:
    """Check every row against the owner's schema; the report is shown whether it is good or bad.

    Raises:
        DataContractError: with the whole report.
    """
    validated = contract.examine(project, table)
    announcing.show_markdown("data-contract", validated.report.markdown, f"The schema on {table.source}")
    validated.report.require(project.spec.schema_)
    return validated


@_stage("split")
def split(project: Project, validated: Validated) -> Splits:
    """Cut into train, validation and test; see `towpath_flows.data.splits`. A rehearsal cuts its sample of the rows."""
    parts = splits.split(project, _sampled(validated.frame, _sample(project)))
    counts = ", ".join(f"{len(frame):,} to {name}" for name, frame in splits.parts(parts))
    announcing.say(f"Rows: {counts}")
    return parts


def _sample(project: Project) -> int | None:
    return getattr(project, "sample", None)


def _sampled(frame: pd.DataFrame, rows: int | None) -> pd.DataFrame:
    """Return `rows` rows from all over the frame, in their order; all where it has no more."""
    if rows is None or len(frame) <= rows:
        return frame
    return frame.iloc[np.linspace(0, len(frame) - 1, rows).astype(int)].reset_index(drop=True)


@_stage("tune", outside=True)
def tune(project: Project, parts: Splits) -> TuneResult:
    """Search for parameters; done trials are kept by the digest of the rows, and never repeated."""
    total = project.spec.tune.trials
    advance = announcing.progress(f"Tuning {project.spec.name}: {total} trials", total)

    def tell(trial: Trial) -> None:
        advance(trial.number + 1)
        outcome = "given up early" if trial.loss is None else f"loss {trial.loss:.4f}"
        told = f"Trial {trial.number + 1} of {total}: {trial.framework}, {outcome}, {trial.seconds:.1f} s"
        announcing.say(told, done=trial.number + 1, total=total)

    result = tuning.tune(project, parts, tell)
    advance(total)
    if len(result.losses) > 1:
        told = ", ".join(f"{framework} {loss:.4f}" for framework, loss in result.losses.items())
        announcing.say(f"Least loss on the folds: {told}; {result.framework} is taken")
    announcing.show_table("trials", [_trial_row(trial) for trial in result.trials], "Every set of parameters tried")
    return result


def _trial_row(trial: Trial) -> dict[str, Any]:
    return {"trial": trial.number, "framework": trial.framework, "loss": trial.loss, **trial.params}


@_stage("fit", outside=True)
def fit(project: Project, parts: Splits, tuned: TuneResult) -> Model:
    """Fit the chosen parameters on train and validation."""
    model = fitting.fit(project, parts, tuned)
    told = f" by {model.workers} workers together" if model.workers else ""
    announcing.say(f"Fitted {model.framework} in {model.rounds} rounds{told}")
    return model


@_stage("export")
def export(project: Project, model: Model, parts: Splits) -> Exported:
    """Write the artifact's files, all but the card, to a folder of .towpath/training; parity is proved on the way."""
    folder = layout.state(project.root, "training")
    _remove_old(folder)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    exported = exporting(model, parts, folder / stamp / "model", project.root / "src")
    announcing.say(f"Exported for the {exported.signature.engine} engine")
    if exported.details["fallback"]:
        announcing.warn(
            f"No graph serves, which is slower and needs the training libraries: {exported.details['fallback']}"
        )
    return exported


def _remove_old(folder: Path) -> None:
    limit = (datetime.now(UTC) - _KEPT).timestamp()
    for old in folder.glob("*"):
        if old.stat().st_mtime < limit:
            shutil.rmtree(old, ignore_errors=True)


@_stage("examine data", outside=True)
def examine_data(project: Project, validated: Validated, parts: Splits) -> Assessment:
    """Judge the rows by the rules of `quality`, also beside the last release's (evidence of kind `data`)."""
    found = quality.inspect(project, validated, parts, past=past.last_release(project))
    rows = {name: len(frame) for name, frame in splits.parts(parts)}
    window = judgement.window_of(project, validated.frame)
    figures = DataFigures.model_validate({"rows": rows, "window": window, "quality": found.figures})
    return _told(Assessment(Kind.DATA, (*validated.report.findings, *found.findings), figures.plain()))


@_stage("prove parity")
def prove_parity(exported: Exported) -> Assessment:
    """Hand over what the export found: the served graph answers as the model does (evidence of kind `parity`)."""
    return _told(Assessment(Kind.PARITY, tuple(exported.parity), exported.details))


@_stage("evaluate")
def evaluate(project: Project, exported: Exported, parts: Splits) -> Assessment:
    """Measure the exported model on the test rows and judge it by the metric and slice gates."""
    assessment = judgement.assess_worth(project, exported.folder, parts.test, exported.threshold)
    rows = [{"metric": name, **figures} for name, figures in assessment.details["metrics"].items()]
    announcing.show_table("metrics", rows, "On the test rows, with 95% bootstrap intervals")
    return _told(assessment)


@_stage("compare", outside=True)
def compare(project: Project, exported: Exported, parts: Splits) -> Assessment | None:
    """Compare with the champion, the release that main declares in the last environment, on the same test rows.

    What was trained on a sample is not compared: it would lose.
    """
    if _sample(project) is not None:
        return None
    found = find_champion(project.root, project.spec.name)
    folder = Scorer.fetch(project.root, found).folder if found else None
    assessment = judgement.assess_against(project, exported.folder, parts.test, found, folder)
    return _told(assessment) if assessment else None


@_stage("check behaviour")
def check_behaviour(project: Project, exported: Exported, parts: Splits) -> Assessment | None:
    """Run the behaviour checks on the exported model, and the owner's own from tests/behaviour.py."""
    assessment = judgement.assess_behaviour(project, exported.folder, parts.test, parts.train)
    return _told(assessment) if assessment else None


def _told(assessment: Assessment) -> Assessment:
    """Log every finding that is not a pass, or that all is well, and show them all as a table."""
    for finding in assessment.findings:
        if finding.verdict is not Verdict.PASS:
            announcing.warn(f"{assessment.kind}: {finding.verdict}: {finding.message}")
    if assessment.verdict is Verdict.PASS:
        announcing.say(f"{assessment.kind}: {len(assessment.findings)} gates passed")
    rows = [{"verdict": f.verdict.value, "gate": f.gate, "found": f.message} for f in assessment.findings]
    announcing.show_table(f"gates-{assessment.kind}", rows, f"Findings of kind {assessment.kind}")
    return assessment


@_stage("write card")
def write_card(  # noqa: PLR0913, PLR0917 (a card tells of everything that was done)
    project: Project,
    table: Table,
    model: Model,
    exported: Exported,
    parts: Splits,
    evidence: Sequence[Assessment | None],
) -> Path:
    """Write card.md, card.html and importance.json into the artifact and return the page's path."""
    known = [assessment for assessment in evidence if assessment]
    facts = gather(project, table, (model, exported), parts, known, _params(project, model))
    card.write_card(exported.folder, facts)
    announcing.show_markdown("model-card", (exported.folder / CARD_MARKDOWN).read_text(), "The model card")
    return exported.folder / CARD_HTML


def _params(project: Project, model: Model) -> dict[str, object]:
    spec = project.spec
    fixed = {"framework": model.framework, "rounds": model.rounds, "seed": spec.train.seed, "trials": spec.tune.trials}
    return {**fixed, **model.params}


def register(
    project: Project, table: Table, model: Model, exported: Exported, evidence: Sequence[Assessment | None]
) -> str | None:
    """Register the artifact with its evidence and return the release's id; see `towpath_flows.registration`.

    A model that its gates refuse is registered as well: it can be looked at and never promoted. The release is an
    asset on Prefect's pages, made from the data asset. A rehearsal registers nothing and returns None.

    Raises:
        TrainingError: the rehearsal found dishonest data, or a graph that answers otherwise than the model.
    """
    if _sample(project) is not None:
        _conclude_rehearsal(exported, [assessment for assessment in evidence if assessment])
        return None
    asset = Asset(key=f"towpath://{project.spec.name}/release")
    stage = _register.with_options(assets=[asset], asset_deps=[f"towpath://{project.spec.name}/data"])
    return stage(project, table, model, exported, [assessment for assessment in evidence if assessment])


def _conclude_rehearsal(exported: Exported, known: Sequence[Assessment]) -> None:
    """Judge a rehearsal by what a sample can tell: not by how good the model is."""
    shutil.rmtree(exported.folder.parent, ignore_errors=True)
    telling = [each for each in known if each.kind in {Kind.DATA, Kind.PARITY}]
    wrong = [finding.message for each in telling for finding in each.findings if finding.verdict in _WRONG]
    if wrong:
        raise TrainingError("The rehearsal failed", why="\n".join(wrong), hint="Nothing was registered.")
    announcing.say("Every stage works; a sample is not registered")


@materialize(
    "towpath://model/release",
    by="towpath",
    name="register",
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=retryable,
    timeout_seconds=STAGE_TIMEOUT_S,
    persist_result=False,
    cache_policy=NO_CACHE,
)
def _register(project: Project, table: Table, model: Model, exported: Exported, known: list[Assessment]) -> str:
    code = getattr(project, "code", None) or Repository.discover(project.root).head()
    training = registration.Training(
        model=project.spec.name,
        folder=exported.folder,
        signature=exported.signature,
        code=code,
        data=table.digest,
        source=table.source,
        window=sources.exact_window(table, project.spec.time),
        params=_params(project, model),
        rows=len(table.frame),
        cost=project.clock.read() if isinstance(project, Workspace) else {},
        attempt=exported.folder.parent.name,
        trials=model.trials,
        recipe=recipe_of(project, model),
        inputs=table.inputs,
    )
    release = registration.register(project.root, training, known)
    if announcing.is_run():
        add_asset_metadata(f"towpath://{release.model}/release", release.plain() | {"id": release.id})
    assets.announce(release)
    shutil.rmtree(exported.folder.parent, ignore_errors=True)
    _announce(release, known)
    return release.id


def _announce(release: Release, known: Sequence[Assessment]) -> None:
    red = [each for each in known if each.verdict is not Verdict.PASS]
    if not red:
        announcing.say(f"Registered {release}; every gate passed")
        return
    kinds = ", ".join(f"{each.kind} ({each.verdict})" for each in red)
    announcing.warn(f"Registered {release}, but it cannot be promoted: {kinds}")


@_stage("find champion", outside=True)
def champion(project: Project) -> Release:
    """Return the release that main declares in the last environment.

    Raises:
        NotFoundError: nothing was promoted there yet.
    """
    found = find_champion(project.root, project.spec.name)
    if found is None:
        raise NotFoundError(
            f"No release of {project.spec.name} is declared in the last environment",
            why="There is nothing to monitor yet.",
            hint="Promote one: towpath promote RELEASE --to ENVIRONMENT",
        )
    return found


@_stage("watch", outside=True)
def watch(project: Project, release: Release, table: Table, journal: str | None = None) -> monitor.Report:
    """Compare the rows with the release's reference, and measure it where labels are there.

    So is what the service remembers of the same stretch of time: in `journal` (a folder, or s3://bucket/prefix), by
    default where the last environment's service on this machine remembers it.
    """
    return monitor.watch(project, release, table, journal=journal)


@_stage("report")
def report(project: Project, found: monitor.Report) -> str:
    """Write the report to .towpath/monitor and return its folder; the outcome is an event that can start a training."""
    folder = monitoring_report.write_report(project.root, found)
    announcing.show_markdown("monitor", monitoring_report.as_markdown(found), found.headline[:200])
    (announcing.warn if found.outcome in {"costly", "drifted"} else announcing.say)(found.headline)
    announcing.say(f"The report is {folder / 'report.html'}")
    told = {"release": found.release.id, "headline": found.headline, "columns": [each.column for each in found.moved]}
    announcing.emit(f"monitor.{found.outcome}", project.spec.name, told)
    return str(folder)


def releases(project: Project) -> list[Release]:
    """Return the registered releases of the project's model, newest first."""
    return Registry(layout.tracking_uri(project.root)).releases(project.spec.name)
