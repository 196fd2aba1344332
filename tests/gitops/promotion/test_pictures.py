"""Pictures are a pure function of the figures: the same bytes, well formed, and harmless whatever names say."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.promotion.pictures.canvas import WIDTH, Scale, clean, extent, number, shortened
from towpath_gitops.promotion.pictures.differences import differences
from towpath_gitops.promotion.pictures.flips import MOST, flips
from towpath_gitops.promotion.pictures.load import load
from towpath_gitops.promotion.pictures.reliability import reliability
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.figures import LARGEST, Bin, Calibration, MetricDifference, Replay, Rivals, Segment
from towpath_gitops.records.load import LoadFigures

SVG = "{http://www.w3.org/2000/svg}"
lines = st.text(min_size=1, max_size=60).filter(lambda text: re.fullmatch(r"[^\x00-\x1f\x7f-\x9f]+", text) is not None)
names = lines.filter(lambda text: not re.search("[\u2028\u2029\u202a-\u202e\u2066-\u2069]", text))
values = st.floats(-LARGEST, LARGEST)
shares = st.floats(0, 1)
pairs = st.tuples(values, values).map(lambda pair: (min(pair), max(pair)))
metrics = st.builds(
    MetricDifference,
    metric=st.just("roc_auc"),
    label=names,
    champion=values,
    challenger=values,
    difference=values,
    interval=st.none() | pairs,
    confidence=st.just(0.95),
    margin=st.none() | st.floats(0, LARGEST),
)
bins = st.lists(st.builds(Bin, predicted=shares, observed=shares, rows=st.integers(1, 10**9)), max_size=10).map(tuple)
calibrations = st.builds(Calibration, error=values, interval=st.none() | pairs, bins=bins)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    """Draw a segment whose numbers go together."""
    rows, ends = draw(st.integers(1, 10**9)), sorted(draw(st.tuples(shares, shares)))
    flipped = draw(st.integers(0, rows))
    return Segment(column=draw(names), value=draw(names), rows=rows, flips=flipped, interval=(ends[0], ends[1]))


@st.composite
def replays(draw: st.DrawFn) -> Replay:
    """Draw a replay whose numbers go together."""
    rows = draw(st.integers(1, 10**9))
    return Replay(
        rows=rows,
        digest=digest_of("replay"),
        window=(None, None),
        tolerance=draw(st.none() | st.floats(0, LARGEST)),
        flips=draw(st.integers(0, rows)),
        corrected=0,
        spoiled=0,
        segments=tuple(draw(st.lists(segments(), max_size=25))),
    )


def _rivals(*measured: MetricDifference) -> Rivals:
    replay = Replay(rows=1, digest=digest_of("replay"), window=(None, None), flips=0, corrected=0, spoiled=0)
    return Rivals(task="binary", rows=1000, window=(None, None), metrics=measured, replay=replay)


def _metric(**fields: Any) -> MetricDifference:  # noqa: ANN401 (fields of a metric)
    known = {"metric": "roc_auc", "label": "ROC AUC", "greater_is_better": True, "interval": (-0.01, 0.03)}
    figures = {"champion": 0.7, "challenger": 0.71, "difference": 0.01}
    return MetricDifference.model_validate(known | figures | fields)


def _sound(data: bytes) -> ET.Element:
    """Return the picture's root when it is well formed, names itself, and holds nothing but shapes and words."""
    root = ET.fromstring(data)  # noqa: S314 (our own bytes)
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None
    known = {"svg", "title", "desc", "style", "rect", "text", "line", "polyline", "circle"}
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in known
        assert not any(name.startswith("on") or "href" in name for name in element.attrib)
        for name in set(element.attrib) & {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height"}:
            assert 0 <= float(element.attrib[name]) < 10_000, (element.tag, element.attrib)
    return root


def _words(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


@given(st.lists(metrics, min_size=1, max_size=12))
def test_any_differences_make_a_sound_picture(measured: list[MetricDifference]) -> None:
    """Whatever the names, the sizes and the units: well formed, on the card, and the same bytes twice."""
    rivals = _rivals(*measured)
    _sound(differences(rivals))
    assert differences(rivals) == differences(rivals.model_copy())


@given(replays())
def test_any_flips_make_a_sound_picture(replay: Replay) -> None:
    """No segment, or more than are drawn."""
    root = _sound(flips(replay))
    assert len([words for words in _words(root) if " of " in words and words[0].isdigit()]) >= min(
        len(replay.segments), MOST
    )
    assert flips(replay) == flips(replay.model_copy())


@given(calibrations, st.none() | calibrations)
def test_any_calibration_makes_a_sound_picture(challenger: Calibration, champion: Calibration | None) -> None:
    """One curve or two, empty ones included."""
    _sound(reliability(challenger, champion))
    assert reliability(challenger, champion) == reliability(challenger, champion)


def test_a_load_test_makes_a_sound_picture_with_and_without_a_champion(loaded: LoadFigures) -> None:
    """Ratios beside the noise where there are two, latencies beside their limits where there is one."""
    words = load(loaded).decode()
    assert "challenger over champion" in words
    assert f"{loaded.against[0].ratio.value:.3f}" in words
    alone = loaded.model_copy(update={"champion": None, "against": ()})
    assert "Latency under load" in load(alone).decode()


def test_better_is_right_whatever_the_metrics_own_direction() -> None:
    """A loss that falls and a score that rises lie on the same side; only what is certain is coloured."""
    rises = _metric(difference=0.02, interval=(0.01, 0.03))
    falls = _metric(greater_is_better=False, difference=-0.02, interval=(-0.03, -0.01))
    worse = _metric(difference=-0.02, interval=(-0.03, -0.01))
    root = _sound(differences(_rivals(rises, falls, worse, _metric())))
    dots = [(float(dot.attrib["cx"]), dot.attrib["class"]) for dot in root.iter(f"{SVG}circle")]
    assert dots[0][0] == dots[1][0] > dots[3][0] > dots[2][0]
    assert [look for _, look in dots] == ["good", "good", "bad", "open"]


def test_metrics_of_another_unit_have_an_axis_of_their_own() -> None:
    """A difference of minutes does not press those without a unit flat."""
    root = _sound(differences(_rivals(_metric(unit="target", difference=300.0, interval=(-100, 700)), _metric())))
    assert _words(root).count("better →") == 2


def test_the_worst_segment_is_named_to_those_who_cannot_see() -> None:
    """The description says what the picture shows."""
    segment = Segment(column="origin", value="JFK", rows=100, flips=40, interval=(0.3, 0.5))
    replay = Replay(
        rows=1000, digest=digest_of("r"), window=(None, None), flips=90, corrected=0, spoiled=0, segments=(segment,)
    )
    description = _sound(flips(replay)).findtext(f"{SVG}desc")
    assert description == "9.0% of 1,000 rows change. The worst segment is origin = JFK: 40.0% of 100 rows."


def test_hostile_names_stay_words() -> None:
    """Markup, entities and marks that turn text around are shown, not obeyed."""
    hostile = '"/><script>alert(1)</script><!--&amp;\ufffe\u200f'
    data = differences(_rivals(_metric(label=hostile)))
    assert b"<script" not in data
    assert "\u200f" not in data.decode()
    assert '"/><script>alert(1)</script><!--&amp;\ufffd\ufffd' in {e.text for e in _sound(data).iter(f"{SVG}title")}


@given(names, st.floats(20, 300))
def test_shortened_words_fit(text: str, width: float) -> None:
    """They are whole, or end in an ellipsis within the room there is."""
    short = shortened(text, width)
    assert short == clean(text) or (short.endswith("…") and extent(short) <= width + 7)


@given(values, values)
def test_an_axis_has_round_marks_within_its_ends(low: float, high: float) -> None:
    """At most six, growing, each within the ends; every value has a place on the card."""
    scale = Scale(min(low, high), max(low, high), 10, WIDTH - 10)
    ticks = scale.ticks()
    assert len(ticks) <= 6
    assert ticks == sorted(ticks)
    assert all(10 <= scale(value) <= WIDTH - 10 for value in [low, high, *ticks])


@pytest.mark.parametrize(("value", "written"), [(-0.001, "0"), (10.0, "10"), (0.5, "0.5"), (100.126, "100.13")])
def test_lengths_have_one_spelling(value: float, written: str) -> None:
    """Two digits at most, none that say nothing, never minus nought."""
    assert number(value) == written
