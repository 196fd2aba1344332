"""Evidence that was true once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage

LATER: Final = timedelta(days=31)  # one more than the fixture's policy allows


class ExpiredEvidence(Drill):
    """Evidence that is too old no longer counts."""

    injected = "31 days pass between training and review; the policy allows 30"
    gate = "evidence_expired"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Review today."""
        return stage.reviewed(stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Review the same pull request a month later."""
        with stage.proposal(stage.good) as pull:
            stage.approve(pull)
            return stage.review(pull, now=datetime.now(UTC) + LATER)
