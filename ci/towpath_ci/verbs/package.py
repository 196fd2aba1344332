"""`towpath package`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from towpath_ci.console import mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import Selector
from towpath_ci.workspace import Workspace
from towpath_gitops import layout

app = verb()

Into = Annotated[Path | None, typer.Option("--into", metavar="DIR", help="Where to; by default .towpath/bentos.")]


@app.command(epilog="Example: towpath package 1.2.0 --into build")
def package(release: Selector, *, into: Into = None) -> None:
    """Build the Bento of a release: what an image of it holds.

    The service is taken from the commit that is checked out. No training library is in it; build the image with any
    builder from its Dockerfile.
    """
    from towpath_bento.package import package as build  # noqa: PLC0415 (only this verb needs it)

    workspace = Workspace.here()
    repository = workspace.repository
    with working("Packaging (bentoml build, a few seconds)"), TemporaryDirectory(prefix="towpath-") as code:
        found = workspace.find(release)
        artifact = workspace.registry.fetch(found, layout.store(workspace.root))
        repository.export(repository.head(), "bento", Path(code))
        bento = build(found, artifact, Path(code), into or layout.state(workspace.root, "bentos"))
    say(f"{mark('ok')} {plain(bento.tag)} in {plain(bento.folder)}, {len(bento.requirements)} pinned libraries")
    next_step(f"docker build -f {bento.folder}/env/docker/Dockerfile {bento.folder}", f"bentoml serve {bento.folder}")
