"""Point-in-time features of a Feast repository: each row gets what was known at its time, and nothing newer.

Feast runs in a process of its own, under the interpreter that model.yaml names, for its dependencies do not fit into
this environment. Rows go there and come back as Parquet.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd

from towpath_flows.data.sources import feast_child, files
from towpath_flows.data.sources.base import Input, Part, Request
from towpath_flows.data_spec import FeastSource, FileSource
from towpath_flows.text_spec import TextSpec
from towpath_gitops.errors import (
    DataContractError,
    InvalidFileError,
    MissingDependencyError,
    NotFoundError,
    UnavailableError,
)
from towpath_gitops.files import scratch
from towpath_gitops.layout import state
from towpath_gitops.records.base import digest_file

PYTHON_VARIABLE: Final = "TOWPATH_FEAST_PYTHON"
STORE: Final = "feature_store.yaml"
TIMEOUT_S: Final = 3000.0
_TIME: Final = "event_timestamp"  # Feast's own name for it
_ORDER: Final = "towpath_row"
_MISSING, _REFUSED = 3, 4  # exit codes of the child
_SHOWN: Final = 500  # characters of what Feast says


def describe(spec: FeastSource) -> str:
    """Return the repository and the rows."""
    return f"feast: {spec.feast} at the rows of {spec.rows}"


def read(spec: FeastSource, request: Request, note: Callable[[Input], None]) -> Iterator[Part]:
    """Yield the rows with their features, in the order of the rows; see the base's `Source`.

    Only rows within the window are asked about. A feature that was not known at a row's time is missing.

    Raises:
        NotFoundError: there are no rows, no feature_store.yaml, or no such interpreter.
        InvalidFileError: model.yaml names no time column.
        DataContractError: Feast refuses the features, the entities or the rows.
        MissingDependencyError: the interpreter has no Feast.
        UnavailableError: Feast does not answer in time.
    """
    store = request.root / spec.feast / STORE
    if not store.is_file():
        raise NotFoundError(
            f"There is no {STORE} in {spec.feast}",
            why="model.yaml names that folder as a Feast repository under data.train.",
            hint="Make one with `feast init`, and run `feast apply` in it.",
        )
    with scratch(state(request.root, "incoming"), ".feast-") as folder:
        rows = _rows(spec, request, note)
        rows.to_parquet(folder / "rows.parquet", index=False)
        del rows
        question = {"rows": str(folder / "rows.parquet"), "into": str(folder / "found.parquet"), "order": _ORDER}
        ask(spec, request.root, question, folder)
        for part in files.read_file(folder / "found.parquet", describe(spec), _named(request), TextSpec()):
            available = tuple(request.time if name == _TIME else name for name in part.available)
            frame = part.frame.rename(columns={_TIME: request.time})
            yield Part(describe(spec), frame[request.chosen(map(str, frame.columns))], tuple(map(str, available)))
    note(Input(f"{spec.feast}/{STORE}", digest_file(store), store.stat().st_size))


def _named(request: Request) -> Request:
    """Return what is asked of the answer's file: every column, the window applied already."""
    return replace(request, columns=None, time=None, since=None, until=None)


def _rows(spec: FeastSource, request: Request, note: Callable[[Input], None]) -> pd.DataFrame:
    """Return the rows within the window, numbered, with the time called as Feast calls it."""
    time = request.time
    if time is None:
        raise InvalidFileError(
            "model.yaml: data.train.feast needs `time`",
            why="Feast adds features as they were known at each row's time.",
            hint="Name the column that tells when a row happened.",
        )
    kept = []
    for part in files.read(FileSource(file=spec.rows), replace(request, columns=None), note):
        if time not in part.frame:
            raise DataContractError(
                f"{part.name} has no column {time}", why=f"There are {', '.join(map(str, part.frame.columns))}."
            )
        moments = pd.to_datetime(part.frame[time], utc=True, format="ISO8601")
        within = (request.since is None or moments >= request.since) & (
            request.until is None or moments < request.until
        )
        frame = part.frame.assign(**{time: moments})
        kept.append(frame[within] if isinstance(within, pd.Series) else frame)
    rows = pd.concat(kept, ignore_index=True).rename(columns={time: _TIME})
    if rows.empty:
        raise DataContractError(f"{spec.rows} holds no rows in the window", hint="Look at data.window in model.yaml.")
    return rows.assign(**{_ORDER: range(len(rows))})


def ask(spec: FeastSource, root: Path, question: Mapping[str, object], folder: Path) -> None:
    """Put a question to the repository, which Feast's own environment answers into a file that the question names.

    Args:
        spec: which repository, which of its features, and where Feast is.
        root: the model repository's.
        question: what `feast_child` asks for besides the features.
        folder: where the question is written.

    Raises:
        NotFoundError, MissingDependencyError, DataContractError, UnavailableError: as `read`.
    """
    asked = {
        "repository": str((root / spec.feast).absolute()),
        "features": list(spec.features or ()),
        "service": spec.service,
        **question,
    }
    (folder / "request.json").write_text(json.dumps(asked), encoding="utf-8")
    python = _python(spec, root)
    # The child's own folder must not be on its path: a module called feast lies there, which is this one.
    command = [python, "-P", str(Path(feast_child.__file__).absolute()), str(folder / "request.json")]
    environment = os.environ | {"FEAST_USAGE": "False", "DO_NOT_TRACK": "1"}
    try:
        done = subprocess.run(
            command, env=environment, cwd=root, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except OSError as error:
        raise NotFoundError(
            f"There is no Python at {python}", why=str(error), hint=f"Correct data.train.python, or {PYTHON_VARIABLE}."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"Feast did not answer within {TIMEOUT_S:g} s", hint="Take a shorter window.") from error
    _require(done, spec, python)


def _python(spec: FeastSource, root: Path) -> str:
    if named := os.environ.get(PYTHON_VARIABLE):
        return named
    return sys.executable if spec.python is None else str((root / spec.python).absolute())


def _require(done: "subprocess.CompletedProcess[str]", spec: FeastSource, python: str) -> None:
    words = done.stderr.strip().splitlines()
    last = words[-1][:_SHOWN] if words else f"It ended with {done.returncode}."
    if done.returncode == _MISSING:
        raise MissingDependencyError(
            f"{python} has no Feast",
            why=last,
            hint=f"pip install feast in an environment of its own, and name its Python: data.train.python or "
            f"{PYTHON_VARIABLE}",
        )
    if done.returncode:
        raise DataContractError(
            f"Feast refuses what model.yaml asks of {spec.feast}",
            why=last,
            hint="Are the features applied (`feast apply`), and do the rows hold every entity key?",
        )
