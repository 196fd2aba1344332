"""Features that nobody should serve, one fault for each of `train.checks` in model.yaml; and a graph out of step.

None of them needs a whole training: a few trees on a few rows are enough to be looked at.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

from towpath_ci.drills.barges import barges
from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops.records.evidence import Finding, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from towpath_flows.data import Splits
    from towpath_flows.project import Project
    from towpath_flows.training import Model

_ROWS = 1200


class OddFeature(Drill):
    """A feature that looks wrong; subclasses say how, in the rows or in model.yaml."""

    faulty_spec: ClassVar[dict[str, Any]] = {}

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Look at sound features, as strictly."""
        return _refusals(_fitted(_project(stage, {}), barges(rows=_ROWS))[0].findings)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Look at features with the fault."""
        return _refusals(_fitted(_project(stage, self.faulty_spec), self.odd(barges(rows=_ROWS)))[0].findings)

    def odd(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return the rows with the fault."""
        return frame


class ConstantFeature(OddFeature):
    """A feature that is the same everywhere says nothing."""

    injected = "every barge has five locks before it"
    gate = "feature constant"

    def odd(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Let every barge have five locks."""
        return frame.assign(locks=5)


class CopiedFeature(OddFeature):
    """A feature that is another one once more says nothing new."""

    injected = "the wind is the distance"
    gate = "feature duplicate"

    def odd(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Let the wind be the distance."""
        return frame.assign(wind=frame["distance"])


class EmptyFeature(OddFeature):
    """A feature that is missing everywhere is a join that failed."""

    injected = "the wind is missing in every row"
    gate = "feature missing"

    def odd(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Lose every wind."""
        return frame.assign(wind=float("nan"))


class ExplodingColumn(OddFeature):
    """A name that is another in every row is no category."""

    injected = "the barges' own names are a feature"
    gate = "feature cardinality"
    faulty_spec: ClassVar[dict[str, Any]] = {"entity": None}


class SkewedServing(Drill):
    """A graph that does not answer raw rows as training does is not served."""

    injected = "the transformer was fitted again, in other units, after the graph was made"
    gate = "training-serving skew"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Ask a model and its own graph."""
        return self._asked(stage, 1)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Ask the graph, and the model with a transformer that learned from tenths of the distances."""
        return self._asked(stage, 10)

    @staticmethod
    def _asked(stage: Stage, divisor: float) -> Sequence[Refusal]:
        from towpath_bento.engines import open_engine  # noqa: PLC0415 (heavy: only drills that train need it)
        from towpath_flows.feature_spec import ClipFeature  # noqa: PLC0415 (as above)
        from towpath_flows.training import Features, export  # noqa: PLC0415 (as above)
        from towpath_flows.training.preparation import transformer  # noqa: PLC0415 (as above)
        from towpath_flows.training.skew import compare_paths  # noqa: PLC0415 (as above)

        project = _project(stage, {"features": (ClipFeature(clip="distance"),)})
        model, parts = _fitted(project, barges(rows=_ROWS))
        features = Features(model.signature)
        x, y = features.prepare(parts.development.assign(distance=parts.development["distance"] / divisor))
        again = replace(model, pipeline=transformer(project, features, x).fit(x, y))
        with TemporaryDirectory() as folder:
            exported = export(model, parts, Path(folder))
            engine = open_engine(Path(folder), exported.signature)
            return _refusals([compare_paths(engine, again, parts.test)])


def _project(stage: Stage, changes: dict[str, Any]) -> "Project":
    """Return the drills' project with every check on features as strict as can be."""
    from towpath_flows.project import Project  # noqa: PLC0415 (as above)
    from towpath_flows.training_spec import FeatureChecks  # noqa: PLC0415 (as above)

    project = Project.open(stage.root)
    strict = FeatureChecks(constant="refuse", duplicate="refuse", missing="refuse", cardinality="refuse")
    train = project.spec.train.model_copy(update={"checks": strict})
    return Project(project.root, project.spec.model_copy(update={"train": train, **changes}))


def _fitted(project: "Project", frame: "pd.DataFrame") -> "tuple[Model, Splits]":
    from towpath_flows.data import split  # noqa: PLC0415 (as above)
    from towpath_flows.training import TuneResult, fit  # noqa: PLC0415 (as above)
    from towpath_flows.training.trainers import TRAINERS  # noqa: PLC0415 (as above)

    parts = split(project, frame)
    return fit(project, parts, TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, (), rounds=5)), parts


def _refusals(findings: Sequence[Finding]) -> Sequence[Refusal]:
    return [Refusal(found.gate, found.message) for found in findings if found.verdict is Verdict.FAIL]
