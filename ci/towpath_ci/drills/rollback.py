"""The way back, walked."""

from collections.abc import Sequence
from time import monotonic

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import MODEL, PRODUCTION, STAGING, Stage
from towpath_gitops.delivery.reconcile import Outcome
from towpath_gitops.errors import DeliveryError
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.records.evidence import Verdict


class RehearsedRollback(Drill):
    """A rollback brings the old answers back, byte for byte, and the bad release stays out."""

    injected = "a release that disappoints in production; after its rollback somebody proposes it again"
    gate = "blocked"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Bring a second release to production, by the same way as the first."""
        for environment in (STAGING, PRODUCTION):
            stage.deliver(stage.peer, environment)
        return []

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Roll it back on the real service, check the answers, and propose it again."""
        pull = propose_rollback(stage.desk(), environment=PRODUCTION, model=MODEL, reason="a drill")
        start = monotonic()
        outcome = stage.bring(pull, PRODUCTION)
        took_s = monotonic() - start
        _require_same_bytes(outcome)
        found = stage.reviewed(stage.peer, PRODUCTION)
        return [Refusal(each.by, f"back in {took_s:.1f} s with the same bytes; {each.reason}") for each in found]


def _require_same_bytes(outcome: Outcome) -> None:
    """Refuse to call it a rollback when the old release does not answer exactly as it did before.

    Raises:
        DeliveryError: it answers otherwise, or nobody compared.
    """
    findings = outcome.evidence.findings if outcome.evidence else ()
    if not any(finding.gate == "same answers" and finding.verdict is Verdict.PASS for finding in findings):
        raise DeliveryError(f"After the rollback {outcome.release} did not answer with the bytes of before")
