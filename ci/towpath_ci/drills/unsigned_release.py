"""A release that nobody vouches for."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.signing import asking, key_pair, signed
from towpath_ci.drills.stage import Stage


class UnsignedRelease(Drill):
    """Where the policy asks for signatures, a release without one is not promoted."""

    injected = "a release of which main holds no signature, in a repository whose policy asks for one"
    gate = "signing"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it with a signature by the key that main names."""
        with key_pair() as (private, public):
            signature = signed(stage, stage.good, private)
            with stage.main(asking(stage, public) | signature):
                return stage.reviewed(stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it without."""
        with key_pair() as (_, public), stage.main(asking(stage, public)):
            return stage.reviewed(stage.good)
