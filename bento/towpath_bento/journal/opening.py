"""From what the owner set to a journal that is written, or none."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from towpath_bento.settings import Journal
from towpath_gitops.errors import MissingDependencyError
from towpath_gitops.records.pointer import JOURNAL, POINTER_VARIABLE

if TYPE_CHECKING:
    from towpath_bento.journal.writer import Writer

log = logging.getLogger("towpath.bento")


def open_journal(settings: Journal, pointer: Path) -> "Writer | None":
    """Return the writer of this worker, begun; None where the journal is off, or has no place.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    address = _address(settings, pointer)
    if address is None:
        log.info("no journal is written%s", " here: it has no folder" if settings.share else "")
        return None
    try:
        from towpath_bento.journal.places import place_of  # noqa: PLC0415 (pyarrow is no part of every image)
        from towpath_bento.journal.writer import Writer  # noqa: PLC0415 (as above)
    except ImportError as error:
        raise MissingDependencyError(
            "The journal needs pyarrow",
            why=str(error),
            hint="Install towpath[bento], or turn it off: model_server(…, journal=Journal(share=0)).",
        ) from error
    writer = Writer(settings, place_of(address))
    writer.start()
    log.info("the journal remembers %g %% of the requests in %s", settings.share * 100, address)
    return writer


def _address(settings: Journal, pointer: Path) -> str | Path | None:
    if settings.share == 0:
        return None
    if settings.s3 or settings.folder:
        return settings.s3 or settings.folder
    return pointer.parent / JOURNAL if POINTER_VARIABLE in os.environ else None
