"""What rounds of a load test give: figures, intervals, verdicts, and what of them cannot be forged."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from towpath_bento.load.plan import Driven
from towpath_flows.evaluation.load import assess_load, figures_of
from towpath_flows.spec import ServeSpec
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict
from towpath_gitops.records.figures import Measured
from towpath_gitops.records.load import MEASURES, LoadFigures, Round, Sent, Setting, Stretch, Turn
from towpath_gitops.records.load_gates import contradictions, judged, rounds_to_settle

DIGEST = "sha256:" + "a" * 64
CHAMPION = "sha256:" + "c" * 64
SERVE = ServeSpec.model_validate({"p99": "50ms", "rate": "200/s", "errors": "0.1%", "load": {"margin": "10%"}})
SENT = Sent(source="the reference sample", digest=DIGEST, bodies=10, rows=12, missing=0.1, arrivals="poisson")
SETTING = Setting(rounds=5, rate=200, users=8, paced_s=3, full_s=2, workers=1, cpus=2, sent=SENT)
P95, RATE = "p95 ≤ champion + 10%", "rate ≥ champion ÷ 1.1"

factors = st.lists(st.floats(0.8, 1.25), min_size=3, max_size=3)
shaken = st.lists(factors, min_size=5, max_size=12)


def stretch(p95_ms: float, rate: float, **fields: Any) -> Stretch:  # noqa: ANN401 (any field)
    """Return two seconds of a service with this p95 and this throughput."""
    requests = max(round(rate * 2), 1)
    values = {"requests": requests, "errors": 0, "rows": requests, "seconds": requests / rate, "cpu_s": 1.0}
    latencies = {"p50_ms": p95_ms / 2, "p95_ms": p95_ms, "p99_ms": p95_ms * 2}
    return Stretch.model_validate({**values, **latencies, "driver_cpu_s": 0.5, **fields})


def turn(slowness: float, **fields: Any) -> Turn:  # noqa: ANN401 (as above)
    """Return a turn of a service that takes `slowness` times as long as one of 2 ms and 1000 requests a second."""
    return Turn(paced=stretch(2 * slowness, 200, **fields), full=stretch(8 * slowness, 1000 / slowness, **fields))


def taking(rounds: int) -> Setting:
    """Return the setting of so many rounds."""
    return SETTING.model_copy(update={"rounds": rounds})


def driven(rounds: Sequence[Sequence[float]], slower: float = 1.0, **fields: Any) -> Driven:  # noqa: ANN401 (as above)
    """Return rounds in which the challenger is `slower`, each service shaken by factors of its own."""
    made = [
        Round(challenger=turn(slower * each[0], **fields), champion=turn(each[1]), twin=turn(each[2]))
        for each in rounds
    ]
    return Driven(setting=taking(len(made)), rounds=tuple(made), memory_bytes={"challenger": 100_000_000})


def alone(count: int, slowness: float = 1.0, **fields: Any) -> Driven:  # noqa: ANN401 (as above)
    """Return equal rounds of a challenger without a champion."""
    return Driven(setting=taking(count), rounds=tuple(Round(challenger=turn(slowness, **fields)) for _ in range(count)))


def evidence(run: Driven) -> Evidence:
    """Return load evidence about some release."""
    found = assess_load(run, SERVE, CHAMPION)
    return Evidence(
        kind=Kind.LOAD,
        model="flights",
        release=DIGEST,
        gates=DIGEST,
        champion=found.champion,
        created=datetime(2026, 6, 1, tzinfo=UTC),
        findings=found.findings,
        details=json.loads(json.dumps(found.details)),
    )


def verdicts(run: Driven) -> dict[str, Verdict]:
    """Return the verdict of every gate."""
    return {finding.gate: finding.verdict for finding in assess_load(run, SERVE, CHAMPION).findings}


# --- figures ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(shaken, st.floats(0.5, 2))
def test_figures_hang_together(rounds: list[list[float]], slower: float) -> None:
    """Whatever was measured, the summary is what its rounds give, and reading it finds nothing to object to."""
    found = evidence(driven(rounds, slower))
    assert list(contradictions(found)) == []
    figures = LoadFigures.model_validate(found.details)
    for name, measure in MEASURES.items():
        served: Measured = getattr(figures.challenger, name)
        assert served.value == pytest.approx(measure(figures.turns))
        assert served.low <= served.value <= served.high


@settings(max_examples=25, deadline=None)
@given(shaken)
def test_no_interval_is_narrower_than_the_noise(rounds: list[list[float]]) -> None:
    """What differs though nothing does is never taken for a difference."""
    for each in figures_of(driven(rounds), SERVE).against:
        further = np.exp(each.reach)
        assert each.ratio.low <= each.ratio.value / further * (1 + 1e-9)
        assert each.ratio.high >= each.ratio.value * further * (1 - 1e-9)


def test_the_same_rounds_give_the_same_figures() -> None:
    """Nothing is drawn that a seed does not decide."""
    rounds = [[1.0, 1.1, 0.9], [1.2, 1.0, 1.0], [0.9, 0.9, 1.0], [1.0, 1.0, 1.1], [1.1, 1.2, 1.0]]
    assert figures_of(driven(rounds), SERVE) == figures_of(driven(rounds), SERVE)


def test_the_cost_of_a_million_predictions_is_told() -> None:
    """CPU seconds by rows, and money where the owner states a price."""
    serve = ServeSpec.model_validate({"cpu_hour": "0.04 USD"})
    figures = figures_of(alone(5, cpu_s=1.0), serve)
    assert figures.challenger.cpu_s_per_million.value == pytest.approx(1.0 / 2000 * 1e6)
    assert figures.price is not None
    assert figures.price.amount * figures.challenger.cpu_s_per_million.value / 3600 == pytest.approx(0.04 * 500 / 3600)


# --- verdicts -----------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 1.09), st.integers(5, 12))
def test_a_candidate_within_the_margin_passes(slower: float, count: int) -> None:
    """Equal rounds without noise, and a difference that is significant but not material: it passes."""
    assert set(verdicts(driven([[1.0, 1.0, 1.0]] * count, slower)).values()) == {Verdict.PASS}


@settings(max_examples=25, deadline=None)
@given(st.floats(1.7, 20), st.lists(st.lists(st.floats(0.95, 1.05), min_size=3, max_size=3), min_size=5, max_size=12))
def test_a_candidate_far_beyond_the_margin_fails(slower: float, rounds: list[list[float]]) -> None:
    """Significant and material: it fails, by p95 and by throughput."""
    found = verdicts(driven(rounds, slower))
    assert (found[P95], found[RATE]) == (Verdict.FAIL, Verdict.FAIL)


def test_noise_beyond_the_margin_decides_nothing() -> None:
    """Where the champion differs from itself by half, 20 % more are neither proved nor ruled out."""
    rounds = [[1.2, 1.0, 1.6], [1.2, 1.0, 1.5], [1.2, 1.0, 1.4], [1.2, 1.0, 1.5], [1.2, 1.0, 1.6]]
    found = assess_load(driven(rounds), SERVE, CHAMPION).findings
    against = {each.gate: each for each in found if "champion" in each.gate}
    assert {each.verdict for each in against.values()} == {Verdict.INCONCLUSIVE}
    assert all("more rounds would settle it" in each.message or "near" in each.message for each in against.values())


def test_few_rounds_decide_nothing() -> None:
    """Fewer than five rounds are inconclusive however they look, and it is said how many more are needed."""
    found = assess_load(alone(3, slowness=0.1), SERVE, None).findings
    assert {each.verdict for each in found} == {Verdict.INCONCLUSIVE}
    assert all("2 more rounds would settle it" in each.message for each in found)


def test_without_a_champion_only_promises_are_judged() -> None:
    """Nobody to compare with: what `serve` promises is judged alone."""
    found = assess_load(alone(5), SERVE, CHAMPION)
    assert found.champion is None
    assert [each.gate for each in found.findings] == ["p99 ≤ 50 ms", "rate ≥ 200/s", "errors ≤ 0.1%"]
    assert found.verdict is Verdict.PASS


def test_a_limit_on_p95_is_judged_where_there_is_one() -> None:
    """`serve.p95` is a promise of its own."""
    serve = ServeSpec.model_validate({"p95": "1ms"})
    found = {each.gate: each.verdict for each in assess_load(alone(5), serve, None).findings}
    assert found["p95 ≤ 1 ms"] is Verdict.FAIL


@pytest.mark.parametrize(
    ("fields", "gate"),
    [
        ({"p99_ms": 80.0}, "p99 ≤ 50 ms"),
        ({"seconds": 60.0}, "rate ≥ 200/s"),
        ({"errors": 100}, "errors ≤ 0.1%"),
    ],
)
def test_a_broken_promise_fails(fields: dict[str, Any], gate: str) -> None:
    """Latency, throughput and hard errors each refuse by themselves, champion or not."""
    assert verdicts(alone(6, **fields))[gate] is Verdict.FAIL


def test_too_few_requests_do_not_prove_that_none_fail() -> None:
    """None of 100 failed: 0.1 % is not proved, and about 38 times as many rounds would."""
    (finding,) = (each for each in assess_load(alone(5, requests=10), SERVE, None).findings if "errors" in each.gate)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "187 more rounds would settle it" in finding.message


@settings(max_examples=50, deadline=None)
@given(st.floats(0.5, 3), st.floats(1.01, 3), st.integers(5, 100))
def test_as_many_rounds_as_are_asked_for_would_settle_it(value: float, spread: float, rounds: int) -> None:
    """The interval of so many rounds, shrunk with their root, no longer holds the limit."""
    limit = 1.1
    needed = rounds_to_settle(Measured(value=value, low=value / spread, high=value * spread), limit, rounds)
    if needed is not None:
        shrunk = spread ** ((rounds / needed) ** 0.5)
        assert not value / shrunk * (1 + 1e-9) < limit < value * shrunk * (1 - 1e-9)


def test_noise_alone_seldom_fails_and_a_slow_candidate_seldom_passes() -> None:
    """Of 40 machines with 10 % noise, none refuses a candidate like the champion; one 40 % slower never passes."""
    random = np.random.default_rng(3)
    told: dict[float, list[Verdict]] = {1.0: [], 1.4: []}
    for slower, found in told.items():
        for _ in range(40):
            rounds = np.exp(random.normal(0, 0.1, size=(10, 3))).tolist()
            found.append(verdicts(driven(rounds, slower))[P95])
    assert told[1.0].count(Verdict.FAIL) == 0
    assert told[1.4].count(Verdict.PASS) == 0
    assert told[1.4].count(Verdict.FAIL) > 32


# --- forgeries ----------------------------------------------------------------------------------------------------

ROUNDS = [[1.0, 1.0, 1.0]] * 6


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([*MEASURES, "errors"]), st.floats(0.01, 0.9), st.sampled_from(["challenger", "champion"]))
def test_a_better_summary_than_its_rounds_is_found(name: str, factor: float, who: str) -> None:
    """No figure of the summary can be made better or worse without its rounds."""
    found = evidence(driven(ROUNDS, 2.0, errors=3))
    details = json.loads(json.dumps(found.details))
    forged = details[who][name]
    details[who][name] = (
        {**forged, "value": forged["value"] * factor, "low": 0.0}
        if forged["value"]
        else {
            **forged,
            "value": factor,
            "high": 1.0,
        }
    )
    assert [words for words in contradictions(found.model_copy(update={"details": details})) if "contradict" in words]


def test_a_ratio_made_certain_is_found() -> None:
    """An interval narrower than the noise, or a ratio that the rounds do not give, is no figure."""
    rounds = [[1.0, 1.0, 1.3], [1.0, 1.1, 1.0], [1.0, 0.9, 1.0], [1.0, 1.0, 1.0], [1.2, 1.0, 1.0]]
    plain = figures_of(driven(rounds), SERVE).plain()
    narrow, better = json.loads(json.dumps(plain)), json.loads(json.dumps(plain))
    narrow["against"][0]["ratio"] |= {"low": plain["against"][0]["ratio"]["value"]}
    better["against"][0]["ratio"] |= {"value": plain["against"][0]["ratio"]["value"] * 0.9}
    for forged, words in ((narrow, "narrower than the noise"), (better, "but its rounds give")):
        with pytest.raises(ValidationError, match=words):
            LoadFigures.model_validate(forged)


def test_a_kinder_verdict_than_its_figures_is_found() -> None:
    """A finding cannot be turned to a pass, added, or left out."""
    found = evidence(driven(ROUNDS, 2.0))
    kinder = tuple(each.model_copy(update={"verdict": Verdict.PASS}) for each in found.findings)
    more = (*found.findings, Finding(gate="speed", verdict=Verdict.PASS, message="It is fast"))
    for forged in (kinder, more, found.findings[:1], ()):
        assert list(contradictions(found.model_copy(update={"findings": forged})))


def test_a_champion_that_was_not_measured_is_found() -> None:
    """Evidence that names a champion must hold its turns, and the other way round."""
    found = evidence(driven(ROUNDS))
    assert list(contradictions(found.model_copy(update={"champion": None})))
    assert list(contradictions(evidence(alone(5)).model_copy(update={"champion": CHAMPION})))


@pytest.mark.parametrize(
    "fields", [{"errors": 10_000}, {"p50_ms": 900.0}, {"requests": 5, "errors": 5, "rows": 5}, {"seconds": 0.0}]
)
def test_a_stretch_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    """More errors than requests, a median above p95, rows without an answer, no time: not a measurement."""
    with pytest.raises(ValidationError):
        stretch(2.0, 100.0, **fields)


def test_the_champion_is_in_every_round_or_in_none() -> None:
    """Half a comparison is none."""
    paired = figures_of(driven(ROUNDS), SERVE).plain()
    paired["rounds"][2] |= {"champion": None, "twin": None}
    with pytest.raises(ValidationError, match="in all rounds"):
        LoadFigures.model_validate(paired)
    paired["rounds"][2] |= {"champion": paired["rounds"][0]["champion"]}
    with pytest.raises(ValidationError, match="both or neither"):
        LoadFigures.model_validate(paired)


def test_judging_is_a_function_of_the_figures() -> None:
    """Read from JSON and judged again, the same findings come out to the last digit."""
    found = evidence(driven([[1.0, 1.1, 0.9], [1.2, 1.0, 1.0], [0.9, 0.9, 1.0], [1.0, 1.0, 1.1], [1.1, 1.2, 1.0]]))
    assert judged(LoadFigures.model_validate(found.details)) == found.findings
