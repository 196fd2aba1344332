"""What promotion asks of a forge, and the pull request as every forge describes it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, Protocol

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, StringConstraints

from towpath_gitops.records.base import Commit, Line, Record

Branch = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*$", max_length=250)]

CHECK: Final = "towpath/review"  # the name of the check that branch rules should require
PULL_TRAILER: Final = "Towpath-Pull"
APPROVED_TRAILER: Final = "Approved-by"


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


class Check(Record):
    """What review said last, as the forge shows it."""

    head: Commit = Field(description="the commit that was judged; a later one is not")
    ok: bool
    title: Line
    summary: str = Field(description="Markdown")


class Progress(StrEnum):
    """How far a deployment is, in the words that forges use."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    INACTIVE = "inactive"


class BranchRules(Record):
    """What the forge itself enforces on the base branch, whoever pushes and merges."""

    pull_required: bool = Field(description="it changes by pull request only")
    approvals: NonNegativeInt = Field(description="how many a merge needs")
    owners_approve: bool = Field(description="owners of the files, as CODEOWNERS names them, must approve")
    fresh_approvals: bool = Field(description="a push undoes earlier approvals, or needs one by somebody else")
    checks: tuple[Line, ...] = Field(description="names of the checks that must be green")
    up_to_date: bool = Field(description="a branch must contain the base as it is now before it is merged")
    rewritable: bool = Field(description="its history may be rewritten")
    deletable: bool
    bypassed_by: tuple[Line, ...] | None = Field(description="who may ignore these rules; None: the forge does not say")


class EnvironmentRules(Record):
    """Who must agree before a workflow deploys to an environment."""

    name: Line
    reviewers: tuple[Line, ...] = Field(description="@login or @organisation/team; any one of them releases")
    self_review: bool = Field(description="who started a deployment may release it")
    protected_branches_only: bool


class Safeguards(Record):
    """The rules that live on the forge and not in the repository: what approvals and checks are worth there."""

    branch: BranchRules
    codeowners_errors: tuple[Line, ...] = Field(description="lines of CODEOWNERS that the forge cannot use")
    environments: tuple[EnvironmentRules, ...]


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
    check: Check | None = Field(default=None, description="what review said last, if it said so to the forge")
    address: str = Field(default="", description="where a person finds it: a web page, or the git ref that holds it")

    @property
    def current_approvals(self) -> tuple[Approval, ...]:
        """The approvals of the head commit: those of earlier commits say nothing about this one."""
        return tuple(approval for approval in self.approvals if approval.head == self.head)


class Forge(Protocol):
    """What promotion asks of a forge. Every answer is fresh; every verb is safe to repeat.

    People have one name on a forge: an email address on the local forge, `@login` elsewhere. Authors, approvals,
    `writers` and `members` all use it, so that they can be compared, in whatever case.

    A verb that failed with UnavailableError may or may not have acted: repeat it, and it will have acted once.
    """

    # --- people ------------------------------------------------------------------------------------------------

    def identity(self) -> str:
        """Return the name of whoever acts here.

        Raises:
            UncleanRepositoryError, RefusedError: nobody is signed in, or not a person.
        """
        ...

    def members(self, owner: str) -> frozenset[str]:
        """Return everybody whom an owner in CODEOWNERS stands for, in lower case: a person, or a team's members.

        Empty for an owner whom the forge does not know: a mistake there locks a file rather than opens it.
        """
        ...

    def writers(self, pull: Pull) -> frozenset[str]:
        """Return everybody who had a hand in a pull request, in lower case: their approvals of it count for nothing.

        An address that belongs to nobody whom the forge knows is returned as it is.
        """
        ...

    # --- questions ---------------------------------------------------------------------------------------------

    def get(self, number: int) -> Pull:
        """Return one pull request.

        Raises:
            NotFoundError: saying which exist.
        """
        ...

    def find(self, branch: str) -> Pull | None:
        """Return the open pull request of a branch, or None."""
        ...

    def list(self, state: State | None = None) -> list[Pull]:
        """Return the pull requests in a state (None: all), oldest first.

        Those that are settled in brief: without comments, approvals, texts and check, which `get` tells.
        """
        ...

    def link(self, commit: str, path: str) -> str:
        """Return where a person sees the file `path` of a commit: a web page, or the path itself where there is none.

        An image behind it is shown by the forge when a decision document holds it.
        """
        ...

    def safeguards(self) -> Safeguards | None:
        """Return the rules that live on the forge; None where it can have none.

        Raises:
            RefusedError: whoever acts here may not read them.
        """
        ...

    # --- verbs -------------------------------------------------------------------------------------------------

    def open(self, *, branch: str, title: str, body: str, data: str, labels: Sequence[str] = ()) -> Pull:
        """Open a pull request for a branch that was pushed, or adopt and refresh the one that is open for it.

        Raises:
            NotFoundError: the branch is not on the remote.
        """
        ...

    def approve(self, number: int) -> Pull:
        """Say yes to the head commit, in the name of whoever acts here.

        Raises:
            RefusedError: the pull request is not open, or the forge lets nobody approve their own.
        """
        ...

    def check(self, number: int, *, head: str, ok: bool, title: str, summary: str) -> Pull:
        """Show what review says about a commit of a pull request; what it said before is replaced, not piled up.

        `title` is a line, `summary` Markdown. Where the forge knows required checks, this is the one called `CHECK`.

        Raises:
            ConflictError: the head is another commit by now.
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
            RefusedError: the pull request is closed, or the forge's own rules say no.
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

    def deployed(self, *, commit: str, environment: str, state: Progress, description: str) -> None:
        """Tell how far the deployment of a commit of main to an environment is; the same again changes nothing.

        Only for people to see: what was deployed is testified by the ledger.
        """
        ...


def merge_subject(pull: Pull) -> str:
    """Return the first line of the merge commit's message."""
    return f"Merge pull request #{pull.number}: {pull.title}"


def merge_trailers(pull: Pull, approved_by: Sequence[str] | None = None) -> str:
    """Return the trailers of the merge commit, by which git alone can testify who approved what."""
    if approved_by is None:
        genuine = (approval.by for approval in pull.current_approvals if approval.is_genuine)
        approved_by = [by for by in dict.fromkeys(genuine) if by != pull.author]
    return "\n".join([f"{PULL_TRAILER}: {pull.number}", *(f"{APPROVED_TRAILER}: {by}" for by in approved_by)])
