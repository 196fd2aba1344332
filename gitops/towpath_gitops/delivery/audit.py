"""The ledger against main's history: whatever one says and the other does not is found, offline, from a clone."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared, declared_at
from towpath_gitops.delivery.ledger import Entry, Event, Ledger, Problem
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.repository import Repository


def audit(ledger: Ledger) -> list[Problem]:
    """Return everything that is wrong with the ledger: see `Ledger.verify`."""
    history = _History(ledger.repository)
    problems = ledger.rewritten()
    if not problems:
        ledger.remember()
    for environment in sorted({*ledger.environments(), *(environment for environment, _ in history.files)}):
        entries, broken = ledger.read(environment)
        problems += broken
        problems += [problem for entry in entries for problem in _contradictions(history, entry)]
        problems += _left_out(history, environment, entries)
    return problems


class _History:
    """What main declared, commit by commit."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.main = repository.main()
        self.commits = {info.sha for info in repository.log(self.main)}
        paths = map(PurePosixPath, repository.list(self.main, layout.ENVIRONMENTS))
        self.files = [(path.parent.name, path.stem) for path in paths if path.suffix == ".yaml"]

    def declared(self, commit: str, environment: str, model: str) -> Declared | None:
        try:
            return declared_at(self.repository, commit, environment, model)
        except InvalidFileError:  # main held a broken file for a while: nothing was declared, nothing applied
            return None

    def changes(self, environment: str, model: str) -> list[str]:
        """Return the commits that changed an environment file, newest first."""
        log = self.repository.log(self.main, path=layout.environment_path(environment, model))
        return [info.sha for info in log]


def _contradictions(history: _History, entry: Entry) -> Iterator[Problem]:
    def problem(message: str) -> Problem:
        return Problem(entry.environment, entry.seq, message)

    if entry.commit not in history.commits:
        yield problem(f"names commit {entry.commit[:12]}, which is not in main's history")
        return
    declared = history.declared(entry.commit, entry.environment, entry.model)
    if declared is None:
        yield problem(f"says {entry.release[7:19]}, but main declared nothing at {entry.commit[:12]}")
        return
    for name, value in declared.facts().items():
        if getattr(entry, name) != value:
            yield problem(f"says {name} {getattr(entry, name)}, but main at {entry.commit[:12]} says {value}")


def _left_out(history: _History, environment: str, entries: list[Entry]) -> Iterator[Problem]:
    told = {(entry.model, entry.commit) for entry in entries if entry.event is not Event.VERIFIED}
    for model in [model for name, model in history.files if name == environment]:
        for commit in history.changes(environment, model)[1:]:
            if (model, commit) not in told and history.declared(commit, environment, model):
                message = f"main's commit {commit[:12]} declares a release of {model}, but no entry tells of it"
                yield Problem(environment, None, f"{message}: reconcile has not run yet, or lines were removed")
