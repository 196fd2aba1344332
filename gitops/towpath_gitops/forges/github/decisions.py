"""Decision documents of pull requests that live on GitHub, kept in git itself.

A pull request's text has a limit and anybody with write access edits it unseen. So the whole document, for people and
for machines, also lies on the ref `refs/towpath/decisions`, a hundred pull requests to a folder: a clone has every one,
and each version of it, without asking anybody.
"""

from dataclasses import dataclass
from typing import Final

from towpath_gitops.errors import ConflictError
from towpath_gitops.repository import Repository

DECISIONS: Final = "refs/towpath/decisions"
BODY, DATA = "decision.md", "decision.json"
_TRIES = 8


def folder_of(number: int) -> str:
    """Return the folder of a pull request's documents."""
    return f"{number // 10_000}/{number // 100 % 100:02}/{number % 100:02}"


@dataclass(frozen=True)
class Decisions:
    """The documents, as last fetched."""

    repository: Repository

    def read(self, number: int) -> tuple[str | None, str]:
        """Return the documents of a pull request for people (None: there is none) and for machines."""
        body, data = (self._blob(number, name) for name in (BODY, DATA))
        return body, data or ""

    def _blob(self, number: int, name: str) -> str | None:
        # Not through `Repository.read`, which lists all files of a commit first.
        result = self.repository.git.attempt("cat-file", "blob", f"{DECISIONS}:{folder_of(number)}/{name}")
        return result.stdout.decode(errors="replace") if result.returncode == 0 else None

    def write(self, number: int, body: str, data: str) -> None:
        """Keep the documents of a pull request; those that are kept already are not written again.

        Raises:
            ConflictError: others keep writing.
            UnavailableError, RefusedError: the remote does not answer, or refuses.
        """
        files = {f"{folder_of(number)}/{name}": text.encode() for name, text in ((BODY, body), (DATA, data))}
        for turn in range(_TRIES):
            if self.read(number) == (body, data):
                return
            tip = self.repository.tip(DECISIONS)
            commit = self.repository.commit([tip] if tip else [], tip, files, f"#{number}: decision document\n")
            try:
                self.repository.push(commit, DECISIONS, tip)
            except ConflictError:
                if turn == _TRIES - 1:
                    raise
                self.repository.fetch()
