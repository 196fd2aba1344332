"""A service that nobody asks."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_ci.drills.watched import CALLS, refused, watched
from towpath_gitops.records.evidence import Verdict


class SilentService(Drill):
    """No traffic is never called healthy."""

    injected = "a service without callers, all of whose golden requests are answered"
    gate = Verdict.INCONCLUSIVE.value

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Call it."""
        stage.crown()
        return refused(watched(stage, CALLS))

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Leave it alone but for the guard's own questions."""
        return refused(watched(stage, 0))
