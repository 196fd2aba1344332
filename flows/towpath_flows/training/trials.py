"""What a search tried, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from towpath_flows.training_spec import Framework, Value


@dataclass(frozen=True)
class Trial:
    """One set of parameters that was tried; `loss` and `rounds` are means over folds, None where it was given up.

    `worker` is the address of the cluster's worker that fitted it; None where this process did.
    """

    number: int
    framework: Framework
    params: Mapping[str, Value]
    loss: float | None
    seconds: float
    rounds: int | None = None
    began: datetime | None = None
    worker: str | None = None


@dataclass(frozen=True)
class TuneResult:
    """The best parameters, and everything that was tried.

    `rounds` is the mean over folds of the round after which nothing was gained: one fold alone, a month unlike the
    others, may stop after a handful. None where nothing was tried: one framework, and no trials.
    """

    framework: Framework
    params: Mapping[str, Value]
    loss: float | None
    trials: tuple[Trial, ...]
    rounds: int | None = None

    @property
    def losses(self) -> dict[Framework, float]:
        """The least loss of each framework that was tried to the end, best first."""
        tried = sorted((trial.loss, trial.framework) for trial in self.trials if trial.loss is not None)
        least: dict[Framework, float] = {}
        for loss, framework in tried:
            least.setdefault(framework, loss)
        return least
