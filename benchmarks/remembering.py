"""What counting and remembering cost a request of one row, beside the same request answered and forgotten.

Both read, predict and write the answer as the service does, without HTTP. Rounds of counting, as the event loop runs
them, and the thread that writes Parquet are paid for by the one that remembers; counters lie in files, as with several
workers.
"""

import asyncio
import os
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, mkdtemp

os.environ["PROMETHEUS_MULTIPROC_DIR"] = mkdtemp(prefix="towpath-bench-")  # read when prometheus-client is imported

from inference import request, train
from rounds import Contestant, compare, computed, head

from towpath_bento.journal.entry import Noted
from towpath_bento.journal.places import Folder
from towpath_bento.journal.writer import Writer
from towpath_bento.lane import Lane, open_lane
from towpath_bento.metrics import FOLDER_VARIABLE
from towpath_bento.recorder import Recorder
from towpath_bento.settings import Journal

ROUNDS, CALLS = 9, 5_000


def answer(lane: Lane, body: bytes, recorder: Recorder | None) -> None:
    """Answer a request, and note it where there is a recorder."""
    asked = lane.codec.decode(body)
    values = lane.engine.predict(asked.columns)
    lane.codec.encode(lane.release, values)
    if recorder is not None:
        sampled = recorder.samples()
        recorder.note(Noted("champion", lane, asked.columns, values, None, "r", 1e9, 1e-3, len(body), sampled=sampled))


async def many(lane: Lane, body: bytes, recorder: Recorder | None) -> None:
    """Answer the same request so often that one answer can be measured."""
    for _ in range(CALLS):
        answer(lane, body, recorder)
        await asyncio.sleep(0)
    if recorder is not None:
        recorder.drain()


def remembered(lane: Lane, body: bytes, share: float, folder: Path) -> None:
    """Answer many times, count everything and remember a share, to the last row."""
    recorder, writer = Recorder(), Writer(Journal(share=share), Folder(folder))
    writer.start()
    recorder.remember(share, writer)
    asyncio.run(many(lane, body, recorder))
    writer.close()


def main() -> None:
    """Compare for the default share, and for all requests."""
    head()
    with TemporaryDirectory() as place:
        folder = Path(place)
        model, exported, frame = train(folder)
        lane = open_lane(exported.folder, release="sha256:" + "1" * 64, artifact="sha256:" + "2" * 64)
        body = request(model, frame, 1)
        bare = Contestant("answered and forgotten", computed(lambda: asyncio.run(many(lane, body, None)), CALLS))
        for share in (0.1, 1.0):
            run = computed(partial(remembered, lane, body, share, folder / "journal"), CALLS)
            compare(Contestant(f"counted, {share:.0%} remembered, rows: 1", run), bare, ROUNDS)
    rmtree(os.environ[FOLDER_VARIABLE])


if __name__ == "__main__":
    main()
