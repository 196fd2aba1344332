"""The decision document: complete for machines, readable and harmless for people."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt
from pydantic import ValidationError

from towpath_gitops.errors import RefusedError
from towpath_gitops.promotion import change
from towpath_gitops.promotion.deciding import MOST_STEPS, decide, differences
from towpath_gitops.promotion.decision import Decision, Link, Named, Picture, Step, Upstream, WayBack
from towpath_gitops.promotion.document import markdown
from towpath_gitops.promotion.inputs import Inputs
from towpath_gitops.promotion.loading import loads, setting
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.records.base import digest_of, short
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict
from towpath_gitops.records.figures import ComparisonFigures
from towpath_gitops.records.load import LoadFigures
from towpath_gitops.records.load_gates import judged
from towpath_gitops.records.release import Release

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schemas" / "decision.json").read_text(encoding="utf-8"))
EVALUATION: dict[str, Any] = {
    "rows": 500,
    "window": ["2013-04-01T00:00:00", "2013-05-31T00:00:00"],
    "metrics": {"roc_auc": {"value": 0.7023, "low": 0.69, "high": 0.71}},
    "calibration": [{"predicted": 0.2, "observed": 0.25, "rows": 500}],
}
DATA: dict[str, Any] = {"rows": {"train": 600, "validation": 200, "test": 200}, "window": EVALUATION["window"]}
words = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=80).filter(str.strip)
plain_words = words.filter(lambda text: not re.search("[\u202a-\u202e\u2066-\u2069]", text))
signs = st.sampled_from(
    ["[a](https://e.example)", "<img src=x>", "| x |", "# no", "`code`", "![x](y)", "@grace", "**x** *y*", "$x$"]
)
hostile = (
    st.lists(st.one_of(signs, plain_words), min_size=1, max_size=4).map(" ".join).filter(lambda text: len(text) < 300)
)


def _release(semver: str, **fields: str) -> Release:
    digests = {"artifact": digest_of(semver), "schema": digest_of("schema"), "data": digest_of("data")}
    return Release.model_validate(
        {"model": "flights", "version": 1, "semver": semver, "code": "a" * 40} | digests | fields
    )


OLD = _release("1.0.0")
NEW = _release("1.1.0", code="b" * 40)
EMPTY = Deployment.model_validate(
    {
        "apiVersion": "towpath/v1",
        "kind": "Deployment",
        "model": "flights",
        "environment": "production",
        "target": {"kind": "local", "port": 3000},
    }
)
BEFORE = change.promote(EMPTY, OLD, "first", None)


def _evidence(kind: Kind, message: str = "It is 0.71", **fields: Any) -> Evidence:  # noqa: ANN401 (fields of evidence)
    finding = Finding(
        gate="roc_auc ≥ 0.68", verdict=Verdict.PASS, message=message, measured=0.71, interval=(0.7, 0.72), limit=0.68
    )
    values = {"kind": kind, "model": "flights", "release": NEW.id, "gates": digest_of("g"), "findings": (finding,)}
    details = {Kind.EVALUATION: EVALUATION, Kind.DATA: DATA}.get(kind, {})
    return Evidence.model_validate(values | {"created": NOW - timedelta(hours=1), "details": details} | fields)


def _known(compared: ComparisonFigures | None = None, **fields: Any) -> Inputs:  # noqa: ANN401 (fields of inputs)
    evidence = {kind: _evidence(kind) for kind in (Kind.DATA, Kind.EVALUATION)}
    if compared is not None:
        evidence[Kind.COMPARISON] = _evidence(Kind.COMPARISON, champion=OLD.id, details=compared.plain())
    way_back = WayBack(release=Named(id=OLD.id, semver="1.0.0"), safe=True, words="towpath rollback leads back.")
    upstream = Upstream(environment="staging", verdict=Verdict.PASS, verified=NOW, healthy_since=NOW, soak="1h")
    known: dict[str, Any] = {
        "release": NEW,
        "brings": True,
        "demanded": tuple(evidence),
        "evidence": evidence,
        "former": {},
        "served_in": "production",
        "champion": OLD,
        "above": "staging",
        "skips": False,
        "upstream": upstream,
        "steps": [Step(commit="b" * 40, subject="Learn more")],
        "way_back": way_back,
        "reasons": (),
        "approvals": 1,
        "pictures": [Picture(name="flips.svg", says="Flips by segment", to="gitops/evidence/x/flips.svg")],
        "links": [Link(what="evaluation evidence", to="https://forge.example/o/r/blob/abc/x.json")],
    }
    return Inputs(**(known | fields))


def _decide(compared: ComparisonFigures | None = None, reason: str = "weekly retrain", **fields: Any) -> Decision:  # noqa: ANN401 (as above)
    after = change.promote(BEFORE, NEW, reason, digest_of("bundle"))
    return decide(BEFORE, after, _known(compared, **fields))


# --- what it shows ------------------------------------------------------------------------------------------------


def test_it_shows_gates_figures_and_digests(compared: ComparisonFigures) -> None:
    """Every metric with its interval; flips, where and to what end; calibration; what both cost; each gate."""
    page = markdown(_decide(compared))
    for line in (
        "| ROC AUC | 0.6512 | 0.7023 | +0.0511 | +0.0411 to +0.0612 | better | 0.01 |",
        "| log loss | 0.4000 | 0.4200 | +0.0200 | +0.0100 to +0.0300 | worse |  |",
        "1,234 (12.3%) are decided differently: 700 become right, 534 become wrong.",
        "Most change where origin = JFK: 20.0% of 3,000 rows.",
        "Left out: 3 rows",
        "| origin = JFK | 3,000 | 600 | 20.0% | 18.0% to 21.0% |",
        "| challenger | 0.0340 | 0.0280 to 0.0410 |",
        "| one row, median | 30 µs | 45 µs |",
        "| cost of a million predictions | 0.0001 USD | 0.0001 USD |",
        "| memory of a loaded lane | 12.3 MB | 12.3 MB |",
        "| ✅ | evaluation | roc_auc ≥ 0.68 | 0.7100 | 0.7000 to 0.7200 | 0.6800 | It is 0.71 |",
        "The champion is 1.0.0 (",
        "which this change replaces. Both answered the same 28,000 test rows from 2013-04-01 to 2013-05-31.",
        "`bbbbbbbbbbbb` Learn more",
        "says pass; healthy since 2026-06-01 12:00 UTC. production asks for 1h of that.",
        "towpath rollback leads back.",
        "![Flips by segment](gitops/evidence/x/flips.svg)",
        "[evaluation evidence](https://forge.example/o/r/blob/abc/x.json)",
        f"`{NEW.id}`",
        "It needs 1 approval of an owner",
    ):
        assert line in page


def test_a_load_test_is_shown_with_intervals_noise_and_cost(compared: ComparisonFigures, loaded: LoadFigures) -> None:
    """Both services, their ratio, how far the champion is from itself, and what was not compared for want of one."""
    load = _evidence(Kind.LOAD, champion=OLD.id, details=loaded.plain(), findings=judged(loaded))
    known = _known(compared).evidence
    page = markdown(_decide(compared, evidence={**known, Kind.LOAD: load}))
    for line in (
        "## Under load",
        "Champion, champion again and challenger served on one machine with 2 processors.",
        "| 95% within | 9.90 ms (9.14 ms to 10.87 ms) | 9.10 ms (8.44 ms to 9.77 ms) | 0.920 | 0.727 to 1.163 |",
        "| good answers a second, at most | 1,138 (941 to 1,346) | 1,012 (874 to 1,101) | 0.890 | 0.659 to 1.161 |",
        "| cost of a million predictions | 0.0024 USD",
        "The champion was 1.0.0 (",
        "| ✅ | load | p95 ≤ champion + 400% |",
    ):
        assert line in page
    alone = loaded.summary.model_copy(update={"champion": None, "against": ()})
    assert "There was no champion to compare it with" in setting(alone)
    assert [row[1] for row in loads(alone)] == [""] * len(loads(alone))


def test_a_load_test_names_the_images_that_were_driven(loaded: LoadFigures) -> None:
    """By the beginnings of their digests; and it says when only one of the two was in one."""
    new, old = digest_of("new"), digest_of("old")
    both = loaded.summary.model_copy(update={"image": new, "champion_image": old, "code": None})
    for who, image in (("challenger", new), ("champion", old)):
        assert f"The {who} served from its image {short(image)}, started by digest." in setting(both)
    assert "commit" not in setting(both)
    one = both.model_copy(update={"champion_image": None, "code": "c" * 40})
    assert "Main declares no image of the champion" in setting(one)
    assert "Without an image, the service's code was that of commit cccccccccccc." in setting(one)
    alone = {"champion": None, "against": (), "champion_image": old}
    with pytest.raises(ValidationError, match="names the image of a champion, and there is none"):
        LoadFigures.model_validate(loaded.plain() | alone)


def test_a_regression_says_what_counts_as_a_flip(compared: ComparisonFigures) -> None:
    """Values are not decisions: a flip is an answer that moves by more than a stated tolerance."""
    plain = compared.plain()
    plain["rivals"]["replay"]["tolerance"] = 2.5
    page = markdown(_decide(ComparisonFigures.model_validate(plain)))
    assert "get an answer that differs by more than 2.5, a tenth of the truth's standard deviation" in page
    assert "700 come nearer to the truth, 534 go farther from it" in page


def test_a_first_release_says_that_it_has_no_rival(compared: ComparisonFigures) -> None:
    """It is shown by itself: its own metrics, and what it costs."""
    silent = ComparisonFigures(silence="There is no champion to compare with yet", footprints=compared.footprints)
    evidence = {
        Kind.EVALUATION: _evidence(Kind.EVALUATION),
        Kind.COMPARISON: _evidence(Kind.COMPARISON, details=silent.plain()),
    }
    after = change.promote(EMPTY, NEW, "first", digest_of("bundle"))
    decision = decide(EMPTY, after, _known(evidence=evidence, demanded=tuple(evidence), champion=None))
    page = markdown(decision)
    assert "There is no champion to compare with yet." in page
    assert "| roc_auc | 0.7023 | 0.6900 to 0.7100 |" in page
    assert "It is the first release here." in page
    assert "## Latency, memory and cost" in page
    assert "What callers will notice" not in page


def test_reasons_are_listed_with_what_would_mend_them() -> None:
    """A document with reasons says no before anything else."""
    page = markdown(_decide(reasons=(Reason(rule="soak", what="Too young", mend="Wait an hour."),)))
    assert "❌ As things stand it may not be merged" in page
    assert "- `soak` Too young. Wait an hour." in page
    assert "Nothing stands against it" in markdown(_decide())


def test_red_evidence_is_shown(compared: ComparisonFigures) -> None:
    """People must see what failed, with how much."""
    finding = Finding(gate="roc_auc ≥ 0.68", verdict=Verdict.FAIL, message="It is 0.41", measured=0.41)
    known = _known(compared)
    red = {**known.evidence, Kind.EVALUATION: _evidence(Kind.EVALUATION, findings=(finding,))}
    page = markdown(_decide(compared, evidence=red))
    assert "| ❌ | evaluation | roc_auc ≥ 0.68 | 0.4100 |  |  | fail: It is 0.41 |" in page
    assert "3 gates, 1 of them not passed." in page


def test_a_rollback_shows_what_it_leaves_and_no_gates() -> None:
    """It has no evidence of its own; what is blocked, what differs and the way there are what matters."""
    way = WayBack(release=None, safe=False, words="What it leaves is blocked.")
    after = change.rollback(BEFORE, NEW, "late", "ada@example.org", NOW)
    known = _known(brings=False, evidence={}, demanded=(), upstream=None, above=None, way_back=way, approvals=0)
    page = markdown(decide(BEFORE, after, known))
    assert "# Roll flights in production back to 1.1.0" in page
    assert "## Blocked afterwards" in page
    assert OLD.short_id in page
    assert "It needs no approval." in page
    assert "Trained by commit bbbbbbbbbbbb, before by aaaaaaaaaaaa." in page
    assert "## Gates" not in page


def test_a_hold_shows_no_difference_between_releases() -> None:
    """Nothing moves: a list of what may not come in, and that is all."""
    after = change.hold(BEFORE, NEW, "it errs in the rain", "ada@example.org", NOW)
    known = _known(brings=False, evidence={}, demanded=(), upstream=None, above=None)
    decision = decide(BEFORE, after, known)
    page = markdown(decision)
    assert decision.differences is None
    assert f"- `{NEW.short_id}` may not come back by itself" in page
    assert "## What changes" not in page


def test_a_hotfix_says_what_it_skips(compared: ComparisonFigures) -> None:
    """At the very top; and it needs no facts from the environment that it goes around."""
    after = change.promote(BEFORE, NEW, "a leak", digest_of("bundle"), hotfix=True)
    page = markdown(decide(BEFORE, after, _known(compared, skips=True, upstream=None)))
    assert page.index("Hotfix.** It goes around staging") < page.index("## Verdict")


def test_an_experiment_shows_how_much_is_tried(compared: ComparisonFigures) -> None:
    """Mode and share, and the challenger against the champion as for a promotion."""
    after = change.experiment(BEFORE, NEW, mode="canary", share=0.1, reason="try", evidence=digest_of("bundle"))
    page = markdown(decide(BEFORE, after, _known(compared)))
    assert "| share of requests | 10.0% |" in page
    assert "| ROC AUC |" in page


def test_another_image_is_all_that_a_repackaging_shows() -> None:
    """Before and after, by digest."""
    image = f"registry.example/flights@{digest_of('image')}"
    after = change.repackage(BEFORE, image, "a patched base")
    known = _known(brings=False, evidence={}, demanded=(), release=OLD, upstream=None, above=None)
    decision = decide(BEFORE, after, known)
    assert decision.images == (None, image)
    assert "| before | none |" in markdown(decision)


@pytest.mark.parametrize(
    ("new", "semver", "flags", "said"),
    [
        (_release("2.0.0", schema=digest_of("other")), "major", (True, False, False), "callers may have to send"),
        (_release("1.1.0", code="b" * 40), "minor", (False, True, False), "Trained by commit bbbbbbbbbbbb"),
        (_release("1.0.1", data=digest_of("more")), "patch", (False, False, True), "Trained on data"),
        (_release("1.0.0", artifact=digest_of("x")), "none", (False, False, False), "callers need not change"),
    ],
)
def test_it_says_what_differs(new: Release, semver: str, flags: tuple[bool, ...], said: str) -> None:
    """Schema, code and data, and the step of the semantic version."""
    found = differences(OLD, new)
    assert (found.semver, (found.input_schema, found.code, found.data)) == (semver, flags)
    assert any(said in sentence for sentence in found.words)


def test_commits_are_listed_as_far_as_the_clone_knows_them() -> None:
    """The newest twenty and how many more; without both commits, that is said."""
    steps = [Step(commit=f"{number:040x}", subject=f"Step {number}") for number in range(25)]
    found = differences(OLD, NEW, steps)
    assert (len(found.steps), found.more_steps) == (MOST_STEPS, 5)
    assert "and 5 more" in markdown(_decide(steps=steps))
    assert any("does not hold both commits" in sentence for sentence in differences(OLD, NEW, None).words)


def test_a_deployment_without_a_release_is_no_decision() -> None:
    """There is nothing to decide about nothing."""
    with pytest.raises(ValueError, match="changes nothing"):
        decide(BEFORE, EMPTY, _known())


# --- what it refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "what", "command"),
    [
        ({"demanded": [Kind.PARITY]}, "There is no parity evidence", "towpath train"),
        ({"demanded": [Kind.COMPARISON]}, "There is no comparison evidence", f"towpath compare {NEW.short_id}"),
        ({"upstream": None}, "No verification of it in staging", f"towpath promote {NEW.short_id} --to staging"),
    ],
)
def test_without_an_input_there_is_no_document(fields: dict[str, Any], what: str, command: str) -> None:
    """What is missing is named, with the command that makes it."""
    with pytest.raises(RefusedError, match="a fact is missing") as caught:
        _decide(**fields)
    assert what in caught.value.why
    assert command in caught.value.why


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"findings": ()}, "holds no finding"),
        ({"details": {}}, "has not the figures that this version shows"),
        ({"details": {"metric": "roc_auc"}}, "has not the figures that this version shows"),
        ({"champion": None}, "compared with nobody, but production declares flights 1.0.0"),
    ],
)
def test_half_an_input_is_none(compared: ComparisonFigures, fields: dict[str, Any], what: str) -> None:
    """Evidence without findings, without figures, or without the champion that there is by now."""
    known = _known(compared)
    values: dict[str, Any] = {"champion": OLD.id, "details": compared.plain()}
    spoiled = {**known.evidence, Kind.COMPARISON: _evidence(Kind.COMPARISON, **(values | fields))}
    with pytest.raises(RefusedError) as caught:
        _decide(evidence=spoiled, demanded=tuple(spoiled))
    assert what in caught.value.why
    assert f"towpath compare {NEW.short_id}" in caught.value.why


def test_figures_that_nobody_asked_for_may_be_unreadable(compared: ComparisonFigures) -> None:
    """Evidence of another version that the policy does not demand is left out of the figures, not of the gates."""
    known = _known(compared)
    strange = {**known.evidence, Kind.COMPARISON: _evidence(Kind.COMPARISON, champion=OLD.id, details={"odd": 1})}
    decision = _decide(evidence=strange, demanded=[Kind.EVALUATION])
    assert decision.compared is None
    assert Kind.COMPARISON in {gate.kind for gate in decision.gates}


# --- for any words and figures ------------------------------------------------------------------------------------


@st.composite
def documents(draw: st.DrawFn, names: st.SearchStrategy[str] = plain_words) -> Decision:
    """Draw a document whose words and figures may be anything."""
    value, share = st.floats(-1e100, 1e100), st.floats(0, 1)
    metric = {
        "metric": "roc_auc",
        "label": draw(names),
        "greater_is_better": draw(st.booleans()),
        "champion": draw(value),
        "challenger": draw(value),
        "difference": draw(value),
        "interval": sorted(draw(st.tuples(value, value))),
        "margin": draw(st.floats(0, 1)),
    }
    segment = {
        "column": draw(names),
        "value": draw(names),
        "rows": 9,
        "flips": 3,
        "interval": sorted(draw(st.tuples(share, share))),
    }
    replay = {"rows": 9, "digest": digest_of("r"), "window": [None, None], "flips": 3, "corrected": 1, "spoiled": 2}
    rivals = {
        "task": "binary",
        "rows": 9,
        "window": [None, None],
        "metrics": [metric],
        "replay": replay | {"segments": [segment]},
    }
    footprint = {"engine": "onnx", "one_row_ms": draw(st.floats(1e-9, 1e9)), "hundred_rows_ms": 1.0}
    footprint |= {"cpu_s_per_million": 1.0, "artifact_bytes": draw(st.integers(1, 10**15)), "memory_bytes": 0}
    figures = {"rivals": rivals, "footprints": {"challenger": footprint, "champion": footprint}}
    finding = Finding(gate=draw(names), verdict=Verdict.FAIL, message=draw(names), measured=draw(value))
    evidence = {
        Kind.EVALUATION: _evidence(Kind.EVALUATION, findings=(finding,)),
        Kind.COMPARISON: _evidence(Kind.COMPARISON, champion=OLD.id, details=figures),
    }
    return _decide(
        reason=draw(names).strip(),
        evidence=evidence,
        demanded=tuple(evidence),
        reasons=(Reason(rule="soak", what=draw(names), mend=draw(names)),),
        steps=[Step(commit="b" * 40, subject=draw(names))],
        way_back=WayBack(release=None, safe=False, words=draw(names)),
        pictures=[Picture(name="flips.svg", says=draw(names), to="a/b.svg")],
        links=[Link(what=draw(names), to="a/b.json")],
    )


@given(documents())
def test_people_and_machines_are_told_the_same(decision: Decision) -> None:
    """The JSON fits its schema, survives itself, and holds all that the Markdown is made of."""
    data = decision.model_dump_json(by_alias=True)
    Draft202012Validator(SCHEMA).validate(json.loads(data))
    read = Decision.model_validate_json(data)
    assert read == decision
    assert markdown(read) == markdown(decision)


def _structure(page: str) -> Iterator[tuple[str, str]]:
    """Yield what a page is built of, without its words: every token of a parser, and where links lead."""
    parser = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    for token in parser.parse(page):
        yield token.type, token.tag
        if token.type == "html_block":
            yield "html", re.sub(r"(?<=<summary>).*?(?=</summary>)", "", token.content)
        for child in token.children or ():
            if child.type != "text":
                yield child.type, str(child.attrs.get("href") or child.attrs.get("src") or "")


@given(st.data())
def test_no_words_can_add_markup_of_their_own(data: st.DataObject) -> None:
    """Whatever a reason, a name, a finding or a commit says, the page is built as if they were plain words."""
    said = data.draw(documents(hostile))
    plain = data.draw(documents(st.just("word")))
    assert list(_structure(markdown(said))) == list(_structure(markdown(plain)))


@pytest.mark.parametrize(
    "to", ["javascript:alert(1)", "https://x.example/) [a](b", "//evil.example", "git diff a b", "a`b"]
)
def test_only_addresses_become_links(to: str) -> None:
    """What is not plainly an address stands beside the words as code."""
    page = markdown(_decide(links=[Link(what="here", to=to)], pictures=()))
    assert "[here]" not in page
    assert "here: `" in page
