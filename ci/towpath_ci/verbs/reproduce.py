"""`towpath reproduce`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from towpath_ci.console import emit, mark, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson, Selector
from towpath_ci.workspace import Workspace
from towpath_gitops.errors import TrainingError

if TYPE_CHECKING:
    from towpath_flows.reproduction import Reproduction

app = verb()

Python = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Do it with this Python, of the environment of then.")
]
Requirements = Annotated[bool, typer.Option("--requirements", help="Only print what was installed then.")]


@app.command(epilog="Example: towpath reproduce 1.3.0")
def reproduce(
    release: Selector, *, python: Python = None, requirements: Requirements = False, as_json: AsJson = False
) -> None:
    """Make a release again; say whether it is the same, byte for byte.

    The code is that of the release's commit; the rows must have their digest of then; parameters, rounds, seed and
    threads are those that were recorded. On the same platform with the same libraries every byte of the model should be
    the same; where it is not, the answers to the test rows are compared. It fails when a decision differs, or an answer
    by more than 1e-5 (of the largest, for a regression).
    """
    from towpath_flows.recipe import read_recipe  # noqa: PLC0415 (imports pandas and the engines)
    from towpath_flows.reproduction import reproduce as make_again  # noqa: PLC0415 (as above)

    workspace = Workspace.here()
    found = workspace.find(release)
    if requirements:
        typer.echo(read_recipe(workspace.registry, found).requirements(), nl=False)
        return
    with working(f"Making {found} again"):
        made = make_again(workspace.root, found, python)
    if as_json:
        emit({"release": found.id, "identical": made.outcome.identical, **made.outcome.plain()})
    else:
        _tell(made)
    _refuse_another(made)


def _tell(made: "Reproduction") -> None:
    outcome, recipe = made.outcome, made.recipe
    say(
        f"{mark('ok')} Made {plain(made.release)} again from commit {made.release.code[:12]}: {outcome.rows:,} rows, "
        f"{recipe.framework}, {recipe.rounds} rounds, seed {recipe.seed}"
    )
    for difference in outcome.environment:
        say(f"{mark('warn')} Another environment: {plain(difference)}")
    if outcome.identical:
        say(f"{mark('ok')} Byte-identical: {', '.join(outcome.same)}. The card is not made again.")
        return
    say(f"{mark('warn')} Other bytes: {', '.join(outcome.changed)}. The same: {', '.join(outcome.same) or 'none'}.")
    say(f"Answers to the test rows differ by {outcome.difference:.2g} at most; {outcome.flips} decisions differ.")


def _refuse_another(made: "Reproduction") -> None:
    outcome = made.outcome
    if not outcome.agrees:
        raise TrainingError(
            "What was made is another model",
            why=f"Answers differ by {outcome.difference:.2g}, {outcome.flips} decisions differ.",
            hint="Use the environment of then: --python, and --requirements to see what it held."
            if outcome.environment
            else "The environment is the same: something outside of it decides, such as an unseeded random number.",
        )
