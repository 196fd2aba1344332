"""A release that was sound yesterday."""

from collections.abc import Sequence
from datetime import UTC, datetime

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import MODEL, PRODUCTION, STAGING, Stage
from towpath_gitops.delivery.ledger import Event, Fact, Ledger
from towpath_gitops.delivery.reconcile import reconcile
from towpath_gitops.records.evidence import Verdict


class RevokedVerification(Drill):
    """A red verification upstream takes back what earlier green ones allowed."""

    injected = "a verification in staging that fails, after one that passed"
    gate = "upstream_verified"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose to production what staging has verified."""
        stage.place(stage.peer, STAGING)
        return stage.reviewed(stage.peer, PRODUCTION)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it after a later verification failed; afterwards staging is verified again."""
        _fail(stage)
        try:
            return stage.reviewed(stage.peer, PRODUCTION)
        finally:
            reconcile(stage.repository, stage.registry, STAGING, MODEL)


def _fail(stage: Stage) -> None:
    """Write into the ledger what a reconcile writes that finds wrong answers."""
    ledger = Ledger(stage.repository)
    last = ledger.last(STAGING, MODEL, Event.VERIFIED)
    assert last is not None  # noqa: S101 (narrows the type: the twin has seen it verified)
    said = last.model_dump(include=set(Fact.model_fields))
    ledger.append(Fact.model_validate(said | {"time": datetime.now(UTC), "verdict": Verdict.FAIL}))
