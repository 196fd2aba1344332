"""What the service remembered of its traffic, set against training: drift without a label and without a table."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from towpath_bento.columns import Places
from towpath_bento.journal.entry import Noted
from towpath_bento.journal.places import Folder
from towpath_bento.journal.writer import Writer
from towpath_bento.lane import open_lane
from towpath_bento.server import ModelServer
from towpath_bento.settings import Journal
from towpath_bento.wire import Codec
from towpath_flows import stages
from towpath_flows.data import Splits, load
from towpath_flows.monitoring.monitor import Report, watch
from towpath_flows.monitoring.report import as_markdown, write_report
from towpath_flows.project import Project
from towpath_flows.training import Exported
from towpath_flows.training.features import Features, engine_columns
from towpath_gitops import layout
from towpath_gitops.files import write_atomically
from towpath_gitops.records.pointer import POINTER, POINTER_VARIABLE, LanePointer, Pointer
from towpath_gitops.records.release import Release

NOW = datetime(2026, 3, 20, tzinfo=UTC)
Remember = Callable[..., Path]
WAIT_S = 60


@pytest.fixture
def remember(published: Project, exported: Exported, splits: Splits, release: Release) -> Remember:
    """Return a function that lets the production service have answered the test rows, changed as a test wants them."""

    def write(
        rows: int = 300,
        *,
        name: str = "champion",
        at: datetime = NOW,
        sensitive: tuple[str, ...] = (),
        **columns: Any,  # noqa: ANN401 (of any type)
    ) -> Path:
        lane = open_lane(exported.folder, release=release.id, artifact=release.artifact)
        lane = replace(lane, codec=Codec(exported.signature.model_copy(update={"sensitive": sensitive})))
        frame = splits.test.head(rows).assign(**columns)
        asked = Places(exported.signature).join(engine_columns(Features(exported.signature).x(frame)))
        values = lane.engine.predict(asked)
        folder = layout.journal(published.root, "production", "returns")
        writer = Writer(Journal(share=1), Folder(folder))
        writer.start()
        writer.offer([Noted(name, lane, asked, values, None, name, at.timestamp(), 0.1, 1, sampled=True)])
        writer.close()
        writer._thread.join(WAIT_S)  # it gives up sooner, which a busy machine may need
        return folder

    return write


def _watch(project: Project, release: Release, **options: Any) -> Report:  # noqa: ANN401 (passed on)
    table = replace(load(project), window=(NOW - timedelta(days=1), NOW + timedelta(days=1)))
    return watch(project, release, table, now=NOW, **options)


def test_traffic_like_training_has_not_drifted(published: Project, release: Release, remember: Remember) -> None:
    """Inputs and answers are compared, and the answers fill the tenths of training evenly."""
    remember()
    report = _watch(published, release)
    assert report.traffic
    assert (report.traffic.rows, report.traffic.requests, report.traffic.drifted) == (300, 1, ())
    assert len(report.traffic.columns) == 7
    assert report.traffic.tenths == pytest.approx([0.1] * 10, abs=0.03)
    assert report.traffic.stability_index == pytest.approx(0, abs=0.05)
    assert "none has drifted" in report.headline
    assert report.outcome == "fine"


def test_traffic_that_moved_is_named_although_the_table_is_as_it_was(
    published: Project, release: Release, remember: Remember
) -> None:
    """Callers send other amounts, and get other answers: the report says so before any label or export has come."""
    remember(amount=lambda frame: frame["amount"] * 10, country="DE")
    report = _watch(published, release)
    assert report.traffic
    moved = {column.column for column in report.traffic.drifted}
    assert moved == {"amount", "country", "(the model's answer)"}
    assert report.drifted == ()
    assert {column.column for column in report.moved} == moved
    assert (report.outcome, report.traffic.tenths is not None and report.traffic.tenths[9] > 0.4) == ("drifted", True)
    assert "of which 3 of 7 columns have drifted" in report.headline


def test_false_alarms_are_shared_by_rows_and_traffic(published: Project, release: Release, remember: Remember) -> None:
    """Who looks at twice as many columns would be alarmed twice as often."""
    alone = _watch(published, release).alpha
    remember()
    assert _watch(published, release).alpha == alone / 2


def test_only_what_callers_were_told_in_the_window_counts(
    published: Project, release: Release, remember: Remember
) -> None:
    """Neither a shadow's answers nor those of another time; too few are counted and not judged."""
    remember(90)
    remember(80, name="shadow")
    folder = remember(70, at=NOW + timedelta(days=2))
    for options in ({}, {"journal": str(folder)}):
        traffic = _watch(published, release, **options).traffic
        assert traffic
        assert (traffic.rows, traffic.columns, traffic.tenths) == (90, (), None)
        assert "too few to tell" in traffic.words


def test_without_a_journal_nothing_is_said(published: Project, release: Release, tmp_path: Path) -> None:
    """A service elsewhere, or one that remembers nothing; a place that is named and empty is told."""
    assert _watch(published, release).traffic is None
    empty = _watch(published, release, journal=tmp_path / "empty").traffic
    assert empty
    assert empty.words == "The service remembers no request of that time"


def test_the_report_shows_the_traffic(published: Project, release: Release, remember: Remember) -> None:
    """A section for its columns and one for the tenths of its answers, for people and for programs."""
    remember(amount=lambda frame: frame["amount"] * 10)
    report = _watch(published, release)
    folder = write_report(published.root, report)
    written = json.loads((folder / "report.json").read_text())["traffic"]
    assert written["rows"] == 300
    assert len(written["tenths"]) == 10
    page = as_markdown(report)
    assert "Traffic" in page
    assert "Answers by the tenths of training" in page
    assert str(layout.journal(published.root, "production", "returns")) in page


def test_the_stage_finds_the_journal(published: Project, release: Release, remember: Remember) -> None:
    """The template's flow hands over what the verb was given, or nothing."""
    folder = remember()
    table = replace(load(published), window=(NOW - timedelta(days=1), NOW + timedelta(days=1)))
    for journal in (None, str(folder)):
        report = stages.watch.fn(published, release, table, journal)
        assert report.traffic
        assert report.traffic.rows == 300


@pytest.mark.parametrize(("times", "outcome"), [(1, "fine"), (10, "drifted")])
def test_what_callers_really_sent_is_judged(  # noqa: PLR0913, PLR0917 (fixtures and a row of the table)
    published: Project,
    exported: Exported,
    splits: Splits,
    release: Release,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    outcome: str,
) -> None:
    """From requests in JSON, through the service and its journal, to the monitor's verdict."""
    pointer = layout.local_target(published.root, "production", "returns") / POINTER
    lane = LanePointer(release=release.id, artifact=release.artifact, path=str(exported.folder))
    wanted = Pointer(model="returns", environment="production", generation=1, lanes={"champion": lane})
    write_atomically(pointer, wanted.model_dump_json(by_alias=True))
    monkeypatch.setenv(POINTER_VARIABLE, str(pointer))
    sent = Features(exported.signature).x(splits.test.assign(amount=lambda frame: frame["amount"] * times))
    begun = datetime.now(UTC)
    rows = [row | {"express": bool(row["express"])} for row in json.loads(sent.to_json(orient="records"))]
    asyncio.run(_ask("returns", pointer, rows))
    table = replace(load(published), window=(begun, None))
    report = stages.watch.fn(published, release, table, None)
    assert report.traffic
    assert (report.traffic.rows, report.traffic.requests) == (len(sent), len(sent))
    assert {column.column for column in report.traffic.drifted} >= ({"amount"} if outcome == "drifted" else set())
    assert bool(report.traffic.drifted) == (outcome == "drifted")


async def _ask(model: str, pointer: Path, rows: list[dict[str, Any]]) -> None:
    """Serve, with everything remembered, and ask for each row by itself."""
    server = ModelServer(model, 1, journal=Journal(share=1))
    await server.start(pointer)
    transport = httpx.ASGITransport(server)  # type: ignore[arg-type]  # the same protocol under other names
    async with httpx.AsyncClient(transport=transport, base_url="http://testing") as client:
        for row in rows:
            answer = await client.post("/v1/predict", json={"rows": [row]})
            assert answer.status_code == 200, answer.text
            await asyncio.sleep(0)  # a real caller lets the loop come round
    await server.stop()


def test_a_sensitive_column_is_not_missed(published: Project, release: Release, remember: Remember) -> None:
    """What may not be remembered cannot be compared; the others are."""
    remember(sensitive=("amount",))
    traffic = _watch(published, release).traffic
    assert traffic
    assert len(traffic.columns) == 6
    assert "amount" not in traffic.samples
