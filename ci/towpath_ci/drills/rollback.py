"""The way back, walked."""

from collections.abc import Sequence
from time import monotonic, sleep
from typing import Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.callers import calling
from towpath_ci.drills.stage import MODEL, PRODUCTION, STAGING, Stage
from towpath_gitops.delivery.reconcile import Outcome
from towpath_gitops.errors import DeliveryError
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.records.evidence import Verdict

_AFTERWARDS_S: Final = 0.2  # so that some requests come after the swap, too


class RehearsedRollback(Drill):
    """A rollback under load loses no request, brings the old answers back, and the bad release stays out."""

    injected = "a release that disappoints in production; after its rollback somebody proposes it again"
    gate = "blocked"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Bring a second release to production, by the same way as the first."""
        for environment in (STAGING, PRODUCTION):
            stage.place(stage.peer, environment)
        return []

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Roll it back on the real service while callers ask it, check the answers, and propose it again."""
        pull = propose_rollback(stage.desk(), environment=PRODUCTION, model=MODEL, reason="a drill")
        with calling(stage.port(PRODUCTION), stage.request(stage.good)) as calls:
            stage.merge(pull)
            merged_s = monotonic()
            outcome = stage.reconcile(PRODUCTION)
            sleep(_AFTERWARDS_S)
        took_s = calls.back_after_s(merged_s, stage.good.id)
        _require_same_bytes(outcome)
        found = stage.reviewed(stage.peer, PRODUCTION)
        told = f"back after {took_s:.2f} s with the same bytes, 0 of {len(calls.made)} requests failed"
        return [Refusal(each.by, f"{told}; {each.reason}") for each in found]


def _require_same_bytes(outcome: Outcome) -> None:
    """Refuse to call it a rollback when the old release does not answer exactly as it did before.

    Raises:
        DeliveryError: it answers otherwise, or nobody compared.
    """
    findings = outcome.evidence.findings if outcome.evidence else ()
    if not any(finding.gate == "same answers" and finding.verdict is Verdict.PASS for finding in findings):
        raise DeliveryError(f"After the rollback {outcome.release} did not answer with the bytes of before")
