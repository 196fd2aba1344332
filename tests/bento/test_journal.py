# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""What a worker remembers of its answers: everything that may be remembered, whole, in bounded room."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from pyarrow import parquet

from towpath_bento import metrics
from towpath_bento.journal import names
from towpath_bento.journal.entry import Noted
from towpath_bento.journal.keys import KEY_VARIABLE, hashed
from towpath_bento.journal.places import Folder
from towpath_bento.journal.reading import read_journal
from towpath_bento.journal.writer import Writer
from towpath_bento.lane import Lane, load
from towpath_bento.recorder import Recorder
from towpath_bento.settings import Journal
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.signature import Signature

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
WAIT_S = 60


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep secrets of tests out of the home of the person who runs them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where the test's journal is written."""
    return tmp_path / "journal"


@pytest.fixture
def lane(tiny: Callable[..., Any]) -> Lane:
    """Return a binary release of which no column is sensitive."""
    return load(tiny().lane)


def note(lane: Lane, rows: Sequence[dict[str, Any]], **fields: Any) -> Noted:
    """Answer rows, and note it as the service does."""
    body = msgspec.json.encode({"rows": rows, "entity": fields.pop("entity", None)})
    request = lane.codec.decode(body)
    values = lane.engine.predict(request.columns)
    at_s = fields.pop("at", NOON).timestamp()
    noted = Noted("champion", lane, request.columns, values, request.entity, "r1", at_s, 0.001, len(body), sampled=True)
    return noted._replace(**fields)


def write(folder: Path, *noted: Noted, **settings: Any) -> None:
    """Write a journal to its end."""
    writer = Writer(Journal(share=1, **settings), Folder(folder))
    writer.start()
    writer.offer(noted)
    writer.close()
    writer._thread.join(WAIT_S)  # it gives up sooner, which a busy machine may need


def files(folder: Path) -> list[Path]:
    """Return the files of a journal, oldest first."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_row_says_who_answered_what_to_whom_and_when(folder: Path, lane: Lane, row: dict[str, Any]) -> None:
    """Release, lane, entity, time and request of each row, beside its inputs as they were served and its prediction."""
    noted = note(lane, [row, {"distance km": 0, "note": ""}], entity="trip 7", request="abc")
    write(folder, noted)
    first, second = read_journal(folder).to_pylist()
    assert first == {
        names.TIME: NOON,
        names.REQUEST: "abc",
        names.ROW: 0,
        names.LANE: "champion",
        names.RELEASE: lane.release,
        names.ENTITY: "trip 7",
        names.PREDICTION: pytest.approx(float(noted.values[0, 0])),
        names.LABEL: "late",
        **row,
        "holiday": 1.0,
    }
    assert second[names.ROW] == 1
    assert {second[name] for name in ("hour", "holiday")} == {None}
    assert second["city"] == ""


@pytest.mark.parametrize(("task", "label"), [("multiclass", "c"), ("regression", None)])
def test_every_task_has_one_number_and_its_label(
    folder: Path, tiny: Callable[..., Any], row: dict[str, Any], task: str, label: str | None
) -> None:
    """Of several classes the decided one with its probability; a regression has only its value."""
    noted = note(load(tiny(task=task).lane), [row])
    write(folder, noted)
    table = read_journal(folder, columns=[names.PREDICTION, names.LABEL])
    assert table[names.LABEL].to_pylist() == [label]
    assert table[names.PREDICTION].to_pylist() == [pytest.approx(float(noted.values.max()))]


def test_sensitive_columns_are_never_written(folder: Path, tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """Neither a text nor a number that the schema marks, nor the key where its column is one; the rest is."""
    told = {"sensitive": ("distance km", "note", "trip")}
    lane = load(tiny(told=told).lane)
    write(folder, note(lane, [row | {"note": "Mrs Rain", "distance km": 4711.25}], entity="passport 99"))
    (remembered,) = read_journal(folder).to_pylist()
    assert {"distance km", "note"}.isdisjoint(remembered)
    assert remembered["city"] == row["city"]
    content = b"".join(path.read_bytes() for path in files(folder))
    assert not any(secret in content for secret in (b"Rain", b"passport", np.float32(4711.25).tobytes()))


def test_inputs_of_a_release_that_says_nothing_are_not_written(
    folder: Path, tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """Before the question was asked any column may be a secret: predictions are kept, and the key as a hash."""
    write(folder, note(load(tiny(told={"sensitive": None}).lane), [row], entity="trip 7"))
    (remembered,) = read_journal(folder).to_pylist()
    assert not set(row) & set(remembered)
    assert remembered[names.PREDICTION] is not None
    assert remembered[names.ENTITY].startswith("hmac:")


@pytest.mark.parametrize("given", [None, "a secret of several machines"])
def test_a_sensitive_key_is_the_same_hash_for_whoever_has_the_secret(
    tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """Journals of several workers can be joined by it; the secret is its owner's alone to read."""
    if given:
        monkeypatch.setenv(KEY_VARIABLE, given)
    lane = load(tiny(told={"sensitive": ("trip",)}).lane)
    for _ in range(2):
        write(tmp_path / "journal", *(note(lane, [row], entity=key) for key in ("a", "b", "a")))
    keys = read_journal(tmp_path / "journal")[names.ENTITY].to_pylist()
    assert len(set(keys)) == 2
    secret = tmp_path / "state" / "towpath" / "journal.key"
    assert secret.exists() is (given is None)
    if given is None:
        assert secret.stat().st_mode & 0o077 == 0
    known = given.encode() if given else secret.read_bytes()
    assert set(keys) == {hashed("a", known), hashed("b", known)}


def test_workers_that_begin_at_once_agree_on_the_secret(tmp_path: Path) -> None:
    """One of them makes it, all of them use it, and nothing else is left."""
    code = "from towpath_bento.journal.keys import secret_of_machine; print(secret_of_machine())"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(4)]
    assert len({process.communicate()[0] for process in running}) == 1
    assert [path.name for path in files(tmp_path / "state")] == ["journal.key"]


def test_without_a_secret_keys_are_left_out(
    tmp_path: Path, tiny: Callable[..., Any], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none can be kept, as in a read-only image, a key that may not be read is not written at all."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    write(tmp_path / "journal", note(load(tiny(told={"sensitive": ("trip",)}).lane), [row], entity="a"))
    assert read_journal(tmp_path / "journal")[names.ENTITY].to_pylist() == [None]


class Kept:
    """Keeps what a recorder hands over."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.noted: list[Noted] = []

    def offer(self, noted: Sequence[Noted]) -> None:
        """Take them."""
        self.noted += noted


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_a_share_of_the_requests_is_remembered(share: float) -> None:
    """By chance, so that no kind of request is preferred."""
    random.seed(5)
    recorder = Recorder()
    recorder.remember(share, Kept())
    chosen = sum(recorder.samples() for _ in range(5000))
    assert chosen == pytest.approx(5000 * share, abs=80 if share == 0.1 else 0)


def test_what_was_sampled_reaches_the_journal_and_nothing_else(lane: Lane, row: dict[str, Any]) -> None:
    """After a batch, or when its time has come."""
    kept = Kept()

    async def scenario() -> None:
        recorder = Recorder()
        recorder.remember(1.0, kept)
        for number in range(5):
            recorder.note(note(lane, [row], request=str(number), sampled=number % 2 == 0))
        while len(kept.noted) < 3:  # noqa: ASYNC110 (a list cannot be awaited)
            await asyncio.sleep(0.01)
        recorder.note(note(lane, [row] * 3000, request="many"))
        while len(kept.noted) < 4:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.01)

    asyncio.run(scenario())
    assert [each.request for each in kept.noted] == ["0", "2", "4", "many"]


def test_what_there_is_no_room_for_is_dropped_and_counted(folder: Path, lane: Lane, row: dict[str, Any]) -> None:
    """The queue holds so many bytes of requests; what comes then waits for nobody."""
    noted = note(lane, [row], size_bytes=400)
    dropped = metrics.JOURNAL_DROPPED._value.get()
    writer = Writer(Journal(share=1, queue_bytes=1000), Folder(folder))
    writer.offer([noted] * 5)
    assert metrics.JOURNAL_DROPPED._value.get() - dropped == 3
    writer.start()
    writer.close()
    writer._thread.join(WAIT_S)  # it gives up sooner, which a busy machine may need
    assert len(read_journal(folder)) == 2


def test_files_are_finished_and_the_oldest_removed(folder: Path, lane: Lane, row: dict[str, Any]) -> None:
    """A full file is followed by another; the folder holds its bytes and the file that grows."""
    for day in range(6):
        write(folder, note(lane, [row] * 500, at=NOON + timedelta(days=day)), file_rows=500)
    size = files(folder)[0].stat().st_size
    assert len(files(folder)) == 6
    write(folder, note(lane, [row], at=NOON + timedelta(days=6)), max_bytes=2 * size)
    left = read_journal(folder)[names.TIME].to_pylist()
    assert {moment.day for moment in left} == {5, 6, 7}
    assert len(list(folder.iterdir())) == 3


def test_rows_come_into_one_file_until_it_is_full(folder: Path, lane: Lane, row: dict[str, Any]) -> None:
    """Many small rounds of writing leave few files, and no row twice."""
    writer = Writer(Journal(share=1, flush_s=0.01, file_rows=30), Folder(folder))
    writer.start()
    for number in range(100):
        writer.offer([note(lane, [row], request=str(number), at=NOON + timedelta(seconds=number))])
        if number % 10 == 9:
            end = time.monotonic() + WAIT_S
            while len(read_journal(folder)) < number + 1:
                assert time.monotonic() < end
                time.sleep(0.01)
    writer.close()
    writer._thread.join(WAIT_S)  # it gives up sooner, which a busy machine may need
    assert read_journal(folder)[names.REQUEST].to_pylist() == [str(number) for number in range(100)]
    assert len(files(folder)) == 4


def test_releases_have_files_of_their_own(folder: Path, tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """One release can be read alone, and all of them together although their columns differ."""
    old, new = load(tiny(told={"sensitive": None}).lane), load(tiny(version=2).lane)
    write(folder, note(old, [row]), note(new, [row, row]), note(old, [row]))
    assert len(read_journal(folder, release=old.release)) == 2
    both = read_journal(folder, release=None)
    assert len(both) == 4
    assert both["hour"].null_count == 2


def test_a_window_is_read(folder: Path, lane: Lane, row: dict[str, Any]) -> None:
    """From its first moment up to, not with, its last; a moment without a zone is one of UTC."""
    moments = [NOON + timedelta(minutes=10 * number) for number in range(48)]
    for first in range(0, 48, 6):
        write(folder, *(note(lane, [row], at=moment) for moment in moments[first : first + 6]))
    found = read_journal(folder, moments[11], moments[30].replace(tzinfo=None), columns=[names.LABEL])
    assert found[names.TIME].to_pylist() == moments[11:30]
    assert len(read_journal(folder, moments[47])) == 1
    assert len(read_journal(folder, until=moments[0])) == 0
    assert len(read_journal(folder / "nothing")) == 0


def test_a_foreign_file_is_named(folder: Path, lane: Lane, row: dict[str, Any]) -> None:
    """What is no journal is told, not skipped."""
    write(folder, note(lane, [row]))
    (files(folder)[0].parent / "x.parquet").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(InvalidFileError, match=r"x\.parquet"):
        read_journal(folder)


def test_a_disk_that_fails_costs_nothing_that_fits_into_memory(tmp_path: Path, lane: Lane, row: dict[str, Any]) -> None:
    """While nothing can be written rows wait, in their bounded queue; then they are written once."""
    (tmp_path / "journal").write_text("in the way")
    failures = metrics.JOURNAL_FAILURES._value.get()
    writer = Writer(Journal(share=1, flush_s=0.01, file_rows=3, queue_bytes=1000), Folder(tmp_path / "journal"))
    writer.start()
    end = time.monotonic() + WAIT_S
    for number in range(5):
        moment = NOON + timedelta(seconds=number)
        writer.offer([note(lane, [row], request=str(number), at=moment, size_bytes=300)])
        while number == 2 and metrics.JOURNAL_FAILURES._value.get() < failures + 3:
            assert time.monotonic() < end
            time.sleep(0.01)
    (tmp_path / "journal").unlink()
    writer.close()
    writer._thread.join(WAIT_S)  # it gives up sooner, which a busy machine may need
    assert read_journal(tmp_path / "journal")[names.REQUEST].to_pylist() == [str(number) for number in range(5)]


STREAM = """
import sys
import time
from pathlib import Path
from itertools import count
import msgspec
from towpath_bento.journal.entry import Noted
from towpath_bento.journal.places import Folder
from towpath_bento.journal.writer import Writer
from towpath_bento.lane import open_lane
from towpath_bento.settings import Journal

lane = open_lane(Path(sys.argv[1]), release="sha256:" + "1" * 64, artifact="sha256:" + "2" * 64)
writer = Writer(Journal(share=1, flush_s=0.01, file_rows=50), Folder(Path(sys.argv[2])))
writer.start()
columns = lane.codec.decode(sys.argv[3].encode()).columns
values = lane.engine.predict(columns)
for number in count():
    writer.offer([Noted("champion", lane, columns, values, None, str(number), 1e9 + number, 0.1, 10, sampled=True)])
    time.sleep(0.001)
"""


def test_a_kill_loses_the_last_moments_and_breaks_nothing(
    tmp_path: Path, tiny: Callable[..., Any], lane: Lane, row: dict[str, Any]
) -> None:
    """Whenever it comes, every file can be read, and what is there has no hole; what was half written is removed."""
    command = [sys.executable, "-c", STREAM, str(tiny().folder)]
    body = msgspec.json.encode({"rows": [row]}).decode()
    folders = [tmp_path / "journals" / str(number) for number in range(4)]
    running = [subprocess.Popen([*command, str(folder), body]) for folder in folders]
    random.seed(3)
    for process, folder in zip(running, folders, strict=True):
        end = time.monotonic() + WAIT_S
        while not len(read_journal(folder)):
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(random.random() / 5)  # noqa: S311 (any moment)
        process.kill()
        process.wait()
        kept = [int(each) for each in read_journal(folder)[names.REQUEST].to_pylist()]
        assert kept == list(range(len(kept)))
        write(folder, note(lane, [row], at=datetime.fromtimestamp(1e9, UTC)))
        assert not list(folder.rglob(".*"))
        assert all(parquet.ParquetFile(path).metadata.num_rows for path in files(folder))


def test_reading_and_removing_go_on_while_others_write(folder: Path, lane: Lane, row: dict[str, Any]) -> None:
    """Two workers that write and remove at once, and a reader, do not disturb each other."""
    size_bytes = 40_000

    def work(worker: int) -> None:
        writer = Writer(Journal(share=1, flush_s=0.001, file_rows=2, max_bytes=size_bytes), Folder(folder))
        writer.start()
        for number in range(60):
            writer.offer([note(lane, [row], request=f"{worker}-{number}", at=NOON + timedelta(seconds=number))])
            time.sleep(0.002)
        writer.close()
        writer._thread.join(WAIT_S)  # it gives up sooner, which a busy machine may need

    failures = metrics.JOURNAL_FAILURES._value.get()
    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(2)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        read_journal(folder)
    assert metrics.JOURNAL_FAILURES._value.get() == failures
    last = {each.rpartition("-")[2] for each in read_journal(folder)[names.REQUEST].to_pylist()}
    assert "59" in last


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"share": 1.5}, "share is 1.5"),
        ({"flush_s": 6}, "at most 5"),
        ({"file_rows": 0}, "file_rows"),
        ({"s3": "bucket/prefix"}, "s3://"),
        ({"s3": "s3://a/b", "folder": "x"}, "left out"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], words: str) -> None:
    """At once, with the name of the setting."""
    with pytest.raises(InvalidFileError) as caught:
        Journal(**fields)
    assert words in str(caught.value)
    assert "service.py" in caught.value.hint


def test_a_signature_without_an_entity_says_nothing_of_its_key(
    folder: Path, tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """A key that no column of the schema names may be anything, so it is hashed."""
    lane = load(tiny(told={"entity": None}).lane)
    assert isinstance(lane.codec.signature, Signature)
    write(folder, note(lane, [row], entity="a"))
    assert read_journal(folder)[names.ENTITY].to_pylist()[0].startswith("hmac:")
