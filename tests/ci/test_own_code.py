"""A release with code of its owner's goes the whole way, and back: the service runs each version of it by itself."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from towpath_ci.drills.stage import MODEL, STAGING, Stage, git
from towpath_gitops import layout
from towpath_gitops.delivery.owners_code import check_code
from towpath_gitops.errors import DigestMismatchError, NotFoundError
from towpath_gitops.promotion.proposal import propose_rollback
from towpath_gitops.records.artifact import GOLDEN
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.golden import Golden
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release

UNITS = Path("src", "canal", "units.py")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stage]:
    """Return a stage whose model is made with a class of the repository's own."""
    kept = dict(os.environ)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    stage = Stage(tmp_path)
    model = stage.root / layout.MODEL
    publish(stage, Path(layout.MODEL), model.read_text() + "\nfeatures: canal.steps:build\n")
    yield stage
    stage.strike()
    os.environ.clear()
    os.environ.update(kept)


def publish(stage: Stage, path: Path, text: str) -> None:
    """Commit a file and push it to main."""
    (stage.root / path).write_text(text)
    git(stage.root, "pull", "--quiet", "--ff-only", "origin", "main")
    git(stage.root, "commit", "--quiet", "--all", "--message=Change the model")
    git(stage.root, "push", "--quiet", "origin", "main")


def answers(stage: Stage, release: Release) -> tuple[list[float], list[float]]:
    """Return what the service answers to the first golden request of a release, and what training recorded."""
    artifact = stage.registry.fetch(release, layout.store(stage.root))
    case = parse_json((artifact / GOLDEN).read_bytes(), Golden, source=GOLDEN).cases[0]
    place = f"http://127.0.0.1:{stage.port(STAGING)}/v1/predict"
    request = Request(place, stage.request(release), {"content-type": "application/json"})
    with urlopen(request, timeout=60) as answer:  # noqa: S310 (as above)
        told = json.loads(answer.read())
    return [each["probability"] for each in told["predictions"]], [values[0] for values in case.expected]


def test_promotion_and_rollback_of_an_owners_code(own: Stage) -> None:
    """Two versions of one module: each release answers its golden requests with its own, also after the way back.

    The decision document warns of both, and a release from a commit that holds another version is refused.
    """
    first = own.good
    with own.proposal(first, STAGING) as pull:
        assert "It runs code of its owner's" in pull.body
        assert own.bring(pull, STAGING).verified_after_s is not None
    assert answers(own, first)[0] == pytest.approx(answers(own, first)[1], abs=1e-6)

    publish(own, UNITS, (own.root / UNITS).read_text().replace("0.514444", "0.25"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "canal"]:
        del sys.modules[name]  # a training is a process of its own
    second = own.train()
    assert second.semver == "1.1.0"
    assert own.deliver(second, STAGING).release == second
    told, expected = answers(own, second)
    assert told == pytest.approx(expected, abs=1e-6)

    pull = propose_rollback(own.desk(), environment=STAGING, model=MODEL, reason="a test")
    outcome = own.bring(pull, STAGING)
    assert outcome.release == first
    same = (
        [finding for finding in outcome.evidence.findings if finding.gate == "same answers"] if outcome.evidence else []
    )
    assert [finding.verdict for finding in same] == [Verdict.PASS]
    assert answers(own, first)[0] == pytest.approx(answers(own, first)[1], abs=1e-6)

    artifact = own.registry.fetch(second, layout.store(own.root))
    check_code(own.repository, second.code, artifact)
    with pytest.raises(DigestMismatchError, match=r"units\.py that is not the one of commit"):
        check_code(own.repository, first.code, artifact)
    with pytest.raises(NotFoundError, match="no commit"):
        check_code(own.repository, "0" * 40, artifact)
