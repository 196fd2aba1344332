"""How the report looks: as Markdown, and as one HTML page that needs nothing else, prints well and has no scripts."""

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from towpath_ci.compliance.base import Control, Judgement, State
from towpath_ci.compliance.changes import CHANGES
from towpath_ci.compliance.frameworks import FRAMEWORKS, Citation
from towpath_ci.compliance.report import NOTE, ChangeReport, Report
from towpath_ci.compliance.standing import STANDING
from towpath_gitops.promotion.markdown import table, text

# Words first: a mark or a colour alone says nothing to those who cannot see it.
WORDS: Final = {State.MET: "met", State.GAP: "gap", State.FLAGGED: "look", State.NONE: "n/a"}
MARKS: Final = {State.MET: "✓", State.GAP: "✗", State.FLAGGED: "!", State.NONE: "–"}  # noqa: RUF001 (a dash)
LEGEND: Final = {
    State.MET: "evidence is named",
    State.GAP: "evidence is missing",
    State.FLAGGED: "an exception, made openly",
    State.NONE: "has nothing to say here",
}
_STYLE: Final = """
:root{--ink:#16283a;--soft:#5a6b7b;--line:#d7dfe6;--paper:#fff;--wash:#f5f8fa;
--met:#1a7f4b;--gap:#b3261e;--look:#8a5a00;--none:#6b7885}
@media (prefers-color-scheme:dark){:root{--ink:#e3e9ee;--soft:#9aa9b6;--line:#33424f;--paper:#12191f;--wash:#1a232b;
--met:#5fce97;--gap:#ff8a80;--look:#f0bd62;--none:#8c9aa6}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);background:var(--paper);
max-width:70rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 1rem}
h2{font-size:1.25rem;margin:2.6rem 0 .6rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:2rem 0 .2rem}
p{margin:.4rem 0;max-width:52rem}.soft,small{color:var(--soft)}small{font-size:.84rem}
code{font:.86em/1.4 ui-monospace,SFMono-Regular,Consolas,monospace;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0 0 1rem}dt{color:var(--soft)}dd{margin:0}
.note{border-left:3px solid var(--line);padding:.2rem 0 .2rem .9rem;color:var(--soft)}
.tally{display:grid;grid-template-columns:repeat(4,1fr);gap:.75rem;margin:1.4rem 0;padding:0;list-style:none}
.tally li{background:var(--wash);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .9rem}
.tally b{font-size:1.5rem;line-height:1.2;display:block;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.6rem 0}
th,td{text-align:left;vertical-align:top;padding:.45rem .6rem;border-bottom:1px solid var(--line)}
th{font-weight:600;font-size:.86rem;color:var(--soft)}
td ul{margin:0;padding-left:1.1rem}td p{margin:0}
.controls{table-layout:fixed;overflow-wrap:anywhere}.controls th:nth-child(1){width:4.6rem}
.controls th:nth-child(2){width:36%}.controls th:nth-child(4){width:23%}.state{white-space:nowrap}.law{display:block}
.grid th,.grid td{text-align:center}.grid th:first-child,.grid td:first-child{text-align:left;min-width:13rem}
.s{font-weight:600;white-space:nowrap}.met{color:var(--met)}.gap{color:var(--gap)}.flagged{color:var(--look)}
.none{color:var(--none);font-weight:400}
.gaps{padding-left:1.3rem}.gaps li{margin:.35rem 0}
@media (max-width:46rem){.tally{grid-template-columns:repeat(2,1fr)}}
@media print{@page{margin:14mm}:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--wash:#fff;
--met:#0b5c33;--gap:#9b1c15;--look:#6b4500;--none:#555}
body{font-size:9.5pt;max-width:none;padding:0}h2,h3{break-after:avoid}tr,li{break-inside:avoid}
thead{display:table-header-group}.wide{overflow:visible}}
"""


# --- Markdown -----------------------------------------------------------------------------------------------------


def markdown(report: Report) -> str:
    """Return the report as Markdown; no word of a person can add markup of its own."""
    parts = [
        f"# {text(report.title)}",
        "\n".join(f"- {name}: {text(value)}" for name, value in report.facts().items()),
        f"> {NOTE}",
        ", ".join(f"**{report.count(state)} {WORDS[state]}** ({LEGEND[state]})" for state in State),
        "## Gaps",
        "\n".join(_gap_lines(report)) or "No gap was found.",
        "## The repository",
        _judgement_table(report.standing),
        f"## Changes of {text(report.place.environment)}",
        *(_change_table(report.changes) if report.changes else ["Nothing has served yet."]),
    ]
    for change in report.changes:
        parts += [f"### {text(_heading(change))}", text(_story(change)), _judgement_table(change.judgements)]
    parts += ["## Provisions", table(("provision", "about", "controls"), [list(row) for row in provisions()])]
    return "\n\n".join(parts) + "\n"


def _gap_lines(report: Report) -> Iterator[str]:
    for where, judgement in report.gaps:
        yield f"- **{text(judgement.control.title())}** ({text(where)}): {text(' '.join(judgement.finding.words))}"


def _judgement_table(judgements: Iterable[Judgement]) -> str:
    rows = [
        [
            f"{MARKS[each.finding.state]} {WORDS[each.finding.state]}",
            each.control.title(),
            " ".join(each.finding.words),
            "; ".join(_laws(each.control)),
        ]
        for each in judgements
    ]
    return table(("state", "control", "found", "frameworks"), rows)


def _change_table(changes: Sequence[ChangeReport]) -> Iterator[str]:
    heads = ("release", "change", "served", *(control.short for control in CHANGES))
    rows = [
        [
            change.title,
            str(change.tenure.declared.facts()["change"]),
            change.period,
            *(f"{MARKS[each.finding.state]} {WORDS[each.finding.state]}" for each in change.judgements),
        ]
        for change in changes
    ]
    yield table(heads, rows)


# --- HTML ---------------------------------------------------------------------------------------------------------


def page(report: Report) -> str:
    """Return the report as one HTML page."""
    title = html.escape(report.title)
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<meta name='color-scheme' content='light dark'><title>{title}</title><style>{_STYLE}</style>"
    )
    body = "\n".join(_body(report))
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>\n{body}\n</body></html>\n"


def _body(report: Report) -> Iterator[str]:
    yield f"<h1>{html.escape(report.title)}</h1>"
    facts = (f"<dt>{name}</dt><dd><code>{html.escape(value)}</code></dd>" for name, value in report.facts().items())
    yield f"<dl>{''.join(facts)}</dl>"
    yield f"<p class='note'>{html.escape(NOTE)}</p>"
    tally = (
        f"<li><b class='{state.name.lower()}'>{report.count(state)}</b>{WORDS[state]}<br>"
        f"<small>{LEGEND[state]}</small></li>"
        for state in State
    )
    yield f"<ul class='tally'>{''.join(tally)}</ul>"
    yield "<h2>Gaps</h2>"
    yield _gap_list(report) if report.gaps else "<p>No gap was found.</p>"
    yield "<h2>The repository</h2>"
    yield _judgements(report.standing)
    yield f"<h2>Changes of {html.escape(report.place.environment)}</h2>"
    yield _grid(report.changes) if report.changes else "<p>Nothing has served yet.</p>"
    for change in report.changes:
        yield f"<h3>{html.escape(_heading(change))}</h3>"
        yield f"<p class='soft'>{html.escape(_story(change))}</p>"
        yield _judgements(change.judgements)
    yield "<h2>Provisions</h2>"
    rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in provisions())
    yield _table(("provision", "about", "controls"), rows)


def _gap_list(report: Report) -> str:
    items = (
        f"<li><b>{html.escape(each.control.title())}</b> <small>({html.escape(where)})</small><br>"
        f"{html.escape(' '.join(each.finding.words))}</li>"
        for where, each in report.gaps
    )
    return f"<ol class='gaps'>{''.join(items)}</ol>"


def _judgements(judgements: Iterable[Judgement]) -> str:
    rows = (
        f"<td>{_state(each.finding.state)}</td>"
        f"<td>{html.escape(each.control.title())}<br><small>{html.escape(each.control.looked_for())}</small></td>"
        f"<td>{_words(each.finding.words)}</td>"
        f"<td><small>{''.join(map(_law, _laws(each.control)))}</small></td>"
        for each in judgements
    )
    return _table(("state", "control, and what is looked for", "found", "frameworks"), rows, kind="controls")


def _grid(changes: Sequence[ChangeReport]) -> str:
    heads = ("release", *(control.short for control in CHANGES))
    rows = (
        f"<td><b>{html.escape(change.title)}</b><br><small>{html.escape(_story(change, short=True))}</small></td>"
        + "".join(f"<td>{_state(each.finding.state)}</td>" for each in change.judgements)
        for change in changes
    )
    return f"<div class='wide'>{_table(heads, rows, kind='grid')}</div>"


def _table(heads: Sequence[str], rows: Iterable[str], kind: str = "") -> str:
    head = "".join(f"<th scope='col'>{html.escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table class='{kind}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _state(state: State) -> str:
    return f"<span class='s {state.name.lower()}'>{MARKS[state]} {WORDS[state]}</span>"


def _words(words: Sequence[str]) -> str:
    if len(words) == 1:
        return f"<p>{html.escape(words[0])}</p>"
    return f"<ul>{''.join(f'<li>{html.escape(each)}</li>' for each in words)}</ul>"


def _law(words: str) -> str:
    return f"<span class='law'>{html.escape(words)}</span>"


def _laws(control: type[Control]) -> Iterator[str]:
    for framework in FRAMEWORKS:
        ids = [citation.id for citation in control.cites if citation.framework == framework]
        if ids:
            yield f"{framework}: {', '.join(ids)}"


# --- both ---------------------------------------------------------------------------------------------------------


def provisions() -> Iterator[tuple[str, str, str]]:
    """Yield every provision that is cited, what it is about, and the controls that cite it."""
    controls: dict[Citation, list[str]] = {}
    for control in (*STANDING, *CHANGES):
        for citation in control.cites:
            controls.setdefault(citation, []).append(control.short)
    ordered = sorted(controls, key=lambda citation: (FRAMEWORKS.index(citation.framework), _natural(citation.id)))
    yield from ((str(citation), citation.title, ", ".join(controls[citation])) for citation in ordered)


def _natural(words: str) -> list[tuple[str, int]]:
    """Return a key that sorts “Art. 9” before “Art. 10”."""
    parts = words.replace(".", " ").split()
    return [("", int(part)) if part.isdecimal() else (part, 0) for part in parts]


def _heading(change: ChangeReport) -> str:
    return f"{change.title}, {change.tenure.declared.facts()['change']}"


def _story(change: ChangeReport, *, short: bool = False) -> str:
    if short:
        return f"{change.tenure.declared.facts()['change']}, {change.period}"
    facts = change.tenure.declared.facts()
    pull = f", pull request #{facts['pull']}" if facts["pull"] else ""
    return f"Served {change.period}. On main: commit {change.tenure.declared.commit[:12]}{pull}: {facts['reason']}"
