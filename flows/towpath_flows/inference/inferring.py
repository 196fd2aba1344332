"""From a file to the files of a model repository, which are tried before they are written."""

import difflib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd

from towpath_flows.data.sources import read_whole, separated
from towpath_flows.data.sources.files import SEPARATED, find
from towpath_flows.data.sources.packed import form
from towpath_flows.data.sources.separated import spelled, translated
from towpath_flows.inference.columns import Column, examine
from towpath_flows.inference.dates import formats
from towpath_flows.inference.dialect import Dialect, sniff
from towpath_flows.inference.model_file import Names, draft, model_text, told
from towpath_flows.inference.naming import class_name, one_line
from towpath_flows.inference.roles import Roles, cast
from towpath_flows.inference.schema_file import schema_text
from towpath_flows.inference.trial import Trial, attempt, refuse_few
from towpath_flows.project import Project
from towpath_flows.spec import SPEC, ModelSpec
from towpath_flows.text_spec import TextSpec
from towpath_gitops.errors import ConflictError, DataContractError, InvalidFileError, NotFoundError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.parsing import load_yaml, parse_yaml
from towpath_gitops.records.signature import Task

ANSWERS: Final = ".copier-answers.yml"
DATA: Final = "data"  # where a table from elsewhere is copied to
SPELLED_ROWS: Final = 100_000  # of a text file, read once more as text: numbers or codes?


@dataclass(frozen=True)
class Wishes:
    """What the owner says instead of leaving it to the table."""

    target: str
    task: Task | None = None
    time: str | None = None


@dataclass(frozen=True)
class Inference:
    """What was inferred. `files` are texts by their path from the repository's top; nothing is written yet.

    `copied` is the table's place in the repository, where it has to be copied to it.
    """

    files: Mapping[str, str]
    roles: Roles
    trial: Trial
    doubts: tuple[str, ...]
    copied: str | None


def infer(root: Path, file: Path, wishes: Wishes) -> Inference:
    """Infer `model.yaml` and `schema.py` for the table in `file`; see `write`.

    What they say is tried on the table: read, checked, split, and a first model is fitted.

    Raises:
        NotFoundError: there is no such file, or no such column.
        DataContractError: the table or its target cannot be learned from, with the reason.
        InvalidFileError: the answers that the repository was made with cannot be read.
    """
    source, place = _placed(root, file)
    dialect = _dialect(source)
    frame = _read(file, dialect.text)
    dialect, frame = _with_dates(dialect, frame, source)
    dialect = replace(dialect, doubts=(*dialect.doubts, *_lacking(source, frame, dialect.text)))
    target = _column(frame, wishes.target)
    refuse_few(frame[target])
    names = _names(root, place, dialect.text)
    as_text = _spelled(source, frame, dialect.text)
    columns = [examine(name, frame[name], as_text.get(name)) for name in frame.columns]
    roles = cast(columns, frame[target], wishes.task, wishes.time)
    _refuse_nothing_to_learn(roles)
    roles, trial = _tried(names, roles, source)
    known = {name: power for name, power in trial.answers.items() if len(trial.answers) < len(roles.features)}
    if known:
        roles, trial = _tried(names, _without_answers(roles, known), source)
    files = {
        f"src/{names.package}/schema.py": schema_text(names.schema, place, roles),
        SPEC: model_text(names, roles, trial),
    }
    parse_yaml(files[SPEC], ModelSpec, source=SPEC)
    return Inference(
        files,
        roles,
        trial,
        (*dialect.doubts, *roles.doubts, *told(roles, trial)),
        None if source.is_relative_to(root) else place,
    )


def write(root: Path, file: Path, found: Inference, *, force: bool = False) -> list[str]:
    """Write the files of an inference into the repository and return their paths.

    Raises:
        ConflictError: a file is there and says something else, and `force` was not given. Nothing was written.
    """
    edited = [path for path, text in found.files.items() if _differs(root / path, text.encode())]
    if found.copied and (root / found.copied).exists() and not _same(root / found.copied, file):
        edited.append(found.copied)
    if edited and not force:
        raise ConflictError(
            f"{' and '.join(edited)} would be overwritten",
            why="They are there already and say something else: your edits, perhaps.",
            hint="Move them away, or say --force; git keeps what was committed.",
        )
    if found.copied:
        (root / found.copied).parent.mkdir(parents=True, exist_ok=True)
        _copy(file, root / found.copied)
    for path, text in found.files.items():
        package = (root / path).parent
        if path != SPEC and not (package / "__init__.py").exists():
            write_atomically(package / "__init__.py", '"""What the model knows about its data."""\n')
        write_atomically(root / path, text)
    return [*found.files, *([found.copied] if found.copied else [])]


def _differs(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() != content


def _same(left: Path, right: Path) -> bool:
    import filecmp  # noqa: PLC0415 (only here)

    return left.is_file() and right.is_file() and filecmp.cmp(left, right, shallow=False)


def _copy(file: Path, to: Path) -> None:
    if file.is_dir():
        shutil.copytree(file, to, dirs_exist_ok=True)
        return
    partial = to.with_name(f".{to.name}.partial")
    shutil.copyfile(file, partial)
    os.replace(partial, to)  # noqa: PTH105 (pathlib's `replace` does the same; this one is as well known)


def _placed(root: Path, file: Path) -> tuple[Path, str]:
    """Return where the table is, and the path that model.yaml will give it."""
    source = file.resolve()
    if not source.exists():
        raise NotFoundError(f"There is no file {file}", hint="Name a CSV, Parquet or JSON-lines file.")
    if source.is_relative_to(root):
        return source, source.relative_to(root).as_posix()
    return source, f"{DATA}/{source.name}"


def _refuse_nothing_to_learn(roles: Roles) -> None:
    if roles.features:
        return
    reasons = {each.name: each.lost or each.aside for each in roles.columns if each.lost or each.aside}
    reasons |= {
        name: "it is the time" if name == roles.time else "it is the entity"
        for name in (roles.time, roles.entity)
        if name
    }
    raise DataContractError(
        "No column is left to learn from",
        why="\n".join(f"{one_line(name)}: {why}." for name, why in list(reasons.items())[:10]),
        hint="Add columns to the table that tell something about the target.",
    )


def _read(file: Path, text: TextSpec) -> pd.DataFrame:
    frame = read_whole(file.resolve(), text)
    if frame.empty:
        raise DataContractError(f"{file} holds no rows", hint="Write it again, with a row or more.")
    if len(frame.columns) == 1:
        raise DataContractError(
            f"{file} has a single column, {str(frame.columns[0])[:60]!r}",
            why="A target and something to learn from are two; fields lie between commas, semicolons, tabs or bars.",
            hint="Name a table with more columns.",
        )
    return frame


def _dialect(source: Path) -> Dialect:
    """Return how the table is written, where it is separated text: one file, or a folder of them."""
    files = [path for path in find(source, source.name) if form(path) in SEPARATED and path.stat().st_size]
    return sniff(*files) if files else Dialect(TextSpec())


def _lacking(source: Path, frame: pd.DataFrame, text: TextSpec) -> list[str]:
    """Say which columns a file of a folder does not have: perhaps it calls them otherwise."""
    files = [path for path in find(source, source.name) if form(path) in SEPARATED]
    without = {
        path.name: [name for name in frame if name not in there]
        for path in (files if len(files) > 1 else ())
        for there in [set(separated.names(path, text))]
    }
    wrong = {name: columns for name, columns in without.items() if columns}
    if not wrong:
        return []
    name, columns = next(iter(wrong.items()))
    more = f" (as {len(wrong)} of {len(files)} files lack columns)" if len(wrong) > 1 else ""
    return [f"{name} has no column {', '.join(map(one_line, columns[:3]))}{more}: there it counts as missing."]


def _with_dates(dialect: Dialect, frame: pd.DataFrame, source: Path) -> tuple[Dialect, pd.DataFrame]:
    """Read dates of other forms than ISO 8601, where model.yaml can tell the form: in separated text."""
    if not all(form(path) in SEPARATED for path in find(source, source.name)):
        return dialect, frame
    found, doubts = formats(frame)
    text = dialect.text.model_copy(update={"dates": found})
    return Dialect(text, (*dialect.doubts, *doubts)), translated(frame, text)


def _column(frame: pd.DataFrame, target: str) -> str:
    names = [str(name) for name in frame.columns]
    if target in names:
        return target
    near = difflib.get_close_matches(target, names, n=1, cutoff=0.5)
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")  # noqa: PLR2004 (some lines' worth)
    raise NotFoundError(
        f"The table has no column {target}",
        why=f"It has {shown}.",
        hint=f"Did you mean --target {near[0]!r}?" if near else "Name one of them with --target.",
    )


def _spelled(source: Path, frame: pd.DataFrame, text: TextSpec) -> dict[str, Any]:
    """Return columns of whole numbers as a file of separated text spells them: as many rows as show it."""
    if form(source) not in SEPARATED or source.is_dir():
        return {}
    whole = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name]) and _is_whole(frame[name])]
    found = spelled(source, text, whole, SPELLED_ROWS) if whole else pd.DataFrame()
    return {name: found[name] for name in found}


def _is_whole(values: "pd.Series[Any]") -> bool:
    if pd.api.types.is_bool_dtype(values):
        return False
    return pd.api.types.is_integer_dtype(values) or bool((values.dropna() % 1 == 0).all())


def _names(root: Path, place: str, text: TextSpec) -> Names:
    """Return what the repository's answers say, and where there are none what its folders suggest."""
    path = root / ANSWERS
    answers = load_yaml(path.read_text(encoding="utf-8"), source=ANSWERS) if path.is_file() else {}
    if not isinstance(answers, dict):
        raise InvalidFileError(f"{ANSWERS} holds no answers", hint=f"git checkout -- {ANSWERS}")
    packages = sorted(found.parent.name for found in (root / "src").glob("*/__init__.py"))
    plain = class_name(root.name).lower()
    model = str(answers.get("model", plain))
    package = str(answers.get("package", packages[0] if packages else plain))
    frameworks = tuple(map(str, answers.get("frameworks", ("xgboost", "lightgbm"))))
    return Names(model, package, class_name(model), place, frameworks, text)


def _tried(names: Names, roles: Roles, source: Path) -> tuple[Roles, Trial]:
    """Try it in a folder of its own; where the rows cannot be split by time, the column is set aside."""
    with TemporaryDirectory(prefix="towpath-") as folder:
        root = Path(folder)
        package = root / "src" / names.package
        package.mkdir(parents=True)
        (package / "__init__.py").write_text('"""Tried."""\n', encoding="utf-8")
        (package / "schema.py").write_text(schema_text(names.schema, names.file, roles), encoding="utf-8")
        text = draft(replace(names, file=str(source)), roles)
        with _module_forgotten(names.package):
            trial = attempt(Project(root, parse_yaml(text, ModelSpec, source=SPEC)))
    if roles.time and not trial.timed:
        aside = "the rows cannot be split by it, and a moment is no number"
        columns = tuple(_aside(each, aside) if each.name == roles.time else each for each in roles.columns)
        roles = replace(roles, time=None, columns=columns)
    return roles, trial


def _without_answers(roles: Roles, powers: Mapping[str, float]) -> Roles:
    """Set aside what gives the answer away: it was most likely made from it, or after it."""
    why = {name: f"alone it predicts the target with {power:.3f}, as if it knew" for name, power in powers.items()}
    columns = tuple(_aside(each, why[each.name]) if each.name in why else each for each in roles.columns)
    doubts = [
        f"{one_line(name)} is set aside: {words}. If it is known in time, take it out of `exclude` and name it in "
        "`quality: {leakage: {known: [...]}}`."
        for name, words in why.items()
    ]
    return replace(roles, columns=columns, doubts=(*roles.doubts, *doubts))


def _aside(column: Column, why: str) -> Column:
    return replace(column, aside=why)


@contextmanager
def _module_forgotten(package: str) -> Iterator[None]:
    """Let the package of the trial be imported, and forgotten after it: the repository's own has the same name."""

    def forget() -> None:
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]

    path = [*sys.path]
    forget()
    try:
        yield
    finally:
        forget()
        sys.path[:] = path
