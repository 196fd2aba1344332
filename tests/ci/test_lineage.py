"""`towpath lineage`: what a release was made from, as a tree, a diagram and for programs."""

import json

import pytest

from towpath_ci.drills.stage import DATA, Stage
from towpath_ci.main import app
from towpath_gitops.records.base import digest_file, short


@pytest.fixture
def told(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    """Return a function that runs the verb in the stage's repository and returns what it prints."""

    def run(*arguments: str) -> str:
        monkeypatch.chdir(stage.root)
        with pytest.raises(SystemExit) as ended:
            app(["lineage", stage.good.short_id, *arguments])
        assert ended.value.code in {0, None}
        return capsys.readouterr().out

    return run


def test_a_tree_names_every_origin(stage: Stage, told) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 (a function)
    """Rows, file, commit with its words, evidence and places; whether the file is the same is asked for."""
    shown = told("--check")
    digest = digest_file(stage.root / DATA)
    for words in (
        "canal 1.0.0",
        f"data {short(stage.good.data)} 6,000 rows of {DATA}",
        f"{DATA} {short(digest)}",
        "unchanged",
        f"code {stage.good.code[:12]} Begin",
        "behaviour ✓ pass",
        "declared in no environment",
    ):
        assert words in shown


def test_a_file_that_changed_is_seen(stage: Stage, told) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 (as above)
    """A file that is not what was read, or is gone, is told."""
    path = stage.root / DATA
    before = path.read_bytes()
    try:
        path.write_bytes(before + b"!")
        assert json.loads(told("--json", "--check"))["files"] == {DATA: "changed"}
        path.unlink()
        assert json.loads(told("--json", "--check"))["files"] == {DATA: "gone"}
    finally:
        path.write_bytes(before)


def test_programs_get_the_record(stage: Stage, told) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 (as above)
    """The record as it is kept, with the release, its evidence and its places."""
    found = json.loads(told("--json"))
    assert found["id"] == found["lineage"]["release"] == stage.good.id
    assert [each["uri"] for each in found["lineage"]["inputs"]] == [DATA]
    assert found["evidence"]["data"] == "pass"


def test_a_diagram_is_mermaid(told) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 (as above)
    """Boxes and arrows from the file to the release."""
    lines = told("--mermaid").splitlines()
    assert lines[0] == "flowchart LR"
    assert "  input0 --> data" in lines
    assert "  data --> release" in lines
