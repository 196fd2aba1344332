"""Known-bad models for the behaviour checks: functions of a few columns, so that nothing needs to be trained.

Every check has a drill here or in the files beside it; its known-good twin is asked in all three tasks.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.signature import Column, Signature, Task

if TYPE_CHECKING:
    from towpath_flows.evaluation.checks import Subject

Columns = Mapping[str, Any]  # name → array (n, 1)
ROWS: Final = 400
CLASSES: Final[Mapping[Task, tuple[str, ...] | None]] = {
    "binary": ("on time", "late"),
    "multiclass": ("early", "late", "on time"),
    "regression": None,
}
INPUTS: Final = (
    Column(name="cargo", type="string", categories=("coal", "grain", "timber")),
    Column(name="skipper", type="string"),
    Column(name="distance", type="number", minimum=1.0, maximum=100.0),
    Column(name="wind", type="number", minimum=0.0, nullable=True),
    Column(name="locks", type="integer", minimum=0, maximum=30),
    Column(name="night", type="boolean"),
)


class BehaviourDrill(Drill):
    """A model that misbehaves in one way; `check` names who must see it."""

    check: ClassVar[str]
    task: ClassVar[Task] = "binary"
    expected: ClassVar[Mapping[str, Any]] = {}  # `behaviour` of model.yaml, for model and twin alike

    def __init_subclass__(cls) -> None:
        """Name the gate after the check."""
        cls.gate = f"behaviour {cls.check}" if hasattr(cls, "check") else ""

    @abstractmethod
    def predict(self, columns: Columns) -> Any:  # noqa: ANN401 (an array, whatever shape it may have)
        """Answer as the known-bad model does."""

    def good(self, stage: Stage) -> Sequence[Refusal]:  # noqa: ARG002 (nothing is needed of it)
        """Ask sober models of all three tasks."""
        tasks: tuple[Task, ...] = ("binary", "multiclass", "regression")
        return [refusal for task in tasks for refusal in self._asked(subject(task, self.expected))]

    def bad(self, stage: Stage) -> Sequence[Refusal]:  # noqa: ARG002 (as above)
        """Ask the known-bad model."""
        return self._asked(self.spoilt(subject(self.task, self.expected)))

    def spoilt(self, sound: "Subject") -> "Subject":
        """Return the subject with the fault in it: by default, with the known-bad model inside."""
        from dataclasses import replace  # noqa: PLC0415 (only here)

        return replace(sound, predict=self.predict)

    def _asked(self, asked: "Subject") -> list[Refusal]:
        from towpath_flows.evaluation.checks import behave  # noqa: PLC0415 (heavy: not for the command line's start)

        findings = behave(asked, (self.check,)).findings
        return [Refusal(found.gate, found.message) for found in findings if found.verdict is not Verdict.PASS]


def rows(seed: int) -> dict[str, Any]:
    """Return 400 rows of barges, each column (n, 1) as engines take them."""
    import numpy as np  # noqa: PLC0415 (heavy: not for the command line's start)

    random = np.random.default_rng(seed)
    wind = np.where(random.random(ROWS) < 0.1, np.nan, random.uniform(1, 25, ROWS))  # noqa: PLR2004 (one in ten)
    skippers = np.array([f"skipper {number}" for number in random.integers(0, 50, ROWS)], dtype=object)
    return {
        "cargo": random.choice(["coal", "grain", "timber"], ROWS).astype(object).reshape(-1, 1),
        "skipper": skippers.reshape(-1, 1),
        "distance": random.uniform(1, 100, ROWS).astype(np.float32).reshape(-1, 1),
        "wind": wind.astype(np.float32).reshape(-1, 1),
        "locks": random.integers(0, 31, ROWS).astype(np.float32).reshape(-1, 1),
        "night": (random.random(ROWS) < 0.5).astype(np.float32).reshape(-1, 1),  # noqa: PLR2004 (every other)
    }


def sober(columns: Columns) -> Any:  # noqa: ANN401 (an array (n, 1))
    """Return a chance that rises with distance, wind and coal, moderately, whatever it is asked."""
    import numpy as np  # noqa: PLC0415 (as above)

    wind = np.clip(np.nan_to_num(columns["wind"], posinf=30, neginf=0), 0, 30)
    burden = 0.6 * np.clip(columns["distance"], 0, 100) / 100 + 0.2 * wind / 30 + 0.1 * (columns["cargo"] == "coal")
    return (0.05 + burden).astype(np.float64)


def answers(task: Task, columns: Columns) -> Any:  # noqa: ANN401 (an array (n, k))
    """Return the sober answers of a task."""
    import numpy as np  # noqa: PLC0415 (as above)

    chance = sober(columns)
    if task == "multiclass":
        return np.hstack([(1 - chance) / 3, chance, 2 * (1 - chance) / 3])
    return chance * 100 if task == "regression" else chance


def truth(task: Task, columns: Columns, seed: int) -> Any:  # noqa: ANN401 (an array (n,))
    """Return what came true, after the sober chance and some luck."""
    import numpy as np  # noqa: PLC0415 (as above)

    random, given = np.random.default_rng(seed), answers(task, columns)
    if task == "regression":
        return given[:, 0] + random.normal(0, 5, len(given))
    luck = random.random((len(given), 1))
    return (luck < given)[:, 0].astype(int) if task == "binary" else (luck > np.cumsum(given, axis=1)).sum(axis=1)


def subject(task: Task, expected: Mapping[str, Any]) -> "Subject":
    """Return a sober model of a task, with rows that it learned and rows that it did not."""
    from datetime import timedelta  # noqa: PLC0415 (as above)

    from towpath_flows.evaluation.checks import Labelled, Subject  # noqa: PLC0415 (as above)
    from towpath_flows.evidence_spec import BehaviourSpec  # noqa: PLC0415 (as above)

    asked, learned = rows(1), rows(2)
    signature = Signature(task=task, target="late", classes=CLASSES[task], inputs=INPUTS)
    return Subject(
        signature,
        lambda columns: answers(task, columns),
        asked,
        expected=BehaviourSpec.model_validate(expected),
        truth=truth(task, asked, 3),
        learned=Labelled(learned, truth(task, learned, 4)),
        reopen=lambda: (signature, lambda columns: answers(task, columns)),
        latency=timedelta(milliseconds=20),
    )


class UnrulyModel(Drill):
    """A release that listens to a column that must not matter stays out."""

    injected = "model.yaml says that cargo must not matter; the model listens to it"
    gate = "behaviour"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose the release of which nobody expects that."""
        return stage.sound

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Expect it, train as before, and propose the release."""
        with stage.branch("unruly", layout.MODEL, "behaviour: {", "behaviour: {ignored: [cargo], "):
            unruly = stage.train()
        return stage.reviewed(unruly)
