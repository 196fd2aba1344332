"""Every place at once: what main declares there, what the ledger says of it, and whether that is all there is to do.

A place is one model in one environment. Main's tree, its line of first parents and each environment's ledger are read
once for all of them; only the services are asked one by one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, NamedTuple

from towpath_gitops import layout
from towpath_gitops.delivery.desired import SERVICE, policy_of, terms, wanted_at
from towpath_gitops.delivery.ledger import Entry, Event, Ledger
from towpath_gitops.delivery.recording import aliases_of, shown_digest, shown_marker
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.shifted import intent_path
from towpath_gitops.delivery.targets.base import Wanted
from towpath_gitops.delivery.verification import serving_digest
from towpath_gitops.errors import InvalidFileError, LedgerError, NotFoundError
from towpath_gitops.history import line_of, newest_changes
from towpath_gitops.records.deployment import Deployment, parse_deployment
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.repository import Repository
from towpath_gitops.trees import Entry as File
from towpath_gitops.trees import contents_of, files_of, refuse_link

_FILE: Final = re.compile(rf"{layout.ENVIRONMENTS}/([^/]+)/([^/]+\.yml|[^/]+(?=\.yaml))(?:\.yaml)?")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Place(NamedTuple):
    """One model in one environment."""

    environment: str
    model: str

    def __str__(self) -> str:
        """Name the model first: `flights in production`."""
        return f"{self.model} in {self.environment}"


@dataclass(frozen=True)
class Survey:
    """All places of a repository, as last fetched.

    `fresh` is how long a green verification stands for itself before a service is asked its golden requests again.
    """

    repository: Repository
    registry: Registry
    fresh: timedelta

    @cached_property
    def main(self) -> str:
        """The commit of main that is looked at: one for the whole survey."""
        return self.repository.main()

    @cached_property
    def environments(self) -> tuple[str, ...]:
        """The environments of main's policy, in its order.

        Raises:
            NotFoundError: main has no policy. Nothing was looked at, nothing is removed.
        """
        policy = policy_of(self.repository)
        if policy is None:
            raise NotFoundError(
                f"main has no {layout.POLICY}",
                why="It says which environments there are. Whatever runs was left alone.",
                hint="Restore it: git revert the commit that removed it.",
            )
        return tuple(environment.name for environment in policy.environments)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Every place that main has a file for or that the ledger knows, in policy order, then by model."""
        told = ((name, chain) for name, chain in self._chains.items() if not isinstance(chain, LedgerError))
        known = {*self._files, *(Place(name, model) for name, chain in told for model in chain)}
        order = {name: number for number, name in enumerate(self.environments)}
        return tuple(sorted(known, key=lambda place: (order.get(place.environment, len(order)), place)))

    def deployment(self, place: Place) -> Deployment:
        """Return the environment file of a place.

        Raises:
            NotFoundError: main has none any more. Nothing is removed.
            InvalidFileError: it is broken, a link, in the wrong place, or of an environment that the policy lacks.
        """
        if place not in self._deployments:
            self._deployments[place] = self._read(place)
        return self._deployments[place]

    def _read(self, place: Place) -> Deployment:
        file = self._files.get(place)
        if file is None:
            raise NotFoundError(
                f"main has no {layout.environment_path(*place)} any more",
                why="A missing file never removes anything: whatever runs was left alone.",
                hint="Restore it: git revert the commit that removed it.",
            )
        _require_known(file, place, self.environments)
        try:
            found = parse_deployment(self._contents[file.blob].decode(), source=file.path)
        except UnicodeDecodeError as error:
            raise InvalidFileError(f"{file.path} is not UTF-8 text", why=str(error)) from error
        if (found.environment, found.model) != place:
            raise InvalidFileError(
                f"{file.path} speaks of {found.model} in {found.environment}",
                why="An environment file's place and its words must name the same model and environment.",
            )
        return found

    def wanted(self, place: Place) -> Wanted:
        """Return what main asks of a place's target. Raises as `deployment`."""
        return wanted_at(self.repository, self.deployment(place), self.main)

    def is_proved(self, place: Place, now: datetime) -> bool:
        """Return whether the ledger testifies that what main declares was applied here and answered as it should.

        The newest verification must be green, of this very declaration, code, gates and demand for signatures, and no
        older than `fresh`; the registry must show it, and nobody may have moved traffic away since.

        Raises:
            LedgerError: the environment's ledger is broken.
            TowpathError: as `deployment`.
        """
        deployment = self.deployment(place)
        told = self._told(place.environment).get(place.model, {})
        applied, verified = told.get(Event.APPLIED), told.get(Event.VERIFIED)
        if deployment.release is None or applied is None or verified is None:
            return False
        said = (deployment.release.id, self._declaring(place))
        if said != (applied.release, applied.commit) or said != (verified.release, verified.commit):
            return False
        by = (Verdict.PASS, self._serving, self._terms)
        stands = by == (verified.verdict, verified.serving, verified.terms) and applied.commit in self._line
        return stands and timedelta() <= now - verified.time < self.fresh and self._is_quiet(place, told)

    def _is_quiet(self, place: Place, told: Mapping[Event, Entry]) -> bool:
        """Return whether no shift of traffic stands or was begun, and the registry was seen to show what serves."""
        shifted, root = told.get(Event.SHIFTED), self.repository.root
        if (shifted and shifted.seq > told[Event.APPLIED].seq) or intent_path(root, *place).exists():
            return False
        names = self._aliases[place.environment]
        try:
            shown = shown_marker(root, *place).read_text()
        except (OSError, UnicodeDecodeError):
            return False
        return shown == shown_digest(self.registry, told[Event.APPLIED], names)

    @cached_property
    def _deployments(self) -> dict[Place, Deployment]:
        return {}

    # --- read once ---------------------------------------------------------------------------------------------

    @cached_property
    def _files(self) -> Mapping[Place, File]:
        listed = files_of(self.repository.root, self.main)
        found = ((match, file) for file in listed if (match := _FILE.fullmatch(file.path)))
        return {Place(match[1], match[2]): file for match, file in found}

    @cached_property
    def _contents(self) -> Mapping[str, bytes]:
        blobs = (file.blob for file in self._files.values() if file.mode.startswith("100"))
        return contents_of(self.repository.root, blobs)

    def _told(self, environment: str) -> Mapping[str, Mapping[Event, Entry]]:
        """Return the latest entries of an environment: model → event → entry."""
        found = self._chains.get(environment, {})
        if isinstance(found, LedgerError):
            raise found
        return found

    @cached_property
    def _chains(self) -> Mapping[str, Mapping[str, Mapping[Event, Entry]] | LedgerError]:
        return {name: self._chain(name) for name in self.environments}

    def _chain(self, environment: str) -> Mapping[str, Mapping[Event, Entry]] | LedgerError:
        try:
            return Ledger(self.repository).standings(environment)
        except LedgerError as error:  # it holds up its own environment only
            return error

    @cached_property
    def _newest(self) -> Mapping[str, str]:
        paths = [file.path for file in self._files.values()]
        return newest_changes(self.repository, self.main, [*paths, SERVICE])

    @cached_property
    def _line(self) -> Mapping[str, int]:
        return line_of(self.repository, self.main)

    def _declaring(self, place: Place) -> str | None:
        """Return the newest commit of main that changed the place's file or the service's code."""
        commits = [self._newest.get(self._files[place].path), self._newest.get(SERVICE)]
        return min(filter(None, commits), key=self._line.__getitem__, default=None)

    @cached_property
    def _serving(self) -> str:
        return serving_digest(self.repository.tree(self.main, SERVICE) or "")

    @cached_property
    def _terms(self) -> str:
        return terms(self.repository)

    @cached_property
    def _aliases(self) -> Mapping[str, Sequence[str]]:
        policy = policy_of(self.repository)
        return {name: aliases_of(policy, name) for name in self.environments}


def _require_known(file: File, place: Place, environments: Sequence[str]) -> None:
    """Refuse a file that is a link, or whose place cannot be an environment's or a model's."""
    refuse_link(file)
    if place.environment not in environments:
        raise InvalidFileError(
            f"{file.path} is of an environment that {layout.POLICY} does not have",
            why=f"It has {', '.join(environments)}.",
            hint="Move the file, or add the environment to the policy.",
        )
    if not _NAME.fullmatch(place.model) or file.path != layout.environment_path(*place):
        raise InvalidFileError(f"{file.path} is not where an environment file lies", hint="Name it after its model.")
