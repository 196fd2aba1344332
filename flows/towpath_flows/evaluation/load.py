"""Rounds of a load test become figures with intervals, and an assessment.

Rounds are drawn again with replacement, all services of a round together, so that what hindered a round hinders both
sides of a difference (paired bootstrap; Efron & Tibshirani 1993, chapters 8 and 13). The A/A run bounds it from below:
an interval that few rounds make narrow by luck is widened to how far the champion is from itself.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from towpath_bento.load.plan import Driven
from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.evaluation.bootstrap import Estimate, estimates
from towpath_flows.evaluation.metrics import Floats, Prepared
from towpath_flows.evaluation.replay import wilson
from towpath_flows.spec import ServeSpec
from towpath_gitops.records.evidence import Kind
from towpath_gitops.records.figures import Measured
from towpath_gitops.records.load import (
    LEAST,
    MEASURES,
    Against,
    Limits,
    LoadFigures,
    Measure,
    Served,
    Turn,
    driver_share,
    failed,
)
from towpath_gitops.records.load_gates import judged

COMPARED: Final[tuple[Measure, ...]] = ("p95_ms", "rate", "cpu_s_per_million")


def limits_of(serve: ServeSpec) -> Limits:
    """Return what `serve` in model.yaml asks for."""
    return Limits(
        p95_ms=serve.p95.total_seconds() * 1e3 if serve.p95 is not None else None,
        p99_ms=serve.p99.total_seconds() * 1e3,
        rate=serve.rate,
        errors=serve.errors,
        margin=serve.load.margin,
    )


class Origin(NamedTuple):
    """What served: digests of images, and the commit whose bento/ served those that had none."""

    code: str | None = None
    image: str | None = None  # of the challenger
    champion_image: str | None = None


def assess_load(
    driven: Driven, serve: ServeSpec, champion: str | None, *, seed: int = 0, origin: Origin | None = None
) -> Assessment:
    """Judge a load test by `serve`, and against the champion with the id `champion` where its rounds hold one."""
    figures = figures_of(driven, serve, seed=seed, origin=origin)
    return Assessment(Kind.LOAD, judged(figures), figures.plain(), champion if figures.champion else None)


def figures_of(driven: Driven, serve: ServeSpec, *, seed: int = 0, origin: Origin | None = None) -> LoadFigures:
    """Return the figures of a load test; the same rounds and seed give the same."""
    first = [each.champion for each in driven.rounds if each.champion is not None]
    second = [each.twin for each in driven.rounds if each.twin is not None]
    challenger = [each.challenger for each in driven.rounds]
    return LoadFigures(
        setting=driven.setting,
        limits=limits_of(serve),
        rounds=driven.rounds,
        challenger=_served(challenger, 1, driven.memory_bytes.get("challenger"), seed),
        champion=_served(_woven(first, second), 2, driven.memory_bytes.get("champion"), seed) if first else None,
        against=tuple(_against(name, challenger, first, second, seed) for name in COMPARED) if first else (),
        driver_share=driver_share([*challenger, *first, *second]),
        price=serve.cpu_hour,
        report=driven.report,
        **(origin or Origin())._asdict(),
    )


def _woven(first: Sequence[Turn], second: Sequence[Turn]) -> list[Turn]:
    return [turn for pair in zip(first, second, strict=True) for turn in pair]


def _served(turns: Sequence[Turn], each: int, memory_bytes: int | None, seed: int) -> Served:
    """Return the summary of one service that had `each` turns in every round."""
    rounds = len(turns) // each
    prepared: dict[str, Prepared] = {name: _folded(_prepared(name, turns), rounds, each) for name in MEASURES}
    found = estimates(prepared, rounds, seed=seed)
    errors, requests = failed(turns)
    low, high = wilson(errors, requests)
    measured = {name: _measured(found[name]) for name in prepared}
    share = Measured(value=errors / requests, low=min(low, errors / requests), high=high)
    return Served(**measured, errors=share, memory_bytes=memory_bytes)


def _against(
    name: Measure, challenger: Sequence[Turn], first: Sequence[Turn], second: Sequence[Turn], seed: int
) -> Against:
    new, old, again = (_logarithm(_prepared(name, turns)) for turns in (challenger, first, second))
    prepared: dict[str, Prepared] = {
        "ratio": lambda counts: new(counts) - (old(counts) + again(counts)) / 2,
        "noise": lambda counts: again(counts) - old(counts),
    }
    found = estimates(prepared, len(challenger), seed=seed)
    noise, ratio = found["noise"], found["ratio"]
    reach = max(abs(noise.low), abs(noise.high))
    widened = Estimate(ratio.value, min(ratio.low, ratio.value - reach), max(ratio.high, ratio.value + reach))
    return Against(measure=name, ratio=_exponential(widened), noise=_exponential(noise))


def _prepared(name: Measure, turns: Sequence[Turn]) -> Prepared:
    """Return a measure of turns (t,) that are counted (b, t) times."""
    if name == "rate":
        good = [turn.full.requests - turn.full.errors for turn in turns]
        return _pooled(good, [turn.full.seconds for turn in turns])
    if name == "cpu_s_per_million":
        return _pooled([turn.full.cpu_s * 1e6 for turn in turns], [turn.full.rows for turn in turns])
    logs = np.log([getattr(turn.paced, name) for turn in turns])
    return lambda counts: np.exp(counts @ logs / counts.sum(axis=1))


def _pooled(over: Sequence[float], under: Sequence[float]) -> Prepared:
    above, below = np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64)
    return lambda counts: np.maximum(counts @ above, LEAST) / np.maximum(counts @ below, LEAST)


def _folded(measure: Callable[[Floats], Floats], rounds: int, each: int) -> Prepared:
    """Let a measure of all turns be counted by rounds: the turns of one round are drawn together."""
    return measure if each == 1 else lambda counts: measure(np.repeat(counts.reshape(-1, rounds), each, axis=1))


def _logarithm(measure: Prepared) -> Prepared:
    return lambda counts: np.log(measure(counts))


def _exponential(found: Estimate) -> Measured:
    return Measured(value=math.exp(found.value), low=math.exp(found.low), high=math.exp(found.high))


def _measured(found: Estimate) -> Measured:
    return Measured(value=found.value, low=min(found.low, found.value), high=max(found.high, found.value))
