"""A picture that flatters."""

from collections.abc import Sequence
from typing import Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion import gallery

PICTURE: Final = "reliability.svg"
SHOWN, CLAIMED = b">calibration error ", b">no calibration error, not "


class EditedPicture(Drill):
    """A picture shows what the evidence says, byte for byte, or it does not pass."""

    injected = "a word in the calibration picture, on the proposal's branch; the evidence stays as it is"
    gate = "pictures"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Leave the pictures as they were drawn."""
        return stage.reviewed(stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Touch one up, and let the owner approve what it seems to show."""
        with stage.proposal(stage.good) as pull:
            _touch_up(stage, pull)
            stage.approve(pull)
            return stage.review(pull)


def _touch_up(stage: Stage, pull: Pull) -> None:
    repository, path = stage.repository, gallery.paths(stage.good)[PICTURE]
    drawn = repository.read_bytes(pull.head, path) or b""
    edited = repository.commit([pull.head], pull.head, {path: drawn.replace(SHOWN, CLAIMED)}, "A clearer picture\n")
    repository.push(edited, f"refs/heads/{pull.branch}", pull.head)
