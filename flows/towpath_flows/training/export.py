"""A model becomes the files of an artifact: one graph, proved equal to the model, or the native parts and why."""

import shutil
from collections.abc import Iterator
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
from towpath_flows.training.safekeeping import Kept, keep
from towpath_flows.training.seen import with_seen
from towpath_flows.training.skew import compare_paths
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.errors import TowpathError, TrainingError
from towpath_gitops.records.artifact import CODE, GOLDEN, GRAPH, PIPELINE, REFERENCE, SIGNATURE
from towpath_gitops.records.base import Record, digest_bytes, short
from towpath_gitops.records.evidence import ONE_GRAPH, OWN_CODE, Finding, Verdict
from towpath_gitops.records.figures import ChosenThreshold
from towpath_gitops.records.signature import Signature

_HINT: Final = (
    "Build the features from scikit-learn's own transformers, or from classes and functions below src/ that keep plain "
    "values and arrays."
)


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
    kept: Kept
    fallback: str | None = None


def export(model: Model, splits: Splits, folder: Path, src: Path | None = None) -> Exported:
    """Write the artifact into `folder`, which is made when it is not there; files of the same name are replaced.

    The graph is asked for every test row. Where it cannot be made, or differs from the model, the native engine serves
    instead, and is asked in its turn. What the owner defined below `src` then comes along as `code/`; without `src` a
    model that needs any of it is refused. The same model and rows give the same bytes.

    Raises:
        TrainingError: neither engine can serve the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    x = Features(model.signature).x(splits.test)
    name, booster = TRAINERS[model.framework].save(model.estimator)
    (folder / name).write_bytes(booster)
    served = _serve(model, with_probes(model.signature, x), folder, src)
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
        "pipeline": served.kept.why,
        **_carried(served.kept),
    }
    findings = [*served.parity.findings, compare_paths(served.engine, model, splits.test), *_engine(served)]
    return Exported(folder, signature, [*findings, *model.findings], details, model.threshold)


def _engine(served: _Served) -> Iterator[Finding]:
    """Say which engine serves, and whether it runs code of the owner's: reviewers are warned of both."""
    native = served.fallback is not None
    words = f"the native engine serves, slowly: {served.fallback}" if native else "one graph serves"
    yield Finding(gate=ONE_GRAPH, verdict=Verdict.PASS, message=one_line(words), measured=int(native))
    code = served.kept.code
    if code is not None:
        needs = f"; it needs {', '.join(code.libraries)}" if code.libraries else ""
        words = (
            f"{', '.join(served.kept.types)} run wherever it is served, from {len(code.files)} files of its commit "
            f"(digest {short(code.digest)}){needs}"
        )
        yield Finding(gate=OWN_CODE, verdict=Verdict.PASS, message=one_line(words), measured=len(code.files))


def _carried(kept: Kept) -> dict[str, Any]:
    """Return the figures of the owner's code: path → digest, and libraries; nothing where there is none."""
    if kept.code is None:
        return {}
    files = {path: digest_bytes(content) for path, content in kept.code.files.items()}
    return {"code": files, "types": list(kept.types), "libraries": list(kept.code.libraries)}


def _serve(model: Model, x: pd.DataFrame, folder: Path, src: Path | None) -> _Served:
    try:
        (folder / GRAPH).write_bytes(to_graph(model))
        engine = open_engine(folder, model.signature)
        parity = compare_answers(engine, model, x)
    except Exception as error:  # noqa: BLE001 (converters and onnxruntime fail without a common base; all mean the same)
        reason = f"no graph can be made: {type(error).__name__}: {error}"
    else:
        if parity.holds:
            return _Served(model.signature, engine, parity, _write_pipeline(keep(model.pipeline), folder))
        reason = f"the graph differs from the model by {parity.difference:.2g}; {parity.flips} decisions flip"
    (folder / GRAPH).unlink(missing_ok=True)
    return _serve_natively(model, x, folder, reason, _write_pipeline(keep(model.pipeline, src), folder))


def _serve_natively(model: Model, x: pd.DataFrame, folder: Path, reason: str, kept: Kept) -> _Served:
    if kept.why:
        raise TrainingError("The model can be served by no engine", why=f"{reason}\n{kept.why}", hint=_HINT)
    code = kept.code.digest if kept.code else None
    signature = model.signature.model_copy(update={"engine": "native", "code": code})
    try:
        engine = open_engine(folder, signature)
        return _Served(signature, engine, compare_answers(engine, model, x), kept, reason)
    except TowpathError as error:
        raise TrainingError("The model can be served by no engine", why=f"{reason}\n{error}", hint=_HINT) from error
    except Exception as error:
        # The owner's code may fail in any way where its module stands alone.
        why = f"{reason}\nIts own code fails outside the repository: {type(error).__name__}: {error}"
        raise TrainingError("The model can be served by no engine", why=why, hint=_HINT) from error


def _write_pipeline(kept: Kept, folder: Path) -> Kept:
    """Write pipeline.skops and the code that it needs; where it would be unsafe to open, leave it out."""
    shutil.rmtree(folder / CODE, ignore_errors=True)
    if kept.why is None:
        (folder / PIPELINE).write_bytes(kept.content)
    for path, content in kept.code.files.items() if kept.code else ():
        target = folder / CODE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return kept


def _write(path: Path, record: Record) -> None:
    path.write_text(record.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
