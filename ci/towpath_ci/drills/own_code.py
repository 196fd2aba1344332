"""Code of an owner's that a release carries: as it was approved, and as it was reviewed in git."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from towpath_ci.drills.barges import barges
from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.delivery.athand import AtHand
from towpath_gitops.delivery.owners_code import fetch_reviewed
from towpath_gitops.errors import DigestMismatchError
from towpath_gitops.records.artifact import CODE, SIGNATURE, manifest_digest
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import LanePointer
from towpath_gitops.records.signature import Signature

STEPS = "canal.steps:build"
_MODULE = Path(CODE, "canal", "units.py")
_ROWS = 600


class AlteredCode(Drill):
    """Code in a release that is not the approved one is refused before anything of it runs."""

    injected = "a module that the release carries writes a file when it is imported"
    gate = DigestMismatchError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Bring a release with its own code to where it answers its golden requests."""
        return self._opened(stage, "")

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Do so after a module was altered, and look whether it ran."""
        with TemporaryDirectory(prefix="towpath-drill-") as folder:
            canary = Path(folder, "canary")
            try:
                return self._opened(stage, f"\nopen({str(canary)!r}, 'w').close()\n")
            except DigestMismatchError as error:
                return [] if canary.exists() else [Refusal(self.gate, error.what)]

    @staticmethod
    def _opened(stage: Stage, more: str) -> Sequence[Refusal]:
        from towpath_bento import lane  # noqa: PLC0415 (heavy: only drills that serve need it)

        with TemporaryDirectory(prefix="towpath-drill-") as folder:
            trained(stage, Path(folder))
            approved = manifest_digest(Path(folder))
            with Path(folder, _MODULE).open("a", encoding="utf-8") as file:
                file.write(more)
            lane.load(LanePointer(release=stage.good.id, artifact=approved, path=folder))
        return []


class UnreviewedCode(Drill):
    """A release whose code is not that of its commit is not brought to where it would run."""

    injected = "a release with all digests right carries a module that its commit does not hold"
    gate = DigestMismatchError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Fetch a release that carries what its commit holds."""
        return self._fetched(stage, "")

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Fetch one that carries something else, registered by somebody who got every digest right."""
        return self._fetched(stage, "\nKNOT = 1.0\n")

    @staticmethod
    def _fetched(stage: Stage, more: str) -> Sequence[Refusal]:
        with TemporaryDirectory(prefix="towpath-drill-") as scratch:
            folder = Path(scratch, "model")
            trained(stage, folder)
            with (folder / _MODULE).open("a", encoding="utf-8") as file:
                file.write(more)
            signature = parse_json((folder / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)
            signature = signature.model_copy(update={"code": manifest_digest(folder / CODE)})
            (folder / SIGNATURE).write_text(signature.model_dump_json(by_alias=True), encoding="utf-8")
            artifact = manifest_digest(folder)
            place = layout.store(stage.root) / artifact.removeprefix("sha256:")
            shutil.copytree(folder, place, dirs_exist_ok=True)
        release = stage.good.model_copy(update={"artifact": artifact, "code": stage.repository.head()})
        try:
            fetch_reviewed(AtHand(stage.registry, only_here=True), stage.repository, release)
        finally:
            shutil.rmtree(place)
        return []


def trained(stage: Stage, folder: Path) -> None:
    """Write the artifact of a small model with a step of the repository's own into `folder`."""
    from towpath_flows.data import split  # noqa: PLC0415 (heavy: only drills that train need it)
    from towpath_flows.project import Project  # noqa: PLC0415 (as above)
    from towpath_flows.training import TuneResult, export, fit  # noqa: PLC0415 (as above)
    from towpath_flows.training.trainers import TRAINERS  # noqa: PLC0415 (as above)

    project = Project.open(stage.root)
    project = Project(project.root, project.spec.model_copy(update={"features": STEPS}))
    parts = split(project, barges(rows=_ROWS))
    model = fit(project, parts, TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, (), rounds=5))
    export(model, parts, folder, project.root / "src")
