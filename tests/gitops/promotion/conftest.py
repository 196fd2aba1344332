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
from towpath_gitops.forges.base import Pull
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.change import promote
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposal import propose_promotion
from towpath_gitops.promotion.review import merge_reviewed, review
from towpath_gitops.records.artifact import check_artifact, manifest_digest
from towpath_gitops.records.base import digest_of, short
from towpath_gitops.records.deployment import ChangeType, edited, parse_deployment
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict, gate_digest
from towpath_gitops.records.figures import ComparisonFigures
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.load import LoadFigures
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


_FOOTPRINT: dict[str, Any] = {"engine": "onnx", "one_row_ms": 0.03, "hundred_rows_ms": 1.2, "cpu_s_per_million": 12.0}
_FOOTPRINT |= {"artifact_bytes": 250_000, "memory_bytes": 12_300_000}
_BINS = [{"predicted": 0.15, "observed": 0.2, "rows": 700}, {"predicted": 0.6, "observed": 0.55, "rows": 300}]
# A comparison with everything in it.
COMPARED: dict[str, Any] = {
    "rivals": {
        "task": "binary",
        "rows": 28000,
        "window": ["2013-04-01T00:00:00+00:00", "2013-05-31T23:00:00+00:00"],
        "metrics": [
            {
                "metric": "roc_auc",
                "label": "ROC AUC",
                "greater_is_better": True,
                "champion": 0.6512,
                "challenger": 0.7023,
                "difference": 0.0511,
                "interval": [0.0411, 0.0612],
                "margin": 0.01,
            },
            {
                "metric": "log_loss",
                "label": "log loss",
                "greater_is_better": False,
                "champion": 0.4,
                "challenger": 0.42,
                "difference": 0.02,
                "interval": [0.01, 0.03],
            },
        ],
        "replay": {
            "rows": 10000,
            "digest": digest_of("replay"),
            "window": ["2013-04-01T00:00:00+00:00", "2013-05-31T23:00:00+00:00"],
            "unanswered": 3,
            "flips": 1234,
            "corrected": 700,
            "spoiled": 534,
            "segments": [
                {"column": "origin", "value": "JFK", "rows": 3000, "flips": 600, "interval": [0.18, 0.21]},
                {"column": "origin", "value": "LGA", "rows": 7000, "flips": 634, "interval": [0.08, 0.1]},
            ],
        },
        "champion": {"error": 0.012, "interval": [0.008, 0.019], "bins": _BINS},
        "challenger": {"error": 0.034, "interval": [0.028, 0.041], "bins": _BINS},
    },
    "footprints": {"champion": _FOOTPRINT, "challenger": _FOOTPRINT | {"one_row_ms": 0.045}},
    "price": {"amount": 0.036, "currency": "USD"},
}
# The least that the figures of each kind hold.
_DETAILS: dict[Kind, dict[str, Any]] = {
    Kind.EVALUATION: {"rows": 100, "window": [None, None], "metrics": {}},
    Kind.COMPARISON: {
        "silence": "There is no champion",
        "footprints": {"challenger": _FOOTPRINT},
    },
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

    def signature(self, release: Release) -> bytes | None:
        """Return the signature beside the release."""
        path = self.root / str(release.version) / "release.sig"
        return path.read_bytes() if path.exists() else None

    def images(self, release: Release) -> list[ImageRecord]:
        """Return the records of images beside the release, newest first."""
        paths = (self.root / str(release.version)).glob("image-*.json")
        found = [ImageRecord.model_validate_json(path.read_text()) for path in paths]
        return sorted(found, key=lambda record: record.created, reverse=True)

    def publish_image(self, release: Release, record: ImageRecord) -> None:
        """Keep the record of an image beside the release."""
        path = self.root / str(release.version) / f"image-{short(record.digest)}.json"
        path.write_text(record.model_dump_json(by_alias=True))

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
            code=fields.pop("code", f"{version:040x}"),
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
        values["details"] = _DETAILS.get(kind, {})
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

    def promote(self, release: Release, environment: str = "staging", **options: Any) -> Pull:  # noqa: ANN401 (as above)
        """Let Ada propose a promotion."""
        fields = {"environment": environment, "release": release, "reason": "retrain", "now": self.now}
        return propose_promotion(self.desk(), **(fields | options))

    def amend(self, pull: Pull, edits: Mapping[str, Any], who: str = "ada") -> None:
        """Put a commit on top of a proposal's branch; a function edits the file's text, None removes it."""
        repository = self.person(who)
        repository.fetch()
        head = repository.tip(f"refs/heads/{pull.branch}") or ""
        data = {}
        for path, edit in edits.items():
            text = edit(repository.read(head, path)) if callable(edit) else edit
            data[path] = None if text is None else text.encode()
        repository.push(repository.commit([head], head, data, "Amend"), f"refs/heads/{pull.branch}", head)

    def rules(self, pull: Pull) -> set[str]:
        """Return the rules by which review refuses a pull request now."""
        return {reason.rule for reason in review(self.desk(), pull.number, now=self.now).reasons}

    def merge(self, pull: Pull) -> Pull:
        """Let Grace approve and Ada merge."""
        self.desk("grace").forge.approve(pull.number)
        return merge_reviewed(self.desk(), pull.number, now=self.now)

    def policy(self, old: str, new: str) -> None:
        """Edit main's policy."""
        self.ada.fetch()
        text = self.ada.read(self.ada.main(), layout.POLICY) or ""
        assert old in text
        self.push({layout.POLICY: text.replace(old, new)})

    def declared(self, environment: str) -> Release | None:
        """Return what main declares."""
        self.ada.fetch()
        path = layout.environment_path(environment, "flights")
        return parse_deployment(self.ada.read(self.ada.main(), path) or "", source=path).declared


@pytest.fixture
def loaded() -> LoadFigures:
    """Return what a load test found, with everything in it: two services that were really driven."""
    return LoadFigures.model_validate_json((Path(__file__).parent / "load.json").read_bytes())


@pytest.fixture
def compared() -> ComparisonFigures:
    """Return what a comparison of two releases found, with everything in it."""
    return ComparisonFigures.model_validate(COMPARED)


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


@pytest.fixture(scope="session")
def served_template(world_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world in which the first release ran everywhere, the second runs, and a third is ready for staging."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(world_template, folder / "world")
    world = World(folder / "world", FolderStore(folder / "store"))
    first, second, third = (world.register(version) for version in (1, 2, 3))
    for environment in ("staging", "production"):
        for release, ago in ((first, 4), (second, 3)):
            world.declare(environment, release)
            world.record(environment, release, ago=timedelta(hours=ago))
    for release in (first, third):
        world.store.publish(release, world.evidence(release, Kind.COMPARISON, champion=second.id))
    return folder


@pytest.fixture
def served_world(served_template: Path, tmp_path: Path) -> World:
    """A world of one's own in which two releases have served and a third is ready."""
    shutil.copytree(served_template, tmp_path, dirs_exist_ok=True)
    return World(tmp_path / "world", FolderStore(tmp_path / "store"))
