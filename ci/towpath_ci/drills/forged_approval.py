"""An approval that nobody gave."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import AUTHOR, OWNER, Stage
from towpath_gitops.forges.base import Pull
from towpath_gitops.forges.local import APPROVES, PULLS


class ForgedApproval(Drill):
    """Authors approve neither in their own name nor in another's."""

    injected = "the author approves, once as themselves and once as the owner"
    gate = "approvals"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Let the owner approve."""
        return stage.reviewed(stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Approve as the author, then write an approval that claims to be the owner's."""
        with stage.proposal(stage.good) as pull:
            stage.desk(AUTHOR).forge.approve(pull.number)
            _forge(stage, pull)
            return stage.review(pull)


def _forge(stage: Stage, pull: Pull) -> None:
    """Write what an approval looks like: the owner as its author, though the author wrote it."""
    stage.repository.fetch()
    ref = f"{PULLS}{pull.number}"
    tip = stage.repository.tip(ref)
    claim = {"GIT_AUTHOR_NAME": OWNER[0], "GIT_AUTHOR_EMAIL": OWNER[1]}
    message = f"Approve\n\n{APPROVES}: {pull.head}\n"
    forged = stage.repository.git.text(
        "commit-tree", f"{tip}^{{tree}}", "-p", str(tip), "-F", "-", stdin=message.encode(), environment=claim
    )
    stage.repository.push(forged, ref, tip)
