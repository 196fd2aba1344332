"""Rows that nobody should learn from, one fault for each rule of `quality` in model.yaml.

None of them needs a training: the rules are asked about the rows, beside those of the good release where they compare.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from towpath_ci.drills.barges import barges
from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage

if TYPE_CHECKING:
    import pandas as pd


class UnfitData(Drill):
    """Rows that break a rule; subclasses say which, and how."""

    spec: ClassVar[dict[str, Any]] = {}
    quality: ClassVar[dict[str, Any]] = {}

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Examine sound rows; those of most drills are the same."""
        if not (self.spec or self.quality):
            return stage.unremarkable
        return stage.examined(self.sound(barges()), self.spec, self.quality)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Examine rows with the fault."""
        return stage.examined(self.unfit(self.sound(barges())), self.spec, self.quality)

    def sound(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return rows that the rule should pass."""
        return frame

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return the rows with the fault."""
        raise NotImplementedError


class CopiedTarget(UnfitData):
    """A feature that is the target under another name is not learned from."""

    injected = "a feature holds the target itself"
    gate = "leakage"

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Let the number of locks be the answer."""
        return frame.assign(locks=frame["late"].astype(int))


class FutureValue(UnfitData):
    """A feature that tells of a later row is not learned from."""

    injected = "a feature holds the target of the next row in time"
    gate = "leakage"

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Let the number of locks be the next barge's answer."""
        return frame.assign(locks=frame["late"].shift(-1, fill_value=False).astype(int))


class CopiedTestRows(UnfitData):
    """A test that repeats what was learned is no test."""

    injected = "a third of the rows are copies, dealt to training and test alike"
    gate = "overlap"
    spec: ClassVar[dict[str, Any]] = {"time": None, "exclude": ("answer", "at")}

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Let the last third be the first."""
        return _copied(frame)


class RepeatedRows(UnfitData):
    """Rows that are there twice count twice."""

    injected = "a third of the rows are there twice"
    gate = "duplicates"

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Let the last third be the first."""
        return _copied(frame)


class RepeatedNames(UnfitData):
    """Two rows of one name cannot both be right."""

    injected = "a third of the barges bear the name of another"
    gate = "uniqueness"
    quality: ClassVar[dict[str, Any]] = {"uniqueness": {"columns": ["barge"]}}

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Name the last third as the first."""
        return frame.assign(barge=_copied(frame)["barge"])


class LostValues(UnfitData):
    """A column that goes silent is noticed."""

    injected = "wind is missing in most rows; in the last release it was there"
    gate = "completeness"

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Keep every third value."""
        return frame.assign(wind=frame["wind"].where(frame.index % 3 == 0))


class ChangedUnit(UnfitData):
    """A number in another unit is another number."""

    injected = "distances in metres instead of kilometres"
    gate = "range"

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Measure in metres."""
        return frame.assign(distance=frame["distance"] * 1000)


class NewCategories(UnfitData):
    """Words that the last release never saw are not learned from unseen."""

    injected = "cargo is spelled otherwise in every other row"
    gate = "growth"

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Shout every other cargo."""
        return frame.assign(cargo=frame["cargo"].where(frame.index % 2 == 0, frame["cargo"].str.upper()))


class ShortDelivery(UnfitData):
    """A delivery of data that is cut short is no month with little traffic."""

    injected = "two thirds of the rows are not there"
    gate = "volume"

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Keep the first third."""
        return frame.iloc[: len(frame) // 3]


class OldRows(UnfitData):
    """Rows that nobody renewed are not taken for today's."""

    injected = "the newest row is ninety days old, and a week is allowed"
    gate = "freshness"
    quality: ClassVar[dict[str, Any]] = {"freshness": "7d"}

    def sound(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Let the newest row be an hour old."""
        age = datetime.now(UTC) - timedelta(hours=1) - frame["at"].max()
        return frame.assign(at=(frame["at"] + age).dt.as_unit("us"))

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Put every row ninety days back."""
        return frame.assign(at=frame["at"] - timedelta(days=90))


class BrokenFeed(UnfitData):
    """Rows of another world than the last release's are looked at before they are learned from."""

    injected = "three of four features have moved far at once"
    gate = "drift"

    def unfit(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Move them, within their ranges."""
        return frame.assign(cargo="coal", distance=frame["distance"] / 3, locks=frame["locks"] // 4)


def _copied(frame: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415 (heavy: not for the command line's start)

    third = len(frame) // 3
    return pd.concat([frame.iloc[:-third], frame.iloc[:third]], ignore_index=True)
