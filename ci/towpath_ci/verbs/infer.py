"""`towpath infer`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from towpath_ci.console import complain_softly, mark, next_step, plain, say, table, working
from towpath_ci.lazy import verb
from towpath_ci.workspace import Workspace

if TYPE_CHECKING:
    from towpath_flows.inference import Inference
    from towpath_flows.inference.columns import Column
    from towpath_flows.inference.roles import Roles

app = verb()

_MOST_SHOWN = 40  # columns that are told one by one

File = Annotated[Path, typer.Argument(metavar="FILE", help="CSV, Parquet or JSON lines: a file, or a folder of them.")]
Target = Annotated[str, typer.Option("--target", "-t", metavar="COLUMN", help="The column to predict.")]
AskedTask = Annotated[
    Literal["binary", "multiclass", "regression"] | None,
    typer.Option("--task", help="What is predicted; by default what the target suggests."),
]
Time = Annotated[
    str | None, typer.Option("--time", metavar="COLUMN", help="When a row happened; by default what is evident.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite model.yaml and schema.py that say something else.")]


@app.command(epilog="Example: towpath infer ~/wines.csv --target quality")
def infer(file: File, *, target: Target, task: AskedTask = None, time: Time = None, force: Force = False) -> None:
    """Write model.yaml and schema.py for a table of your own.

    Every line is explained in a comment, and what the table left open is told: read both, and correct them. What is
    written was tried: the table was read, checked and split, and a first model fitted. A table from elsewhere is copied
    to data/. Exits with 9 when the table cannot be learned from, and with 6 rather than overwrite what you wrote.
    """
    from towpath_flows import inference  # noqa: PLC0415 (heavy)

    root = Workspace.of_all().root
    with working("Reading, inferring and trying"):
        found = inference.infer(root, file, inference.Wishes(target, task, time))
    written = inference.write(root, file, found, force=force)
    _tell(found)
    for path in written:
        say(f"{mark('ok')} {plain(path)}")
    next_step("git add --all && git commit --message 'Describe the table'", "towpath train")


def _tell(found: "Inference") -> None:
    roles = found.roles
    rows = [(plain(each.name), each.kind, plain(_role(each, roles))) for each in roles.columns]
    table(f"{roles.task}: {plain(roles.target.name)}", ("column", "type", "role"), rows[:_MOST_SHOWN])
    if len(rows) > _MOST_SHOWN:
        say(f"… and {len(rows) - _MOST_SHOWN} more columns: see schema.py")
    for doubt in found.doubts:
        complain_softly(doubt)


def _role(column: "Column", roles: "Roles") -> str:
    if column.lost:
        return f"left out: {column.lost}"
    named = {roles.target.name: "target", roles.time: "time", roles.entity: "entity"}
    return named.get(column.name) or (f"excluded: {column.aside}" if column.aside else "feature")
