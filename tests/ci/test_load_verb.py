"""`towpath load` in a repository with a release: a real service, real callers, evidence in the registry."""

import json
from pathlib import Path

import pytest

from towpath_ci.drills.stage import Stage
from towpath_ci.main import app
from towpath_gitops.delivery.registry import EVIDENCE_PATH
from towpath_gitops.errors import NotFoundError, RefusedError
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.evidence import Evidence, Kind, Verdict
from towpath_gitops.records.load import LoadFigures
from towpath_gitops.records.load_gates import contradictions


def test_a_release_is_driven_judged_and_its_evidence_kept(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rounds and findings are in the registry with Locust's page; the exit code says whether every gate passed.

    They name the commit whose code served, and the release's own page shows them.
    """
    monkeypatch.chdir(stage.root)
    with pytest.raises(SystemExit) as ended:
        app(["load", "latest", "--rounds", "5", "--paced", "0.3", "--full", "0.3", "--json"])
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert ended.value.code == (0 if told["verdict"] == Verdict.PASS else RefusedError.exit_code), shown.err
    verdict = told.pop("verdict")
    evidence = stage.registry.evidence(stage.good)[Kind.LOAD]
    assert evidence == Evidence.model_validate(told)
    assert (evidence.champion, evidence.verdict) == (None, verdict)
    assert list(contradictions(evidence)) == []
    figures = LoadFigures.model_validate(evidence.details)
    assert (len(figures.rounds), figures.champion) == (5, None)
    assert figures.setting.sent.source == "the release's reference sample"
    assert figures.code == stage.repository.head()
    with pytest.raises(SystemExit) as ended:
        app(["report", "latest", "--output", str(tmp_path)])
    assert ended.value.code == 0
    (report,) = tmp_path.glob("*.html")
    text = report.read_text(encoding="utf-8")
    assert ">Under load</h2>" in text
    assert f"The service&#x27;s code was that of commit {stage.repository.head()[:12]}" in text
    page = kept(stage)
    assert page.stat().st_size < 4_000_000
    assert "/v1/predict" in page.read_text(encoding="utf-8")


def kept(stage: Stage) -> Path:
    """Return Locust's page beside the evidence in the registry."""
    run = stage.registry.client.get_model_version(stage.good.model, str(stage.good.version)).run_id
    return Path(stage.registry.client.download_artifacts(run, f"{EVIDENCE_PATH}/{Kind.LOAD}.html"))


def test_too_few_rounds_are_refused_before_anything_starts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fewer than five decide nothing: the command line takes no fewer."""
    monkeypatch.chdir(stage.root)
    with pytest.raises(SystemExit) as ended:
        app(["load", "latest", "--rounds", "2"])
    assert ended.value.code == 2
    assert "--rounds" in capsys.readouterr().err


def test_an_image_that_is_not_on_record_is_not_driven(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is started: evidence about an image that nobody built of the release would be worth nothing."""
    monkeypatch.chdir(stage.root)
    for image in ("newest", f"registry.example.org/canal@{digest_of('foreign')}"):
        with pytest.raises(SystemExit) as ended:
            app(["load", "latest", "--image", image])
        assert ended.value.code == NotFoundError.exit_code
        assert "no such image" in capsys.readouterr().err
