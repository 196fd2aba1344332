"""`towpath schemas`."""

from pathlib import Path

import typer

from towpath_ci.console import say
from towpath_ci.lazy import verb
from towpath_ci.schemas import write_schemas

app = verb()


@app.command(epilog="Example: towpath schemas .towpath/schemas")
def schemas(folder: Path = typer.Argument(..., metavar="DIR", help="Where to write them; made when missing.")) -> None:
    """Write the JSON schemas of all YAML and JSON, for editors.

    Each YAML file of a repository names its schema in its first line, so that editors complete and check it.
    """
    written = write_schemas(folder)
    say(f"Wrote {len(written)} schemas to {folder}")
