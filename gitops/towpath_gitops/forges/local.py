"""Pull requests without a service: each is a ref of any plain git remote.

`refs/towpath/pulls/<n>` points at a chain of commits, one for each event. The tree of the last holds `pull.json`,
`decision.md` and `decision.json`. The author is who wrote the first commit; an approval *is* a commit of its own by
the approver, so that nobody approves by editing a file. Every event is pushed with a lease on the one before. The push
that merges or closes also moves the chain into the archive, so that only what is open has a ref of its own.
`refs/towpath/latest` moves with every opening: no number is given twice.
Who holds which identity is as trustworthy as write access to the remote: for more, use a forge that signs people in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from towpath_gitops.errors import ConflictError, InvalidFileError, NotFoundError, RefusedError
from towpath_gitops.forges.archive import SETTLED, Archive, Settled, brief
from towpath_gitops.forges.base import (
    PULL_TRAILER,
    Approval,
    Check,
    Comment,
    Progress,
    Pull,
    State,
    merge_subject,
    merge_trailers,
)
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.repository import CommitInfo, Repository, emails

PULLS = "refs/towpath/pulls/"
LATEST = "refs/towpath/latest"  # the opening event of the highest number
PULL, BODY, DATA = "pull.json", "decision.md", "decision.json"
APPROVES = "Approves"  # trailer of an approval's commit: the head that is approved
_TRIES = 8
_Tips = Mapping[str, str | None]  # ref → commit
# What the chain of commits or a file of its own tells is not in pull.json; the author there is overruled by the chain.
_DERIVED = {"approvals", "body", "data", "address"}


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class LocalForge:
    """Pull requests on the refs of a repository's remote."""

    repository: Repository
    clock: Callable[[], datetime] = _now

    # --- people ------------------------------------------------------------------------------------------------

    def identity(self) -> str:
        """Return the email address under which this person commits; see `Forge.identity`."""
        return self.repository.identity()

    def members(self, owner: str) -> frozenset[str]:
        """Return the owner, who is one person: refs know no teams; see `Forge.members`."""
        return frozenset({owner.lower()})

    def writers(self, pull: Pull) -> frozenset[str]:
        """Return who opened it and who wrote or committed any of its commits; see `Forge.writers`."""
        commits = self.repository.log(pull.head, since=self.repository.main(), first_parent=False)
        return frozenset(email.lower() for email in (pull.author, *emails(commits)))

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
        pulls = [self._read(number) for number in self._numbers()]
        if state is not State.OPEN:
            pulls = [pull if pull.state is State.OPEN else brief(pull) for pull in pulls]
            pulls += [settled.pull for settled in self._archive.all()]
        return sorted((pull for pull in pulls if state in {None, pull.state}), key=lambda pull: pull.number)

    def link(self, commit: str, path: str) -> str:
        """Return the path itself: there is no page; see `Forge.link`."""
        del commit
        return path

    def safeguards(self) -> None:
        """Return nothing: a plain git remote has no rules of its own; see `Forge.safeguards`."""

    @property
    def _archive(self) -> Archive:
        return Archive(self.repository)

    def _numbers(self) -> Sequence[int]:
        """Return the pull requests that have a ref of their own: all that are open."""
        names = (ref.removeprefix(PULLS) for ref in self.repository.tips(PULLS))
        return sorted(int(name) for name in names if name.isdecimal())

    def _highest(self) -> int:
        """Return the highest number that was given, 0 before the first."""
        latest = self.repository.tip(LATEST)
        number = self._stored(latest, LATEST).number if latest else 0
        return max(number, *self._numbers(), 0)

    def _tip(self, number: int) -> tuple[str | None, str]:
        """Return the last event of a pull request, None when there is no such, and where it is found."""
        tip = self.repository.tip(f"{PULLS}{number}")
        if tip:
            return tip, f"{PULLS}{number}"
        settled = self._archive.find(number)
        return (settled.tip if settled else None), self._archive.address(number)

    def _stored(self, tip: str, source: str) -> Pull:
        return parse_json(self.repository.read_bytes(tip, PULL) or b"", Pull, source=f"{source}:{PULL}")

    def _read(self, number: int) -> Pull:
        tip, address = self._tip(number)
        if tip is None:
            known = f"They go up to #{self._highest()}." if self._highest() else "There are none yet."
            raise NotFoundError(f"There is no pull request #{number}", why=known, hint="towpath pulls")
        events = self.repository.log(tip)
        body, data = (self.repository.read(tip, name) or "" for name in (BODY, DATA))
        told = {"author": events[-1].author, "approvals": _approvals(events), "body": body, "data": data}
        told["address"] = address
        stored = self._stored(tip, address)
        if stored.number != number:
            raise InvalidFileError(f"{address} holds pull request #{stored.number}", hint="Delete that ref.")
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
            # Read before looking: whoever opens one meanwhile, even from this very clone, moves it.
            latest = self.repository.tip(LATEST)
            earlier = self.find(branch)
            if earlier is not None:
                fields = {"title": title, "body": body, "data": data, "labels": tuple(labels)}
                return self._refresh(earlier, "Refresh the decision document", **fields)
            head = self.repository.tip(f"refs/heads/{branch}")
            if head is None:
                raise NotFoundError(f"The remote has no branch {branch}", hint="Push it, then open the pull request.")
            if self.repository.tip(LATEST) != latest:
                continue
            number = self._highest() + 1
            pull = Pull(
                number=number,
                title=title,
                branch=branch,
                base=self.repository.branch,
                head=head,
                author=self.repository.identity(),
                opened=self.clock(),
                labels=tuple(labels),
                body=body,
                data=data,
                address=f"{PULLS}{number}",
            )
            event = self._event(None, pull, f"Open: {title}")
            try:
                self.repository.push_all({pull.address: (event, None), LATEST: (event, latest)})
            except ConflictError:
                continue
            return pull
        raise ConflictError("Others keep opening pull requests at this moment", hint="Run it again.")

    def _refresh(self, pull: Pull, why: str, **fields: object) -> Pull:
        if all(getattr(pull, name) == value for name, value in fields.items()):
            return pull
        return self._change(pull.number, lambda now: now.model_copy(update=fields), why)

    def approve(self, number: int) -> Pull:
        """Approve the head commit; see `Forge.approve`."""
        by = self.repository.identity()
        pull = self._open_pull(number)
        if any(approval.by == by and approval.is_genuine for approval in pull.current_approvals):
            return pull
        return self._change(number, _same, f"Approve\n\n{APPROVES}: {pull.head}")

    def check(self, number: int, *, head: str, ok: bool, title: str, summary: str) -> Pull:
        """Write down what review says; see `Forge.check`."""
        verdict = Check(head=head, ok=ok, title=title, summary=summary)
        pull = self._open_pull(number)
        if pull.head != head:
            raise ConflictError(f"Pull request #{number} has moved on", hint=f"towpath review {number}")
        return self._refresh(pull, "Check", check=verdict)

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

        def closed(now: Pull) -> Pull:
            _require_same(now, pull)
            return remark(now).model_copy(update={"state": State.CLOSED})

        return self._change(number, closed, "Close", also=gone)

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
        message = f"{merge_subject(pull)}\n\n{merge_trailers(pull, approved_by)}\n"
        merge = self.repository.merge(main, pull.head, message)
        also = {f"refs/heads/{pull.base}": (merge, main), f"refs/heads/{pull.branch}": (None, pull.head)}

        def merged(now: Pull) -> Pull:
            _require_same(now, pull)
            if self.repository.main() != main:
                raise ConflictError(f"{pull.base} moved meanwhile", hint="Run it again.")
            return now.model_copy(update={"state": State.MERGED, "merged": merge})

        return self._change(number, merged, "Merge", also=also)

    def deployed(self, *, commit: str, environment: str, state: Progress, description: str) -> None:
        """Do nothing: nobody would look here, and the ledger testifies; see `Forge.deployed`."""

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
    ) -> Pull:
        """Append an event, again on top of others' events when they were first; move other refs in the same push."""
        for attempt in range(_TRIES):
            tip, address = self._tip(number)
            pull = edit(self._read(number))
            event = self._event(tip, pull, message)
            own = {address: tip} if address == f"{PULLS}{number}" else {}
            try:
                self.repository.push_all({**(also or {}), **self._moves(own, event, pull)})
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise
                self.repository.fetch()
            else:
                return self._read(number)
        raise AssertionError  # the loop returns or raises

    def _moves(self, own: _Tips, event: str, pull: Pull) -> dict[str, tuple[str | None, str | None]]:
        """Return how refs move when `event` follows on `own` (its ref, if any): what is settled goes into the archive.

        Each move expects the very commit that was read, so that nothing that others wrote meanwhile is lost.
        """
        if pull.state is State.OPEN:
            return {ref: (event, tip) for ref, tip in own.items()}
        before = self._archive.tip
        kept = self._archive.with_(Settled(tip=event, pull=brief(pull)), before, at=self.clock())
        return {SETTLED: (kept, before), **{ref: (None, tip) for ref, tip in own.items()}}

    def _event(self, tip: str | None, pull: Pull, message: str) -> str:
        stored = pull.model_dump_json(by_alias=True, exclude=_DERIVED, indent=2) + "\n"
        files = {PULL: stored.encode(), BODY: pull.body.encode(), DATA: pull.data.encode()}
        return self.repository.commit([tip] if tip else [], None, files, message, at=self.clock())


def _same(pull: Pull) -> Pull:
    return pull


def _require_same(now: Pull, judged: Pull) -> None:
    """Refuse to settle what is no longer what was looked at.

    Raises:
        ConflictError: it was settled by somebody else, or its branch moved.
    """
    if (now.state, now.head) != (State.OPEN, judged.head):
        raise ConflictError(f"Pull request #{now.number} has moved on", hint="Run it again.")


def _approvals(events: Sequence[CommitInfo]) -> tuple[Approval, ...]:
    """Read the approvals off the chain, oldest first; the first event opened the pull request and approves nothing."""
    said = ((event, head) for event in reversed(events[:-1]) for head in event.trailers(APPROVES))
    return tuple(approval for approval in (_approval(event, head) for event, head in said) if approval)


def _approval(event: CommitInfo, head: str) -> Approval | None:
    try:
        return Approval(by=event.author, head=head, at=event.at, recorded_by=event.committer)
    except ValidationError:  # somebody wrote nonsense by hand: that approves nothing
        return None
