"""What callers send, as it was observed: rows with their missing values, rows a request, and the gaps between requests.

From the reference sample that every release carries come rows alone: they are sent one a request, at random moments of
the rate that is asked for (a Poisson process). A journal of what a service answered also tells which rows came together
and when.
"""

import hashlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby, islice, pairwise
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from towpath_bento.journal.names import LANE, REQUEST, SUFFIX, TIME
from towpath_bento.problems import faults
from towpath_bento.sent import as_sent
from towpath_gitops.errors import InvalidFileError, NotFoundError
from towpath_gitops.records.artifact import REFERENCE, SIGNATURE
from towpath_gitops.records.base import canonical_json
from towpath_gitops.records.golden import Value
from towpath_gitops.records.load import Sent
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.signature import Signature

MOST_BODIES: Final = 2_000  # different requests; they are sent again and again
_MOST_ROWS: Final = 50_000  # read of a journal: the newest files first
_SEED: Final = 0

Row = dict[str, Value]


@dataclass(frozen=True)
class Traffic:
    """Requests in the order in which they are sent, and the gaps between them where these were observed."""

    bodies: tuple[bytes, ...]
    rows: tuple[int, ...]  # of each body
    gaps: tuple[float, ...]  # between requests, their mean 1; empty for a Poisson process
    missing: float  # share of values
    source: str

    def sent(self) -> Sent:
        """Return what load evidence says about the traffic."""
        digest = hashlib.sha256(b"\n".join(self.bodies)).hexdigest()
        return Sent(
            source=self.source,
            digest=f"sha256:{digest}",
            bodies=len(self.bodies),
            rows=sum(self.rows),
            missing=self.missing,
            arrivals="observed" if self.gaps else "poisson",
        )

    def arrivals(self, seed: int) -> Iterator[float]:
        """Yield gaps between requests without end, their mean 1: those observed from some place on, or random ones."""
        chance = random.Random(seed)  # noqa: S311 (nothing secret)
        if self.gaps:
            yield from islice(cycle(self.gaps), chance.randrange(len(self.gaps)), None)
        while True:
            yield chance.expovariate(1.0)


def from_artifact(folder: Path) -> Traffic:
    """Return the traffic that a release's own reference sample gives.

    Raises:
        NotFoundError: the release carries no sample.
        InvalidFileError: the service would refuse every row of it.
    """
    path = folder / REFERENCE
    if not path.is_file():
        raise NotFoundError(f"There is no {REFERENCE} in {folder}", why="The release carries no reference sample.")
    signature = signature_of(folder)
    rows = _rows(signature, _table(path, signature))
    chosen = random.Random(_SEED).sample(rows, min(len(rows), MOST_BODIES))  # noqa: S311 (nothing secret)
    return _traffic([[row] for row in chosen], signature, (), "the release's reference sample")


def from_journal(folder: Path, signature: Signature) -> Traffic:
    """Return the traffic that a journal holds: Parquet files whose columns are the signature's, newest used first.

    Where it tells when requests came (`towpath:time`) and which rows came together (`towpath:request`), they come so
    again.

    Raises:
        NotFoundError: there is no Parquet file below the folder.
        InvalidFileError: a column of the signature is missing, or the service would refuse every row.
    """
    paths = sorted(path for path in folder.rglob(f"*{SUFFIX}") if not path.name.startswith("."))
    if not paths:
        raise NotFoundError(f"There is no Parquet file below {folder}", hint="Name the folder of a journal.")
    tables: list[pa.Table] = []
    while paths and sum(table.num_rows for table in tables) < _MOST_ROWS:
        tables.insert(0, _table(paths.pop(), signature))
    asked = [request for table in tables for request in _requests(signature, table)]
    asked.sort(key=lambda each: each[0])
    newest = asked[-MOST_BODIES:]
    return _traffic(
        [rows for _, rows in newest], signature, _gaps([at for at, _ in newest]), f"the journal {folder.name}"
    )


def signature_of(folder: Path) -> Signature:
    """Return what the release in `folder` takes and answers."""
    return parse_json((folder / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)


def _table(path: Path, signature: Signature) -> pa.Table:
    table = pq.read_table(path, use_threads=False)
    absent = [column.name for column in signature.inputs if column.name not in table.column_names]
    if absent:
        raise InvalidFileError(
            f"{path.name} lacks the column {absent[0]}",
            why=f"Its columns must be the inputs of the model; {len(absent)} of them are missing.",
        )
    if LANE in table.column_names:  # what a shadow scored, nobody asked for
        table = table.filter(pc.not_equal(table.column(LANE), "shadow"))
    return table


def _rows(signature: Signature, table: pa.Table) -> list[Row]:
    columns = {each.name: table.column(each.name).to_pylist() for each in signature.inputs}
    return [
        {each.name: as_sent(each, _served(each.type, columns[each.name][index])) for each in signature.inputs}
        for index in range(table.num_rows)
    ]


def _served(kind: str, value: Any) -> Any:  # noqa: ANN401 (whatever a Parquet file holds)
    """Return a value as engines take it: journals write null where a sample has NaN."""
    if value is None:
        return "" if kind == "string" else math.nan
    return value


def _requests(signature: Signature, table: pa.Table) -> Iterator[tuple[float, list[Row]]]:
    """Yield the requests of a table in its order: when (seconds; 0 where it is not told), and the rows together."""
    known = set(table.column_names)
    names = table.column(REQUEST).to_pylist() if REQUEST in known else list(range(table.num_rows))
    times = _seconds(table.column(TIME)) if TIME in known else [0.0] * table.num_rows
    numbered = zip(names, times, _rows(signature, table), strict=True)
    for _, group in groupby(numbered, key=lambda each: each[0]):
        together = list(group)
        yield together[0][1], [row for _, _, row in together]


def _seconds(column: pa.ChunkedArray) -> list[float]:
    return [moment / 1e6 for moment in column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()]


def _gaps(times: Sequence[float]) -> tuple[float, ...]:
    """Return the gaps between requests, their mean 1; none where all came at once or too few came."""
    found = [later - earlier for earlier, later in pairwise(times)]
    mean = math.fsum(found) / len(found) if found else 0.0
    return tuple(gap / mean for gap in found) if mean > 0 else ()


def _traffic(
    requests: Sequence[Sequence[Mapping[str, Value]]], signature: Signature, gaps: tuple[float, ...], source: str
) -> Traffic:
    """Keep the requests that the service takes: a sample may hold rows that a closed list or a limit refuses."""
    fit = [rows for rows in requests if next(faults({"rows": list(rows)}, signature), None) is None]
    if not fit:
        raise InvalidFileError(
            f"There is nothing to send: of {len(requests):,} requests from {source} none fits the signature",
            hint="Look at the rows, or name another journal.",
        )
    values = [value for rows in fit for row in rows for value in row.values()]
    return Traffic(
        bodies=tuple(canonical_json({"rows": list(rows)}) for rows in fit),
        rows=tuple(len(rows) for rows in fit),
        gaps=gaps if len(fit) == len(requests) else (),
        missing=sum(value is None for value in values) / len(values),
        source=source,
    )
