"""What a model card is written from, gathered at the end of a training."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

from towpath_flows.data import Splits, Table, splits
from towpath_flows.evaluation import judgement
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.evaluation.card import Facts, pictures
from towpath_flows.evaluation.importance import importance
from towpath_flows.evaluation.scoring import Scorer
from towpath_flows.project import Project
from towpath_flows.training import Exported, Model
from towpath_gitops.records.evidence import Kind
from towpath_gitops.records.importance import FILE
from towpath_gitops.records.signature import Signature

_TOOLS: Final = ("towpath", "scikit-learn", "xgboost", "lightgbm", "onnxruntime")


def gather(  # noqa: PLR0913, PLR0917 (a card tells of everything that was done)
    project: Project,
    table: Table,
    made: tuple[Model, Exported],
    parts: Splits,
    known: Sequence[Assessment],
    params: Mapping[str, object],
) -> Facts:
    """Return the facts, and keep how much each column counts as importance.json in the artifact."""
    model, exported = made
    scorer = Scorer.open(exported.folder)
    y, x, columns = scorer.features.y(parts.test), scorer.features.x(parts.test), scorer.columns(parts.test)
    found = importance(model, scorer.engine.predict, x, columns, y, seed=project.spec.train.seed)
    (exported.folder / FILE).write_text(found.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
    details = next((each.details for each in known if each.kind is Kind.EVALUATION), {})
    return Facts(
        model=project.spec.name,
        signature=exported.signature,
        source=table.source,
        data=table.digest,
        window=judgement.window_of(project, table.frame),
        rows={name: len(frame) for name, frame in splits.parts(parts)},
        params=params,
        assessments=known,
        importance=found,
        images=pictures(exported.signature, y, scorer.engine.predict(columns), details, found),
        about=project.spec.card,
        lineage=_lineage(project, exported.signature),
    )


def _lineage(project: Project, signature: Signature) -> dict[str, str]:
    """Return what the artifact was made from, besides the rows: the same for the same training."""
    features = project.spec.features
    declared = f"{len(features)} declared in model.yaml" if isinstance(features, tuple) else features
    return {
        "code": getattr(project, "code", None) or "not committed",
        "schema": f"{project.spec.schema_}, {signature.digest}",
        "features": declared or "derived from the schema",
        "libraries": ", ".join(f"{name} {version(name)}" for name in _TOOLS),
    }
