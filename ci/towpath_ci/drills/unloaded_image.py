"""An image that nobody has driven."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.foreign_image import recorded, reviewed
from towpath_ci.drills.sluggish_release import ASKED
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.load import Round, Sent, Setting, Stretch, Turn
from towpath_gitops.records.load_gates import FEWEST_ROUNDS
from towpath_gitops.records.parsing import load_yaml
from towpath_gitops.records.release import Release


class UnloadedImage(Drill):
    """What bore the load is the image that is promoted, not another of the same release."""

    injected = "an image on a patched base, on record beside the one in which the release was driven"
    gate = "load_image"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose the release in the image that was driven."""
        with _driven(stage) as driven:
            return reviewed(stage, stage.peer, driven.image)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it in the other."""
        with _driven(stage):
            return reviewed(stage, stage.peer, recorded(stage, stage.peer, b"built on a patched base").image)


@contextmanager
def _driven(stage: Stage) -> Iterator[ImageRecord]:
    """Let load evidence name an image, and the policy ask for it."""
    record, known = recorded(stage, stage.peer), stage.registry.evidence(stage.peer).get(Kind.LOAD)
    stage.registry.publish_evidence(stage.peer, load_evidence(stage, stage.peer, record.digest))
    try:
        with stage.saying(layout.POLICY, *ASKED):
            yield record
    finally:
        if known is not None:
            stage.registry.publish_evidence(stage.peer, known)


def load_evidence(stage: Stage, release: Release, image: str) -> Evidence:
    """Return evidence that a release bore the load in the image with this digest, beside the good one in the same.

    Its rounds are all alike: a drill can count on no podman, and on no quiet machine.
    """
    from towpath_bento.load.plan import Driven  # noqa: PLC0415 (heavy: not for the command line's start)
    from towpath_flows.evaluation.load import Origin, assess_load  # noqa: PLC0415 (as above)
    from towpath_flows.project import Project  # noqa: PLC0415 (as above)

    rows = {"requests": 200, "errors": 0, "rows": 200, "seconds": 0.4, "cpu_s": 0.1, "driver_cpu_s": 0.1}
    stretch = Stretch.model_validate(rows | {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0})
    turn = Turn(paced=stretch, full=stretch)
    rounds = (Round(challenger=turn, champion=turn, twin=turn),) * FEWEST_ROUNDS
    sent = Sent(source="a drill", digest=image, bodies=200, rows=200, missing=0, arrivals="poisson")
    numbers = {"rate": 5, "users": 2, "paced_s": 0.4, "full_s": 0.4, "workers": 1, "cpus": 2}
    setting = Setting.model_validate(numbers | {"rounds": len(rounds), "sent": sent})
    origin = Origin(image=image, champion_image=image)
    driven, serve = Driven(setting=setting, rounds=rounds), Project.open(stage.root).spec.serve
    document = load_yaml((stage.root / layout.MODEL).read_text(encoding="utf-8"), source=layout.MODEL)
    return assess_load(driven, serve, stage.good.id, origin=origin).bind(release, document, datetime.now(UTC))
