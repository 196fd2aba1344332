"""`towpath report RELEASE`: all that is known about a release on one page."""

import json
import re
from pathlib import Path

import pytest

from towpath_ci.drills.barges import barges
from towpath_ci.drills.stage import Stage
from towpath_ci.drills.unloaded_image import load_evidence
from towpath_ci.main import app
from towpath_ci.release_report import card_pictures
from towpath_flows import stages
from towpath_flows.cards import renew_card
from towpath_gitops.delivery.registry import CARD_PATH
from towpath_gitops.errors import NotFoundError
from towpath_gitops.records.artifact import CARD_HTML
from towpath_gitops.records.base import digest_of, short


@pytest.fixture(scope="module")
def trained(stage: Stage) -> Stage:
    """Return the stage with a second release that went through every stage of the flow, card and cost included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(stage.root)
        stage.write(barges().iloc[:4000])
        project = stages.open_project.fn()
        table = stages.load.fn(project)
        validated = stages.validate.fn(project, table)
        parts = stages.split.fn(project, validated)
        model = stages.fit.fn(project, parts, stages.tune.fn(project, parts))
        exported = stages.export.fn(project, model, parts)
        evidence = [
            stages.examine_data.fn(project, validated, parts),
            stages.prove_parity.fn(exported),
            stages.evaluate.fn(project, exported, parts),
            stages.compare.fn(project, exported, parts),
            stages.check_behaviour.fn(project, exported, parts),
        ]
        stages.write_card.fn(project, table, model, exported, parts, evidence)
        stages._register.fn(project, table, model, exported, [each for each in evidence if each])
    return stage


def _ran(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        app(["report", *arguments])
    return ended.value.code


def test_one_page_holds_everything(trained: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates, measures, decision, pictures, importance, behaviour, lineage, cost, history; nothing from outside."""
    monkeypatch.chdir(trained.root)
    assert _ran("2", "--output", str(tmp_path)) == 0
    (page,) = tmp_path.glob("canal-*.html")
    text = page.read_text()
    for title in (
        "Gates",
        "How good it is",
        "The decision",
        "Pictures",
        "Against the champion",
        "What it listens to",
        "Behaviour",
        "Lineage",
        "Environmental cost",
        "Version history",
        "Evidence",
    ):
        assert f">{title}</h2>" in text
    assert re.findall(r"([\d.]+) CPU seconds", text)
    assert not re.findall(r"(?:src|href)=['\"](?!data:|#)", text)
    assert "<script" not in text
    assert "## Behaviour" in next(tmp_path.glob("*.md")).read_text()


def test_a_release_without_a_card_is_reported_too(
    trained: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not there is left out; the page stands."""
    monkeypatch.chdir(trained.root)
    assert _ran("release", "1.0.0", "--output", str(tmp_path)) == 0
    text = next(tmp_path.glob("canal-1.0.0.html")).read_text()
    assert "Pictures</h2>" not in text
    assert "Gates</h2>" in text


def test_machines_get_the_same(
    trained: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--json` prints release, evidence and metrics, and writes nothing."""
    monkeypatch.chdir(trained.root)
    assert _ran("2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["release"]["version"] == 2
    assert {"evaluation", "behaviour", "data", "parity"} <= set(found["evidence"])
    assert found["metrics"]["cpu_seconds"] > 0


def test_the_published_card_stands_beside_the_artifact(trained: Stage) -> None:
    """The run keeps a card with name, cost and history; the one in the artifact has neither, for its digest's sake."""
    release = trained.registry.find("canal", "2")
    version = trained.registry.client.get_model_version("canal", "2")
    path = trained.registry.client.download_artifacts(version.run_id, "card/card.html")
    published = Path(path).read_text()
    assert release.id in published
    assert "Environmental cost</h2>" in published
    assert "Version history</h2>" in published
    kept = trained.registry.fetch(release, trained.root / ".towpath" / "store") / CARD_HTML
    assert "Gates of the day</h2>" in published
    assert ">roc auc</th>" in published
    assert "Environmental cost" not in kept.read_text()
    assert "freshness" not in kept.read_text()
    assert set(card_pictures(kept.parent)) >= {"ROC curve", "calibration", "threshold", "importance"}


def test_what_is_no_page_is_a_release(trained: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name is looked for among the releases; help is still help."""
    monkeypatch.chdir(trained.root)
    assert _ran("9.9.9") == NotFoundError.exit_code
    assert _ran("--help") == 0


def test_a_load_test_renews_the_published_card(trained: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells of the load and the image that bore it, once, beside what it told before; so does the report."""
    release, image = trained.registry.find("canal", "2"), digest_of("image")
    folder = trained.registry.fetch(release, trained.root / ".towpath" / "store")
    trained.registry.publish_evidence(release, load_evidence(trained, release, image))
    for _ in range(2):
        renew_card(trained.registry, release, folder)
    run = trained.registry.client.get_model_version("canal", "2").run_id
    card = Path(trained.registry.client.download_artifacts(run, f"{CARD_PATH}/{CARD_HTML}")).read_text()
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", card)
    assert titles[-5:] == ["Which release", "Gates of the day", "Environmental cost", "Under load", "Version history"]
    assert titles.count("Under load") == 1
    monkeypatch.chdir(trained.root)
    assert _ran("2", "--output", str(tmp_path)) == 0
    for text in (card, next(tmp_path.glob("*.html")).read_text()):
        assert f"The challenger served from its image {short(image)}, started by digest." in text
        assert "<td>p99 ≤ 10000 ms</td>" in text
