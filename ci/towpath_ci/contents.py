"""The table of contents that `towpath --help` prints.

Drawn here, not by rich: importing rich's help renderer takes longer than everything else that `--help` does.
"""

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from towpath_ci.lazy import Verb

WIDEST: Final = 100  # columns; longer lines are tiring to read
NAME: Final = 12  # columns for a verb's name

Row = tuple[str, str]
OPTIONS: Final[tuple[Row, ...]] = (
    ("--help", "Show this page; every verb has a --help of its own, with an example."),
    ("--version", "Print the version and exit."),
)


def table_of_contents(verbs: Mapping[str, "Verb"], *, title: str, epilog: str) -> str:
    """Return the help of the whole command line: one panel for each group of verbs, in the table's order."""
    width = min(shutil.get_terminal_size((80, 24)).columns, WIDEST)
    lines = ["", " Usage: towpath VERB [OPTIONS]", "", f" {title}", ""]
    for panel, members in groupby(verbs.items(), key=lambda item: item[1].panel):
        lines += _panel(panel, ((name, verb.help) for name, verb in members), width)
    lines += _panel("Options", OPTIONS, width)
    return "\n".join([*lines, "", f" {epilog}", ""])


def _panel(title: str, rows: Iterable[Row], width: int) -> Iterator[str]:
    head = f"╭─ {title} "
    yield typer.style(head + "─" * (width - len(head) - 1) + "╮", dim=True)
    edge = typer.style("│", dim=True)
    inner = width - 4
    for name, text in rows:
        for position, line in enumerate(textwrap.wrap(text, inner - NAME) or [""]):
            shown = typer.style(f"{name if position == 0 else '':<{NAME}}", fg=typer.colors.CYAN, bold=True)
            yield f"{edge} {shown}{line:<{inner - NAME}} {edge}"
    yield typer.style("╰" + "─" * (width - 2) + "╯", dim=True)
