"""The model card: what the model is for, what it was made of, how good it is, and where not to trust it.

After Mitchell et al. (2019), *Model Cards for Model Reporting*. Written from facts alone, as Markdown and as one HTML
page that needs nothing else. The card in the artifact is timeless: the same training gives the same bytes. What differs
from day to day, the cost of training and the releases before, stands on the card that is published beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from towpath_bento.wire import decisions
from towpath_flows.evaluation import plots
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.evidence_spec import CardSpec
from towpath_gitops.promotion import dossier
from towpath_gitops.promotion.pages import Section, markdown, page
from towpath_gitops.records.artifact import CARD_HTML, CARD_MARKDOWN
from towpath_gitops.records.figures import OperatingPoint
from towpath_gitops.records.importance import Importance
from towpath_gitops.records.signature import Signature

__all__ = ["Facts", "Section", "markdown", "page", "pictures", "write_card"]

_TOP: Final = 12  # columns that are drawn
_MOST_CLASSES: Final = 12  # that a table of confusions can show
_MOST_LISTED: Final = 100  # columns of what it takes


@dataclass(frozen=True)
class Facts:
    """What a card is written from. `window` holds the ends of the training data in ISO 8601."""

    model: str
    signature: Signature
    source: str
    data: str
    window: tuple[str | None, str | None]
    rows: Mapping[str, int]
    params: Mapping[str, object]
    assessments: Sequence[Assessment]
    importance: Importance
    images: Mapping[str, str]
    about: CardSpec
    lineage: Mapping[str, str]


def write_card(folder: Path, facts: Facts) -> None:
    """Write `card.md` and `card.html` into the artifact's folder."""
    title, sections = f"{facts.model}: model card", list(_sections(facts))
    (folder / CARD_MARKDOWN).write_text(markdown(title, sections), encoding="utf-8")
    (folder / CARD_HTML).write_text(page(title, sections), encoding="utf-8")


def _sections(facts: Facts) -> Iterator[Section]:
    timeless = [each for each in facts.assessments if each.kind not in dossier.OF_A_DAY]
    yield _purpose(facts)
    yield from dossier.gates(timeless)
    yield from dossier.measures(timeless)
    if facts.images:
        yield Section("Pictures", images=facts.images)
    if facts.importance.columns:
        yield dossier.importance(facts.importance)
    yield from dossier.behaviour(timeless, timeless=True)
    yield _inputs(facts.signature)
    yield from _making(facts)
    yield _limits(facts)


def _purpose(facts: Facts) -> Section:
    signature, about = facts.signature, facts.about
    asked = {
        "binary": f"the probability that {signature.target} is {(signature.classes or ('', ''))[-1]}",
        "multiclass": f"the probability of each value of {signature.target}: {', '.join(signature.classes or ())}",
        "regression": f"the value of {signature.target}",
    }[signature.task]
    words = [about.purpose] if about.purpose else []
    words.append(f"Answers {asked}, from {len(signature.inputs)} columns.")
    if signature.threshold is not None:
        words.append(f"It is decided from a probability of {signature.threshold:g}.")
    if signature.costs is not None:
        words.append("It is decided by the least expected cost.")
    told = {"for": about.users, "not for": about.not_for, "ask": about.contact, "licence": about.licence}
    return Section("What it is for", tuple(words), facts={name: value for name, value in told.items() if value})


def _inputs(signature: Signature) -> Section:
    hidden = set(signature.sensitive or ())
    rows = tuple(
        (
            column.name,
            column.type,
            "may be missing" if column.nullable else "required",
            "not told"
            if column.name in hidden
            else _range(column.minimum, column.maximum) or _listed(column.categories),
            "" if column.example is None else str(column.example),
        )
        for column in signature.inputs[:_MOST_LISTED]
    )
    more = len(signature.inputs) - len(rows)
    words = (f"And {more:,} more columns: see signature.json.",) if more else ()
    return Section("What it takes", words, ("column", "type", "missing", "range", "example"), rows)


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None and maximum is None:
        return ""
    return f"{'…' if minimum is None else f'{minimum:g}'} to {'…' if maximum is None else f'{maximum:g}'}"


def _listed(categories: Sequence[str] | None) -> str:
    shown = ", ".join((categories or ())[:8])
    return f"{shown}, …" if len(categories or ()) > 8 else shown  # noqa: PLR2004 (a line's worth)


def _making(facts: Facts) -> Iterator[Section]:
    counts = ", ".join(f"{rows:,} to {part}" for part, rows in facts.rows.items())
    words = (f"{facts.source}{dossier.from_to(facts.window)}: {counts}.",)
    yield Section("Data", words, facts={"digest": facts.data})
    yield Section("Lineage", facts={**facts.lineage, "engine": facts.signature.engine})
    rows = tuple(
        (name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in facts.params.items()
    )
    yield Section("How it was trained", (), ("parameter", "value"), rows)


def _limits(facts: Facts) -> Section:
    words = [
        "It knows the world of its training data only; the monitor says when live rows no longer resemble it.",
        "Importance is not cause: changing a column in the world need not change the outcome.",
    ]
    if facts.about.limits:
        words.insert(0, facts.about.limits)
    opened = [c.name for c in facts.signature.inputs if c.type == "string" and c.categories is None]
    if opened:
        words.append(f"Values of {', '.join(opened[:20])} that training never saw are answered as unknown.")
    return Section("Where not to trust it", tuple(words))


def pictures(
    signature: Signature, y: plots.Array, answers: plots.Array, details: Mapping[str, Any], found: Importance
) -> dict[str, str]:
    """Return the plots of a task (name → data address) from the truth `y` (n,) and the answers (n, k)."""
    if signature.task == "regression":
        draws = _of_regression(y, answers)
    else:
        draws = (_of_binary if signature.task == "binary" else _of_classes)(signature, y, answers, details)
    sizes = {each.column: each.shap for each in found.columns[:_TOP] if each.shap is not None}
    if sizes:
        draws["importance"] = plots.bars(sizes, "What it listens to", "mean |SHAP|")
    elif found.columns:
        lost = {each.column: each.loss or 0.0 for each in found.columns[:_TOP]}
        draws["importance"] = plots.bars(lost, "What it listens to", "loss when shuffled")
    return {name: plots.svg(draw) for name, draw in draws.items()}


def _of_binary(
    signature: Signature, y: plots.Array, answers: plots.Array, details: Mapping[str, Any]
) -> dict[str, plots.Draw]:
    area = details.get("metrics", {}).get("roc_auc", {}).get("value", float("nan"))
    curve = [OperatingPoint.model_validate(point) for point in details.get("curve", ())]
    draws = {"ROC curve": plots.roc(y, answers[:, 0], area)}
    if details.get("calibration"):
        draws["calibration"] = plots.calibration(details["calibration"])
    if curve:
        draws["threshold"] = plots.thresholds(curve, signature.threshold)
    sides = {"negative": answers[y == 0, 0], "positive": answers[y == 1, 0]}
    draws["scores"] = plots.scores(sides, "Answers by truth", "predicted probability")
    return draws


def _of_classes(
    signature: Signature, y: plots.Array, answers: plots.Array, details: Mapping[str, Any]
) -> dict[str, plots.Draw]:
    classes, draws = signature.classes or (), dict[str, plots.Draw]()
    if details.get("calibration"):
        draws["calibration"] = plots.calibration(details["calibration"])
    if len(classes) <= _MOST_CLASSES:
        draws["confusion"] = plots.confusion(classes, y, decisions(signature, answers))
    return draws


def _of_regression(y: plots.Array, answers: plots.Array) -> dict[str, plots.Draw]:
    return {
        "answers": plots.diagonal(y, answers[:, 0]),
        "calibration": plots.tenths(np.asarray(y, dtype=np.float64), answers[:, 0]),
        "errors": plots.scores({"error": answers[:, 0] - y}, "Errors", "answer less truth"),
    }
