"""What is known about a model as sections of a page: made from evidence and records alone.

The model card is made of them in training, the report of a release when it is asked for.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from towpath_gitops.promotion import document, loading, wording
from towpath_gitops.promotion.pages import Section, marked
from towpath_gitops.promotion.pictures import draw, says
from towpath_gitops.records.base import short
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict
from towpath_gitops.records.figures import ChosenThreshold, ComparisonFigures, OperatingPoint, find
from towpath_gitops.records.importance import Importance
from towpath_gitops.records.load import LoadFigures
from towpath_gitops.records.release import Release

# What these find depends on the day: how old the rows are, which releases came before, who is the champion.
OF_A_DAY: Final = frozenset({Kind.DATA, Kind.COMPARISON})
TOP_COLUMNS: Final = 20
_CURVE_ROWS: Final = 12
_WELL_KNOWN: Final = ("test_roc_auc", "test_rmse", "test_log_loss", "test_f1", "test_mae", "test_r2")
_SHUFFLING: Final = (
    "Loss when shuffled: how much worse the first metric gets when one column is exchanged among rows (Breiman 2001). "
    "Columns that say the same cover for each other. Importance is not cause."
)
_COST: Final = (
    "Of the process that trained, with its threads and the processes that it waited for; work that was sent to a "
    "cluster is not in it. Times the watts of one core it is energy."
)
_VERDICTS: Final = {
    Verdict.PASS: "Every gate is passed.",
    Verdict.FAIL: "At least one gate refuses this model: it cannot be promoted.",
    Verdict.ERROR: "At least one gate could not judge: it cannot be promoted.",
    Verdict.INCONCLUSIVE: "At least one gate needs more data: until then it cannot be promoted.",
}


class Judged(Protocol):
    """Evidence, or an assessment that is not bound to a release yet."""

    @property
    def kind(self) -> Kind:
        """What was examined."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found."""

    @property
    def verdict(self) -> Verdict:
        """The gravest of the findings."""

    @property
    def details(self) -> Mapping[str, Any]:
        """The figures behind them."""


@dataclass(frozen=True)
class Past:
    """An earlier release, and what its training measured: metric → value."""

    release: Release
    metrics: Mapping[str, float]


def gates(judged: Sequence[Judged], title: str = "Gates") -> Iterator[Section]:
    """Yield every gate, and the worst verdict in words; behaviour checks, with a section of their own, as one line."""
    if not judged:
        return
    rows = [
        (marked(finding.verdict), each.kind.value, finding.gate, finding.message)
        for each in judged
        if each.kind is not Kind.BEHAVIOUR
        for finding in each.findings
    ]
    checks = next((each for each in judged if each.kind is Kind.BEHAVIOUR), None)
    if checks is not None:
        bad = sum(finding.verdict is not Verdict.PASS for finding in checks.findings)
        words = f"{len(checks.findings) - bad} of {len(checks.findings)} behaviour checks pass; see Behaviour"
        rows.append((marked(checks.verdict), Kind.BEHAVIOUR.value, "check behaviour", words))
    worst = Verdict.worst(each.verdict for each in judged)
    yield Section(title, (_VERDICTS[worst],), ("verdict", "kind", "gate", "what was found"), tuple(rows))


def measures(judged: Sequence[Judged]) -> Iterator[Section]:
    """Yield every metric with its interval, what the threshold decides, and the groups of rows."""
    for each in judged:
        measured: Mapping[str, Any] = each.details.get("metrics", {}) if each.kind is Kind.EVALUATION else {}
        if measured:
            rows = tuple(
                (
                    found.get("label") or name.replace("_", " "),
                    wording.figure(found["value"]),
                    wording.between((found["low"], found["high"])),
                )
                for name, found in measured.items()
            )
            span = from_to(each.details["window"])
            words = f"On {each.details['rows']:,} test rows{span}, never used to fit or choose."
            yield Section("How good it is", (words,), ("metric", "value", "95% interval"), rows)
            yield from threshold(each.details)
        yield from groups(each.details.get("slices", []))


def under_load(evidence: Mapping[Kind, Evidence]) -> Iterator[Section]:
    """Yield how it served under load, beside the champion of that day, and which code served it."""
    found = find(evidence, Kind.LOAD, LoadFigures)
    if found is not None:
        rows = tuple(tuple(row) for row in loading.loads(found))
        yield Section("Under load", (loading.setting(found),), loading.LOAD, rows)


def threshold(details: Mapping[str, Any]) -> Iterator[Section]:
    """Yield how the threshold was chosen, and what others would decide on the test rows."""
    curve = [OperatingPoint.model_validate(point) for point in details.get("curve", ())]
    chosen = ChosenThreshold.model_validate(details["threshold"]) if details.get("threshold") else None
    if not curve:
        return
    words = []
    if chosen is not None:
        words.append(
            f"Decided from a probability of {chosen.value:g}, chosen on {chosen.rows:,} validation rows: "
            f"{chosen.rule}. There it finds {chosen.point.recall:.1%} of the positives and is right in "
            f"{chosen.point.precision:.1%} of its alarms; 0.5 would find {chosen.at_half.recall:.1%} and be right in "
            f"{chosen.at_half.precision:.1%}."
        )
        if chosen.point.cost is not None and chosen.at_half.cost is not None:
            words.append(
                f"The mean cost of a row is {wording.figure(chosen.point.cost)}, "
                f"and would be {wording.figure(chosen.at_half.cost)} at 0.5."
            )
    words.append("What other thresholds would decide on the test rows:")
    shown = curve[:: max(1, len(curve) // _CURVE_ROWS)]
    heads: tuple[str, ...] = ("from", "decided for", "recall", "precision", "false alarms")
    rows: tuple[tuple[str, ...], ...] = tuple(
        (f"{p.threshold:.3f}", f"{p.positives:.1%}", f"{p.recall:.1%}", f"{p.precision:.1%}", f"{p.false_alarms:.1%}")
        for p in shown
    )
    if all(point.cost is not None for point in shown):
        heads = (*heads, "mean cost")
        rows = tuple((*row, wording.figure(p.cost or 0.0)) for row, p in zip(rows, shown, strict=True))
    yield Section("The decision", tuple(words), heads, rows)


def groups(slices: Sequence[Mapping[str, Any]]) -> Iterator[Section]:
    """Yield the groups of rows that a gate looks at, worst first."""
    rows = tuple(
        (
            each["slice"],
            each["value"],
            f"{each['rows']:,}",
            wording.figure(each["measured"]),
            wording.between(each.get("interval")),
            wording.signed(each["gap"]),
        )
        for each in sorted(slices, key=lambda each: -(each.get("gap") or 0))
        if each.get("gap") is not None and each.get("measured") is not None
    )
    if rows:
        heads = ("column", "value", "rows", "metric", "95% interval", "worse than overall by")
        yield Section("Group by group", (), heads, rows)


def behaviour(judged: Sequence[Judged], *, timeless: bool = False) -> Iterator[Section]:
    """Yield what the behaviour checks found; `timeless` leaves out what differs from one run to the next."""
    for each in judged:
        if each.kind is Kind.BEHAVIOUR:
            words = f"Asked of the serving engine, on {each.details.get('rows', 0):,} test rows."
            rows = tuple(
                (marked(finding.verdict), finding.gate.removeprefix("behaviour "), _told(finding, timeless))
                for finding in each.findings
            )
            yield Section("Behaviour", (words,), ("verdict", "check", "what was found"), rows)


def _told(finding: Finding, timeless: bool) -> str:  # noqa: FBT001 (a fact)
    if timeless and finding.gate == "behaviour latency" and finding.limit is not None:
        return f"One row in the engine takes no longer than the {finding.limit:g} ms that are allowed."
    return finding.message


def comparison(evidence: Mapping[Kind, Evidence]) -> Iterator[Section]:
    """Yield how the release stands against the champion it was compared with, and what each costs to serve."""
    figures = find(evidence, Kind.COMPARISON, ComparisonFigures)
    if figures is None:
        return
    champion = evidence[Kind.COMPARISON].champion
    if figures.rivals is None:
        yield Section("Against the champion", ((figures.silence or "").rstrip(".") + ".",))
    else:
        same = wording.count(figures.rivals.rows, "test row")
        words = (
            f"The champion was {short(champion or '')}. Both answered the same {same}.",
            document.flips(figures.rivals.replay),
        )
        rows = tuple(tuple(document.metric(each)) for each in figures.rivals.metrics)
        yield Section("Against the champion", words, document.METRICS, rows, pictures(evidence), large=True)
    heads, costs = document.costs(figures)
    yield Section("What it costs to serve", (), tuple(heads), tuple(tuple(row) for row in costs))


def pictures(evidence: Mapping[Kind, Evidence]) -> dict[str, str]:
    """Return the pictures of the decision document (what they say → data address)."""
    return {
        says(content): f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"
        for content in draw(evidence).values()
    }


def importance(found: Importance) -> Section:
    """Return which columns the model listens to."""
    words = [_SHUFFLING]
    if any(each.shap is not None for each in found.columns):
        words.insert(
            0,
            (
                "Mean |SHAP|: how far a column moves an answer on average, in log odds or in units of the target. "
                f"Exact TreeSHAP (Lundberg et al. 2020), by {found.source}; a feature of several columns is shared out."
            ),
        )
    rows = tuple(
        (
            each.column,
            "" if each.shap is None else wording.figure(each.shap),
            _pull(each.direction),
            "" if each.loss is None else wording.signed(each.loss),
        )
        for each in found.columns[:TOP_COLUMNS]
    )
    heads = ("column", "mean |SHAP|", "answers", "loss when shuffled")
    shown = [index for index in range(len(heads)) if any(row[index] for row in rows)]  # many classes have no direction
    picked = tuple(tuple(row[index] for index in shown) for row in rows)
    return Section("What it listens to", tuple(words), tuple(heads[index] for index in shown), picked)


def _pull(direction: float | None) -> str:
    if direction is None:
        return ""
    if abs(direction) < 0.3:  # noqa: PLR2004 (a weak correlation by any convention)
        return "go both ways"
    return "rise with it" if direction > 0 else "fall with it"


def history(past: Sequence[Past], this: str | None = None) -> Iterator[Section]:
    """Yield the releases of the model, newest first, with the metrics that most of them have."""
    if not past:
        return
    names = _compared_names(past)
    rows = tuple(
        (
            f"{each.release.semver}{' (this)' if each.release.id == this else ''}",
            str(each.release.version),
            each.release.short_id,
            short(each.release.data),
            each.release.code[:12],
            *(wording.figure(each.metrics[name]) if name in each.metrics else "" for name in names),
        )
        for each in past
    )
    heads = ("release", "version", "id", "data", "code", *(_plain(name) for name in names))
    words = "Each was measured on the test rows of its own training: figures of different rows are no comparison."
    yield Section("Version history", (words,), heads, rows)


def _compared_names(past: Sequence[Past]) -> list[str]:
    """Return the metrics of the newest release that stand for all: those that are best known, at most three."""
    known = past[0].metrics
    measured = [name for name in known if name.startswith("test_") and not name.endswith(("_low", "_high"))]
    first = [name for name in _WELL_KNOWN if name in measured]
    return [*first, *(name for name in measured if name not in first)][:3]


def _plain(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


def cost(metrics: Mapping[str, float]) -> Iterator[Section]:
    """Yield what training took, from the metrics `cpu_seconds`, `wall_seconds` and `peak_memory_bytes` of its run."""
    if "cpu_seconds" not in metrics:
        return
    facts = {"CPU time": f"{metrics['cpu_seconds']:,.1f} CPU seconds"}
    if "wall_seconds" in metrics:
        facts["from beginning to end"] = f"{metrics['wall_seconds']:,.1f} s"
    if metrics.get("peak_memory_bytes"):
        facts["memory at its peak"] = wording.size(int(metrics["peak_memory_bytes"]))
    yield Section("Environmental cost", (_COST,), facts=facts)


def from_to(window: Sequence[str | None]) -> str:
    """Say from when until when rows are; nothing where the model has no time column."""
    if not any(window):
        return ""
    return f" from {(window[0] or 'the beginning')[:16]} to {(window[1] or 'the end')[:16]}"
