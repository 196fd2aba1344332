"""Callers who no longer ask for what training knew."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from towpath_ci.drills.barges import barges
from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage

if TYPE_CHECKING:
    import pandas as pd

_CALLS: Final = 1_000
_ALPHA: Final = 0.001  # the chance that the twin is refused


class MovedTraffic(Drill):
    """Callers who ask for other things than training knew are noticed before any label has come."""

    injected = "callers ask for distances that are three times as long"
    gate = "monitor"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Let callers ask for barges like those of training."""
        return _watched(stage, barges(seed=11, rows=_CALLS))

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Let them ask for barges from farther away."""
        frame = barges(seed=11, rows=_CALLS)
        return _watched(stage, frame.assign(distance=frame["distance"] * 3))


def _watched(stage: Stage, frame: "pd.DataFrame") -> Sequence[Refusal]:
    """Answer rows as the service does, remember them, and return what the monitor makes of that."""
    from towpath_flows.evaluation.scoring import Scorer  # noqa: PLC0415 (heavy: not for the command line's start)
    from towpath_flows.monitoring.traffic import remembered  # noqa: PLC0415 (as above)
    from towpath_flows.project import Project  # noqa: PLC0415 (as above)

    scorer = Scorer.fetch(stage.root, stage.good)
    with TemporaryDirectory(prefix="towpath-drill-") as place:
        since = datetime.now(UTC)
        _answer(stage, scorer.folder, frame, Path(place))
        found = remembered(Project.open(stage.root), stage.good, scorer, (since, None), place)
    traffic = found.judged(_ALPHA) if found else None
    return [Refusal("monitor", traffic.words)] if traffic and traffic.drifted else []


def _answer(stage: Stage, artifact: Path, frame: "pd.DataFrame", journal: Path) -> None:
    from towpath_bento.journal.entry import Noted  # noqa: PLC0415 (as above)
    from towpath_bento.journal.places import Folder  # noqa: PLC0415 (as above)
    from towpath_bento.journal.writer import Writer  # noqa: PLC0415 (as above)
    from towpath_bento.lane import open_lane  # noqa: PLC0415 (as above)
    from towpath_bento.settings import Journal  # noqa: PLC0415 (as above)

    lane = open_lane(artifact, release=stage.good.id, artifact=stage.good.artifact)
    names = [column.name for column in lane.codec.signature.inputs]
    body = f'{{"rows":{frame[names].to_json(orient="records")}}}'.encode()
    columns = lane.codec.decode(body).columns
    values = lane.engine.predict(columns)
    noted = Noted("champion", lane, columns, values, None, "a drill", time.time(), 0.0, len(body), sampled=True)
    writer = Writer(Journal(share=1), Folder(journal))
    writer.start()
    writer.offer([noted])
    writer.close()
