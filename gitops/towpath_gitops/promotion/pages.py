"""Pages for people: sections of words, facts, tables and pictures, as Markdown and as one HTML page without scripts."""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from towpath_gitops.records.evidence import Verdict

# Words and signs first: a colour alone says nothing to those who cannot see it.
MARKS: Final = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.ERROR: "✗", Verdict.INCONCLUSIVE: "…"}
_KINDS: Final = {"✓": "met", "✗": "gap", "…": "look"}
_LONGEST_NUMBER: Final = 24
_STYLE: Final = """
:root{--ink:#16283a;--soft:#5a6b7b;--line:#d7dfe6;--paper:#fff;
--met:#1a7f4b;--gap:#b3261e;--look:#8a5a00}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif;color:var(--ink);background:var(--paper);
max-width:68rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 1rem}
h2{font-size:1.25rem;line-height:1.25;margin:2.6rem 0 .6rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
p{margin:.4rem 0;max-width:52rem}nav{margin:.2rem 0 1.4rem;color:var(--soft);font-size:.9rem}
nav a{color:inherit;margin-right:.9rem;white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:.6rem 0}dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.7rem 0;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.38rem .6rem;border-bottom:1px solid var(--line);
overflow-wrap:break-word}
th{font-weight:600;font-size:.84rem;color:var(--soft);white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.s{white-space:nowrap;font-weight:600}
.met{color:var(--met)}.gap{color:var(--gap)}.look{color:var(--look)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1.1rem;margin:.8rem 0}
.plots.large{grid-template-columns:repeat(auto-fill,minmax(min(30rem,100%),1fr))}
.plots img{width:100%;height:auto;border:1px solid var(--line);border-radius:.4rem;background:#fff;padding:.3rem}
@media print{@page{margin:14mm}body{font-size:9.5pt;max-width:none;padding:0}nav{display:none}h2{break-after:avoid}
tr,img{break-inside:avoid}thead{display:table-header-group}.wide{overflow:visible}}
"""


@dataclass(frozen=True)
class Section:
    """A heading, sentences, facts (name → value), a table (heads and rows of cells), pictures (name → data address)."""

    title: str
    words: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    images: Mapping[str, str] | None = None
    facts: Mapping[str, str] | None = None
    large: bool = False  # pictures that hold much


def marked(verdict: Verdict) -> str:
    """Return a verdict with its sign."""
    return f"{MARKS[verdict]} {verdict}"


def markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the sections as Markdown, without pictures."""
    parts = [f"# {_safe(title)}"]
    for section in sections:
        if not (section.words or section.rows or section.facts):
            continue
        parts += [f"## {_safe(section.title)}", *(_safe(words) for words in section.words)]
        if section.facts:
            parts.append("\n".join(f"- {_safe(name)}: {_safe(value)}" for name, value in section.facts.items()))
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
    body = "\n".join(_html(number, section) for number, section in enumerate(sections))
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{html.escape(title)}</title>"
    )
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}<style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n{_contents(sections)}\n{body}\n</body></html>\n"
    )


def extended(text: str, sections: Sequence[Section], first: int = 1000) -> str:
    """Return a page that `page` made with more sections at its end; their anchors count from `first`."""
    more = "\n".join(_html(first + number, section) for number, section in enumerate(sections))
    return text.replace("\n</body>", f"\n{more}\n</body>").replace("</nav>", f" {_links(sections, first)}</nav>", 1)


def extended_markdown(text: str, sections: Sequence[Section]) -> str:
    """Return Markdown that `markdown` made with more sections at its end."""
    return text + "\n" + markdown("", sections).partition("\n\n")[2]


def _contents(sections: Sequence[Section]) -> str:
    return f"<nav>{_links(sections)}</nav>"


def _links(sections: Sequence[Section], first: int = 0) -> str:
    links = (f"<a href='#s{number}'>{html.escape(each.title)}</a>" for number, each in enumerate(sections, first))
    return " ".join(links)


def _html(number: int, section: Section) -> str:
    parts = [f"<h2 id='s{number}'>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(words)}</p>" for words in section.words]
    if section.facts:
        facts = (f"<dt>{html.escape(n)}</dt><dd>{html.escape(value)}</dd>" for n, value in section.facts.items())
        parts.append(f"<dl>{''.join(facts)}</dl>")
    if section.rows:
        parts.append(_table(section))
    if section.images:
        images = (f"<img alt='{html.escape(name)}' src='{html.escape(data)}'>" for name, data in section.images.items())
        kind = "plots large" if section.large else "plots"
        parts.append(f"<div class='{kind}'>{''.join(images)}</div>")
    return "\n".join(parts)


def _table(section: Section) -> str:
    numeric = [all(map(_is_number, column)) for column in zip(*section.rows, strict=True)]
    head = "".join(
        f"<th scope='col'{' class=n' if number else ''}>{html.escape(text)}</th>"
        for text, number in zip(section.heads, numeric, strict=True)
    )
    body = "".join(f"<tr>{''.join(_cells(row, numeric))}</tr>" for row in section.rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cells(texts: Sequence[str], numeric: Sequence[bool]) -> Iterator[str]:
    for text, number in zip(texts, numeric, strict=True):
        kind = _KINDS.get(text[:1], "") if text[1:2] == " " else ""
        if kind:
            yield f"<td class='s {kind}'>{html.escape(text)}</td>"
        else:
            yield f"<td{' class=n' if number else ''}>{html.escape(text)}</td>"


def _is_number(text: str) -> bool:
    """Say whether a cell holds a number, a share, an interval of two, or nothing."""
    if len(text) > _LONGEST_NUMBER:
        return False
    plain = text.replace(" to ", "").translate(str.maketrans("", "", ",.%+-\N{MINUS SIGN}e"))
    return plain.isdigit() or not text
