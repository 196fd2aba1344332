"""What promotion asks of a forge, and the pull request as every forge describes it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import AwareDatetime, Field, PositiveInt, StringConstraints

from towpath_gitops.records.base import Commit, Line, Record

Branch = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*$", max_length=250)]


class State(StrEnum):
    """Where a pull request stands."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


class Approval(Record):
    """One person's yes to one commit."""

    by: Line = Field(description="who approves: an email address on the local forge, @handle elsewhere")
    head: Commit = Field(description="the commit that was approved; a later one is not")
    at: AwareDatetime
    recorded_by: Line = Field(description="who wrote the approval down; another than `by` is a forgery")

    @property
    def is_genuine(self) -> bool:
        """Whether the person who approves wrote it down themselves."""
        return self.by == self.recorded_by


class Comment(Record):
    """A remark under a pull request."""

    by: Line
    at: AwareDatetime
    text: str


class Pull(Record):
    """A pull request as it stands now."""

    number: PositiveInt
    title: Line
    branch: Branch
    base: Branch = "main"
    head: Commit = Field(description="the branch's last commit; of a settled pull request the one that was settled")
    author: Line
    state: State = State.OPEN
    opened: AwareDatetime
    labels: tuple[Line, ...] = ()
    comments: tuple[Comment, ...] = ()
    approvals: tuple[Approval, ...] = ()
    merged: Commit | None = Field(default=None, description="the merge commit on the base branch")
    body: str = Field(default="", description="the decision document for people, in Markdown")
    data: str = Field(default="", description="the decision document for machines, in JSON")

    @property
    def current_approvals(self) -> tuple[Approval, ...]:
        """The approvals of the head commit: those of earlier commits say nothing about this one."""
        return tuple(approval for approval in self.approvals if approval.head == self.head)


class Forge(Protocol):
    """Five verbs and three questions. Every answer is fresh; every verb is safe to repeat."""

    def open(self, *, branch: str, title: str, body: str, data: str, labels: Sequence[str] = ()) -> Pull:
        """Open a pull request for a branch that was pushed, or adopt and refresh the one that is open for it.

        Raises:
            NotFoundError: the branch is not on the remote.
        """
        ...

    def get(self, number: int) -> Pull:
        """Return one pull request.

        Raises:
            NotFoundError: naming those that exist.
        """
        ...

    def find(self, branch: str) -> Pull | None:
        """Return the open pull request of a branch, or None."""
        ...

    def list(self, state: State | None = None) -> list[Pull]:
        """Return the pull requests in a state (None: all), oldest first."""
        ...

    def approve(self, number: int) -> Pull:
        """Say yes to the head commit, in the name of the person whose identity is configured.

        Raises:
            RefusedError: the pull request is not open.
        """
        ...

    def merge(
        self,
        number: int,
        expected_head: str,
        *,
        expected_base: str | None = None,
        approved_by: Sequence[str] | None = None,
    ) -> Pull:
        """Merge into main by a merge commit with the trailers `Towpath-Pull` and `Approved-by`; delete the branch.

        Whether it *should* be merged is asked in `promotion.review`, not here. Merging what is merged changes nothing.
        `approved_by` names those whose approval counted; by default everybody who approved the head but the author.

        Raises:
            ConflictError: the head or main is another commit than was expected, or main moved meanwhile.
            RefusedError: the pull request is closed.
        """
        ...

    def comment(self, number: int, text: str) -> Pull:
        """Add a remark."""
        ...

    def close(self, number: int, comment: str) -> Pull:
        """Close without merging, saying why, and delete the branch. Closing what is closed changes nothing.

        Raises:
            RefusedError: the pull request is merged.
        """
        ...
