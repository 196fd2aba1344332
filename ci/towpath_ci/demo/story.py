"""Who and what the story is about, and what its acts ask of the repository."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from towpath_ci.demo.theatre import Person, Theatre
from towpath_flows.spec import ModelSpec, load_spec
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import RefusedError
from towpath_gitops.records.artifact import GOLDEN
from towpath_gitops.records.deployment import parse_deployment
from towpath_gitops.records.golden import Golden
from towpath_gitops.records.parsing import dump_yaml, load_yaml, parse_json, parse_yaml
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release


@dataclass
class Story:
    """A repository at `root`, its people, and what has happened so far."""

    theatre: Theatre
    root: Path
    approver: Person
    promotions: dict[str, list[Release]] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    pulls: int = 0

    @property
    def spec(self) -> ModelSpec:
        """`model.yaml` as it is now."""
        return load_spec(self.root)

    @cached_property
    def environments(self) -> list[str]:
        """The names of the environments, in order of promotion."""
        text = (self.root / layout.POLICY).read_text(encoding="utf-8")
        return [environment.name for environment in parse_yaml(text, Policy, source=layout.POLICY).environments]

    @property
    def port(self) -> int:
        """Where production (the last environment) serves."""
        path = layout.environment_path(self.environments[-1], self.spec.name)
        return parse_deployment((self.root / path).read_text(encoding="utf-8"), source=path).target.port

    def newest_release(self) -> Release:
        """Return the release that was registered last."""
        return Registry(layout.tracking_uri(self.root)).releases(self.spec.name)[0]

    def sample_rows(self) -> list[Mapping[str, Any]]:
        """Return rows to ask the production service for: those of a golden request of what it serves."""
        artifact = self.promotions[self.environments[-1]][-1].artifact
        path = layout.store(self.root) / artifact.removeprefix("sha256:") / GOLDEN
        golden = parse_json(path.read_bytes(), Golden, source=str(path))
        return [dict(row) for row in golden.cases[0].rows]

    def promote(self, release: Release, environment: str, reason: str, *, show_refusal: bool = False) -> None:
        """Bring a release into an environment: propose, approve, merge, reconcile."""
        run = self.theatre.towpath
        run("promote", release.short_id, "--to", environment, "--reason", reason)
        pull = self.next_pull()
        if show_refusal:
            self.theatre.say("Nobody has approved yet, so the review refuses:")
            run("review", pull, expect=RefusedError.exit_code)
        self.settle(pull, environment, show_review=show_refusal)
        self.promotions.setdefault(environment, []).append(release)

    def settle(self, pull: str, environment: str, *, show_review: bool = False) -> None:
        """Let the approver approve a pull request, merge it, and bring its environment to what main then says."""
        self.theatre.towpath("approve", pull, by=self.approver)
        if show_review:
            self.theatre.towpath("review", pull)
        self.theatre.towpath("merge", pull)
        self.theatre.towpath("reconcile", "--environment", environment)

    def next_pull(self) -> str:
        """Return the number of the pull request that was just opened: the forge counts from one."""
        self.pulls += 1
        return str(self.pulls)

    def edit_spec(self, change: Callable[[Any], None], message: str) -> None:
        """Edit `model.yaml` as its owner would, comments and all kept, and commit it."""
        path = self.root / layout.MODEL
        document = load_yaml(path.read_text(encoding="utf-8"), source=layout.MODEL)
        change(document)
        path.write_text(dump_yaml(document), encoding="utf-8")
        self.theatre.run("git", "--no-pager", "diff", "--unified=0", layout.MODEL)
        self.theatre.run("git", "commit", "--quiet", "--all", f"--message={message}")

    @contextmanager
    def branch(self, name: str) -> Iterator[None]:
        """Work on a branch of one's own, and come back to main."""
        self.theatre.run("git", "switch", "--quiet", "--create", name)
        yield
        self.theatre.run("git", "switch", "--quiet", "main")


def shown_json(value: object) -> str:
    """Return a value as people read JSON in a terminal."""
    return json.dumps(value, indent=2, ensure_ascii=False)
