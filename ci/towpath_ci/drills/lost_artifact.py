"""A way back to files that are gone."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import STAGING, Stage
from towpath_ci.drills.unsafe_rollback import rolled_back
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.release import Release


class LostArtifact(Drill):
    """A rollback leads to a release whose files can still be fetched."""

    injected = "a rollback to a release that the registry has lost"
    gate = "artifact"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Go back to the release from before."""
        stage.place(stage.peer, STAGING)
        return rolled_back(stage, stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Go back to one that the registry does not hold."""
        lost = Release.model_validate(stage.good.plain() | {"artifact": digest_of("lost")})
        return rolled_back(stage, lost)
