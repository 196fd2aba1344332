"""GitHub's answers become records here; nothing beyond this file knows what GitHub calls its fields."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.forges.base import Approval, Branch, Check, Comment, Pull, State
from towpath_gitops.records.base import Commit

STICKY: Final = "<!-- towpath: review -->"  # marks the one comment that shows the verdict
LONGEST_TEXT: Final = 65_536  # characters of a body or comment
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_GHOST: Final = "ghost"  # GitHub's own name for an account that is gone


class _Answer(BaseModel):
    """A part of an answer: the fields that are used, whatever else there is."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class User(_Answer):
    """An account."""

    login: str
    type: str = "User"

    @property
    def name(self) -> str:
        """What approvals, authors and CODEOWNERS call it."""
        return f"@{self.login}"


class _Repo(_Answer):
    full_name: str


class _Ref(_Answer):
    ref: str
    sha: Commit
    repo: _Repo | None


class _Label(_Answer):
    name: str


class PullAnswer(_Answer):
    """A pull request, of a list or alone."""

    number: int
    title: str
    body: str | None = None
    user: User | None
    state: str
    merged_at: datetime | None
    merge_commit_sha: str | None
    created_at: datetime
    html_url: str
    labels: tuple[_Label, ...]
    head: _Ref
    base: _Ref

    @property
    def settled(self) -> State:
        """Where it stands."""
        if self.state == "open":
            return State.OPEN
        return State.MERGED if self.merged_at else State.CLOSED

    def is_own(self, repository: str, base: str) -> bool:
        """Whether it goes from a branch of the repository to the branch `base`, and not from somebody's fork."""
        here = self.head.repo is not None and self.head.repo.full_name.lower() == repository.lower()
        return here and self.base.ref == base

    def pull(self, **more: object) -> Pull | None:
        """Return the record, or None when its branch has a name that no proposal has."""
        try:
            branch = _BRANCH.validate_python(self.head.ref)
        except ValidationError:
            return None
        state = self.settled
        return Pull(
            number=self.number,
            title=line(self.title),
            branch=branch,
            base=self.base.ref,
            head=self.head.sha,
            author=(self.user or User(login=_GHOST)).name,
            state=state,
            opened=self.created_at,
            labels=tuple(line(label.name) for label in self.labels),
            merged=self.merge_commit_sha if state is State.MERGED else None,
            address=self.html_url,
            **more,
        )


class ReviewAnswer(_Answer):
    """What one person said at one time."""

    user: User | None
    state: str
    commit_id: Commit | None
    submitted_at: datetime | None = None


class CommentAnswer(_Answer):
    """A remark."""

    id: int
    user: User | None
    body: str = ""
    created_at: datetime

    @property
    def is_sticky(self) -> bool:
        """Whether it claims to be the one that shows the verdict."""
        return self.body.startswith(STICKY)

    @property
    def record(self) -> Comment:
        """The remark as every forge tells it."""
        return Comment(by=(self.user or User(login=_GHOST)).name, at=self.created_at, text=self.body)


class _Output(_Answer):
    title: str | None
    summary: str | None


class CheckAnswer(_Answer):
    """A check run."""

    id: int
    head_sha: Commit
    conclusion: str | None
    output: _Output

    @property
    def record(self) -> Check:
        """The verdict as every forge tells it."""
        title, ok = line(self.output.title or "…"), self.conclusion == "success"
        return Check(head=self.head_sha, ok=ok, title=title, summary=self.output.summary or "")


class StatusAnswer(_Answer):
    """A commit status: the check of those who may not make check runs."""

    state: str
    context: str
    description: str | None

    def record(self, head: str, summary: str) -> Check:
        """Return the verdict as every forge tells it; a status has no summary of its own."""
        return Check(head=head, ok=self.state == "success", title=line(self.description or "…"), summary=summary)


# GitHub says `{}` as well as null for an address that belongs to no account.
_Somebody = Annotated[User | dict[str, Any] | None, Field(union_mode="left_to_right")]


class _CommitWriter(_Answer):
    email: str = ""


class _CommitBody(_Answer):
    author: _CommitWriter | None
    committer: _CommitWriter | None


class CommitAnswer(_Answer):
    """A commit of a pull request, with the accounts that GitHub knows behind its addresses."""

    commit: _CommitBody
    author: _Somebody
    committer: _Somebody

    def writers(self) -> Iterator[str]:
        """Yield who wrote and committed it: an account, or an address that belongs to none."""
        for known, signed in ((self.author, self.commit.author), (self.committer, self.commit.committer)):
            if isinstance(known, User):
                yield known.name
            elif signed and signed.email:
                yield signed.email


class ActivityAnswer(_Answer):
    """Somebody moved a branch."""

    activity_type: str
    actor: User | None


class DeploymentAnswer(_Answer):
    """A deployment."""

    id: int


class ProgressAnswer(_Answer):
    """A status of a deployment."""

    state: str
    description: str


Read = TypeVar("Read", bound=_Answer)
_BRANCH: Final[TypeAdapter[str]] = TypeAdapter(Branch)


def read(model: type[Read], data: object) -> Read:
    """Return an answer as a record.

    Raises:
        InvalidFileError: GitHub, or what stands between, answered something else.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the answer"
        raise InvalidFileError(
            "GitHub's answer is not what its API promises", why=f"{place}: {first['msg']}"
        ) from error


def line(text: str) -> str:
    """Return one line of text as people wrote it, without what cannot be seen."""
    return _UNSEEN.sub(" ", text).strip()[:500] or "…"


def cut(text: str, rest: str) -> str:
    """Return a text that fits into a body; one that is too long ends with `rest`, which says where the rest is."""
    if len(text) <= LONGEST_TEXT:
        return text
    kept = text[: LONGEST_TEXT - len(rest) - 2]
    return f"{kept[: kept.rfind(chr(10)) + 1] or kept}\n{rest}"


def approvals(reviews: Iterable[ReviewAnswer]) -> tuple[Approval, ...]:
    """Return who approves now, oldest first: a later request for changes, or a dismissal, takes an approval back."""
    found: dict[str, list[Approval]] = {}
    for review in reviews:
        if review.user is None or review.submitted_at is None:
            continue
        name = review.user.name
        if review.state in {"CHANGES_REQUESTED", "DISMISSED"}:
            found.pop(name, None)
        elif review.state == "APPROVED" and review.commit_id:
            approval = Approval(by=name, head=review.commit_id, at=review.submitted_at, recorded_by=name)
            found.setdefault(name, []).append(approval)
    return tuple(sorted((each for given in found.values() for each in given), key=lambda approval: approval.at))
