# ruff: noqa: ANN401 (engines and models of several libraries)
"""Who answers many rows: what is measured, what must be proved first, and what becomes of an engine that is wrong."""

import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath_bento import metrics
from towpath_bento.columns import Blocks
from towpath_bento.crossover import engines, measuring
from towpath_bento.crossover.engines import ByRows, Many, Spread
from towpath_bento.crossover.measuring import SIZES, Measured, difference, measure
from towpath_bento.crossover.probes import UNSEEN, probes
from towpath_bento.crossover.settling import Crossover, Settling
from towpath_bento.engines import native
from towpath_bento.image import answering
from towpath_bento.lane import Lane, golden_rows, open_lane
from towpath_bento.server import ModelServer
from towpath_bento.settings import ManyRows
from towpath_flows.data import load, split, validate
from towpath_flows.project import Project
from towpath_flows.training import TuneResult, export, fit
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.artifact import manifest_digest
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import LanePointer, Pointer
from towpath_gitops.records.release import Release

RELEASE = "sha256:" + "1" * 64
SCHEMA = """\
import pandera.pandas as pa


class Rows(pa.DataFrameModel):
    a: float = pa.Field(nullable=True)
    b: float = pa.Field(ge=0)
    place: str = pa.Field(nullable=True)
    late: bool
"""
SPEC = """\
name: {0}
task: binary
target: late
data:
  train: {{file: data.parquet}}
schema: {0}.schema:Rows
train: {{frameworks: [{0}], seed: 7}}
tune: {{trials: 0}}
"""


@pytest.fixture(scope="module", params=["xgboost", "lightgbm"])
def lane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lane:
    """A trained release of each framework with missing numbers and texts, opened as for serving."""
    folder, framework = tmp_path_factory.mktemp("trained"), f"crossed_{request.param}"
    (folder / "src" / framework).mkdir(parents=True)
    (folder / "src" / framework / "__init__.py").touch()
    (folder / "src" / framework / "schema.py").write_text(SCHEMA)
    (folder / "model.yaml").write_text(SPEC.format(framework).replace(f"[{framework}]", f"[{request.param}]"))
    random = np.random.default_rng(7)
    frame = pd.DataFrame({"a": random.normal(size=3000), "b": random.random(3000)})
    frame["place"] = random.choice(["Delft", "Gent", None], 3000)
    frame["late"] = np.nan_to_num(frame["a"]) + 2 * frame["b"] + (frame["place"] == "Gent") > random.normal(1, 1, 3000)
    frame.loc[::7, "a"] = np.nan
    frame.to_parquet(folder / "data.parquet", index=False)
    sys.path.insert(0, str(folder / "src"))
    project = Project.open(folder)
    parts = split(project, validate(project, load(project)).frame)
    export(fit(project, parts, TuneResult(request.param, {}, None, (), 40)), parts, folder / "artifact")
    return open_lane(folder / "artifact", release=RELEASE, artifact=manifest_digest(folder / "artifact"))


@pytest.fixture
def fresh(lane: Lane) -> Lane:
    """The same release as if it had just become live."""
    return replace(lane, engine=ByRows(lane.engine.few, RELEASE))


def probe_of(lane: Lane, rows: int = 600) -> Blocks:
    """Return rows to ask a lane."""
    return probes(lane.codec.signature, golden_rows(lane), rows)


class Wrong:
    """An engine that answers what a test makes of the right answer."""

    def __init__(self, engine: Any, change: Callable[[Any], Any]) -> None:
        """Change what `engine` answers."""
        self.engine, self.change, self.asked = engine, change, 0

    def predict(self, columns: Any) -> Any:
        """Return the changed answer."""
        self.asked += 1
        return self.change(self.engine.predict(columns))


def shifted(values: Any) -> Any:
    """Return answers of which the last is wrong by little more than is allowed."""
    values = values.astype(np.float64)
    values[-1] += 3e-6
    return values


def fails(_: Any) -> Any:
    """Fail as a library may."""
    message = "out of memory"
    raise RuntimeError(message)


BAD = [shifted, fails, lambda values: values[:-1], lambda values: np.where(values > 2, values, np.nan)]


def test_probes_are_what_callers_may_send(lane: Lane) -> None:
    """Missing where it may be missing, unseen texts, the ends of training's range; the rest is of golden rows."""
    probe = probe_of(lane)
    known = {name: {str(v) for each in golden_rows(lane) for v in each[name][:, 0]} for name in ("b", "place")}
    ends = next(column.seen for column in lane.codec.signature.inputs if column.name == "b")
    assert ends is not None
    assert np.isnan(probe["a"]).any()
    assert not np.isnan(probe["b"]).any()
    assert {"", UNSEEN} < set(probe["place"][:, 0]) <= known["place"] | {"", UNSEEN}
    assert {np.float32(ends.minimum), np.float32(ends.maximum)} <= set(probe["b"][:, 0])
    np.testing.assert_array_equal(probe_of(lane).numbers, probe.numbers)


@pytest.mark.parametrize("threads", [1, 2])
def test_both_sides_agree_with_missing_and_unseen_values(lane: Lane, threads: int) -> None:
    """The graph and the training library's own engine differ by at most a millionth, on one thread or two."""
    other = Spread(native.open_engine(lane.folder, lane.codec.signature), threads)
    probe = probe_of(lane)
    assert difference(lane.engine.few, other, probe) is None
    np.testing.assert_allclose(other.predict(probe), lane.engine.few.predict(probe), rtol=0, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_spread_rows_have_the_same_bits(data: st.DataObject, lane: Lane) -> None:
    """However many rows and threads: in the order of the rows, and bit for bit what one thread answers."""
    rows, threads = data.draw(st.integers(1, 600)), data.draw(st.integers(2, 5))
    probe = probe_of(lane).cut(0, rows)
    np.testing.assert_array_equal(Spread(lane.engine.few, threads).predict(probe), lane.engine.few.predict(probe))


def test_one_request_is_spread_at_a_time(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another request's rows are spread, one is answered on its own thread, for no core is left."""
    monkeypatch.setattr(engines, "_pool", lambda _: pytest.fail("a second request was spread"))
    with engines._BUSY:
        assert len(Spread(lane.engine.few, 2).predict(probe_of(lane))) == 600
    assert not engines._BUSY.locked()


@pytest.mark.parametrize("change", BAD)
def test_a_wrong_engine_is_told_apart(lane: Lane, change: Callable[[Any], Any]) -> None:
    """Another value, another shape, no number, no answer: each is a difference."""
    assert difference(lane.engine.few, Wrong(lane.engine.few, change), probe_of(lane)) is not None
    assert difference(lane.engine.few, Wrong(lane.engine.few, lambda values: values + 1e-8), probe_of(lane)) is None


@pytest.mark.parametrize(
    ("slow_s", "quick_s", "expected"),
    [
        (lambda rows: rows * 1e-5, lambda rows: 0.005 + rows * 1e-6, Measured("quick", 1024, pytest.approx(4.5, 0.1))),
        (lambda rows: rows * 1e-5, lambda rows: rows * 0.9e-5, Measured()),
        (lambda rows: rows * 1e-5, lambda rows: rows * (1e-6 if rows < 2048 else 2e-5), Measured()),
        (lambda rows: rows * 1e-3, lambda rows: rows * 1e-4, Measured("quick", 256, pytest.approx(10))),
    ],
)
def test_the_crossover_is_where_the_other_stays_faster(
    lane: Lane,
    monkeypatch: pytest.MonkeyPatch,
    slow_s: Callable[[int], float],
    quick_s: Callable[[int], float],
    expected: Measured,
) -> None:
    """By a fifth at least, and at all larger sizes too; a slow model is not timed at sizes that would take long."""
    clock = SimpleNamespace(now_s=0.0, largest=0)

    def costing(cost_s: Callable[[int], float]) -> Any:
        def predict(columns: Any) -> None:
            clock.now_s += cost_s(columns.rows)
            clock.largest = max(clock.largest, columns.rows)

        return SimpleNamespace(predict=predict)

    monkeypatch.setattr(measuring.time, "perf_counter", lambda: clock.now_s)
    assert measure(costing(slow_s), {"quick": costing(quick_s)}, probe_of(lane, max(SIZES))) == expected
    assert clock.largest == (256 if slow_s(1) == 1e-3 else 4096)


def test_rows_choose_the_engine(fresh: Lane) -> None:
    """One row fewer than measured is the first engine's, as many are the other's, and both are counted apart."""
    other = Wrong(fresh.engine.few, lambda values: values)
    fresh.engine.many = Many(300, "other", other)
    before = metrics.MANY_ROWS.labels(RELEASE, "other")._value.get()
    fresh.engine.predict(probe_of(fresh).cut(0, 299))
    assert other.asked == 0
    fresh.engine.predict(probe_of(fresh).cut(0, 300))
    assert other.asked == 1
    assert metrics.MANY_ROWS.labels(RELEASE, "other")._value.get() - before == 300


def test_an_engine_that_fails_is_not_asked_again(fresh: Lane, caplog: pytest.LogCaptureFixture) -> None:
    """The request that it failed on is answered by the first engine, and so are all others."""
    other = Wrong(fresh.engine.few, fails)
    fresh.engine.many = Many(300, "other", other)
    for _ in range(2):
        np.testing.assert_array_equal(fresh.engine.predict(probe_of(fresh)), fresh.engine.few.predict(probe_of(fresh)))
    assert other.asked == 1
    assert fresh.engine.many is None
    assert "not asked again" in caplog.text


def test_what_is_measured_is_kept_for_other_workers(fresh: Lane, tmp_path: Path) -> None:
    """The first worker measures and writes; the next reads, unless its machine is another."""
    Settling(ManyRows(threads=2, native=True), 1, tmp_path).settle(fresh)
    (path,) = tmp_path.glob("*.json")
    kept = parse_json(path.read_bytes(), Crossover, source=str(path))
    assert kept.artifact == fresh.artifact
    shown = fresh.engine.shown
    assert shown == (None if kept.engine is None else {"engine": kept.engine, "rows": kept.rows})
    path.write_text(kept.model_copy(update={"engine": "native, 2 threads", "rows": 512, "gain": 2.5}).model_dump_json())
    again = replace(fresh, engine=ByRows(fresh.engine.few, RELEASE))
    Settling(ManyRows(threads=2, native=True), 1, tmp_path).settle(again)
    assert again.engine.shown == {"engine": "native, 2 threads", "rows": 512}
    elsewhere = replace(fresh, engine=ByRows(fresh.engine.few, RELEASE))
    Settling(ManyRows(threads=3), 1, tmp_path).settle(elsewhere)
    assert elsewhere.engine.shown != again.engine.shown
    assert "3 threads" in path.read_text()


@pytest.mark.parametrize("change", BAD)
def test_a_wrong_engine_is_never_used(
    fresh: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, change: Any
) -> None:
    """Neither when it is measured, nor when a file says that it is faster and was right."""
    wrong = Wrong(fresh.engine.few, change)
    monkeypatch.setattr(native, "open_engine", lambda *_: wrong)
    settling = Settling(ManyRows(threads=1, native=True), 1, tmp_path)
    settling.settle(fresh)
    assert fresh.engine.many is None
    assert "native, 1 thread never answers" in caplog.text
    (path,) = tmp_path.glob("*.json")
    kept = parse_json(path.read_bytes(), Crossover, source=str(path))
    assert kept.engine is None
    path.write_text(kept.model_copy(update={"engine": "native, 1 thread", "rows": 256, "gain": 9.0}).model_dump_json())
    again = replace(fresh, engine=ByRows(fresh.engine.few, RELEASE))
    settling.settle(again)
    assert again.engine.many is None


def test_without_spare_cores_nothing_is_measured(fresh: Lane, tmp_path: Path) -> None:
    """As many workers as cores leave one thread for each, and no library beside onnxruntime is opened unasked."""
    Settling(ManyRows(), 10_000, tmp_path).settle(fresh)
    assert fresh.engine.settled
    assert fresh.engine.many is None
    assert not list(tmp_path.iterdir())


def test_an_artifact_that_changed_is_not_opened_again(
    fresh: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The native parts are opened later than the graph, so their digest is checked once more before."""
    monkeypatch.setattr(native, "open_engine", lambda *_: pytest.fail("it was opened"))
    other = replace(fresh, artifact="sha256:" + "2" * 64)
    Settling(ManyRows(threads=1, native=True), 1, tmp_path).settle(other)
    assert other.engine.many is None
    assert "cannot answer many rows" in caplog.text


def test_the_service_shows_who_answers_many_rows(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """/v1/releases, /metrics and the log name the engine and from how many rows on it answers; a body takes it."""
    caplog.set_level(logging.INFO, "towpath.bento")
    monkeypatch.setattr("towpath_bento.crossover.settling.measure", lambda *_: Measured("native, 1 thread", 512, 1.7))
    wanted = LanePointer(release=RELEASE, artifact=lane.artifact, path=str(lane.folder))
    pointer = Pointer(model="m", environment="testing", generation=1, lanes={"champion": wanted})
    (tmp_path / "pointer.json").write_text(pointer.model_dump_json(by_alias=True))

    async def scenario() -> None:
        server = ModelServer("m", 1, many=ManyRows(threads=1, native=True))
        await server.start(tmp_path / "pointer.json")
        transport = httpx.ASGITransport(server)  # type: ignore[arg-type]  # the same protocol under other names
        async with httpx.AsyncClient(transport=transport, base_url="http://testing", timeout=60) as client:
            while (listed := (await client.get("/v1/releases")).json()["releases"])[0]["many"] is None:  # noqa: ASYNC110 (a service tells by HTTP)
                await asyncio.sleep(0.05)
            assert listed[0]["many"] == {"engine": "native, 1 thread", "rows": 512}
            answers = (await client.post("/v1/predict", json={"rows": [{"b": 0.5}] * 600})).json()["predictions"]
            (alone,) = (await client.post("/v1/predict", json={"rows": [{"b": 0.5}]})).json()["predictions"]
            assert [each["probability"] for each in answers] == pytest.approx([alone["probability"]] * 600, abs=1e-6)
            text = (await client.get("/metrics")).text
        await server.stop()
        assert f'towpath_many_rows_total{{engine="native, 1 thread",release="{RELEASE}"}} ' in text

    asyncio.run(scenario())
    assert "native, 1 thread answers for 111111111111 from 512 rows on, 1.7 times as fast" in caplog.text


def test_the_native_engine_takes_its_libraries_into_the_image() -> None:
    """Only where the owner lets it answer: an image holds no training library otherwise."""
    assert ModelServer("m", 1, many=ManyRows(native=True)).needs == ("pandas", "scikit-learn", "skops")
    assert ModelServer("m", 1).needs == ()


def test_no_threads_are_no_setting() -> None:
    """The owner is told what to correct."""
    with pytest.raises(InvalidFileError, match="threads is 0"):
        ManyRows(threads=0)


def test_an_image_that_lacks_a_library_of_the_system_is_not_built(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is built the release answers its golden requests, and its native engine opens; or the build says why."""
    fields = {"model": "m", "version": 1, "semver": "1.0.0", "artifact": lane.artifact, "code": "a" * 40}
    release = Release.model_validate(fields | {"schema": lane.artifact, "data": lane.artifact})
    (tmp_path / "release.json").write_text(release.model_dump_json(by_alias=True))
    (tmp_path / "model").symlink_to(lane.folder)
    monkeypatch.setattr(sys, "argv", ["answering", str(tmp_path)])
    answering.main()
    library = next(name for file, name in native.BOOSTERS.items() if (lane.folder / file).is_file())
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / f"{library}.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path / "lacking")
    monkeypatch.delitem(sys.modules, library)
    with pytest.raises(SystemExit, match=r"does not answer in this image:\n.*lacks a library: libgomp.so.1"):
        answering.main()
