"""`towpath package`."""

from pathlib import Path
from typing import Annotated

import typer

from towpath_ci.console import mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import Selector
from towpath_ci.packaging import packaged, told_of_hashes
from towpath_ci.workspace import Workspace

app = verb()

Into = Annotated[Path | None, typer.Option("--into", metavar="DIR", help="Where to; by default .towpath/bentos.")]


@app.command(epilog="Example: towpath package 1.2.0 --into build")
def package(release: Selector, *, into: Into = None) -> None:
    """Build the Bento of a release: what an image of it holds.

    The service, and the hashes of what it needs, are taken from the commit that is checked out. No training library
    is in it. A bill of materials (CycloneDX) lies beside the service.
    """
    workspace = Workspace.here()
    with working("Packaging (bentoml build, a few seconds)"):
        bento = packaged(workspace, workspace.find(release), into)
    count = len(bento.requirements)
    say(f"{mark('ok')} {plain(bento.tag)} in {plain(bento.folder)}, {count} libraries")
    say(f"{mark('warn' if bento.unvouched else 'ok')} {plain(told_of_hashes(bento.unvouched, count))}")
    next_step(f"towpath image build {release}", f"bentoml serve {bento.folder}")
