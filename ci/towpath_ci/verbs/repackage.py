"""`towpath repackage`."""

from typing import Annotated

import typer

from towpath_ci.console import working
from towpath_ci.lazy import verb
from towpath_ci.options import EnvironmentName, GivenReason
from towpath_ci.verbs.promote import present
from towpath_ci.workspace import Workspace
from towpath_gitops.promotion.proposal import propose_repackage

app = verb()

Image = Annotated[str, typer.Argument(metavar="IMAGE", help="Pinned by digest: registry/name@sha256:…")]


@app.command(epilog="Example: towpath repackage ghcr.io/acme/flights@sha256:… -e production --reason 'patched base'")
def repackage(image: Image, *, environment: EnvironmentName, reason: GivenReason) -> None:
    """Propose another image for the release that serves.

    The model is the same to the byte; only what is around it changes. Judged and approved like a promotion.
    """
    workspace = Workspace.here()
    with working("Proposing the image"):
        pull = propose_repackage(
            workspace.desk, environment=environment, model=workspace.model, image=image, reason=reason
        )
    present(pull)
