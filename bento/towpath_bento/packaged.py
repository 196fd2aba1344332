"""What a Bento carries: a release beside its service file, served when no pointer is followed."""

import os
import tempfile
from pathlib import Path
from typing import Final

from towpath_bento.metrics import FOLDER_VARIABLE
from towpath_gitops.errors import NotFoundError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import POINTER, POINTER_VARIABLE, LanePointer, Pointer
from towpath_gitops.records.release import Release

RELEASE_FILE: Final = "release.json"
MODEL_FOLDER: Final = "model"
ENVIRONMENT_VARIABLE: Final = "TOWPATH_ENVIRONMENT"  # which environment a packaged service says it is


def packaged_pointer(folder: Path) -> Path:
    """Write a pointer to the release that was packaged into `folder`, for all workers of this service; return its path.

    It lies in the service's own temporary folder, since an image may be read-only.

    Raises:
        NotFoundError: there is no release in the folder.
        InvalidFileError: `release.json` is not one.
    """
    path = folder / RELEASE_FILE
    if not path.is_file():
        raise NotFoundError(
            "There is nothing to serve",
            why=f"{POINTER_VARIABLE} is not set, and {folder} holds no packaged release.",
            hint="Start the service with `towpath up`, or package a release with `towpath package`.",
        )
    release = parse_json(path.read_bytes(), Release, source=str(path))
    lane = LanePointer(release=release.id, artifact=release.artifact, path=str((folder / MODEL_FOLDER).absolute()))
    pointer = Pointer(
        model=release.model,
        environment=os.environ.get(ENVIRONMENT_VARIABLE, "packaged"),
        generation=1,
        lanes={"champion": lane},
    )
    target = _own_folder() / POINTER
    write_atomically(target, pointer.model_dump_json(by_alias=True))
    return target


def _own_folder() -> Path:
    """Return a folder that the workers of this service share, and nobody else: the one BentoML gives them."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) / "towpath" if given else Path(tempfile.mkdtemp(prefix="towpath-"))
