# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""The image that carries a release: pinned by promotions, shown to whoever decides, and kept on the way back."""

from datetime import timedelta
from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.promotion.proposal import propose_experiment, propose_repackage, propose_rollback
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import parse_deployment
from towpath_gitops.records.evidence import Kind
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.load import LoadFigures
from towpath_gitops.records.load_gates import judged

FILE = layout.environment_path("staging", "flights")


def _record(world: Any, release: Any, name: str, *, hours: int = 0) -> ImageRecord:
    digest = digest_of(name)
    record = ImageRecord(
        release=release.id,
        artifact=release.artifact,
        digest=digest,
        image=f"registry.example.org/flights@{digest}",
        base="registry.example.org/python:3",
        sbom=digest_of("bill"),
        packages=70,
        unvouched=("oar==1.0",),
        size_bytes=80_000_000,
        user="10001:10001",
        tool="a test",
        created=world.now + timedelta(hours=hours),
    )
    world.store.publish_image(release, record)
    return record


def _image(world: Any, commit: str) -> str | None:
    pinned = parse_deployment(world.ada.read(commit, FILE), source=FILE).release
    return pinned.image if pinned else None


def test_a_promotion_pins_the_newest_image_and_shows_it(world: Any) -> None:
    """The digest stands in the environment's file; base, bill of materials and unvouched libraries in the document."""
    release = world.register(1)
    _record(world, release, "older", hours=-1)
    newest = _record(world, release, "newest")
    pull = world.promote(release)
    assert _image(world, pull.head) == newest.image
    for shown in (newest.image, newest.sbom, newest.base, "oar==1.0"):
        assert shown in pull.body


def test_another_image_than_one_on_record_is_refused(world: Any) -> None:
    """Whoever names another digest is told which are known; a mirror with the same digest will do."""
    release = world.register(1)
    record = _record(world, release, "built")
    foreign = world.promote(release, image=f"registry.example.org/flights@{digest_of('foreign')}")
    assert "image" in world.rules(foreign)
    mirrored = world.promote(release, image=f"mirror.example.org/flights@{record.digest}")
    assert "image" not in world.rules(mirrored)
    with pytest.raises(InvalidFileError, match="pinned by digest"):
        world.promote(release, image="registry.example.org/flights:latest")


def test_the_way_back_leads_to_the_image_that_served(world: Any) -> None:
    """A rollback names the image that main declared for that release, from history alone."""
    first, second = world.register(1), world.register(2)
    record = _record(world, first, "first")
    world.merge(world.promote(first))
    world.record("staging", first)
    world.merge(world.promote(second))
    assert _image(world, world.ada.main()) is None
    pull = propose_rollback(
        world.desk(), environment="staging", model="flights", reason="worse", to=first, now=world.now
    )
    assert _image(world, pull.head) == record.image


def test_a_challenger_names_its_image_and_is_held_to_it(world: Any) -> None:
    """The newest on record by itself; a foreign one is refused, a tag not even proposed."""
    first, second = world.register(1), world.register(2)
    world.merge(world.promote(first))
    record = _record(world, second, "challenger")
    trial = {"environment": "staging", "mode": "ab", "share": 0.1, "reason": "better?", "now": world.now}
    foreign = f"registry.example.org/flights@{digest_of('foreign')}"
    refused = propose_experiment(world.desk(), challenger=second, image=foreign, **trial)
    assert "image" in world.rules(refused)
    with pytest.raises(InvalidFileError, match="pinned by digest"):
        propose_experiment(world.desk(), challenger=second, image="registry.example.org/flights:latest", **trial)
    pull = propose_experiment(world.desk(), challenger=second, **trial)
    declared = parse_deployment(world.ada.read(pull.head, FILE), source=FILE).experiment
    assert declared is not None
    assert declared.challenger.image == record.image
    for shown in (record.image, record.sbom, "oar==1.0"):
        assert shown in pull.body
    assert "image" not in world.rules(pull)


def test_another_image_of_what_serves_bears_the_load_first(world: Any, loaded: LoadFigures) -> None:
    """Where the policy asks for both: the registry's evidence counts, for such a change brings none of its own."""
    release = world.register(1)
    world.declare("staging", release)
    world.policy("staging, evidence: {", "staging, image: required, evidence: {load: 7d, ")
    patched = _record(world, release, "patched")
    options = {"environment": "staging", "model": "flights", "image": patched.image, "reason": "CVE", "now": world.now}
    pull = propose_repackage(world.desk(), **options)

    def rules(image: str | None) -> set[str]:
        details = loaded.plain() | ({"image": image} if image else {})
        fields = {"findings": judged(loaded), "details": details, "champion": digest_of("champion")}
        world.store.publish(release, world.evidence(release, Kind.LOAD, **fields))
        return set(world.rules(pull)) - {"approvals"}

    assert set(world.rules(pull)) - {"approvals"} == {"evidence_missing"}
    assert rules(None) == rules(digest_of("before")) == {"load_image"}
    assert rules(patched.digest) == set()
