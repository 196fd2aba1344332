"""A small world with real parts: a bare remote, the clones of an author and an owner, releases in folders, a ledger."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.ledger import Event, Fact, Ledger
from towpath_gitops.errors import NotFoundError
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.change import promote
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.records.artifact import check_artifact, manifest_digest
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import ChangeType, edited, parse_deployment
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict, gate_digest
from towpath_gitops.records.parsing import load_yaml
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature
from towpath_gitops.repository import Repository

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MODEL = """\
name: flights
gates:
  - {metric: roc_auc, min: 0.68}
serve: {p99: 50ms}
"""
POLICY = """\
apiVersion: towpath/v1
kind: Policy
environments:
  - {name: staging, evidence: {evaluation: 7d, comparison: 7d}, approvals: 1}
  - {name: production, evidence: {evaluation: 7d, comparison: 7d}, approvals: 1, soak: 1h}
rollback: {approvals: 1}
"""
DEPLOYMENT = """\
# The owner's own words.
apiVersion: towpath/v1
kind: Deployment
model: flights
environment: ENVIRONMENT
release: null
change: null
hold: null
experiment: null
target: {kind: local, port: 3000, workers: 1} # theirs
rollout: {strategy: switch}
"""
FILES = {
    layout.MODEL: MODEL,
    layout.POLICY: POLICY,
    layout.environment_path("staging", "flights"): DEPLOYMENT.replace("ENVIRONMENT", "staging"),
    layout.environment_path("production", "flights"): DEPLOYMENT.replace("ENVIRONMENT", "production"),
    layout.CODEOWNERS: "/gitops/ grace@example.org Ada@example.org\n",
}
SIGNATURE: dict[str, Any] = {
    "task": "binary",
    "target": "late",
    "classes": ["false", "true"],
    "inputs": [{"name": "carrier", "type": "string"}],
}


class FolderStore:
    """Releases in a folder: the smallest store that keeps the promises of a registry."""

    def __init__(self, root: Path) -> None:
        """Keep everything below `root`."""
        self.root = root

    def releases(self) -> list[Release]:
        """Return what was registered."""
        return [Release.model_validate_json(path.read_text()) for path in sorted(self.root.glob("*/release.json"))]

    def find(self, model: str, selector: str) -> Release:
        """Return the release with an id."""
        found = [release for release in self.releases() if (release.model, release.id) == (model, selector)]
        if not found:
            raise NotFoundError(f"No release {selector}")
        return found[0]

    def folder(self, release: Release) -> Path:
        """Return where the artifact lies."""
        return self.root / str(release.version) / "artifact"

    def fetch(self, release: Release, store: Path) -> Path:
        """Copy the artifact, digest checked."""
        if not self.folder(release).is_dir():
            raise NotFoundError(f"No artifact of {release}")
        check_artifact(self.folder(release), release.artifact)
        target = store / release.artifact[7:]
        shutil.copytree(self.folder(release), target, dirs_exist_ok=True)
        return target

    def evidence(self, release: Release) -> Mapping[Kind, Evidence]:
        """Return the evidence beside the release."""
        paths = (self.root / str(release.version)).glob("evidence-*.json")
        return {item.kind: item for path in paths if (item := Evidence.model_validate_json(path.read_text()))}

    def publish(self, release: Release, evidence: Evidence) -> None:
        """Keep evidence beside the release."""
        path = self.root / str(release.version) / f"evidence-{evidence.kind}.json"
        path.write_text(evidence.model_dump_json(by_alias=True))


@dataclass
class World:
    """Ada proposes, Grace owns, Mallory is nobody."""

    folder: Path
    store: FolderStore
    now: datetime = NOW
    people: dict[str, Repository] = field(default_factory=dict)

    @property
    def ada(self) -> Repository:
        """The author's clone."""
        return self.person("ada")

    @property
    def grace(self) -> Repository:
        """The owner's clone."""
        return self.person("grace")

    def person(self, name: str) -> Repository:
        """Return somebody's view of the author's clone: the same objects, another identity."""
        clone = Repository(self.folder / "ada")
        return clone.acting_as(name.title(), f"{name}@example.org")

    def desk(self, name: str = "ada") -> Desk:
        """Return the desk of a person."""
        repository = self.person(name)
        return Desk(repository, LocalForge(repository, lambda: self.now), self.store, Ledger(repository))

    def register(self, version: int, *, signature: Mapping[str, Any] = SIGNATURE, **fields: Any) -> Release:  # noqa: ANN401 (fields of a release)
        """Train nothing, but register a release with a real artifact and green evidence."""
        folder = self.store.root / str(version) / "artifact"
        folder.mkdir(parents=True)
        (folder / "signature.json").write_text(json.dumps(signature))
        (folder / "model").write_text(str(version))
        release = Release(
            model="flights",
            version=version,
            semver=fields.pop("semver", f"1.{version}.0"),
            artifact=manifest_digest(folder),
            input_schema=Signature.model_validate(signature).digest,
            data=digest_of(version),
            code=f"{version:040x}",
            **fields,
        )
        (folder.parent / "release.json").write_text(release.model_dump_json(by_alias=True))
        for kind in (Kind.EVALUATION, Kind.COMPARISON):
            self.store.publish(release, self.evidence(release, kind))
        return release

    def evidence(self, release: Release, kind: Kind = Kind.EVALUATION, **fields: Any) -> Evidence:  # noqa: ANN401 (fields of evidence)
        """Return green evidence that any field may spoil."""
        finding = Finding(gate="roc_auc ≥ 0.68", verdict=Verdict.PASS, message="It is 0.71", measured=0.71, limit=0.68)
        gates = gate_digest(load_yaml(MODEL, source="model.yaml"), kind)
        values = {"gates": gates, "created": self.now - timedelta(hours=1), "findings": (finding,)}
        return Evidence(kind=kind, model="flights", release=release.id, **(values | fields))

    def push(self, edits: Mapping[str, str | None], message: str = "By hand") -> str:
        """Move main."""
        self.ada.fetch()
        main = self.ada.main()
        data = {path: None if text is None else text.encode() for path, text in edits.items()}
        commit = self.ada.commit([main], main, data, message)
        self.ada.push(commit, "refs/heads/main", main)
        return commit

    def declare(self, environment: str, release: Release) -> None:
        """Let main declare a release, as a merged promotion would, without the way there."""
        path = layout.environment_path(environment, "flights")
        self.ada.fetch()
        text = self.ada.read(self.ada.main(), path) or ""
        deployment = promote(parse_deployment(text, source=path), release, "by hand", None)
        self.push({path: edited(text, deployment, source=path)})

    def record(
        self,
        environment: str,
        release: Release,
        verdict: Verdict = Verdict.PASS,
        *,
        ago: timedelta = timedelta(hours=2),
        applied: bool = True,
    ) -> None:
        """Write into the ledger that a release was applied and verified."""
        self.ada.fetch()
        common = {"time": self.now - ago, "environment": environment, "model": "flights", "release": release.id}
        common |= {"commit": self.ada.main(), "change": ChangeType.PROMOTE}
        facts = [Fact(event=Event.APPLIED, **common)] if applied else []
        Ledger(self.ada).append(*facts, Fact(event=Event.VERIFIED, verdict=verdict, **common))

    def declared(self, environment: str) -> Release | None:
        """Return what main declares."""
        self.ada.fetch()
        path = layout.environment_path(environment, "flights")
        return parse_deployment(self.ada.read(self.ada.main(), path) or "", source=path).declared


@pytest.fixture(scope="session")
def world_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world's git part, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("world")
    for arguments in (
        ("init", "--quiet", "--bare", "--template=", "--initial-branch=main", "remote.git"),
        ("init", "--quiet", "--template=", "--initial-branch=main", "ada"),
        ("-C", "ada", "remote", "add", "origin", "../remote.git"),
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    ada = Repository(folder / "ada").acting_as("Ada", "ada@example.org")
    first = ada.commit([], None, {path: text.encode() for path, text in FILES.items()}, "Begin")
    ada.push(first, "refs/heads/main", None)
    return folder


@pytest.fixture
def world(world_template: Path, tmp_path: Path) -> World:
    """A world of one's own."""
    folder = tmp_path / "world"
    shutil.copytree(world_template, folder)
    return World(folder, FolderStore(tmp_path / "store"))
