"""`python -m towpath_bento.image.answering FOLDER`: does the release that was packaged into FOLDER answer here?

Run inside an image while it is built, by the image's own Python: a library of the system that the base lacks would
otherwise be missed by callers first.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from towpath_bento.engines import native
from towpath_bento.lane import Lane, open_lane
from towpath_bento.packaged import MODEL_FOLDER, RELEASE_FILE
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release

_IMPORTED: Final = ("pandas", "sklearn", "skops")


def prove(folder: Path) -> None:
    """Repeat the golden requests of the release in `folder`; open its native engine, too, if that may answer many rows.

    Raises:
        MissingDependencyError: an engine lacks a library, of Python or of the system.
        NotFoundError, InvalidFileError, DeliveryError: it cannot be opened, or answers otherwise than in training.
    """
    source = folder / RELEASE_FILE
    release = parse_json(source.read_bytes(), Release, source=str(source))
    lane = open_lane(folder / MODEL_FOLDER, release=release.id, artifact=release.artifact)
    if _is_native_too(lane):
        native.open_engine(lane.folder, lane.codec.signature)


def _is_native_too(lane: Lane) -> bool:
    """Return whether the image holds what only a native engine needs: then the service asks for one."""
    boosters = [library for name, library in native.BOOSTERS.items() if (lane.folder / name).is_file()]
    return lane.codec.signature.engine != "native" and all(map(find_spec, (*_IMPORTED, *boosters)))


def main() -> None:
    """Say what is missing and fail, or succeed without a word."""
    try:
        prove(Path(sys.argv[1]))
    except TowpathError as error:
        raise SystemExit(f"The release does not answer in this image:\n{error}") from error


if __name__ == "__main__":
    main()
