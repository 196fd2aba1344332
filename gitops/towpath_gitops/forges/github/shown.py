"""What GitHub shows beside a pull request and never decides: the verdict of review, and deployments."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from towpath_gitops.forges.base import CHECK, Check, Progress
from towpath_gitops.forges.github.answers import (
    STICKY,
    CheckAnswer,
    CommentAnswer,
    DeploymentAnswer,
    ProgressAnswer,
    StatusAnswer,
    cut,
    read,
)
from towpath_gitops.forges.github.client import Api
from towpath_gitops.forges.github.people import People

_LONGEST_LINE = 140  # characters of a status's description
_LONGEST_SUMMARY = 65_535
_REST = "*This is not all of it: see `towpath review`.*"


@dataclass(frozen=True)
class Verdicts:
    """What review says, as a check of the commit and as the one comment that is edited in place."""

    api: Api = field(repr=False)
    name: str
    people: People

    def read(self, head: str, comments: Sequence[CommentAnswer]) -> Check | None:
        """Return what the check of a commit says, or None; `comments` are those of its pull request."""
        run = self._run(head)
        if run:
            return run.record
        status = self._status(head)
        return status.record(head, _summary(head, comments)) if status else None

    def _run(self, head: str) -> CheckAnswer | None:
        runs = self.api.get(f"/repos/{self.name}/commits/{head}/check-runs", check_name=CHECK)["check_runs"]
        return read(CheckAnswer, runs[0]) if runs else None

    def _status(self, head: str) -> StatusAnswer | None:
        found = self.api.pages(f"/repos/{self.name}/commits/{head}/statuses")  # newest first
        return next((status for each in found if (status := read(StatusAnswer, each)).context == CHECK), None)

    def write(self, number: int, verdict: Check) -> None:
        """Show a verdict; what was shown of the same commit is replaced.

        Check runs are for GitHub's apps and workflows; whoever has a token of their own gets a commit status of the
        same name, which a required check takes as well.
        """
        comments = self.comments(number)
        if self.read(verdict.head, comments) != verdict and not self._write_run(verdict):
            self._write_status(verdict)
        self._write_comment(number, verdict, comments)

    def comments(self, number: int) -> list[CommentAnswer]:
        """Return all comments of a pull request, oldest first."""
        return [read(CommentAnswer, each) for each in self.api.pages(f"/repos/{self.name}/issues/{number}/comments")]

    def _write_run(self, verdict: Check) -> bool:
        """Return whether a check run shows the verdict; False when the token may not make any."""
        body = {
            "name": CHECK,
            "head_sha": verdict.head,
            "status": "completed",
            "conclusion": "success" if verdict.ok else "failure",
            "output": {"title": verdict.title, "summary": verdict.summary[:_LONGEST_SUMMARY]},
        }
        path, run = f"/repos/{self.name}/check-runs", self._run(verdict.head)
        if run:
            kept = {key: value for key, value in body.items() if key != "head_sha"}
            return self.api.attempt("PATCH", f"{path}/{run.id}", body=kept, expected={403}).ok
        # Made twice after a lost answer, the newer of two equal runs is shown: that does no harm.
        return self.api.attempt("POST", path, body=body, expected={403}).ok

    def _write_status(self, verdict: Check) -> None:
        state = "success" if verdict.ok else "failure"
        body = {"state": state, "context": CHECK, "description": verdict.title[:_LONGEST_LINE]}
        self.api.set(
            "POST", f"/repos/{self.name}/statuses/{verdict.head}", body
        )  # the newest counts: again is harmless

    def _write_comment(self, number: int, verdict: Check, comments: Sequence[CommentAnswer]) -> None:
        text, path = sticky(verdict), f"/repos/{self.name}/issues"
        mine = self._mine(comments)
        if not mine:
            look = lambda: next(iter(self._mine(self.comments(number))), None)  # noqa: E731 (said once, here)
            self.api.create(f"{path}/{number}/comments", {"body": text}, look=look)
            return
        first, *doubles = mine
        if first.body != text:
            self.api.set("PATCH", f"{path}/comments/{first.id}", {"body": text})
        for double in doubles:  # of two that wrote at the same moment
            self.api.attempt("DELETE", f"{path}/comments/{double.id}", expected={404})

    def _mine(self, comments: Sequence[CommentAnswer]) -> list[CommentAnswer]:
        return [comment for comment in comments if comment.is_sticky and self.people.is_own(comment.user)]


def sticky(verdict: Check) -> str:
    """Return the comment that shows a verdict."""
    mark = "✅" if verdict.ok else "❌"
    text = f"{STICKY}\n### {mark} {verdict.title}\n\n{verdict.summary}{_as_of(verdict.head)}"
    return cut(text, _REST)


def _as_of(head: str) -> str:
    return f"\n\nAs of commit {head[:12]}.\n"


def _summary(head: str, comments: Sequence[CommentAnswer]) -> str:
    """Return the summary of a commit's verdict as the comment shows it; a commit status has no room for it."""
    shown = (each.body for each in comments if each.is_sticky and each.body.endswith(_as_of(head)))
    return next((text.removesuffix(_as_of(head)).partition("\n\n")[2] for text in shown), "")


def deployed(api: Api, name: str, *, commit: str, environment: str, state: Progress, description: str) -> None:  # noqa: PLR0913 (as in `Forge.deployed`)
    """Show how far a deployment is; see `Forge.deployed`."""
    path = f"/repos/{name}/deployments"

    def look() -> DeploymentAnswer | None:
        found = next(api.pages(path, sha=commit, environment=environment), None)
        return read(DeploymentAnswer, found) if found else None

    new = {"ref": commit, "environment": environment, "auto_merge": False, "required_contexts": []}
    deployment = look() or read(DeploymentAnswer, api.create(path, new, look=look))
    progress = {"state": state.value, "description": description[:_LONGEST_LINE]}
    latest = next(api.pages(f"{path}/{deployment.id}/statuses"), None)
    if latest is None or read(ProgressAnswer, latest).model_dump() != progress:
        # Shown twice after a lost answer, it says the same twice: that does no harm.
        api.set("POST", f"{path}/{deployment.id}/statuses", progress)
