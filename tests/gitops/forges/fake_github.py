"""A GitHub of our own: a server with state, whose branches lie in a real bare repository.

What it answers is filled up from GitHub's own description of its API, and checked against it by the proxy in front.
Who pushed is told by a hook of the repository, from the identity of the process that pushes: as GitHub knows it from
credentials, whatever a commit claims.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Final
from urllib.parse import unquote, urlencode

from proxy import Exchange, Reply, serve
from refusals import Refusal, invalid
from samples import filled

from towpath_gitops.errors import ConflictError
from towpath_gitops.repository import CommitInfo, Repository

NAME: Final = "acme/flights"
ROBOT: Final = "github-actions[bot]"
_REPO = f"/repos/{NAME}"
_START = datetime(2026, 6, 1, 12, tzinfo=UTC)
_HOOK = """\
#!/bin/sh
while read -r old new ref; do echo "$GIT_COMMITTER_EMAIL $old $new $ref" >> pushes.log; done
"""
_NOTHING = "0" * 40

Json = Any


@dataclass
class FakeGitHub:
    """One repository, the people around it, and everything they said."""

    remote: Path
    tokens: dict[str, str]  # token → login
    emails: dict[str, str]  # address → login
    teams: dict[str, tuple[str, ...]] = field(default_factory=dict)  # organisation/team → logins
    hidden_teams: set[str] = field(default_factory=set)  # which no token may read
    before_merge: Callable[[], object] = field(default=lambda: None)
    refuses_merges: str = ""  # because of a rule, in GitHub's words
    rules: list[Json] = field(default_factory=list)
    rulesets: dict[int, Json] = field(default_factory=dict)
    protection: Json = None
    environments: list[Json] = field(default_factory=list)
    codeowners_errors: list[Json] = field(default_factory=list)
    spoil: Callable[[Json], Json] = field(default=lambda answer: answer)

    def __post_init__(self) -> None:
        """Start on a free port of this machine."""
        self.pulls: dict[int, dict[str, Json]] = {}
        self.comments: list[dict[str, Json]] = []
        self.checks: list[dict[str, Json]] = []
        self.statuses: list[dict[str, Json]] = []
        self.deployments: list[dict[str, Json]] = []
        self._ids, self.me = 0, ""
        self._one_at_a_time = Lock()
        self.repository = Repository(self.remote)
        hook = self.remote / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK)
        hook.chmod(0o755)
        self._server = serve(self._reply)
        self.port = self._server.server_port

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    # --- the repository ----------------------------------------------------------------------------------------

    def _tip(self, branch: str) -> str | None:
        return self.repository.resolve(f"refs/heads/{branch}")

    def _look_at_branches(self) -> None:
        """Let pushes have their effect on open pull requests: a new head, merged by hand, closed with the branch."""
        for pull in self.pulls.values():
            if pull["state"] != "open":
                continue
            head, main = self._tip(pull["branch"]), str(self._tip("main"))
            pull["head"] = head or pull["head"]
            if self.repository.is_ancestor(pull["head"], main):
                merges = (each for each in self.repository.log(main) if pull["head"] in each.parents[1:])
                self._merged(pull, next(merges).sha)
            elif head is None:
                pull["state"] = "closed"

    def _merged(self, pull: dict[str, Json], commit: str) -> None:
        pull.update(state="closed", merged_at=self._now(), merge_commit_sha=commit)

    def _pushes(self) -> list[list[str]]:
        log = self.remote / "pushes.log"
        return [line.split(" ") for line in log.read_text().splitlines()] if log.exists() else []

    # --- answering ---------------------------------------------------------------------------------------------

    def _reply(self, exchange: Exchange) -> Reply:
        try:
            with self._one_at_a_time:
                self._look_at_branches()
                status, answer, headers = self._answered(exchange)
        except Refusal as refusal:
            status, answer, headers = refusal.status, refusal.body, {}
        data = b"" if status == 204 else json.dumps(self.spoil(answer)).encode()
        return Reply(status, data, {"content-type": "application/json"} | headers)

    def _answered(self, exchange: Exchange) -> tuple[int, Json, dict[str, str]]:
        self.me = self.tokens.get(exchange.headers.get("authorization", "").split(" ")[-1], "")
        if not self.me:
            raise Refusal(401, "Bad credentials")
        for verb, pattern, act in ROUTES:
            match = re.fullmatch(pattern, exchange.path)
            if match and verb == exchange.verb:
                body = json.loads(exchange.body) if exchange.body else {}
                query = {key: values[-1] for key, values in exchange.query.items()}
                answer = act(self, *map(unquote, match.groups()), query=query, body=body)
                status = {"POST": 201, "DELETE": 204}.get(verb, 200) if act != FakeGitHub.add_review else 200
                return self._page(exchange, status, answer, query)
        raise Refusal(404, "Not Found")

    def _page(self, exchange: Exchange, status: int, answer: Json, query: Mapping[str, str]) -> Json:
        """Return the part of a list that was asked for, and where the next is."""
        key = next((key for key in ("check_runs", "environments") if isinstance(answer, dict) and key in answer), None)
        items = answer[key] if key else answer
        if exchange.verb != "GET" or not isinstance(items, list) or exchange.path.endswith("/errors"):
            return status, answer, {}
        name = "after" if exchange.path.endswith("/activity") else "page"
        size, page = int(query.get("per_page", 30)), int(query.get(name, 1))
        part, more = items[(page - 1) * size : page * size], len(items) > page * size
        following = urlencode(dict(query) | {name: page + 1})
        link = f'<http://{exchange.headers["host"]}{exchange.path}?{following}>; rel="next"'
        return status, answer | {key: part} if key else part, {"link": link} if more else {}

    def _now(self) -> str:
        """Return a time a minute after the last."""
        return f"{_START + timedelta(minutes=self._id()):%Y-%m-%dT%H:%M:%SZ}"

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def user(self, login: str, schema: str = "simple-user") -> Json:
        """Return an account."""
        return filled(schema, login=login, type="Bot" if login.endswith("[bot]") else "User")

    def _pull(self, number: str) -> dict[str, Json]:
        if int(number) not in self.pulls:
            raise Refusal(404, "Not Found")
        return self.pulls[int(number)]

    def _shown(self, pull: dict[str, Json], schema: str = "pull-request") -> Json:
        end = {"user": self.user("acme"), "repo": {"full_name": pull.get("from", NAME), "owner": self.user("acme")}}
        kept = {key: pull[key] for key in ("number", "title", "body", "state", "merged_at", "merge_commit_sha")}
        return filled(
            schema,
            **kept,
            user=self.user(pull["user"]),
            created_at=pull["created_at"],
            html_url=f"https://github.test/{NAME}/pull/{pull['number']}",
            labels=[{"id": 1, "node_id": "x", "url": "https://github.test/x", "name": each, "color": "ededed"}
                    | {"description": "", "default": False} for each in pull["labels"]],
            head=end | {"ref": pull["branch"], "sha": pull["head"]},
            base={"user": self.user("acme"), "repo": {"full_name": NAME, "owner": self.user("acme")}}
            | {"ref": pull["base"], "sha": self._tip("main")},
        )  # fmt: skip

    # --- pull requests -----------------------------------------------------------------------------------------

    def list_pulls(self, *, query: Mapping[str, str], **_: Json) -> Json:
        """List; a filter for a head without an owner is ignored, as on GitHub."""
        wanted, head = query.get("state", "open"), query.get("head", "")
        pulls = [pull for pull in self.pulls.values() if wanted in {"all", pull["state"]}]
        if ":" in head:
            pulls = [pull for pull in pulls if head == f"{pull.get('from', NAME).split('/')[0]}:{pull['branch']}"]
        pulls = [pull for pull in pulls if query.get("base", pull["base"]) == pull["base"]]
        pulls.sort(key=lambda pull: pull["number"], reverse=query.get("direction", "desc") == "desc")
        return [self._shown(pull, "pull-request-simple") for pull in pulls]

    def open_pull(self, *, body: Json, **_: Json) -> Json:
        """Open; one for each branch."""
        branch, base = body["head"], body["base"]
        head = self._tip(branch)
        if head is None:
            raise invalid("head is invalid")
        if any((pull["branch"], pull["state"]) == (branch, "open") for pull in self.pulls.values()):
            raise invalid(f"A pull request already exists for acme:{branch}.")
        if self.repository.is_ancestor(head, str(self._tip(base))):
            raise invalid(f"No commits between {base} and {branch}")
        return self._shown(self.add_pull(branch, head, self.me, body["title"], body.get("body"), base))

    def add_pull(  # noqa: PLR0913, PLR0917 (the fields of a pull request)
        self, branch: str, head: str, user: str, title: str = "t", body: str | None = "", base: str = "main"
    ) -> dict[str, Json]:
        """Add a pull request and return its state, which tests may change."""
        number = max(self.pulls, default=0) + 1
        texts = {"title": title, "body": body, "labels": []}
        state = {"state": "open", "merged_at": None, "merge_commit_sha": None, "reviews": []}
        about = {"number": number, "user": user, "branch": branch, "base": base, "head": head}
        self.pulls[number] = about | {"created_at": self._now()} | texts | state
        return self.pulls[number]

    def get_pull(self, number: str, **_: Json) -> Json:
        """Return one."""
        return self._shown(self._pull(number))

    def edit_pull(self, number: str, *, body: Json, **_: Json) -> Json:
        """Change title, text or state; what is merged stays merged."""
        pull = self._pull(number)
        if len(body.get("body") or "") > 65_536:
            raise invalid("body is too long (maximum is 65536 characters)")
        pull.update({key: body[key] for key in ("title", "body") if key in body})
        if pull["merged_at"] is None:
            pull["state"] = body.get("state", pull["state"])
        return self._shown(pull)

    def set_labels(self, number: str, *, body: Json, **_: Json) -> Json:
        """Replace the labels."""
        self._pull(number)["labels"] = body["labels"]
        return [filled("label", name=each) for each in body["labels"]]

    def list_reviews(self, number: str, **_: Json) -> Json:
        """List, oldest first."""
        return self._pull(number)["reviews"]

    def add_review(self, number: str, *, body: Json, **_: Json) -> Json:
        """Review; nobody approves their own."""
        pull, events = self._pull(number), {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED"}
        if pull["user"] == self.me and body["event"] == "APPROVE":
            raise Refusal(422, "Unprocessable Entity", errors=["Can not approve your own pull request"])
        about = {"id": self._id(), "user": self.user(self.me), "state": events[body["event"]], "body": ""}
        review = filled("pull-request-review", **about, commit_id=body["commit_id"], submitted_at=self._now())
        pull["reviews"].append(review)
        return review

    def merge(self, number: str, *, body: Json, **_: Json) -> Json:
        """Merge an exact head onto main, wherever main is."""
        pull = self._pull(number)
        self.before_merge()
        if pull["state"] != "open":
            raise Refusal(405, "Pull Request is not mergeable")
        if body.get("sha", pull["head"]) != pull["head"]:
            raise Refusal(409, "Head branch was modified. Review and try the merge again.")
        if self.refuses_merges:
            raise Refusal(405, self.refuses_merges)
        main = str(self._tip("main"))
        by = self.repository.acting_as(self.me, f"{self.me}@users.noreply.github.test")
        try:
            commit = by.merge(main, pull["head"], f"{body['commit_title']}\n\n{body['commit_message']}")
        except ConflictError as error:
            raise Refusal(405, "Pull Request is not mergeable") from error
        self.repository.git.run("update-ref", "refs/heads/main", commit, main)
        self._merged(pull, commit)
        return filled("pull-request-merge-result", sha=commit, merged=True, message="Pull Request successfully merged")

    def list_commits(self, number: str, **_: Json) -> Json:
        """List what the merge would bring, oldest first."""
        head = self._pull(number)["head"]
        log = self.repository.log(head, since=self._tip("main"), first_parent=False)
        return [self._commit(info) for info in reversed(log)]

    def _commit(self, info: CommitInfo) -> Json:
        author, committer = (
            self.user(self.emails[each]) if each in self.emails else {} for each in (info.author, info.committer)
        )
        body = {"author": {"email": info.author}, "committer": {"email": info.committer}, "message": info.message}
        return filled("commit", sha=info.sha, author=author, committer=committer, commit=body)

    # --- everything around -------------------------------------------------------------------------------------

    def list_activity(self, *, query: Mapping[str, str], **_: Json) -> Json:
        """List who moved a branch, newest first."""
        found = []
        for email, old, new, ref in self._pushes():
            kind = {_NOTHING: "branch_creation"}.get(old, "branch_deletion" if new == _NOTHING else "push")
            actor = self.user(self.emails[email]) if email in self.emails else None
            if ref == query["ref"]:
                found.append(filled("activity", before=old, after=new, ref=ref, activity_type=kind, actor=actor))
        return found[::-1]

    def list_comments(self, number: str, **_: Json) -> Json:
        """List, oldest first."""
        return [each for each in self.comments if each["issue_url"].endswith(f"/{number}")]

    def add_comment(self, number: str, *, body: Json, **_: Json) -> Json:
        """Say something."""
        about = {"id": self._id(), "user": self.user(self.me), "body": body["body"], "created_at": self._now()}
        comment = filled("issue-comment", **about, issue_url=f"https://github.test/issues/{number}")
        self.comments.append(comment)
        return comment

    def _comment(self, which: str) -> Json:
        found = [each for each in self.comments if each["id"] == int(which)]
        if not found:
            raise Refusal(404, "Not Found")
        return found[0]

    def edit_comment(self, which: str, *, body: Json, **_: Json) -> Json:
        """Say it otherwise."""
        self._comment(which)["body"] = body["body"]
        return self._comment(which)

    def delete_comment(self, which: str, **_: Json) -> Json:
        """Take it back."""
        self.comments.remove(self._comment(which))

    def add_check(self, *, body: Json, **_: Json) -> Json:
        """Make a check run, as an app."""
        self._require_app()
        self.checks.append(filled("check-run", id=self._id(), **self._check_fields(body), head_sha=body["head_sha"]))
        return self.checks[-1]

    def edit_check(self, which: str, *, body: Json, **_: Json) -> Json:
        """Change a check run, as an app."""
        self._require_app()
        check = next(each for each in self.checks if each["id"] == int(which))
        check.update(self._check_fields(body))
        return check

    def _check_fields(self, body: Json) -> Json:
        output = filled("check-run")["output"] | body["output"]
        return {"name": body["name"], "status": body["status"], "conclusion": body["conclusion"], "output": output}

    def _require_app(self) -> None:
        if not self.me.endswith("[bot]"):
            raise Refusal(403, "You must authenticate via a GitHub App.")

    def list_checks(self, ref: str, *, query: Mapping[str, str], **_: Json) -> Json:
        """List the check runs of a commit, newest first."""
        found = [each for each in self.checks if (each["head_sha"], each["name"]) == (ref, query["check_name"])]
        return {"total_count": len(found), "check_runs": found[::-1]}

    def add_status(self, sha: str, *, body: Json, **_: Json) -> Json:
        """Say something about a commit."""
        self.statuses.append({"sha": sha, "status": filled("status", **body)})
        return self.statuses[-1]["status"]

    def list_statuses(self, sha: str, **_: Json) -> Json:
        """List, newest first."""
        return [each["status"] for each in reversed(self.statuses) if each["sha"] == sha]

    def list_deployments(self, *, query: Mapping[str, str], **_: Json) -> Json:
        """List, newest first."""
        wanted = (query["sha"], query["environment"])
        return [each["made"] for each in reversed(self.deployments) if (each["sha"], each["environment"]) == wanted]

    def add_deployment(self, *, body: Json, **_: Json) -> Json:
        """Begin to deploy."""
        made = filled("deployment", id=self._id(), sha=body["ref"], environment=body["environment"])
        about = {"sha": body["ref"], "environment": body["environment"], "made": made, "statuses": []}
        self.deployments.append(about)
        return made

    def _deployment(self, which: str) -> dict[str, Json]:
        return next(each for each in self.deployments if each["made"]["id"] == int(which))

    def list_progress(self, which: str, **_: Json) -> Json:
        """List, newest first."""
        return self._deployment(which)["statuses"][::-1]

    def add_progress(self, which: str, *, body: Json, **_: Json) -> Json:
        """Say how far it is."""
        status = filled("deployment-status", id=self._id(), state=body["state"], description=body["description"])
        self._deployment(which)["statuses"].append(status)
        return status

    def whoami(self, **_: Json) -> Json:
        """Tell a person who they are."""
        if self.me.endswith("[bot]"):
            raise Refusal(403, "Resource not accessible by integration")
        return self.user(self.me, "public-user") | {"user_view_type": "public"}

    def list_members(self, organisation: str, team: str, **_: Json) -> Json:
        """List a team."""
        name = f"{organisation}/{team}"
        if name in self.hidden_teams:
            raise Refusal(403, "Resource not accessible by integration")
        if name not in self.teams:
            raise Refusal(404, "Not Found")
        return [self.user(each) for each in self.teams[name]]

    def list_rules(self, _: str, **__: Json) -> Json:
        """List what rulesets demand of a branch."""
        return self.rules

    def get_ruleset(self, which: str, **_: Json) -> Json:
        """Return one."""
        return filled("repository-ruleset", id=int(which), **self.rulesets[int(which)])

    def get_protection(self, _: str, **__: Json) -> Json:
        """Return a branch's own protection."""
        if self.protection is None:
            raise Refusal(404, "Branch not protected")
        return filled("branch-protection", **self.protection)

    def list_environments(self, **_: Json) -> Json:
        """List the environments."""
        return {"total_count": len(self.environments), "environments": self.environments}

    def list_codeowners_errors(self, **_: Json) -> Json:
        """List what GitHub cannot use."""
        return {"errors": self.codeowners_errors}


ROUTES: Final[Iterable[tuple[str, str, Callable[..., Json]]]] = (
    ("GET", "/user", FakeGitHub.whoami),
    ("GET", "/orgs/([^/]+)/teams/([^/]+)/members", FakeGitHub.list_members),
    ("GET", f"{_REPO}/activity", FakeGitHub.list_activity),
    ("GET", f"{_REPO}/branches/([^/]+)/protection", FakeGitHub.get_protection),
    ("POST", f"{_REPO}/check-runs", FakeGitHub.add_check),
    ("PATCH", rf"{_REPO}/check-runs/(\d+)", FakeGitHub.edit_check),
    ("GET", f"{_REPO}/codeowners/errors", FakeGitHub.list_codeowners_errors),
    ("GET", f"{_REPO}/commits/([^/]+)/check-runs", FakeGitHub.list_checks),
    ("GET", f"{_REPO}/commits/([^/]+)/statuses", FakeGitHub.list_statuses),
    ("GET", f"{_REPO}/deployments", FakeGitHub.list_deployments),
    ("POST", f"{_REPO}/deployments", FakeGitHub.add_deployment),
    ("GET", rf"{_REPO}/deployments/(\d+)/statuses", FakeGitHub.list_progress),
    ("POST", rf"{_REPO}/deployments/(\d+)/statuses", FakeGitHub.add_progress),
    ("GET", f"{_REPO}/environments", FakeGitHub.list_environments),
    ("PATCH", rf"{_REPO}/issues/comments/(\d+)", FakeGitHub.edit_comment),
    ("DELETE", rf"{_REPO}/issues/comments/(\d+)", FakeGitHub.delete_comment),
    ("GET", rf"{_REPO}/issues/(\d+)/comments", FakeGitHub.list_comments),
    ("POST", rf"{_REPO}/issues/(\d+)/comments", FakeGitHub.add_comment),
    ("PUT", rf"{_REPO}/issues/(\d+)/labels", FakeGitHub.set_labels),
    ("GET", f"{_REPO}/pulls", FakeGitHub.list_pulls),
    ("POST", f"{_REPO}/pulls", FakeGitHub.open_pull),
    ("GET", rf"{_REPO}/pulls/(\d+)", FakeGitHub.get_pull),
    ("PATCH", rf"{_REPO}/pulls/(\d+)", FakeGitHub.edit_pull),
    ("GET", rf"{_REPO}/pulls/(\d+)/commits", FakeGitHub.list_commits),
    ("PUT", rf"{_REPO}/pulls/(\d+)/merge", FakeGitHub.merge),
    ("GET", rf"{_REPO}/pulls/(\d+)/reviews", FakeGitHub.list_reviews),
    ("POST", rf"{_REPO}/pulls/(\d+)/reviews", FakeGitHub.add_review),
    ("GET", f"{_REPO}/rules/branches/([^/]+)", FakeGitHub.list_rules),
    ("GET", rf"{_REPO}/rulesets/(\d+)", FakeGitHub.get_ruleset),
    ("POST", f"{_REPO}/statuses/([^/]+)", FakeGitHub.add_status),
)
