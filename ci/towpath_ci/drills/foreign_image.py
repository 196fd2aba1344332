"""An image that nobody built of the release."""

from collections.abc import Sequence
from datetime import UTC, datetime

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.promotion.proposal import propose_experiment, propose_promotion
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.release import Release

PLACE = "registry.example.org/canal"


WANTED = "name: staging\n", "name: staging\n    image: required\n"  # the policy, and the policy that asks for images


class ForeignImage(Drill):
    """An image whose digest is not on record beside the release is not promoted."""

    injected = "an image with another digest than the one that was built and pushed, where the policy asks for images"
    gate = "image"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Propose the release in the image on record, as another registry holds it after a sync."""
        record = recorded(stage, stage.good)
        return reviewed(stage, stage.good, f"mirror.{PLACE}@{record.digest}")

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Propose it in another."""
        recorded(stage, stage.good)
        return reviewed(stage, stage.good, f"{PLACE}@{digest_bytes(b'somebody else built it')}")


class ForeignChallenger(Drill):
    """A challenger, too, answers callers only from an image on record."""

    injected = (
        "an experiment whose challenger comes in an image that nobody built of it, where the policy asks for images"
    )
    gate = "image"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Try a release in the image on record."""
        return _tried(stage, recorded(stage, stage.peer).image)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Try it in another."""
        recorded(stage, stage.peer)
        return _tried(stage, f"{PLACE}@{digest_bytes(b'somebody else built it')}")


def _tried(stage: Stage, image: str) -> Sequence[Refusal]:
    """Propose the peer as a challenger in an image, let the owner approve, and return who still objects."""
    with stage.saying(layout.POLICY, *WANTED):
        pull = propose_experiment(
            stage.desk(),
            environment=STAGING,
            challenger=stage.peer,
            mode="ab",
            share=0.1,
            reason="a drill",
            image=image,
        )
        with stage.closing(pull):
            stage.approve(pull)
            return stage.review(pull)


def recorded(stage: Stage, release: Release, content: bytes = b"the image that was built") -> ImageRecord:
    """Let the registry hold the record of an image with some content, as a push leaves it."""
    digest = digest_bytes(content)
    record = ImageRecord(
        release=release.id,
        artifact=release.artifact,
        digest=digest,
        image=f"{PLACE}@{digest}",
        base="registry.example.org/python@" + digest_bytes(b"base"),
        sbom=digest_bytes(b"bill of materials"),
        packages=70,
        size_bytes=80_000_000,
        user="10001:10001",
        tool="a drill",
        created=datetime.now(UTC),
    )
    stage.registry.publish_image(release, record)
    return record


def reviewed(stage: Stage, release: Release, image: str) -> Sequence[Refusal]:
    """Propose a release in an image, let the owner approve in good faith, and return who still objects."""
    with stage.saying(layout.POLICY, *WANTED):
        pull = propose_promotion(stage.desk(), environment=STAGING, release=release, reason="a drill", image=image)
        with stage.closing(pull):
            stage.approve(pull)
            return stage.review(pull)
