"""The monitor's report as files: JSON for machines, Markdown and one HTML page with plots for people."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towpath_flows.data.drift import MAJOR_SHIFT, SHIFT, ColumnDrift
from towpath_flows.evaluation import plots
from towpath_flows.evaluation.card import Section, markdown, page
from towpath_flows.evaluation.metrics import METRICS
from towpath_flows.monitoring.monitor import Report
from towpath_flows.monitoring.traffic import ANSWER, Traffic
from towpath_gitops import layout
from towpath_gitops.files import write_atomically

PLOTTED: Final = 6  # columns that are drawn, besides the model's answer
SMALLEST_SHOWN: Final = 0.0001  # p-values below it are all the same to a reader
_SHOWN_CATEGORIES: Final = 12
_COLUMNS: Final = ("column", "", "stability index", "corrected p", "test", "missing")


def write_report(root: Path, report: Report) -> Path:
    """Write `report.json`, `report.md` and `report.html` to .towpath/monitor/<time>/ and return that folder."""
    folder = layout.state(root, "monitor", report.created.strftime("%Y%m%dT%H%M%S.%fZ"))
    title, sections = _title(report), _sections(report)
    write_atomically(folder / "report.md", markdown(title, sections))
    pictures = Section("Pictures", images=_pictures(report))
    write_atomically(folder / "report.html", page(title, [*sections[:1], pictures, *sections[1:]]))
    write_atomically(folder / "report.json", json.dumps(report.plain(), indent=2) + "\n")
    return folder


def as_markdown(report: Report) -> str:
    """Return the report without plots, for a page of Prefect's."""
    return markdown(_title(report), _sections(report))


def _title(report: Report) -> str:
    return f"{report.release.model} {report.release.semver}: {report.outcome}"


def _sections(report: Report) -> list[Section]:
    sections = [_summary(report), _drift(report)]
    if report.performance:
        sections.insert(1, _performance(report))
    if report.traffic:
        sections += _traffic(report.traffic, report.alpha)
    if report.problems:
        rows = tuple((str(problem),) for problem in report.problems)
        sections.append(Section("Broken rules of the schema", (), ("rule",), rows))
    return sections


def _summary(report: Report) -> Section:
    span = f" from {report.window[0][:16]} to {(report.window[1] or '')[:16]}" if report.window[0] else ""
    about = f"{report.rows:,} rows{span}, compared with the sample that {report.release} was made from."
    return Section("In short", (report.headline, about))


def _performance(report: Report) -> Section:
    found = report.performance
    if found is None:
        return Section("Accuracy")
    rows = tuple(
        (name, f"{each.value:.4f}", f"{each.low:.4f} to {each.high:.4f}")
        for name, each in (
            ("test rows of training", found.recorded),
            ("this window", found.measured),
            ("loss", found.loss),
        )
    )
    return Section("Accuracy", (found.words + ".",), (METRICS[found.metric].label, "value", "95% interval"), rows)


def _drift(report: Report) -> Section:
    return Section("Drift", (_rule(len(report.columns), report.alpha),), _COLUMNS, _rows(report.columns))


def _traffic(traffic: Traffic, alpha: float) -> list[Section]:
    words = [f"{traffic.words}.", f"The journal is {traffic.source}; columns that are sensitive are in none."]
    if not traffic.columns:
        return [Section("Traffic", tuple(words))]
    found = [Section("Traffic", (*words, _rule(len(traffic.columns), alpha)), _COLUMNS, _rows(traffic.columns))]
    if traffic.tenths is not None:
        about = (
            "A tenth of the answers that training's test rows got lies in each; of callers' answers lie in it now "
            f"(population stability index {traffic.stability_index:.3f}):"
        )
        shares = tuple((str(number), f"{share:.1%}") for number, share in enumerate(traffic.tenths, 1))
        found.append(Section("Answers by the tenths of training", (about,), ("tenth", "share now"), shares))
    return found


def _rule(columns: int, alpha: float) -> str:
    return (
        f"A column has drifted when its p-value, corrected for {columns} columns (Holm), is at most {alpha:.2g} and "
        f"its population stability index is at least {SHIFT:g} ({MAJOR_SHIFT:g}: a major shift)."
    )


def _rows(columns: Sequence[ColumnDrift]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            column.column,
            "drifted" if column.drifted else "",
            f"{column.psi:.3f}",
            f"{column.adjusted:.2g}" if column.adjusted >= SMALLEST_SHOWN else f"< {SMALLEST_SHOWN:g}",
            column.test,
            f"{column.missing[0]:.1%} → {column.missing[1]:.1%}",
        )
        for column in columns
    )


def _pictures(report: Report) -> dict[str, str]:
    indices = {column.column: column.psi for column in report.columns}
    draws = {"stability": plots.bars(indices, "How far each column moved", "population stability index", limit=SHIFT)}
    told = [column.column for column in report.columns if column.column in report.samples]
    names = [name for name in told if name != ANSWER][:PLOTTED]
    for name in [ANSWER, *names]:
        draws[name] = _distribution(name, *report.samples[name])
    return {name: plots.svg(draw) for name, draw in draws.items()}


def _distribution(name: str, reference: NDArray[Any], window: NDArray[Any]) -> plots.Draw:
    if reference.dtype != object:
        return plots.scores({"reference": reference, "window": window}, name.replace("$", r"\$"), "")
    values, counts = np.unique(np.concatenate([reference, window]).astype(str), return_counts=True)
    shown = [str(value) for value in values[np.argsort(-counts, kind="stable")][:_SHOWN_CATEGORIES]]
    sides = [{value or "(missing)": float(np.mean(side == value)) for value in shown} for side in (reference, window)]
    return plots.shares(sides[0], sides[1], name)
