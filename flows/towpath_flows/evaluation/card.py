"""The model card: what the model is for, what it was made of, how good it is, and where not to trust it.

After Mitchell et al. (2019), *Model Cards for Model Reporting*. Written from facts alone, as Markdown and as one HTML
page that needs nothing else. It holds no dates of its own: the same model gives the same bytes.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from towpath_flows.evaluation import plots
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.evaluation.metrics import METRICS
from towpath_gitops.records.artifact import CARD_HTML, CARD_MARKDOWN
from towpath_gitops.records.base import short
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.signature import Signature

TOP_COLUMNS: Final = 12
MARKS: Final = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.ERROR: "✗", Verdict.INCONCLUSIVE: "…"}
_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;color:#1d3b53;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2}h2{margin-top:2.2rem;border-bottom:1px solid #d5dee7;padding-bottom:.3rem}
table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;padding:.35rem .6rem;
border-bottom:1px solid #e3e9ef;vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem}
.plots img{width:100%;height:auto}code{background:#f1f5f8;padding:.1rem .3rem;border-radius:.2rem}
"""


@dataclass(frozen=True)
class Section:
    """A heading, sentences, a table (heads and rows of cells), and plots (name → data address)."""

    title: str
    words: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    images: Mapping[str, str] | None = None


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
    importance: Mapping[str, float]
    images: Mapping[str, str]


def write_card(folder: Path, facts: Facts) -> None:
    """Write `card.md` and `card.html` into the artifact's folder."""
    title, sections = f"{facts.model}: model card", list(_sections(facts))
    (folder / CARD_MARKDOWN).write_text(markdown(title, sections), encoding="utf-8")
    (folder / CARD_HTML).write_text(page(title, sections), encoding="utf-8")


def markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the sections as Markdown, without plots."""
    parts = [f"# {title}"]
    for section in sections:
        if section.images and not (section.words or section.rows):
            continue
        parts += [f"## {section.title}", *(_safe(words) for words in section.words)]
        if section.rows:
            lines = [section.heads, tuple("---" for _ in section.heads)]
            lines += [tuple(_safe(cell) for cell in row) for row in section.rows]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts) + "\n"


def _safe(text: str) -> str:
    """Keep values of data from adding markup or table cells."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def page(title: str, sections: Sequence[Section]) -> str:
    """Return the sections as one HTML page without scripts or outside addresses."""
    body = "\n".join(_html(section) for section in sections)
    head = (
        f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{html.escape(title)}</title>"
    )
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}<style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _html(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(words)}</p>" for words in section.words]
    if section.rows:
        numeric = [all(map(_is_number, column)) for column in zip(*section.rows, strict=True)]
        heads = _cells("th", section.heads, numeric)
        rows = "".join(f"<tr>{_cells('td', row, numeric)}</tr>" for row in section.rows)
        parts.append(f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")
    if section.images:
        images = (f"<img alt='{html.escape(name)}' src='{data}'>" for name, data in section.images.items())
        parts.append(f"<div class='plots'>{''.join(images)}</div>")
    return "\n".join(parts)


def _cells(tag: str, texts: Sequence[str], numeric: Sequence[bool]) -> str:
    kinds = (" class=n" if number else "" for number in numeric)
    return "".join(f"<{tag}{kind}>{html.escape(text)}</{tag}>" for text, kind in zip(texts, kinds, strict=True))


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").lstrip("+-").isdigit()


def _sections(facts: Facts) -> Iterator[Section]:
    yield _purpose(facts)
    yield from _gates(facts.assessments)
    yield from _measures(facts.assessments)
    if facts.images:
        yield Section("Pictures", images=facts.images)
    if facts.importance:
        yield _importance(facts.importance)
    yield _inputs(facts.signature)
    yield _making(facts)
    yield _limits(facts)


def _purpose(facts: Facts) -> Section:
    signature = facts.signature
    asked = {
        "binary": f"the probability that {signature.target} is {(signature.classes or ('', ''))[-1]}",
        "multiclass": f"the probability of each value of {signature.target}: {', '.join(signature.classes or ())}",
        "regression": f"the value of {signature.target}",
    }[signature.task]
    words = [f"Answers {asked}, from {len(signature.inputs)} columns."]
    if signature.threshold is not None:
        words.append(f"It is decided from a probability of {signature.threshold:g}.")
    return Section("What it answers", tuple(words))


def _gates(assessments: Sequence[Assessment]) -> Iterator[Section]:
    rows = [
        (f"{MARKS[finding.verdict]} {finding.verdict}", assessment.kind.value, finding.gate, finding.message)
        for assessment in assessments
        for finding in assessment.findings
    ]
    if rows:
        worst = Verdict.worst(assessment.verdict for assessment in assessments)
        words = {
            Verdict.PASS: "Every gate is passed.",
            Verdict.FAIL: "At least one gate refuses this model: it cannot be promoted.",
            Verdict.ERROR: "At least one gate could not judge: it cannot be promoted.",
            Verdict.INCONCLUSIVE: "At least one gate needs more data: until then it cannot be promoted.",
        }[worst]
        yield Section("Gates", (words,), ("verdict", "kind", "gate", "what was found"), tuple(rows))


def _measures(assessments: Sequence[Assessment]) -> Iterator[Section]:
    for assessment in assessments:
        measured: Mapping[str, Any] = assessment.details.get("metrics", {})
        if measured:
            rows = tuple(
                (METRICS[name].label, f"{each['value']:.4f}", f"{each['low']:.4f} to {each['high']:.4f}")
                for name, each in measured.items()
            )
            span = _from_to(assessment.details["window"])
            words = f"On {assessment.details['rows']:,} test rows{span}, never used to fit or choose."
            yield Section("How good it is", (words,), ("metric", "value", "95% interval"), rows)
        yield from _slices(assessment.details.get("slices", []))


def _slices(slices: Sequence[Mapping[str, Any]]) -> Iterator[Section]:
    rows = tuple(
        (each["slice"], each["value"], f"{each['rows']:,}", f"{each['measured']:.4f}", f"{each['gap']:+.4f}")
        for each in sorted(slices, key=lambda each: -each.get("gap", 0))
        if "gap" in each
    )
    if rows:
        yield Section("Group by group", (), ("column", "value", "rows", "metric", "worse than overall by"), rows)


def _importance(importance: Mapping[str, float]) -> Section:
    words = (
        "How much worse the first metric gets when one column is shuffled. "
        "Columns that say the same cover for each other."
    )
    rows = tuple((name, f"{value:+.4f}") for name, value in list(importance.items())[:TOP_COLUMNS])
    return Section("What it listens to", (words,), ("column", "loss when shuffled"), rows)


def _inputs(signature: Signature) -> Section:
    rows = tuple(
        (
            column.name,
            column.type,
            "may be missing" if column.nullable else "required",
            _range(column.minimum, column.maximum),
            "" if column.example is None else str(column.example),
        )
        for column in signature.inputs
    )
    return Section("What it takes", (), ("column", "type", "", "range", "example"), rows)


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None and maximum is None:
        return ""
    return f"{'…' if minimum is None else f'{minimum:g}'} to {'…' if maximum is None else f'{maximum:g}'}"


def _making(facts: Facts) -> Section:
    counts = ", ".join(f"{rows:,} to {part}" for part, rows in facts.rows.items())
    words = (
        f"Rows of {facts.source}{_from_to(facts.window)} (digest {short(facts.data)}): {counts}.",
        f"Served by the {facts.signature.engine} engine.",
    )
    rows = tuple(
        (name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in facts.params.items()
    )
    return Section("What it was made of", words, ("parameter", "value"), rows)


def _from_to(window: Sequence[str | None]) -> str:
    if not any(window):
        return ""
    return f" from {(window[0] or 'the beginning')[:16]} to {(window[1] or 'the end')[:16]}"


def _limits(facts: Facts) -> Section:
    words = [
        "It knows the world of its training data only; the monitor says when live rows no longer resemble it.",
        "Importance is not cause: changing a column in the world need not change the outcome.",
    ]
    opened = [c.name for c in facts.signature.inputs if c.type == "string" and c.categories is None]
    if opened:
        words.append(f"Values of {', '.join(opened)} that training never saw are answered as unknown.")
    return Section("Where not to trust it", tuple(words))


def pictures(
    task: str, y: plots.Array, answers: plots.Array, details: Mapping[str, Any], importance: Mapping[str, float]
) -> dict[str, str]:
    """Return the plots of a task (name → data address) from the truth `y` (n,) and the answers (n, k)."""
    draws: dict[str, plots.Draw] = {}
    if task == "binary":
        area = details.get("metrics", {}).get("roc_auc", {}).get("value", float("nan"))
        draws["ROC curve"] = plots.roc(y, answers[:, 0], area)
        draws["calibration"] = plots.calibration(details["calibration"])
        sides = {"negative": answers[y == 0, 0], "positive": answers[y == 1, 0]}
        draws["scores"] = plots.scores(sides, "Answers by truth", "predicted probability")
    elif task == "regression":
        draws["answers"] = plots.diagonal(y, answers[:, 0])
        draws["errors"] = plots.scores({"error": answers[:, 0] - y}, "Errors", "answer less truth")
    top = dict(list(importance.items())[:TOP_COLUMNS])
    if top:
        draws["importance"] = plots.bars(top, "What it listens to", "loss when shuffled")
    return {name: plots.svg(draw) for name, draw in draws.items()}
