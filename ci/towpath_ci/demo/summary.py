"""The last page of the story: what stands where, what it took, where to look next."""

import os
import sys
from pathlib import Path

from rich.table import Table

from towpath_ci.demo.story import Story
from towpath_ci.demo.traffic import Traffic
from towpath_gitops import layout


def summarise(story: Story, traffic: Traffic) -> None:
    """Print what was released where, how long each act took, the measured rollback, and where to look next."""
    console = story.theatre.console
    console.print()
    console.rule("[bold]Summary[/]")
    console.print(_releases(story))
    console.print(_durations(story, traffic))
    console.print(_next_steps(story))


def _releases(story: Story) -> Table:
    table = Table(title="Released", title_justify="left", box=None, header_style="dim")
    for heading in ("environment", "serves", "before that"):
        table.add_column(heading)
    for environment in story.environments:
        *earlier, now = story.promotions[environment]
        table.add_row(environment, str(now), " ← ".join(release.semver for release in reversed(earlier)))
    return table


def _durations(story: Story, traffic: Traffic) -> Table:
    table = Table(title="\nMeasured", title_justify="left", box=None, show_header=False)
    for act, seconds in story.theatre.took_s.items():
        table.add_row(act, f"{seconds:.0f} s")
    table.add_row("[bold]all acts[/]", f"[bold]{sum(story.theatre.took_s.values()):.0f} s[/]")
    table.add_row("requests while releases changed", f"{traffic.answered} answered, {traffic.failed} failed")
    table.add_row("predictions remembered", _remembered(story))
    for name, figure in story.figures.items():
        table.add_row(f"[bold]{name}[/]", f"[bold]{figure}[/]")
    return table


def _remembered(story: Story) -> str:
    """Say how many rows production's journal holds, and of how many requests: about a tenth of those answered."""
    from towpath_bento.journal import names  # noqa: PLC0415 (pyarrow: only the last page needs it)
    from towpath_bento.journal.reading import read_journal  # noqa: PLC0415 (as above)

    folder = layout.journal(story.root, story.environments[-1], story.spec.name)
    table = read_journal(folder, columns=[names.REQUEST])
    requests = len(table[names.REQUEST].unique()) if len(table) else 0
    return f"{len(table):,} rows of {requests:,} requests, in {_short(folder, Path.cwd())}"


def _next_steps(story: Story) -> Table:
    command = _short(Path(sys.executable).with_name("towpath"), story.root)
    artifact = story.promotions[story.environments[-1]][-1].artifact.removeprefix("sha256:")
    table = Table(title="\nWhere to look next", title_justify="left", box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("the repository", f"cd {_short(story.root, Path.cwd())}")
    table.add_row("Prefect's and MLflow's pages", f"{command} up")
    table.add_row("the decision documents", f"{command} pulls --state all")
    table.add_row("the model card", _short(layout.store(story.root) / artifact / "card.html", Path.cwd()))
    table.add_row("the monitor's report", _short(layout.state(story.root, "monitor"), Path.cwd()))
    return table


def _short(path: Path, start: Path) -> str:
    """Return a path as it is least to type from `start`."""
    return min(os.path.relpath(path, start), str(path), key=len)
