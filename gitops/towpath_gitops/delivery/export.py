"""The ledger for other programs: the whole of it as JSON with a schema, or as a table that a spreadsheet opens safely.

Nothing in either depends on when it is written: the same ledger gives the same bytes.
"""

import csv
import json
from collections.abc import Callable, Iterable
from io import StringIO
from typing import Final, Literal

from pydantic import Field

from towpath_gitops.delivery.entries import Entry
from towpath_gitops.delivery.ledger import REF, Ledger
from towpath_gitops.records.base import ApiVersion, Commit, Digest, Name, Record

# A spreadsheet takes what begins so for a formula (OWASP, “CSV Injection”).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS: Final = (
    *("environment", "seq", "time", "event", "model", "release", "change", "replaces", "commit", "reason", "pull"),
    *("author", "approved_by", "evidence", "verdict", "answers", "serving", "to", "challenger", "share", "note"),
    *("previous", "hash"),
)


class Export(Record):
    """The ledger of a repository, entry by entry, and the commits that it was read from."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    kind: Literal["LedgerExport"] = "LedgerExport"
    main: Commit = Field(description="main's commit, against whose history the entries can be checked")
    ledger: Commit | None = Field(description="the ledger branch's commit; null before the first entry")
    heads: dict[Name, Digest] = Field(description="environment → hash of its last entry: what to compare with")
    entries: tuple[Entry, ...]


def exported(ledger: Ledger, environment: str | None = None, model: str | None = None) -> Export:
    """Return the entries of one environment and model, or of all, environment by environment in their order.

    Raises:
        LedgerError: the chain is broken; nothing false is handed on.
    """
    names = [environment] if environment else ledger.environments()
    chains = {name: ledger.entries(name) for name in names}
    return Export(
        main=ledger.repository.main(),
        ledger=ledger.repository.tip(REF),
        heads={name: entries[-1].hash for name, entries in chains.items() if entries},
        entries=tuple(entry for entries in chains.values() for entry in entries if model in {None, entry.model}),
    )


def as_json(export: Export) -> str:
    """Return the export as JSON; docs/schemas/ledger-export.json describes it."""
    return json.dumps(export.plain(), indent=2, ensure_ascii=False) + "\n"


def as_csv(export: Export) -> str:
    """Return the entries as a table: one line each, several values in a cell separated by semicolons.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_row(entry) for entry in export.entries)
    return stream.getvalue()


FORMATS: Final[dict[str, Callable[[Export], str]]] = {"json": as_json, "csv": as_csv}


def _row(entry: Entry) -> Iterable[str]:
    fields = entry.plain()
    return (_cell(fields[name]) for name in _COLUMNS)


def _cell(value: object) -> str:
    text = "; ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
