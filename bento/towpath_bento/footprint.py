"""What releases cost where they serve: time, memory and bytes, measured side by side in a process of its own.

`python -m towpath_bento.footprint FOLDER…` loads the artifact in every folder as a lane, waits until its standard input
is closed, so that whoever asks can finish what would disturb it, and prints a JSON list with one
`records.figures.Footprint` for each folder, null where the artifact cannot be served.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Final

from towpath_bento.lane import Lane, open_lane
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.artifact import CARD_HTML, CARD_MARKDOWN, GOLDEN, manifest_digest
from towpath_gitops.records.base import canonical_json
from towpath_gitops.records.figures import Footprint
from towpath_gitops.records.golden import Golden
from towpath_gitops.records.parsing import parse_json

MANY: Final = 100  # rows of the larger request
_BUDGET_S: Final = 0.15  # for all lanes together and each size of request
_FEWEST, _MOST = 5, 400  # requests to each lane
_LOADS: Final = 12  # of each lane, as far as the time allows
_CARDS: Final = frozenset({CARD_MARKDOWN, CARD_HTML})  # for people; a candidate has none yet
_STATM: Final = Path("/proc/self/statm")


@dataclass(frozen=True)
class _Loaded:
    """A lane, what it took to hold it, and requests for it."""

    lane: Lane
    memory_bytes: int | None
    artifact_bytes: int
    one: tuple[bytes, ...]
    many: tuple[bytes, ...]


@dataclass
class _Clock:
    """How long the requests of one size took a lane, in seconds."""

    walls: list[float]
    cpu: float = 0.0


def measure(loaded: Sequence[_Loaded | None]) -> list[Footprint | None]:
    """Ask the lanes in turn, so that whatever else the machine does hinders them alike."""
    lanes = [each for each in loaded if each is not None]
    one = _timed([(each.lane, each.one) for each in lanes])
    many = _timed([(each.lane, each.many) for each in lanes])
    found = iter([_footprint(*sides) for sides in zip(lanes, one, many, strict=True)])
    return [None if each is None else next(found) for each in loaded]


def _footprint(loaded: _Loaded, one: _Clock, many: _Clock) -> Footprint:
    return Footprint(
        engine=loaded.lane.codec.signature.engine,
        one_row_ms=median(one.walls) * 1e3,
        hundred_rows_ms=median(many.walls) * 1e3,
        cpu_s_per_million=many.cpu / (len(many.walls) * MANY) * 1e6,
        artifact_bytes=loaded.artifact_bytes,
        memory_bytes=loaded.memory_bytes,
    )


def _timed(asked: Sequence[tuple[Lane, Sequence[bytes]]]) -> list[_Clock]:
    clocks, bodies = [_Clock([]) for _ in asked], [cycle(requests) for _, requests in asked]
    start = time.perf_counter()
    for turn in range(_MOST):
        if turn >= _FEWEST and time.perf_counter() - start > _BUDGET_S:
            break
        for (lane, _), requests, clock in zip(asked, bodies, clocks, strict=True):
            body = next(requests)
            wall, cpu = time.perf_counter(), time.process_time()
            _answer(lane, body)
            clock.cpu += time.process_time() - cpu
            clock.walls.append(time.perf_counter() - wall)
    return clocks


def _answer(lane: Lane, body: bytes) -> bytes:
    """Do what the service does with a request, from bytes to bytes."""
    return lane.codec.encode(lane.release, lane.engine.predict(lane.codec.decode(body).columns))


def load(folders: Sequence[Path]) -> list[_Loaded | None]:
    """Load every lane and hold it; what libraries need for themselves is loaded before anything is weighed."""
    held = [lane for folder in folders if (lane := _opened(folder)) is not None]
    return [_weighed(folder, held) for folder in folders]


def _weighed(folder: Path, held: list[Lane]) -> _Loaded | None:
    """Load one lane several times over, all held: a single load tells little, for memory is taken in large pieces."""
    start, before = time.perf_counter(), _resident_bytes()
    lanes: list[Lane] = []
    while len(lanes) < _LOADS and (not lanes or time.perf_counter() - start < _BUDGET_S):
        lane = _opened(folder)
        if lane is None:
            return None
        lanes.append(lane)
    after = _resident_bytes()
    held += lanes
    grown = None if before is None or after is None else max(0, after - before) // len(lanes)
    return _loaded(folder, lanes[0], grown)


def _opened(folder: Path) -> Lane | None:
    digest = manifest_digest(folder)
    try:
        return open_lane(folder, release=digest, artifact=digest)
    except TowpathError as error:
        sys.stderr.write(f"{error}\n")
        return None


def _loaded(folder: Path, lane: Lane, memory_bytes: int | None) -> _Loaded:
    golden = parse_json((folder / GOLDEN).read_bytes(), Golden, source=GOLDEN)
    rows = [row for case in golden.cases for row in case.rows]
    many = list(islice(cycle(rows), MANY))
    return _Loaded(
        lane,
        memory_bytes,
        sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name not in _CARDS),
        tuple(canonical_json({"rows": [row]}) for row in rows),
        (canonical_json({"rows": many}),),
    )


def _resident_bytes() -> int | None:
    """Return the memory of this process that is in use; None on systems that do not tell."""
    try:
        import resource  # noqa: PLC0415 (not on every system)

        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except (ImportError, OSError):
        return None


def main(arguments: Sequence[str]) -> None:
    """Measure the artifacts in the folders named; see the module's docstring."""
    loaded = load([Path(argument) for argument in arguments])
    sys.stdin.read()
    found = [None if each is None else each.plain() for each in measure(loaded)]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
