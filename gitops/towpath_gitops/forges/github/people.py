"""Who is who on GitHub."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from towpath_gitops.errors import NotFoundError, RefusedError
from towpath_gitops.forges.base import Pull
from towpath_gitops.forges.github.answers import ActivityAnswer, CommitAnswer, User, read
from towpath_gitops.forges.github.client import Api

_MOST_COMMITS = 250  # GitHub lists no more of one pull request
_MOVES = {"push", "force_push", "branch_creation"}


@dataclass(frozen=True)
class People:
    """The people around a repository ("owner/name")."""

    api: Api = field(repr=False)
    name: str

    def identity(self) -> str:
        """Return the `@login` of whoever the token belongs to.

        Raises:
            RefusedError: it is a workflow's or an app's own token, which stands for nobody.
        """
        return read(User, self.api.get("/user")).name

    def is_own(self, user: User | None) -> bool:
        """Whether an account may be the one that acts here, so that its comments may be edited.

        A workflow's token cannot say whose it is; then every robot's account counts, since people cannot write as one.
        """
        try:
            return user is not None and user.name == self.identity()
        except RefusedError:
            return user is not None and user.type == "Bot"

    def members(self, owner: str) -> frozenset[str]:
        """Return whom an owner stands for; see `Forge.members`.

        Raises:
            RefusedError: the token may not read the team.
        """
        organisation, _, team = owner.removeprefix("@").partition("/")
        if not owner.startswith("@"):
            return frozenset()
        if not team:
            return frozenset({owner.lower()})
        found: list[User] = []
        with suppress(NotFoundError):
            found += (read(User, each) for each in self.api.pages(f"/orgs/{organisation}/teams/{team}/members"))
        return frozenset(user.name.lower() for user in found)

    def writers(self, pull: Pull) -> frozenset[str]:
        """Return who had a hand in a pull request; see `Forge.writers`.

        Raises:
            RefusedError: it has more commits than GitHub tells.
        """
        return frozenset(name.lower() for name in (pull.author, *self._committers(pull), *self._pushers(pull)))

    def _committers(self, pull: Pull) -> Iterator[str]:
        commits = list(self.api.pages(f"/repos/{self.name}/pulls/{pull.number}/commits"))
        if len(commits) >= _MOST_COMMITS:
            raise RefusedError(
                f"Pull request #{pull.number} has too many commits", why="GitHub does not tell who wrote all of them."
            )
        for commit in commits:
            yield from read(CommitAnswer, commit).writers()

    def _pushers(self, pull: Pull) -> Iterator[str]:
        """Yield who moved the branch since it was made: known by their credentials, not by what they claim."""
        for each in self.api.pages(f"/repos/{self.name}/activity", ref=f"refs/heads/{pull.branch}"):
            activity = read(ActivityAnswer, each)
            if activity.actor and activity.activity_type in _MOVES:
                yield activity.actor.name
            if activity.activity_type == "branch_creation":
                return
