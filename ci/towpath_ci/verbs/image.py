"""`towpath image`."""

from pathlib import Path
from typing import Annotated

import typer

from towpath_ci.console import emit, mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson, Selector
from towpath_ci.packaging import packaged, told_of_hashes
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.errors import NotFoundError
from towpath_gitops.records.base import short
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.release import Release

app = verb()

Base = Annotated[
    str | None,
    typer.Option("--base", metavar="IMAGE", help="The image below, best by digest; by default Python's slim one."),
]
Builder = Annotated[str | None, typer.Option("--builder", metavar="NAME", help="buildah, podman or docker.")]
Registry = Annotated[str, typer.Option("--to", metavar="REGISTRY", help="Host and path, as in ghcr.io/acme.")]
Origin = Annotated[str, typer.Option("--from", metavar="REGISTRY", help="The registry that holds it.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="REGISTRY", help="Which registry; by default the one it was pushed to.")
]
Which = Annotated[
    str | None,
    typer.Option("--digest", metavar="DIGEST", help="Which of its images, or its beginning; the newest by default."),
]


@app.callback(epilog="Example: towpath image build 2.1.0 && towpath image push 2.1.0 --to ghcr.io/acme")
def image() -> None:
    """Build, push, move and verify the image of a release.

    Its digest is known when it is built, and is the same in every registry. It is kept beside the release.
    """


@app.command(epilog="Example: towpath image build 2.1.0 --base python:3.12-slim-bookworm@sha256:…")
def build(release: Selector, *, base: Base = None, builder: Builder = None) -> None:
    """Build the image of a release, as an OCI layout in .towpath/images.

    The wheels are fetched here, each by the hash that the lock file vouches for; the build itself needs no network.
    """
    from towpath_bento.image.build import DEFAULT_BASE, build_image  # noqa: PLC0415 (only this verb needs it)
    from towpath_bento.image.tools import builder as chosen  # noqa: PLC0415 (as above)

    workspace = Workspace.here()
    found, program = workspace.find(release), chosen(builder)
    with working(f"Building with {program} (a minute or so)"):
        bento = packaged(workspace, found)
        built = build_image(found, bento, _folder(workspace, found), base=base or DEFAULT_BASE, program=program)
    record = built.record
    say(f"{mark('ok')} {plain(found)}: image {short(record.digest)}, {record.size_bytes / 1e6:.0f} MB compressed")
    say(f"  digest {record.digest}")
    say(f"{mark('warn' if record.unvouched else 'ok')} {plain(told_of_hashes(record.unvouched, record.packages))}")
    next_step(f"towpath image push {release} --to REGISTRY")


@app.command(epilog="Example: towpath image push 2.1.0 --to ghcr.io/acme")
def push(release: Selector, *, to: Registry) -> None:
    """Push the image that was built, and keep its digest beside the release.

    A tag that points at another image is refused. Promotions of the release name the image by this digest from now on.
    """
    from towpath_bento.image.build import read_built  # noqa: PLC0415 (only this verb needs it)
    from towpath_bento.image.moving import push as pushed  # noqa: PLC0415 (as above)

    workspace = Workspace.here()
    found = workspace.find(release)
    with working(f"Pushing to {to}"):
        moved, record = pushed(read_built(_folder(workspace, found), found), found, to)
        workspace.registry.publish_image(found, record)
    say(f"{mark('ok')} {'Pushed' if moved.copied else 'It was there already:'} {plain(moved.image)}")
    next_step(f"towpath promote {release} --to ENVIRONMENT", f"towpath repackage {moved.image} -e ENVIRONMENT -m WHY")


@app.command(epilog="Example: towpath image sync 2.1.0 --from ghcr.io/acme --to registry.example.org/prod")
def sync(release: Selector, *, origin: Origin, to: Registry, digest: Which = None) -> None:
    """Copy the image of a release between registries, by its digest.

    Both ends are compared with the record beside the release. A tag that points at another image is refused.
    """
    from towpath_bento.image.moving import sync as synced  # noqa: PLC0415 (only this verb needs it)

    workspace = Workspace.here()
    found = workspace.find(release)
    with working(f"Copying to {to}"):
        moved = synced(_record(workspace, found, digest), found, origin, to)
    say(f"{mark('ok')} {'Copied' if moved.copied else 'It was there already:'} {plain(moved.image)}")


@app.command(epilog="Example: towpath image verify 2.1.0 --at ghcr.io/acme")
def verify(release: Selector, *, at: At = None, digest: Which = None) -> None:
    """Compare the image in a registry with its record: its bytes, its release, its bill of materials, its user."""
    from towpath_bento.image.moving import require_true  # noqa: PLC0415 (only this verb needs it)
    from towpath_bento.image.shelf import look, repository_in  # noqa: PLC0415 (as above)

    workspace = Workspace.here()
    found = workspace.find(release)
    record = _record(workspace, found, digest)
    place = repository_in(at, found.model) if at else record.image.partition("@")[0]
    with working(f"Looking at {place}"):
        require_true(look(place, record.digest), found, record)
    say(f"{mark('ok')} {plain(place)}@{record.digest} is what was built for {plain(found)}")


@app.command("list", epilog="Example: towpath image list 2.1.0")
def listed(release: Selector, *, as_json: AsJson = False) -> None:
    """List the images of a release, newest first."""
    workspace = Workspace.here()
    records = workspace.registry.images(workspace.find(release))
    if as_json:
        emit([record.plain() for record in records])
        return
    for record in records:  # one line each: a name cut by a table could not be copied
        say(plain(record.image))
        size = f"{record.size_bytes / 1e6:.0f} MB, {record.packages} packages"
        say(f"  [dim]on {plain(record.base)}, {size}, built {record.created:%Y-%m-%d %H:%M} UTC[/]")
    if not records:
        say("It has none.")


def _folder(workspace: Workspace, release: Release) -> Path:
    return layout.state(workspace.root, "images", release.short_id)


def _record(workspace: Workspace, release: Release, digest: str | None) -> ImageRecord:
    """Return the newest record of an image of a release, or the one whose digest begins so."""
    wanted = (digest or "").removeprefix("sha256:")
    records = workspace.registry.images(release)
    found = next((record for record in records if record.digest.removeprefix("sha256:").startswith(wanted)), None)
    if found is None:
        raise NotFoundError(
            f"There is no such image of {release} on record",
            why=f"The registry knows {len(records)} of it.",
            hint=f"towpath image build {release.short_id}, then: towpath image push {release.short_id} --to REGISTRY",
        )
    return found
