"""A lane: a release that is loaded, warmed and smoke-tested, ready to answer."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from towpath_bento.columns import Blocks
from towpath_bento.crossover.engines import ByRows
from towpath_bento.engines import open_engine
from towpath_bento.problems import ProblemError
from towpath_bento.settings import UnknownColumns
from towpath_bento.wire import Codec
from towpath_gitops.errors import DeliveryError
from towpath_gitops.records.artifact import GOLDEN, SIGNATURE, check_artifact
from towpath_gitops.records.base import canonical_json
from towpath_gitops.records.golden import TOLERANCE, Case, Golden
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import LanePointer
from towpath_gitops.records.signature import Signature


@dataclass(frozen=True, slots=True)
class Lane:
    """One release in memory."""

    release: str
    artifact: str
    codec: Codec
    engine: ByRows
    folder: Path

    @property
    def looks_up(self) -> bool:
        """Whether it takes features from an online store."""
        return self.codec.signature.online is not None


def load(pointer: LanePointer, unknown: UnknownColumns = "refuse") -> Lane:
    """Bring a release to the point where it may take traffic: check its digest, open it, repeat its golden requests.

    The golden requests go through the decoder and the engine that serve, and so warm both.

    Raises:
        DigestMismatchError: the artifact is not the one that was approved; nothing in it was opened.
        NotFoundError, InvalidFileError, MissingDependencyError: it cannot be opened.
        DeliveryError: it answers a golden request otherwise than in training.
    """
    folder = Path(pointer.path)
    check_artifact(folder, pointer.artifact)
    return open_lane(folder, release=pointer.release, artifact=pointer.artifact, unknown=unknown)


def open_lane(folder: Path, *, release: str, artifact: str, unknown: UnknownColumns = "refuse") -> Lane:
    """Open an artifact whose digest the caller has checked, and repeat its golden requests.

    Raises:
        NotFoundError, InvalidFileError, MissingDependencyError, DeliveryError: as `load`.
    """
    signature = parse_json(_read(folder, SIGNATURE), Signature, source=SIGNATURE)
    golden = _golden(folder)
    lane = Lane(release, artifact, Codec(signature, unknown), ByRows(open_engine(folder, signature), release), folder)
    for number, case in enumerate(golden.cases):
        _smoke_test(lane, number, case)
    return lane


def golden_rows(lane: Lane) -> list[Blocks]:
    """Return the rows of a lane's golden requests as its engine takes them.

    Raises:
        DeliveryError, InvalidFileError: they cannot be read any more.
    """
    return [lane.codec.decode(canonical_json({"rows": case.rows})).columns for case in _golden(lane.folder).cases]


def _golden(folder: Path) -> Golden:
    return parse_json(_read(folder, GOLDEN), Golden, source=GOLDEN)


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise DeliveryError(f"The artifact in {folder} cannot be served", why=f"{name}: {error.strerror}.") from error


def _smoke_test(lane: Lane, number: int, case: Case) -> None:
    try:
        request = lane.codec.decode(canonical_json({"rows": case.rows}))
    except ProblemError as error:
        raise _refusal(lane, number, f"its own signature refuses the request: {error.detail}") from error
    expected = np.array(case.expected)
    found = lane.engine.predict(request.columns)
    if found.shape != expected.shape:
        raise _refusal(lane, number, f"it answers the shape {found.shape}, expected {expected.shape}")
    # Relative as well for values beyond 1: float32 has seven digits, wherever the point stands.
    differences = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    if not np.all(differences <= TOLERANCE):
        raise _refusal(lane, number, f"it differs from training by {np.max(differences):.3g}, more than {TOLERANCE:g}")


def _refusal(lane: Lane, number: int, why: str) -> DeliveryError:
    return DeliveryError(
        f"Release {lane.release} fails golden request {number} and takes no traffic",
        why=f"{why[0].upper()}{why[1:]}.",
        hint="Its artifact is whole, so look for another version of the engine's library than in training.",
    )
