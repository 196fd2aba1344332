"""Pull requests on GitHub: see the package's docstring for who is who, and for what GitHub cannot promise."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import quote, urlsplit

from towpath_gitops.errors import ConflictError, NotFoundError, RefusedError, UnavailableError, UnreviewedMergeError
from towpath_gitops.forges.base import Check, Progress, Pull, Safeguards, State, merge_subject, merge_trailers
from towpath_gitops.forges.github import rules, shown
from towpath_gitops.forges.github.answers import CommentAnswer, PullAnswer, ReviewAnswer, approvals, cut, read
from towpath_gitops.forges.github.client import Api, failed
from towpath_gitops.forges.github.decisions import Decisions
from towpath_gitops.forges.github.people import People
from towpath_gitops.repository import Repository

_LONGEST_TITLE = 256
_REST = "*This is not all of it: the whole document is in git, and `towpath pulls` shows it.*"
_SHOWN_RAW = (".png", ".svg", ".jpg", ".jpeg", ".gif")


@dataclass(frozen=True)
class GitHubForge:
    """The pull requests of `name` ("owner/name") on GitHub, whose branches lie on the repository's remote."""

    repository: Repository
    name: str
    api: Api = field(repr=False)

    # --- people ------------------------------------------------------------------------------------------------

    @property
    def _people(self) -> People:
        return People(self.api, self.name)

    def identity(self) -> str:
        """Return the `@login` that the token belongs to; see `Forge.identity`."""
        return self._people.identity()

    def members(self, owner: str) -> frozenset[str]:
        """Return a team's members, or the one person; see `Forge.members`."""
        return self._people.members(owner)

    def writers(self, pull: Pull) -> frozenset[str]:
        """Return who opened, wrote, committed or pushed it; see `Forge.writers`."""
        return self._people.writers(pull)

    # --- questions ---------------------------------------------------------------------------------------------

    def get(self, number: int) -> Pull:
        """Return one pull request; see `Forge.get`.

        Raises:
            RefusedError: it comes from a fork, or leads elsewhere than to main: nobody can review it here.
        """
        found = self.api.find(f"{self._pulls}/{number}")
        if found is None:
            newest = next(self.api.pages(self._pulls, state="all", sort="created", direction="desc"), None)
            known = f"They go up to #{read(PullAnswer, newest).number}." if newest else "There are none yet."
            raise NotFoundError(f"There is no pull request #{number}", why=known, hint="towpath pulls")
        answer = read(PullAnswer, found)
        if not answer.is_own(self.name, self.repository.branch):
            self._foreign(answer)
        self.repository.fetch()  # after the answer, so that its head is here
        return self._whole(answer) or self._foreign(answer)

    def _foreign(self, answer: PullAnswer) -> NoReturn:
        raise RefusedError(
            f"Pull request #{answer.number} is none of ours",
            why=f"Only branches of {self.name} itself that lead to {self.repository.branch} are reviewed.",
            hint="Push the branch to the repository.",
        )

    def find(self, branch: str) -> Pull | None:
        """Return the open pull request of a branch; see `Forge.find`."""
        answer = self._open_of(branch)
        self.repository.fetch()
        return self._whole(answer) if answer else None

    def _open_of(self, branch: str) -> PullAnswer | None:
        owner = self.name.partition("/")[0]
        found = self._answers(state="open", head=f"{owner}:{branch}")
        # GitHub ignores a filter that it does not understand, and then answers with everything.
        return next((answer for answer in found if answer.head.ref == branch), None)

    def list(self, state: State | None = None) -> list[Pull]:
        """Return the pull requests in a state; see `Forge.list`."""
        wanted = {None: "all", State.OPEN: "open"}.get(state, "closed")
        answers = [each for each in self._answers(state=wanted) if state in {None, each.settled}]
        self.repository.fetch()
        pulls = (self._whole(each) if each.settled is State.OPEN else each.pull() for each in answers)
        return [pull for pull in pulls if pull]

    def _answers(self, **parameters: str) -> Iterator[PullAnswer]:
        """Yield the pull requests from branches of the repository to main, oldest first."""
        base = self.repository.branch
        for each in self.api.pages(self._pulls, base=base, sort="created", direction="asc", **parameters):
            answer = read(PullAnswer, each)
            if answer.is_own(self.name, base):
                yield answer

    def _whole(self, answer: PullAnswer) -> Pull | None:
        """Return a pull request with everything that was said and shown; None when its branch is no proposal's."""
        reviews = (read(ReviewAnswer, each) for each in self.api.pages(f"{self._pulls}/{answer.number}/reviews"))
        comments = self._verdicts.comments(answer.number)
        document, data = Decisions(self.repository).read(answer.number)
        body = (answer.body or "").replace("\r\n", "\n")
        return answer.pull(
            approvals=approvals(reviews),
            comments=tuple(each.record for each in comments if not each.is_sticky),
            check=self._verdicts.read(answer.head.sha, comments),
            body=document if document and body.endswith(_REST) else body,
            data=data,
        )

    def link(self, commit: str, path: str) -> str:
        """Return the page of a file, of an image the image itself; see `Forge.link`."""
        raw = "?raw=true" if path.lower().endswith(_SHOWN_RAW) else ""
        return f"{_web(self.api.address)}/{self.name}/blob/{commit}/{quote(path)}{raw}"

    def safeguards(self) -> Safeguards:
        """Return the rules of the repository and its main branch; see `Forge.safeguards`."""
        return rules.safeguards(self.api, self.name, self.repository.branch)

    @property
    def _pulls(self) -> str:
        return f"/repos/{self.name}/pulls"

    @property
    def _issues(self) -> str:
        return f"/repos/{self.name}/issues"

    @property
    def _verdicts(self) -> shown.Verdicts:
        return shown.Verdicts(self.api, self.name, self._people)

    # --- verbs -------------------------------------------------------------------------------------------------

    def open(self, *, branch: str, title: str, body: str, data: str, labels: Sequence[str] = ()) -> Pull:
        """Open or adopt the pull request of a branch; see `Forge.open`."""
        answer = self._open_of(branch)
        self.repository.fetch()
        if answer is None:
            if self.repository.tip(f"refs/heads/{branch}") is None:
                raise NotFoundError(f"The remote has no branch {branch}", hint="Push it, then open the pull request.")
            new = {"title": title[:_LONGEST_TITLE], "head": branch, "base": self.repository.branch}
            made = self.api.create(self._pulls, new | {"body": cut(body, _REST)}, look=lambda: self._open_of(branch))
            answer = read(PullAnswer, made)
        self._refresh(answer, title[:_LONGEST_TITLE], cut(body, _REST), labels)
        Decisions(self.repository).write(answer.number, body, data)
        return self.get(answer.number)

    def _refresh(self, answer: PullAnswer, title: str, body: str, labels: Sequence[str]) -> None:
        if (answer.title, (answer.body or "").replace("\r\n", "\n")) != (title, body):
            self.api.set("PATCH", f"{self._pulls}/{answer.number}", {"title": title, "body": body})
        if {label.name for label in answer.labels} != set(labels):
            self.api.set("PUT", f"{self._issues}/{answer.number}/labels", {"labels": list(labels)})

    def approve(self, number: int) -> Pull:
        """Approve the head commit by a review; see `Forge.approve`."""
        pull, by = self._open_pull(number), self.identity()
        path, body = f"{self._pulls}/{number}/reviews", {"event": "APPROVE", "commit_id": pull.head}

        def look() -> Pull | None:
            now = self.get(number)
            return now if any((each.by, each.head) == (by, pull.head) for each in now.approvals) else None

        if not any(approval.by == by for approval in pull.current_approvals):
            self.api.create(path, body, look=look)
        return self.get(number)

    def check(self, number: int, *, head: str, ok: bool, title: str, summary: str) -> Pull:
        """Show the verdict as a check and in the sticky comment; see `Forge.check`."""
        pull = self._open_pull(number)
        if pull.head != head:
            raise ConflictError(f"Pull request #{number} has moved on", hint=f"towpath review {number}")
        self._verdicts.write(number, Check(head=head, ok=ok, title=title, summary=summary))
        return self.get(number)

    def comment(self, number: int, text: str) -> Pull:
        """Add a remark; see `Forge.comment`."""
        self.get(number)
        newest = max((comment.id for comment in self._verdicts.comments(number)), default=0)

        def look() -> CommentAnswer | None:
            later = (comment for comment in self._verdicts.comments(number) if comment.id > newest)
            return next((comment for comment in later if comment.body == text), None)

        self.api.create(f"{self._issues}/{number}/comments", {"body": text}, look=look)
        return self.get(number)

    def close(self, number: int, comment: str) -> Pull:
        """Say why, close, delete the branch; see `Forge.close`. Interrupted, it is finished by running it again."""
        pull = self.get(number)
        if pull.state is State.OPEN:
            if comment not in {remark.text for remark in pull.comments}:
                self.comment(number, comment)
            self.api.set("PATCH", f"{self._pulls}/{number}", {"state": "closed"})
        return self._tidied(number, State.CLOSED)

    def _tidied(self, number: int, wanted: State) -> Pull:
        """Delete the branch of a settled pull request, unless somebody moved it since, and return it as it is."""
        pull = self.get(number)
        if pull.state is not wanted:
            raise RefusedError(f"Pull request #{number} is {pull.state}", hint="towpath pulls")
        ref = f"refs/heads/{pull.branch}"
        if self.repository.tip(ref) == pull.head and self._open_of(pull.branch) is None:
            with suppress(ConflictError):
                self.repository.push(None, ref, pull.head)
        return pull

    def merge(
        self,
        number: int,
        expected_head: str,
        *,
        expected_base: str | None = None,
        approved_by: Sequence[str] | None = None,
    ) -> Pull:
        """Merge into main; see `Forge.merge`.

        Raises:
            UnreviewedMergeError: it is merged, but main moved in the very instant: see the package's docstring.
        """
        pull = self.get(number)
        if pull.state is not State.MERGED:
            self._require_open(pull)
            base = self.repository.main()
            if pull.head != expected_head:
                why = f"Its head is {pull.head[:12]}, not {expected_head[:12]} as reviewed."
                raise ConflictError(f"Pull request #{number} has moved on", why=why, hint=f"towpath review {number}")
            if expected_base not in {None, base}:
                what = f"{pull.base} has moved on since pull request #{number} was reviewed"
                raise ConflictError(what, hint=f"towpath review {number}")
            self._ask_to_merge(pull, approved_by)
        pull = self._tidied(number, State.MERGED)
        if expected_base and pull.head == expected_head:
            self._require_base(pull, expected_base)
        return pull

    def _ask_to_merge(self, pull: Pull, approved_by: Sequence[str] | None) -> None:
        body = {
            "sha": pull.head,
            "merge_method": "merge",
            "commit_title": merge_subject(pull),
            "commit_message": merge_trailers(pull, approved_by),
        }
        try:
            answer = self.api.attempt("PUT", f"{self._pulls}/{pull.number}/merge", body=body, expected={405, 409, 422})
        except UnavailableError:
            if self.get(pull.number).state is State.MERGED:  # it has acted, and only its answers were lost
                return
            raise
        # Asked again after a lost answer, it refuses to merge what it has merged.
        if answer.ok or self.get(pull.number).state is State.MERGED:
            return
        if answer.status == 409 or "not mergeable" in answer.message or "was modified" in answer.message:  # noqa: PLR2004 (HTTP)
            raise ConflictError(f"Pull request #{pull.number} or {pull.base} has moved on", why=answer.message)
        raise failed(answer, "merge")

    def _require_base(self, pull: Pull, expected: str) -> None:
        parents = self.repository.info(pull.merged).parents if pull.merged else ()
        if parents and parents[0] != expected:
            raise UnreviewedMergeError(
                f"Pull request #{pull.number} is merged, but onto another {pull.base} than was reviewed",
                why=f"{pull.base} moved from {expected[:12]} to {parents[0][:12]} in the instant of the merge.",
                hint=f"Look at what came between: git log {expected[:12]}..{parents[0][:12]}",
            )

    def _open_pull(self, number: int) -> Pull:
        pull = self.get(number)
        self._require_open(pull)
        return pull

    def _require_open(self, pull: Pull) -> None:
        if pull.state is not State.OPEN:
            raise RefusedError(f"Pull request #{pull.number} is {pull.state}", hint="towpath pulls")

    def deployed(self, *, commit: str, environment: str, state: Progress, description: str) -> None:
        """Show it as a deployment; see `Forge.deployed`."""
        shown.deployed(
            self.api, self.name, commit=commit, environment=environment, state=state, description=description
        )


def _web(api: str) -> str:
    """Return the address of the pages that belong to an API: github.com, or the Enterprise server's own."""
    address = urlsplit(api)
    return f"{address.scheme}://{address.netloc.removeprefix('api.')}"
