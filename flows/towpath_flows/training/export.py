"""A model becomes the files of an artifact: one graph, proved equal to the model, or the native parts and why."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from towpath_bento.engines import Engine, open_engine
from towpath_flows.data.splits import Splits
from towpath_flows.evaluation.assessment import one_line
from towpath_flows.training.features import Features, engine_columns
from towpath_flows.training.golden import make_golden
from towpath_flows.training.graph import to_graph
from towpath_flows.training.model import Model
from towpath_flows.training.parity import Parity, compare_answers, with_probes
from towpath_flows.training.reference import write_reference
from towpath_flows.training.safekeeping import foreign_types, to_skops
from towpath_flows.training.seen import with_seen
from towpath_flows.training.skew import compare_paths
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.errors import TowpathError, TrainingError
from towpath_gitops.records.artifact import GOLDEN, GRAPH, PIPELINE, REFERENCE, SIGNATURE
from towpath_gitops.records.base import Record
from towpath_gitops.records.evidence import Finding, Verdict
from towpath_gitops.records.figures import ChosenThreshold
from towpath_gitops.records.signature import Signature

_HINT: Final = "Build the features from scikit-learn's own transformers, without functions of your own."


@dataclass(frozen=True)
class Exported:
    """The artifact in `folder`, all but the card.

    `details` are figures in JSON types: engine, rows, difference, flips; `fallback` says why there is no graph, and
    `pipeline` why the transformer was not kept (null where all is well).
    """

    folder: Path
    signature: Signature
    parity: list[Finding]
    details: dict[str, Any] = field(default_factory=dict)
    threshold: ChosenThreshold | None = None


@dataclass(frozen=True)
class _Served:
    signature: Signature
    engine: Engine
    parity: Parity
    fallback: str | None = None


def export(model: Model, splits: Splits, folder: Path) -> Exported:
    """Write the artifact into `folder`, which is made when it is not there; files of the same name are replaced.

    The graph is asked for every test row. Where it cannot be made, or differs from the model, the native engine serves
    instead, and is asked in its turn. The same model and rows give the same bytes.

    Raises:
        TrainingError: neither engine can serve the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    x = Features(model.signature).x(splits.test)
    name, booster = TRAINERS[model.framework].save(model.estimator)
    (folder / name).write_bytes(booster)
    unkept = _keep_pipeline(model, folder)
    served = _serve(model, with_probes(model.signature, x), folder, unkept)
    signature = with_seen(served.signature, splits.development, served.engine.predict(engine_columns(x)))
    _write(folder / SIGNATURE, signature)
    _write(folder / GOLDEN, make_golden(signature, x, served.engine.predict))
    write_reference(model, splits, folder / REFERENCE)
    details = {
        "engine": signature.engine,
        "rows": served.parity.rows,
        "difference": served.parity.difference,
        "flips": served.parity.flips,
        "fallback": served.fallback,
        "pipeline": unkept,
    }
    findings = [*served.parity.findings, compare_paths(served.engine, model, splits.test), _engine(served)]
    return Exported(folder, signature, [*findings, *model.findings], details, model.threshold)


def _engine(served: _Served) -> Finding:
    """Say which engine serves: the native one needs the training libraries, and far longer for a row."""
    native = served.fallback is not None
    words = f"the native engine serves, slowly: {served.fallback}" if native else "one graph serves"
    return Finding(gate="one graph", verdict=Verdict.PASS, message=one_line(words), measured=int(native))


def _serve(model: Model, x: pd.DataFrame, folder: Path, unkept: str | None) -> _Served:
    try:
        (folder / GRAPH).write_bytes(to_graph(model))
        engine = open_engine(folder, model.signature)
        parity = compare_answers(engine, model, x)
    except Exception as error:  # noqa: BLE001 (converters and onnxruntime fail without a common base; all mean the same)
        reason = f"no graph can be made: {type(error).__name__}: {error}"
    else:
        if parity.holds:
            return _Served(model.signature, engine, parity)
        reason = f"the graph differs from the model by {parity.difference:.2g}; {parity.flips} decisions flip"
    (folder / GRAPH).unlink(missing_ok=True)
    return _serve_natively(model, x, folder, reason, unkept)


def _serve_natively(model: Model, x: pd.DataFrame, folder: Path, reason: str, unkept: str | None) -> _Served:
    signature = model.signature.model_copy(update={"engine": "native"})
    if unkept:
        raise TrainingError("The model can be served by no engine", why=f"{reason}\n{unkept}", hint=_HINT)
    try:
        engine = open_engine(folder, signature)
        return _Served(signature, engine, compare_answers(engine, model, x), reason)
    except TowpathError as error:
        raise TrainingError("The model can be served by no engine", why=f"{reason}\n{error}", hint=_HINT) from error


def _keep_pipeline(model: Model, folder: Path) -> str | None:
    """Write pipeline.skops; where it would be unsafe to open, leave it out and return why."""
    try:
        content = to_skops(model.pipeline)
        foreign = foreign_types(content)
    except Exception as error:  # noqa: BLE001 (an owner's transformer may refuse to be kept in any way)
        return f"the pipeline cannot be kept: {type(error).__name__}: {error}"
    if foreign:
        return f"the pipeline holds types that are not trusted: {', '.join(foreign)}"
    (folder / PIPELINE).write_bytes(content)
    return None


def _write(path: Path, record: Record) -> None:
    path.write_text(record.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
