"""A model that ranks well and loses money."""

import shutil
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.records.artifact import SIGNATURE
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.signature import Signature

if TYPE_CHECKING:
    from towpath_flows.project import Project

_ASKED: Final[dict[str, Any]] = {
    "business": {"saved": {"function": "canal.worth:saved", "unit": "EUR"}},
    "gates": [{"metric": "roc_auc", "min": 0.7}, {"metric": "saved", "min": 0}],
}


class LosingModel(Drill):
    """A model that ranks well and loses money by the owner's own measure stays out."""

    injected = "it decides from a probability of 0.01, so that a crew waits for every barge"
    gate = "saved ≥ 0"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Measure the sound release."""
        return _judged(stage, None)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Measure the same trees, deciding otherwise."""
        return _judged(stage, 0.01)


def _judged(stage: Stage, threshold: float | None) -> Sequence[Refusal]:
    from towpath_ci.drills.barges import barges  # noqa: PLC0415 (heavy: not for the command line's start)
    from towpath_flows import stages  # noqa: PLC0415 (as above)
    from towpath_flows.evaluation.judgement import assess_worth  # noqa: PLC0415 (as above)

    artifact = stage.registry.fetch(stage.good, layout.store(stage.root))
    stage.write(barges())
    with chdir(stage.root):
        project = _asking(stages.open_project.fn())
    parts = stages.split.fn(project, stages.validate.fn(project, stages.load.fn(project)))
    with TemporaryDirectory() as folder:
        found = assess_worth(project, _deciding(artifact, Path(folder) / "model", threshold), parts.test)
    return [Refusal(each.gate, each.message) for each in found.findings if each.verdict is not Verdict.PASS]


def _asking(project: "Project") -> "Project":
    from towpath_flows.project import Project  # noqa: PLC0415 (as above)

    return Project(project.root, type(project.spec).model_validate(project.spec.plain() | _ASKED))


def _deciding(artifact: Path, folder: Path, threshold: float | None) -> Path:
    """Copy an artifact to a folder, with another threshold in its signature."""
    shutil.copytree(artifact, folder)
    if threshold is not None:
        signature = parse_json((folder / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)
        changed = signature.model_copy(update={"threshold": threshold})
        (folder / SIGNATURE).write_text(changed.model_dump_json(by_alias=True), encoding="utf-8")
    return folder
