"""A ledger that has forgotten something."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.ledgers import audited, forged
from towpath_ci.drills.stage import Stage
from towpath_gitops.errors import LedgerError


class ShortenedLedger(Drill):
    """A line that is taken from the ledger's end, where no other follows it, is missed."""

    injected = "the ledger's last line is removed"
    gate = LedgerError.__name__

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Check the ledger as it was written."""
        return audited(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Check it without its last line."""
        with forged(stage, lambda lines: lines[:-1]):
            return audited(stage)
