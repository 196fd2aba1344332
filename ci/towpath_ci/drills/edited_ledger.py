"""A ledger that remembers something else."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.ledgers import audited, forged
from towpath_ci.drills.stage import Stage
from towpath_gitops.errors import LedgerError


class EditedLedger(Drill):
    """A line of the ledger in which one word is another is found."""

    injected = "a verdict in the ledger's branch is edited"
    gate = LedgerError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Check the ledger as it was written."""
        return audited(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Check it after an edit."""
        with forged(stage, lambda lines: [line.replace(b'"pass"', b'"fail"') for line in lines]):
            return audited(stage)
