"""Thousands of settled pull requests of the local forge, made in seconds: a repository as it is after years."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from towpath_gitops.forges.archive import SETTLED, Settled, brief, path_of
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.forges.local import BODY, DATA, LATEST, PULL

OPENED = datetime(2020, 1, 1, tzinfo=UTC)
_WHO = f"Ada <ada@example.org> {OPENED.timestamp():.0f} +0000"
_MAKING = "refs/towpath/making"  # where chains are written; gone afterwards


def settle_many(remote: Path, count: int, *, head: str, body: str = "# Why\n", data: str = "{}\n") -> None:
    """Write `count` closed pull requests into the bare repository `remote`, which has none yet, numbered from 1.

    Each is a chain of two events in the archive, as its opening and closing would have left it. `head` is any commit.

    Raises:
        subprocess.CalledProcessError: git refuses the stream.
    """
    marks = remote / "towpath-marks"
    _import(remote, _events(count, head, {BODY: body, DATA: data}), f"--export-marks={marks}")
    shas = dict(line.split() for line in marks.read_text(encoding="utf-8").splitlines())
    marks.unlink()
    _import(remote, _settlings([shas[f":{2 * number}"] for number in range(1, count + 1)], head))
    subprocess.run(["git", "update-ref", LATEST, shas[f":{2 * count - 1}"]], cwd=remote, check=True)
    subprocess.run(["git", "update-ref", "-d", _MAKING], cwd=remote, check=True)


def _import(remote: Path, stream: Iterable[str], *options: str) -> None:
    command = ["git", "fast-import", "--quiet", "--force", *options]
    subprocess.run(command, cwd=remote, input="".join(stream).encode(), check=True)


def _events(count: int, head: str, texts: Mapping[str, str]) -> Iterator[str]:
    """Write the opening (mark 2n - 1) and the closing (mark 2n) of each."""
    for number in range(1, count + 1):
        opened, closed = (_json(_pull(number, head, state)) for state in (State.OPEN, State.CLOSED))
        yield f"reset {_MAKING}\n"
        yield _commit(_MAKING, 2 * number - 1, "Open", {PULL: opened, **texts})
        yield _commit(_MAKING, 2 * number, "Close", {PULL: closed})


def _settlings(tips: Iterable[str], head: str) -> Iterator[str]:
    for number, tip in enumerate(tips, start=1):
        settled = Settled(tip=tip, pull=brief(_pull(number, head, State.CLOSED)))
        yield _commit(SETTLED, number, f"#{number}: closed", {path_of(number): _json(settled)}, merge=tip)


def _pull(number: int, head: str, state: State) -> Pull:
    title, branch = f"Promote flights 1.{number}.0 to staging", f"towpath/promote/staging/flights/{number:012x}"
    return Pull(
        number=number, title=title, branch=branch, head=head, author="ada@example.org", state=state, opened=OPENED
    )


def _json(record: Pull | Settled) -> str:
    hidden = {"approvals", "body", "data", "address"} if isinstance(record, Pull) else set()
    return record.model_dump_json(by_alias=True, exclude=hidden, indent=2) + "\n"


def _commit(ref: str, mark: int, message: str, files: Mapping[str, str], *, merge: str = "") -> str:
    # Without `from`, the parent is what the ref pointed to before; after a reset, nothing.
    about = f"commit {ref}\nmark :{mark}\ncommitter {_WHO}\ndata {len(message)}\n{message}\n"
    parent = f"merge {merge}\n" if merge else ""
    edits = (f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n" for path, text in files.items())
    return about + parent + "".join(edits) + "\n"
