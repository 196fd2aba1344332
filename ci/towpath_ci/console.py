"""What every verb prints with: plain text for programs and files, colour and progress for people."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from towpath_gitops.errors import TowpathError
from towpath_gitops.redaction import redacted

PLAIN_WIDTH: Final = 160  # columns where no terminal says otherwise, so that files hold whole lines

_MARKS: Final = {
    "pass": "[green]✓ pass[/]",
    "fail": "[red]✗ fail[/]",
    "error": "[red]✗ error[/]",
    "inconclusive": "[yellow]? inconclusive[/]",
    "ok": "[green]✓[/]",
    "warn": "[yellow]![/]",
    "skipped": "[dim]-[/]",
    "failed": "[red]✗[/]",
}


def stdout() -> Console:
    """Return the console for results, as stdout is now: plain and wide when it is not a terminal."""
    return Console(width=_width(sys.stdout.isatty()), highlight=False, soft_wrap=False)


def stderr() -> Console:
    """Return the console for complaints and progress."""
    return Console(stderr=True, width=_width(sys.stderr.isatty()), highlight=False)


def _width(terminal: bool) -> int | None:  # noqa: FBT001 (one caller, one meaning)
    return None if terminal or "COLUMNS" in os.environ else PLAIN_WIDTH


def say(text: str) -> None:
    """Print one line; rich markup such as `[bold]…[/]` is understood."""
    stdout().print(redacted(text), soft_wrap=True)


def plain(text: object) -> str:
    """Return a value's text so that brackets in it are not read as markup."""
    return escape(str(text))


def mark(word: str) -> str:
    """Return the sign for a verdict or a check's state; unknown words come back as they are."""
    return _MARKS.get(word, escape(word))


def next_step(*commands: str) -> None:
    """Print the commands that a user will most likely want now."""
    for position, command in enumerate(commands):
        lead = "Next:" if position == 0 else "  or:"
        stdout().print(f"[dim]{lead}[/] [bold]{escape(command)}[/]", soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings; every cell may hold markup."""
    shown = Table(title=title or None, title_justify="left", title_style="bold", header_style="dim", box=None)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*map(redacted, row))  # before a cell is folded: half a secret would not be known for one
    stdout().print(shown)


def markdown(text: str) -> None:
    """Print Markdown: rendered on a terminal, as it is elsewhere."""
    text = redacted(text)
    if not sys.stdout.isatty():
        sys.stdout.write(text.rstrip() + "\n")
        return
    from rich.markdown import Markdown  # noqa: PLC0415 (costs more than the rest of this module)

    stdout().print(Markdown(text))


def emit(value: object) -> None:
    """Print a value of JSON types, indented: what `--json` promises."""
    sys.stdout.write(redacted(json.dumps(value, indent=2, ensure_ascii=False, default=str)) + "\n")


def complain(error: TowpathError) -> None:
    """Print an error's three beats on stderr: what happened, why, what to do next."""
    console = stderr()
    console.print(f"[bold red]✗[/] [bold]{escape(error.what)}[/]", soft_wrap=True)
    if error.why:
        console.print(escape(_indented(error.why)), soft_wrap=True)
    if error.hint:
        console.print(f"[cyan]  → {escape(error.hint)}[/]", soft_wrap=True)


def complain_softly(text: str) -> None:
    """Print on stderr what a person should know although nothing failed."""
    stderr().print(f"[yellow]![/] {escape(redacted(text))}", soft_wrap=True)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something takes time: a spinner on a terminal, one line with its seconds elsewhere."""
    console = stderr()
    start = monotonic()
    if not console.is_terminal:
        yield
        console.print(f"{escape(what)}: {monotonic() - start:.1f} s", soft_wrap=True)
        return
    with console.status(escape(what)):
        yield


class Progress:
    """Steps of something that takes time: a spinner that names them on a terminal, a line for each elsewhere."""

    def __init__(self, what: str) -> None:
        """Prepare to tell about `what`; it begins with the `with` block."""
        self.what = what
        self.took_s = 0.0
        self._console = stderr()
        self._status = self._console.status(escape(what)) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        """Begin."""
        self._start = monotonic()
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, however it ended, and keep the seconds that it took."""
        self.took_s = monotonic() - self._start
        if self._status:
            self._status.stop()

    def step(self, name: str) -> None:
        """Name the step that begins now."""
        if self._status:
            self._status.update(f"{escape(self.what)}: {escape(name)}")
        else:
            self._console.print(f"[dim]{escape(self.what)}: {escape(name)}[/]", soft_wrap=True)


def ago(seconds: float) -> str:
    """Write an age as people say it: `42 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
