"""What load tests send, and when: as observed, and the same each time."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_bento.journal.names import LANE, REQUEST, TIME
from towpath_bento.load.shapes import FORMS, due_after
from towpath_bento.load.traffic import MOST_BODIES, from_artifact, from_journal, signature_of
from towpath_gitops.errors import InvalidFileError, NotFoundError
from towpath_gitops.records.artifact import REFERENCE
from towpath_gitops.records.load import Shape

# As a release's reference sample and a journal keep them: float32 with NaN, text with "".
SERVED = pd.DataFrame(
    {
        "distance km": [3.5, 0.1, 7.0, 2.0],
        "hour": [9.0, float("nan"), 23.0, 0.0],
        "holiday": [1.0, 0.0, float("nan"), 1.0],
        "city": ["Gent", "", "Łódź", "Delft"],
        "note": ["rain", "", "snow", "rain"],
    }
).astype({"distance km": "float32", "hour": "float32", "holiday": "float32"})
AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def artifact(tiny: Callable[..., Any]) -> Path:
    """Return the artifact of a release with a reference sample."""
    folder: Path = tiny().folder
    SERVED.assign(**{"towpath:target": "late"}).to_parquet(folder / REFERENCE)
    return folder


def rows_of(bodies: tuple[bytes, ...]) -> list[list[dict[str, Any]]]:
    """Return the rows of requests."""
    return [json.loads(body)["rows"] for body in bodies]


def test_a_sample_is_sent_row_by_row_as_callers_write_it(artifact: Path) -> None:
    """Missing is null, a whole number is whole, 0.1 is 0.1; what is no input is left out."""
    traffic = from_artifact(artifact)
    sent = sorted((rows[0] for rows in rows_of(traffic.bodies)), key=lambda row: float(row["distance km"]))
    assert sent[0] == {"distance km": 0.1, "hour": None, "holiday": False, "city": None, "note": ""}
    assert sent[2] == {"distance km": 3.5, "hour": 9, "holiday": True, "city": "Gent", "note": "rain"}
    assert traffic.rows == (1, 1, 1, 1)
    assert traffic.missing == pytest.approx(3 / 20)


def test_the_same_sample_gives_the_same_requests(artifact: Path) -> None:
    """Nothing is drawn anew: evidence names what was sent by its digest."""
    assert from_artifact(artifact).sent() == from_artifact(artifact).sent()
    assert from_artifact(artifact).sent().arrivals == "poisson"


def test_a_row_that_the_service_refuses_is_not_sent(artifact: Path) -> None:
    """A sample may hold what a closed list or a limit of today refuses."""
    SERVED.assign(city=["Gent", "Paris", "Gent", "Gent"]).to_parquet(artifact / REFERENCE)
    assert len(from_artifact(artifact).bodies) == 3
    SERVED.assign(city="Paris").to_parquet(artifact / REFERENCE)
    with pytest.raises(InvalidFileError, match="nothing to send"):
        from_artifact(artifact)


def test_a_release_without_a_sample_says_so(tiny: Callable[..., Any]) -> None:
    """There is nothing to invent traffic from."""
    with pytest.raises(NotFoundError, match=REFERENCE):
        from_artifact(tiny().folder)


def test_a_journal_is_sent_as_it_came(artifact: Path, tmp_path: Path) -> None:
    """Rows that came together go together, and the gaps between requests are those observed."""
    day = tmp_path / "journal" / "2026-06-01"
    day.mkdir(parents=True)
    times = [AT, AT, AT + timedelta(seconds=1), AT + timedelta(seconds=4)]
    asked = SERVED.assign(**{REQUEST: ["a", "a", "b", "c"], TIME: times, LANE: "champion"})
    shadow = asked.head(1).assign(**{LANE: "shadow"})  # scored beside, asked by nobody
    pd.concat([asked, shadow]).to_parquet(day / "0.parquet")
    traffic = from_journal(tmp_path / "journal", signature_of(artifact))
    assert traffic.rows == (2, 1, 1)
    assert traffic.gaps == pytest.approx((0.5, 1.5))
    assert traffic.sent().arrivals == "observed"
    assert sorted(set(islice(traffic.arrivals(5), 10))) == pytest.approx([0.5, 1.5])


def test_of_a_long_journal_the_newest_requests_are_sent(artifact: Path, tmp_path: Path) -> None:
    """Bounded, however long it is kept."""
    many = pd.concat([SERVED] * (MOST_BODIES // 4 + 1), ignore_index=True)
    journal = tmp_path / "journal"
    journal.mkdir()
    many.assign(note="old").to_parquet(journal / "0.parquet")
    many.assign(note="new").to_parquet(journal / "1.parquet")
    traffic = from_journal(journal, signature_of(artifact))
    assert len(traffic.bodies) == MOST_BODIES
    assert {rows[0]["note"] for rows in rows_of(traffic.bodies)} == {"new"}


def test_a_journal_of_another_model_is_refused(artifact: Path, tmp_path: Path) -> None:
    """A missing column is named; so is a folder without a journal."""
    journal = tmp_path / "journal"
    journal.mkdir()
    with pytest.raises(NotFoundError, match="no Parquet file"):
        from_journal(journal, signature_of(artifact))
    SERVED.drop(columns="hour").to_parquet(journal / "0.parquet")
    with pytest.raises(InvalidFileError, match="lacks the column hour"):
        from_journal(journal, signature_of(artifact))


def test_random_arrivals_keep_the_rate(artifact: Path) -> None:
    """The gaps of a Poisson process are one on average, and as spread as exponential ones; a seed repeats them."""
    traffic = from_artifact(artifact)
    gaps = pd.Series(list(islice(traffic.arrivals(3), 20_000)))
    assert gaps.mean() == pytest.approx(1, abs=0.05)
    assert gaps.std() == pytest.approx(1, abs=0.05)
    assert list(islice(traffic.arrivals(3), 5)) == list(gaps[:5])


@given(st.sampled_from(["steady", "ramp", "spike", "soak"]), st.floats(0, 60), st.floats(0.01, 5))
def test_a_shape_moves_forward(shape: Shape, at_s: float, gap: float) -> None:
    """Whatever the shape, the next request comes later, and sooner where the level is higher."""
    later = due_after(shape, 100, at_s, 60, gap)
    assert later > at_s
    assert later - at_s == pytest.approx(gap / (100 * FORMS[shape].level(at_s / 60)))


@pytest.mark.parametrize(
    ("shape", "levels"), [("steady", (1, 1, 1)), ("ramp", (0.1, 0.55, 1)), ("spike", (1, 4, 1)), ("soak", (1, 1, 1))]
)
def test_each_shape_has_its_levels(shape: Shape, levels: tuple[float, ...]) -> None:
    """At the beginning, in the middle and at the end."""
    assert [FORMS[shape].level(gone) for gone in (0, 0.5, 1)] == pytest.approx(levels)
