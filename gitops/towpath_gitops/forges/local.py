"""Pull requests without a service: each is a ref of any plain git remote.

`refs/towpath/pulls/<n>` points at a chain of commits, one for each event. The tree of the last holds `pull.json`,
`decision.md` and `decision.json`. The author is who wrote the first commit; an approval *is* a commit of its own by
the approver, so that nobody approves by editing a file. Every event is pushed with a lease on the one before.
Who holds which identity is as trustworthy as write access to the remote: for more, use a forge that signs people in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from towpath_gitops.errors import ConflictError, InvalidFileError, NotFoundError, RefusedError, TowpathError
from towpath_gitops.forges.base import Approval, Comment, Pull, State
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.repository import CommitInfo, Repository

PULLS = "refs/towpath/pulls/"
PULL, BODY, DATA = "pull.json", "decision.md", "decision.json"
APPROVES = "Approves"  # trailer of an approval's commit: the head that is approved
PULL_TRAILER = "Towpath-Pull"
APPROVED_TRAILER = "Approved-by"
_TRIES = 8
# What the chain of commits or a file of its own tells is not in pull.json; the author there is overruled by the chain.
_DERIVED = {"approvals", "body", "data"}


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class LocalForge:
    """Pull requests on the refs of a repository's remote."""

    repository: Repository
    clock: Callable[[], datetime] = _now

    # --- questions ---------------------------------------------------------------------------------------------

    def get(self, number: int) -> Pull:
        """Return one pull request; see `Forge.get`."""
        self.repository.fetch()
        return self._read(number)

    def find(self, branch: str) -> Pull | None:
        """Return the open pull request of a branch; see `Forge.find`."""
        return next((pull for pull in self.list(State.OPEN) if pull.branch == branch), None)

    def list(self, state: State | None = None) -> list[Pull]:
        """Return the pull requests in a state; see `Forge.list`."""
        self.repository.fetch()
        pulls = map(self._read, self._numbers())
        return [pull for pull in pulls if state in {None, pull.state}]

    def _numbers(self) -> Sequence[int]:
        names = (ref.removeprefix(PULLS) for ref in self.repository.tips(PULLS))
        return sorted(int(name) for name in names if name.isdecimal())

    def _read(self, number: int) -> Pull:
        tip = self.repository.tip(f"{PULLS}{number}")
        if tip is None:
            known = ", ".join(f"#{known}" for known in self._numbers()) or "none yet"
            raise NotFoundError(f"There is no pull request #{number}", why=f"Known: {known}.", hint="towpath pulls")
        events = self.repository.log(tip)
        body, data = (self.repository.read(tip, name) or "" for name in (BODY, DATA))
        told = {"author": events[-1].author, "approvals": _approvals(events), "body": body, "data": data}
        stored = parse_json(self.repository.read_bytes(tip, PULL) or b"", Pull, source=f"{PULLS}{number}:{PULL}")
        if stored.number != number:
            raise InvalidFileError(f"{PULLS}{number} holds pull request #{stored.number}", hint="Delete that ref.")
        return self._observed(stored.model_copy(update=told))

    def _observed(self, pull: Pull) -> Pull:
        """Return an open pull request as its branch and main show it: moved on, merged by a crashed command, gone."""
        if pull.state is not State.OPEN:
            return pull
        head = self.repository.tip(f"refs/heads/{pull.branch}")
        main = self.repository.main()
        if self.repository.is_ancestor(head or pull.head, main):
            merge = self._merge_commit(pull.number, head or pull.head, main)
            return pull.model_copy(update={"state": State.MERGED, "head": head or pull.head, "merged": merge})
        if head is None:
            return pull.model_copy(update={"state": State.CLOSED})
        return pull.model_copy(update={"head": head})

    def _merge_commit(self, number: int, head: str, main: str) -> str | None:
        for commit in self.repository.log(main):
            if head in commit.parents[1:] or str(number) in commit.trailers(PULL_TRAILER):
                return commit.sha
        return None

    # --- verbs -------------------------------------------------------------------------------------------------

    def open(self, *, branch: str, title: str, body: str, data: str, labels: Sequence[str] = ()) -> Pull:
        """Open or adopt the pull request of a branch; see `Forge.open`.

        Two who open at once ask for the same next number; the remote gives it to one, the other looks again.
        """
        for _ in range(_TRIES):
            earlier = self.find(branch)
            if earlier is not None:
                return self._refresh(earlier, title=title, body=body, data=data, labels=tuple(labels))
            head = self.repository.tip(f"refs/heads/{branch}")
            if head is None:
                raise NotFoundError(f"The remote has no branch {branch}", hint="Push it, then open the pull request.")
            pull = Pull(
                number=max(self._numbers(), default=0) + 1,
                title=title,
                branch=branch,
                base=self.repository.branch,
                head=head,
                author=self.repository.identity(),
                opened=self.clock(),
                labels=tuple(labels),
                body=body,
                data=data,
            )
            try:
                self.repository.push(self._event(None, pull, f"Open: {title}"), f"{PULLS}{pull.number}", None)
            except ConflictError:
                continue
            return pull
        raise ConflictError("Others keep opening pull requests at this moment", hint="Run it again.")

    def _refresh(self, pull: Pull, **fields: object) -> Pull:
        if all(getattr(pull, name) == value for name, value in fields.items()):
            return pull
        return self._change(pull.number, lambda now: now.model_copy(update=fields), "Refresh the decision document")

    def approve(self, number: int) -> Pull:
        """Approve the head commit; see `Forge.approve`."""
        by = self.repository.identity()
        pull = self._open_pull(number)
        if any(approval.by == by and approval.is_genuine for approval in pull.current_approvals):
            return pull
        return self._change(number, _same, f"Approve\n\n{APPROVES}: {pull.head}")

    def comment(self, number: int, text: str) -> Pull:
        """Add a remark; see `Forge.comment`."""
        return self._change(number, self._remark(text), "Comment")

    def close(self, number: int, comment: str) -> Pull:
        """Close without merging; see `Forge.close`."""
        pull = self.get(number)
        if pull.state is State.CLOSED:
            return pull
        self._open_pull(number)
        remark = self._remark(comment)
        head = self.repository.tip(f"refs/heads/{pull.branch}")
        gone = {f"refs/heads/{pull.branch}": (None, head)} if head else {}
        return self._change(
            number, lambda now: remark(now).model_copy(update={"state": State.CLOSED}), "Close", also=gone
        )

    def merge(
        self,
        number: int,
        expected_head: str,
        *,
        expected_base: str | None = None,
        approved_by: Sequence[str] | None = None,
    ) -> Pull:
        """Merge into main; see `Forge.merge`. Main, the branch and the pull request's ref move in one atomic push."""
        pull = self.get(number)
        if pull.state is State.MERGED:
            return pull
        self._open_pull(number)
        if pull.head != expected_head:
            raise ConflictError(
                f"Pull request #{number} has moved on",
                why=f"Its head is {pull.head[:12]}, not {expected_head[:12]} as reviewed.",
                hint=f"towpath review {number}",
            )
        main = self.repository.main()
        if expected_base not in {None, main}:
            raise ConflictError(
                f"{pull.base} has moved on since pull request #{number} was reviewed", hint=f"towpath review {number}"
            )
        merge = self.repository.merge(main, pull.head, merge_message(pull, approved_by))
        also = {f"refs/heads/{pull.base}": (merge, main), f"refs/heads/{pull.branch}": (None, pull.head)}
        done = {"state": State.MERGED, "head": pull.head, "merged": merge}
        return self._change(number, lambda now: now.model_copy(update=done), "Merge", also=also, tries=1)

    # --- events ------------------------------------------------------------------------------------------------

    def _open_pull(self, number: int) -> Pull:
        pull = self.get(number)
        if pull.state is not State.OPEN:
            raise RefusedError(f"Pull request #{number} is {pull.state}", hint="towpath pulls")
        return pull

    def _remark(self, text: str) -> Callable[[Pull], Pull]:
        remark = Comment(by=self.repository.identity(), at=self.clock(), text=text)
        return lambda pull: pull.model_copy(update={"comments": (*pull.comments, remark)})

    def _change(
        self,
        number: int,
        edit: Callable[[Pull], Pull],
        message: str,
        *,
        also: Mapping[str, tuple[str | None, str | None]] | None = None,
        tries: int = _TRIES,
    ) -> Pull:
        """Append an event, again on top of others' events when they were first; move other refs in the same push."""
        ref = f"{PULLS}{number}"
        failed: TowpathError | None = None
        for _ in range(tries):
            pull, tip = self._read(number), self.repository.tip(ref)
            event = self._event(tip, edit(pull), message)
            try:
                self.repository.push_all({**(also or {}), ref: (event, tip)})
            except ConflictError as error:
                failed = error
                self.repository.fetch()
                continue
            return self._read(number)
        raise failed or ConflictError(f"Pull request #{number} keeps changing", hint="Run it again.")

    def _event(self, tip: str | None, pull: Pull, message: str) -> str:
        stored = pull.model_dump_json(by_alias=True, exclude=_DERIVED, indent=2) + "\n"
        files = {PULL: stored.encode(), BODY: pull.body.encode(), DATA: pull.data.encode()}
        return self.repository.commit([tip] if tip else [], None, files, message, at=self.clock())


def _same(pull: Pull) -> Pull:
    return pull


def _approvals(events: Sequence[CommitInfo]) -> tuple[Approval, ...]:
    """Read the approvals off the chain, oldest first; the first event opened the pull request and approves nothing."""
    said = ((event, head) for event in reversed(events[:-1]) for head in event.trailers(APPROVES))
    return tuple(approval for approval in (_approval(event, head) for event, head in said) if approval)


def _approval(event: CommitInfo, head: str) -> Approval | None:
    try:
        return Approval(by=event.author, head=head, at=event.at, recorded_by=event.committer)
    except ValidationError:  # somebody wrote nonsense by hand: that approves nothing
        return None


def merge_message(pull: Pull, approved_by: Sequence[str] | None = None) -> str:
    """Return the merge commit's message, by whose trailers git alone can testify who approved what."""
    if approved_by is None:
        genuine = (approval.by for approval in pull.current_approvals if approval.is_genuine)
        approved_by = [by for by in dict.fromkeys(genuine) if by != pull.author]
    trailers = [f"{PULL_TRAILER}: {pull.number}", *(f"{APPROVED_TRAILER}: {by}" for by in approved_by)]
    return f"Merge pull request #{pull.number}: {pull.title}\n\n" + "\n".join(trailers) + "\n"
