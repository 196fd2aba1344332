"""A packaged release becomes an image, whose bill is checked inside and whose digest is known before it is moved."""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from towpath_bento.image.bill import BILL, bill_of_materials
from towpath_bento.image.builders import BUILD, Order
from towpath_bento.image.locked import REQUIREMENTS, locked
from towpath_bento.image.oci import ARTIFACT_LABEL, BILL_LABEL, RELEASE_LABEL, Described, read_layout
from towpath_bento.image.tools import builder
from towpath_bento.image.wheels import exact, fetch
from towpath_bento.package import PackagedBento
from towpath_gitops.errors import DeliveryError, DigestMismatchError, NotFoundError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.records.image import BuiltImage
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release

PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
DEFAULT_BASE: Final = f"docker.io/library/python:{PYTHON}-slim-bookworm"
LAYOUT: Final = "oci"
RECORD: Final = "image.json"  # beside the layout


@dataclass(frozen=True)
class Built:
    """An image that lies in a folder, and what is known of it."""

    folder: Path  # holds the layout and the record
    record: BuiltImage
    described: Described


def build_image(
    release: Release, bento: PackagedBento, into: Path, *, base: str = DEFAULT_BASE, program: str | None = None
) -> Built:
    """Build the image of a packaged release as an OCI layout `into`/oci, with its record beside it.

    The base brings Python of this process's own minor version with `venv`, as `python3`; the wheels are those of this
    machine's platform. While it is built no network is used, but to fetch a base that is not here yet.

    Args:
        release: what is packaged.
        bento: its Bento, as `package` made it.
        into: a folder for it; one that is there already is replaced.
        base: the image below, best pinned by digest.
        program: buildah, podman or docker; by default the first that is installed.

    Raises:
        MissingDependencyError: no builder is installed.
        DeliveryError: a wheel cannot be had or is not the one that was vouched for, or the build fails; among its
            reasons are a base with another Python, and a bill of materials that is not true.
    """
    chosen = builder(program)
    with tempfile.TemporaryDirectory(prefix="towpath-image-") as scratch:
        context, layout = Path(scratch, "context"), Path(scratch, LAYOUT)
        shutil.copytree(bento.folder / "src", context / "src")
        pins = fetch(locked(bento.requirements, bento.folder / "src" / REQUIREMENTS), context / "wheels")
        (context / REQUIREMENTS).write_text(exact(pins).text())
        (context / "src" / REQUIREMENTS).write_text(exact(pins).text())
        bill = bill_of_materials(release, pins, {pin: _hex(digest) for pin, digest in pins.items()}, base=base)
        (context / "src" / BILL).write_bytes(bill)
        arguments = {"BASE": base, "PYTHON_VERSION": PYTHON}
        labels = _labels(release, digest_bytes(bill))
        BUILD[chosen](Order(context=context, arguments=arguments, labels=labels, layout=layout))
        found = read_layout(layout)
        record = _record(release, found, bento, base, chosen)
        if into.exists():
            shutil.rmtree(into)
        into.mkdir(parents=True)
        shutil.move(layout, into / LAYOUT)
        write_atomically(into / RECORD, record.model_dump_json(by_alias=True, indent=2) + "\n")
    return Built(into, record, found)


def read_built(folder: Path, release: Release) -> Built:
    """Return the image that was built into a folder, every byte of it compared with its digest.

    Raises:
        NotFoundError: there is none.
        InvalidFileError, DigestMismatchError: it is damaged, or another than its record says.
    """
    path = folder / RECORD
    if not path.is_file():
        raise NotFoundError(f"No image of {release} was built here", hint=f"towpath image build {release.short_id}")
    record = parse_json(path.read_bytes(), BuiltImage, source=str(path))
    found = read_layout(folder / LAYOUT)
    if (found.digest, record.release) != (record.digest, release.id):
        why = f"It is {found.digest}, for {found.labels.get(RELEASE_LABEL)}."
        raise DigestMismatchError(f"The image in {folder} is not that of {release}", why=why)
    return Built(folder, record, found)


def _labels(release: Release, bill: str) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": release.model,
        "org.opencontainers.image.version": f"{release.semver}-{release.short_id}",
        "org.opencontainers.image.revision": release.code,
        RELEASE_LABEL: release.id,
        ARTIFACT_LABEL: release.artifact,
        BILL_LABEL: bill,
    }


def _record(release: Release, found: Described, bento: PackagedBento, base: str, program: str) -> BuiltImage:
    if not found.user or found.user.split(":")[0] in {"0", "root"}:
        raise DeliveryError("The image would run as root", why=f"Its user is “{found.user}”.")
    return BuiltImage(
        release=release.id,
        artifact=release.artifact,
        digest=found.digest,
        base=base,
        base_digest=found.base_digest,
        sbom=found.labels[BILL_LABEL],
        packages=len(bento.requirements),
        unvouched=bento.unvouched,
        size_bytes=found.size_bytes,
        user=found.user,
        tool=f"towpath {version('towpath')}, {program}",
        created=datetime.now(UTC),
    )


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
