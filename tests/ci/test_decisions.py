"""A decision document on a terminal: all that the page says, laid out in lines."""

import json
from typing import Any

import pytest

from towpath_ci import decisions
from towpath_ci.drills.stage import Stage
from towpath_ci.verbs import pulls
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion.decision import Decision, Step
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.figures import Calibration, MetricDifference, Replay, Rivals, Segment

BETTER: dict[str, Any] = {"metric": "roc_auc", "label": "ROC [bold]AUC", "greater_is_better": True, "margin": 0.01}
BETTER |= {"champion": 0.65, "challenger": 0.7, "difference": 0.05, "interval": (0.04, 0.06)}
REPLAY = Replay(
    rows=1000,
    digest=digest_of("replay"),
    window=(None, None),
    flips=90,
    corrected=60,
    spoiled=30,
    segments=(Segment(column="cargo", value="coal", rows=300, flips=60, interval=(0.16, 0.25)),),
)
RIVALS = Rivals(
    task="binary",
    rows=1000,
    window=(None, None),
    metrics=(MetricDifference.model_validate(BETTER),),
    replay=REPLAY,
    challenger=Calibration(error=0.0123, bins=()),
)


@pytest.fixture(scope="module")
def pull(stage: Stage) -> Pull:
    """Return the proposal of a release, with the document of its training."""
    with stage.proposal(stage.good) as proposed:
        return proposed


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no line be broken, however wide the terminal is that runs the tests."""
    monkeypatch.setenv("COLUMNS", "200")


def test_a_first_release_is_shown_in_full(
    pull: Pull, stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`towpath pulls N` lays it out on a terminal, and gives the Markdown to files and the JSON to programs."""
    monkeypatch.chdir(stage.root)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    pulls.pulls(pull.number)
    shown = capsys.readouterr().out
    for words in ("There is no champion to compare with yet", "roc_auc ≥ 0.7", "100 rows, median", "models:/canal/1"):
        assert words in shown
    assert "picture reliability.svg" in shown
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    pulls.pulls(pull.number)
    assert "## Latency, memory and cost" in capsys.readouterr().out
    pulls.pulls(pull.number, as_json=True)
    told = json.loads(capsys.readouterr().out)["decision"]
    assert Decision.model_validate(told) == decisions.read_decision(pull)


def test_champion_and_challenger_are_shown_side_by_side(pull: Pull, capsys: pytest.CaptureFixture[str]) -> None:
    """Every metric, the flips and where, calibration and commits; words in brackets are no markup."""
    decision = decisions.read_decision(pull)
    assert decision.compared is not None
    assert decision.differences is not None
    figures = decision.compared.figures.model_copy(update={"rivals": RIVALS, "silence": None})
    steps = {"steps": (Step(commit="b" * 40, subject="Learn [red]more"),), "more_steps": 3}
    changed = decision.model_copy(
        update={
            "compared": decision.compared.model_copy(update={"figures": figures}),
            "differences": decision.differences.model_copy(update=steps),
        }
    )
    decisions.tell_in_full(pull.model_copy(update={"data": changed.model_dump_json(by_alias=True)}))
    shown = capsys.readouterr().out
    for words in ("ROC [bold]AUC", "+0.0400 to +0.0600", "better", "60 become right", "cargo = coal", "0.0123"):
        assert words in shown
    assert "Learn [red]more" in shown
    assert "and 3 more" in shown
