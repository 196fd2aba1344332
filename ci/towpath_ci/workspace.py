"""The model repository that a verb works in, with the rooms that it opens."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from towpath_gitops import layout
from towpath_gitops.delivery.declared import read_deployment
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import (
    InvalidFileError,
    NotFoundError,
    TowpathError,
    UnavailableError,
    UncleanRepositoryError,
)
from towpath_gitops.forges import open_forge
from towpath_gitops.forges.base import Forge
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.parsing import load_yaml, parse_yaml
from towpath_gitops.records.policy import LocalForgeSettings, Policy
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository


@dataclass(frozen=True)
class Workspace:
    """A clone of a model repository, and what its model is called."""

    repository: Repository
    model: str
    fresh: bool = True  # ask the remote for main; otherwise main is what this clone fetched last

    @classmethod
    def here(cls) -> Self:
        """Return the workspace that the current folder belongs to.

        Raises:
            UncleanRepositoryError: this is no git repository.
            NotFoundError: it holds no model.yaml.
            InvalidFileError: model.yaml has no name.
        """
        repository = Repository.discover(Path.cwd())
        return cls(repository, _model_name(repository.root / layout.MODEL))

    @classmethod
    def of_all(cls) -> Self:
        """Return the workspace that the current folder belongs to, for verbs that ask for no model in particular.

        Raises:
            UncleanRepositoryError: this is no git repository.
        """
        return cls(Repository.discover(Path.cwd()), "")

    @property
    def root(self) -> Path:
        """The repository's top folder."""
        return self.repository.root

    @cached_property
    def registry(self) -> Registry:
        """The model registry."""
        return Registry(layout.tracking_uri(self.root))

    @cached_property
    def forge(self) -> Forge:
        """Where pull requests live: as main's policy says, or on refs of the remote while main has none."""
        try:
            settings = self.policy.forge
        except (NotFoundError, InvalidFileError, UncleanRepositoryError):
            settings = LocalForgeSettings()
        return open_forge(self.repository, settings)

    @cached_property
    def ledger(self) -> Ledger:
        """The record of what was applied."""
        return Ledger(self.repository)

    @cached_property
    def desk(self) -> Desk:
        """What whoever proposes or reviews reads."""
        return Desk(self.repository, self.forge, self.registry, self.ledger)

    @cached_property
    def main(self) -> str:
        """The commit of the remote's main branch, freshly fetched unless the workspace is not to be."""
        if self.fresh:
            self.repository.fetch()
        return self.repository.main()

    def refreshed(self) -> bool:
        """Fetch, and return whether that went well; when the remote is away, what this clone knows has to do."""
        try:
            self.repository.fetch()
            fresh = True
        except UnavailableError:
            fresh = False
        self.__dict__["main"] = self.repository.main()  # asked for later, it is not fetched again
        return fresh

    @property
    def is_published(self) -> bool:
        """Whether there is a main branch on a remote, from which the policy can be read."""
        try:
            return bool(self.policy)
        except TowpathError:
            return False

    @cached_property
    def policy(self) -> Policy:
        """The policy that main holds.

        Raises:
            NotFoundError: it holds none.
        """
        text = self.repository.read(self.main, layout.POLICY)
        if text is None:
            raise NotFoundError(
                f"The main branch has no {layout.POLICY}", hint="Commit it and push: git push origin main"
            )
        return parse_yaml(text, Policy, source=layout.POLICY)

    @cached_property
    def environments(self) -> tuple[str, ...]:
        """The names of the environments, in order of promotion."""
        return tuple(environment.name for environment in self.policy.environments)

    def chosen(self, environment: str | None) -> tuple[str, ...]:
        """Return the one environment that was named, or all.

        Raises:
            NotFoundError: the policy knows none of that name.
        """
        if environment is None:
            return self.environments
        if environment not in self.environments:
            raise NotFoundError(
                f"There is no environment called “{environment}”", why=f"Known: {', '.join(self.environments)}."
            )
        return (environment,)

    def declared(self, environment: str, commit: str | None = None) -> Deployment | None:
        """Return what `commit` (default: main) declares for an environment; None when it has no file."""
        return read_deployment(self.repository, commit or self.main, environment, self.model)

    def find(self, selector: str) -> Release:
        """Return the release that a person means; see `Registry.find`."""
        return self.registry.find(self.model, selector)


def _model_name(path: Path) -> str:
    if not path.is_file():
        raise NotFoundError(
            f"There is no {layout.MODEL} in {path.parent}",
            why="This verb works inside a model repository.",
            hint="Change into one, or make one: copier copy <where towpath is> my-model\n"
            "In a new one for a table of your own: towpath infer FILE --target COLUMN",
        )
    document = load_yaml(path.read_text(encoding="utf-8"), source=layout.MODEL)
    name = document.get("name") if isinstance(document, dict) else None
    if not isinstance(name, str):
        raise InvalidFileError(f"{layout.MODEL} does not say `name`", hint="Begin it with `name: my-model`.")
    return str(name)
