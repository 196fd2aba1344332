"""A release that passes every check and then fails those who call it."""

from collections.abc import Sequence
from time import monotonic

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import MODEL, PRODUCTION, Stage
from towpath_ci.drills.watched import CALLS, declare, faulty, refused, watched
from towpath_gitops.delivery.guard import State
from towpath_gitops.delivery.reconcile import reconcile
from towpath_gitops.errors import DeliveryError


class HarmfulRelease(Drill):
    """A release that fails its callers is taken back by the guard, and main is asked to follow."""

    injected = "a release that answers its golden requests and fails on a row that no test holds"
    gate = "guard"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Ask the release that serves for the same row."""
        stage.crown()
        return refused(watched(stage, CALLS))

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Deliver a faulty release to production, call it, and let main follow the guard."""
        declare(stage, faulty(stage))
        reconcile(stage.repository, stage.registry, PRODUCTION, MODEL)
        start = monotonic()
        look = watched(stage, CALLS)
        took_s = monotonic() - start
        if look.state is not State.DIVERGED or look.pull is None or look.release is None:
            return []
        pull = stage.desk().forge.get(look.pull)
        outcome = stage.bring(pull, PRODUCTION)
        if outcome.changed or outcome.release != look.release:
            raise DeliveryError("Traffic moved again when main followed the guard")
        figures = look.judgements["champion"].figures
        return [Refusal("guard", f"{figures}; back in {took_s:.1f} s, asked for by pull request #{pull.number}")]
