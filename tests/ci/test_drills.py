"""The drills: each holds, and none holds when its gate is made to wave everything through, or to refuse everything."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from towpath_bento import admission, bodies, connections, held, lane, openid, router
from towpath_ci.drills import DRILLS
from towpath_ci.drills.altered_artifact import AlteredArtifact
from towpath_ci.drills.asked_by_id import CrowdedMemory, ExchangedRelease, UnservedRelease
from towpath_ci.drills.base import Drill, Refusal, Result, run
from towpath_ci.drills.broken_schema import BrokenSchema
from towpath_ci.drills.edited_ledger import EditedLedger
from towpath_ci.drills.edited_picture import EditedPicture
from towpath_ci.drills.expired_evidence import ExpiredEvidence
from towpath_ci.drills.foreign_image import ForeignImage
from towpath_ci.drills.forged_approval import ForgedApproval
from towpath_ci.drills.harmful_release import HarmfulRelease
from towpath_ci.drills.leaky_model import LeakyModel
from towpath_ci.drills.missing_evidence import MissingEvidence
from towpath_ci.drills.moved_traffic import MovedTraffic
from towpath_ci.drills.overload import EndlessHead, StackedBodies, TooManyCallers
from towpath_ci.drills.shortened_ledger import ShortenedLedger
from towpath_ci.drills.silent_service import SilentService
from towpath_ci.drills.stage import Stage
from towpath_ci.drills.stale_approval import StaleApproval
from towpath_ci.drills.strangers_signature import StrangersSignature
from towpath_ci.drills.unproven_caller import UnsignedToken
from towpath_ci.drills.unsigned_release import UnsignedRelease
from towpath_ci.drills.worse_model import WorseModel
from towpath_ci.main import app
from towpath_ci.verbs import drill as verb
from towpath_flows.data.rules import RULES, Measure
from towpath_flows.evaluation import gates
from towpath_flows.monitoring import traffic
from towpath_gitops.delivery import audit, guard, reconcile, registry
from towpath_gitops.delivery.windows import Judgement
from towpath_gitops.errors import DrillError, NotFoundError
from towpath_gitops.forges.base import Approval
from towpath_gitops.promotion import approvals, deciding, eligibility, inputs, review
from towpath_gitops.promotion.approvals import Vote
from towpath_gitops.promotion.requirement import missing
from towpath_gitops.promotion.signatures import Standing
from towpath_gitops.records.evidence import Finding, Verdict

PASSED = Finding(gate="open", verdict=Verdict.PASS, message="nobody looked")
Mutate = Callable[[pytest.MonkeyPatch], None]


def nobody(*_: object, **__: object) -> tuple[()]:
    """Object to nothing."""
    return ()


def open_schema(patch: pytest.MonkeyPatch) -> None:
    """Let every row through."""
    from towpath_flows import stages  # noqa: PLC0415 (imports Prefect)

    report = SimpleNamespace(problems=(), markdown="", require=lambda _: None)
    fine = SimpleNamespace(report=report)
    patch.setattr(stages.contract, "examine", lambda *_: fine)


def open_leaks(patch: pytest.MonkeyPatch) -> None:
    """Find no leak."""
    fine = SimpleNamespace(judge=lambda _: [Measure("open", Verdict.PASS, "nobody looked")])
    patch.setitem(RULES, "leakage", fine)


def open_metrics(patch: pytest.MonkeyPatch) -> None:
    """Find every measure good enough."""
    patch.setattr(gates, "judge", lambda *_: PASSED)


def open_verdicts(patch: pytest.MonkeyPatch) -> None:
    """Take red evidence for green."""
    patch.setattr(eligibility, "_green", nobody)


def open_expiry(patch: pytest.MonkeyPatch) -> None:
    """Let evidence live for ever."""
    patch.setattr(eligibility, "_fresh", nobody)


def open_heads(patch: pytest.MonkeyPatch) -> None:
    """Count whatever approval there is."""
    patch.setattr(approvals, "count", lambda *_: Vote(0, (), (), frozenset()))


def open_forgeries(patch: pytest.MonkeyPatch) -> None:
    """Believe every approval."""
    patch.setattr(Approval, "is_genuine", property(lambda _: True))


def open_inputs(patch: pytest.MonkeyPatch) -> None:
    """Decide on whatever there is."""
    patch.setattr(inputs, "missing", nobody)
    patch.setattr(deciding, "_gates", nobody)  # it relies on what was asked for before


def open_pictures(patch: pytest.MonkeyPatch) -> None:
    """Take every picture for the evidence's own."""
    patch.setattr(review.gallery, "retouched", nobody)


def open_digests(patch: pytest.MonkeyPatch) -> None:
    """Check no digest."""
    patch.setattr(registry, "check_artifact", nobody)


def open_signatures(patch: pytest.MonkeyPatch) -> None:
    """Ask nobody for a signature at review."""
    patch.setattr(review, "unsigned", nobody)


def open_images(patch: pytest.MonkeyPatch) -> None:
    """Take every image for the one on record."""
    patch.setattr(eligibility, "carries", lambda records, _: next(iter(records)))


def open_tokens(patch: pytest.MonkeyPatch) -> None:
    """Admit every token."""

    async def admit(*_: object) -> None:
        """Let anybody in."""

    patch.setattr(openid.TokenCheck, "admit", admit)


def open_doors(patch: pytest.MonkeyPatch) -> None:
    """Take every request on."""
    patch.setattr(admission.Admission, "check", nobody)
    patch.setattr(admission.Admission, "_check_room", nobody)


def open_bodies(patch: pytest.MonkeyPatch) -> None:
    """Hold whatever comes."""
    patch.setattr(bodies.Bodies, "check", nobody)


def open_heads_of_requests(patch: pytest.MonkeyPatch) -> None:
    """Read on, however long."""
    patch.setattr(connections, "MAX_HEAD_BYTES", 2**30)


def open_releases(patch: pytest.MonkeyPatch) -> None:
    """Answer for whatever release is asked."""
    patch.setattr(router.Live, "find", lambda live, _: live.lanes["champion"])


def open_files(patch: pytest.MonkeyPatch) -> None:
    """Open whatever lies where a release's files should."""
    patch.setattr(lane, "check_artifact", nobody)


def open_memory(patch: pytest.MonkeyPatch) -> None:
    """Let the least recently used go, whatever it is."""
    keep = held.Held.set_live
    patch.setattr(held.Held, "set_live", lambda here, lanes: (keep(here, lanes), setattr(here, "_live", frozenset())))


def open_keys(patch: pytest.MonkeyPatch) -> None:
    """Believe every signature at reconcile."""
    patch.setattr(reconcile, "standing", lambda *_: Standing(asked=False))


def open_chain(patch: pytest.MonkeyPatch) -> None:
    """Follow no hash, and miss nothing."""
    patch.setattr(audit.Ledger, "read", lambda *_: ([], []))
    patch.setattr(audit, "_forgotten", nobody)
    patch.setattr(audit, "_left_out", nobody)
    patch.setattr(audit.Ledger, "entries", lambda *_: [])


def open_witnesses(patch: pytest.MonkeyPatch) -> None:
    """Forget what the ledger's own commits say."""
    patch.setattr(audit, "_forgotten", nobody)


def open_guard(patch: pytest.MonkeyPatch) -> None:
    """Find every release healthy, whatever was seen of it."""
    fine = Judgement(Verdict.PASS, good=1, bad=0, of=1, windows=(), figures="")
    patch.setattr(guard, "judge", lambda *_: fine)


def open_monitor(patch: pytest.MonkeyPatch) -> None:
    """Compare no column of the traffic."""
    patch.setattr(traffic, "compare", nobody)


@pytest.mark.parametrize(
    ("drill", "mutate"),
    [
        (BrokenSchema, open_schema),
        (LeakyModel, open_leaks),
        (WorseModel, open_metrics),
        (WorseModel, open_verdicts),
        (ExpiredEvidence, open_expiry),
        (StaleApproval, open_heads),
        (ForgedApproval, open_forgeries),
        (AlteredArtifact, open_digests),
        (MissingEvidence, open_inputs),
        (EditedPicture, open_pictures),
        (UnsignedRelease, open_signatures),
        (ForeignImage, open_images),
        (UnsignedToken, open_tokens),
        (TooManyCallers, open_doors),
        (StackedBodies, open_bodies),
        (EndlessHead, open_heads_of_requests),
        (UnservedRelease, open_releases),
        (ExchangedRelease, open_files),
        (CrowdedMemory, open_memory),
        (StrangersSignature, open_keys),
        (EditedLedger, open_chain),
        (ShortenedLedger, open_witnesses),
        (SilentService, open_guard),
        (HarmfulRelease, open_guard),
        (MovedTraffic, open_monitor),
    ],
    ids=lambda value: value.__name__,
)
def test_a_gate_that_waves_everything_through_fails_its_drill(
    drill: type[Drill], mutate: Mutate, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the gate open, the very drill that guards it says so."""
    mutate(monkeypatch)
    (result,) = run([drill], stage)
    assert not result.held
    assert "did not refuse" in result.reason


@pytest.mark.parametrize("drill", [ExpiredEvidence, StaleApproval, WorseModel])
def test_a_gate_that_refuses_everything_fails_its_drill(
    drill: type[Drill], stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that says no to the known-good twin as well is no gate, and the drill says so."""
    monkeypatch.setattr(eligibility, "_green", lambda *_: [missing("evidence_verdict", "evaluation: no", "")])
    (result,) = run([drill], stage)
    assert not result.held
    assert "twin" in result.reason


class Toothless(Drill):
    """A fault that nobody refuses."""

    injected = "nothing"
    gate = "mine"

    def good(self, stage: Stage) -> list[Refusal]:  # noqa: ARG002 (the base class's arguments)
        """Do nothing."""
        return []

    def bad(self, stage: Stage) -> list[Refusal]:  # noqa: ARG002 (as above)
        """Be refused by nobody."""
        return []


def test_the_right_refusal_must_come_from_the_right_gate() -> None:
    """A fault that only another gate stops leaves its own gate unproved."""

    class Elsewhere(Toothless):
        """A fault that somebody else refuses."""

        def bad(self, stage: Stage) -> list[Refusal]:  # noqa: ARG002 (as above)
            """Be refused by others."""
            raise NotFoundError("gone")

    (result,) = run([Elsewhere], SimpleNamespace())  # type: ignore[arg-type]  # it is not looked at
    assert not result.held
    assert "only NotFoundError did" in result.reason


def test_an_unknown_drill_is_met_with_the_known_ones(tmp_path: Path) -> None:
    """A misspelt drill exits with the code of what was not found, and names those that exist."""
    done = drill_verb(tmp_path, "NoSuchDrill")
    assert done.returncode == NotFoundError.exit_code
    assert "LeakyModel" in done.stderr


def test_every_drill_holds(tmp_path: Path) -> None:
    """`towpath drill`, from any folder: every gate refuses its fault, its twin passes, and nothing is left behind."""
    done = drill_verb(tmp_path, "--json")
    results = [Result(**each) for each in json.loads(done.stdout)]
    assert [(result.drill, result.reason) for result in results if not result.held] == []
    assert [result.drill for result in results] == [drill.__name__ for drill in DRILLS]
    assert done.returncode == 0
    assert list(tmp_path.glob("towpath-*")) == []


def test_a_drill_that_fails_is_heard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A gate that does not refuse makes the command exit with the drills' own code, and is named."""
    monkeypatch.setattr(verb, "DRILLS", (Toothless,))
    with pytest.raises(SystemExit) as ended:
        app(["drill"])
    assert ended.value.code == DrillError.exit_code
    shown = capsys.readouterr()
    assert "0 of 1 gates refused" in shown.out
    assert "Toothless" in shown.err


def drill_verb(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `towpath drill` in a folder, with temporary files in the folder, too."""
    return subprocess.run(
        [sys.executable, "-m", "towpath_ci", "drill", *arguments],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
