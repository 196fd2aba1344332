"""`towpath client`."""

from pathlib import Path
from typing import Annotated

import typer

from towpath_ci.console import mark, next_step, plain, say
from towpath_ci.lazy import verb
from towpath_ci.options import Selector
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.files import write_atomically
from towpath_gitops.records.artifact import SIGNATURE
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.signature import Signature

app = verb()

Into = Annotated[Path | None, typer.Option("--into", metavar="FILE", help="Where to; by default MODEL_client.py here.")]


@app.command(epilog="Example: towpath client latest --into shop/flights_client.py")
def client(release: Selector, *, into: Into = None) -> None:
    """Write a typed Python client of a release: one file that needs no library.

    It knows the columns of a row and the fields of a prediction, raises what a problem document says, and tries again
    when the service asks for that. A file that is there already is replaced.
    """
    from towpath_bento.client.writing import client_text  # noqa: PLC0415 (keeps the start of the command line light)

    workspace = Workspace.here()
    found = workspace.find(release)
    artifact = workspace.registry.fetch(found, layout.store(workspace.root))
    signature = parse_json((artifact / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)
    path = into or Path(f"{found.model.replace('-', '_')}_client.py")
    write_atomically(path, client_text(found.model, signature, found.id))
    say(f"{mark('ok')} {plain(path)} asks any release with the schema of {plain(found)}")
    next_step(f"python -c 'from {path.stem} import Client'")
