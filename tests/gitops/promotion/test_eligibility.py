"""Each rule both ways: the sound case has no reason; one fault gives exactly that rule's reason."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.promotion.eligibility import RULES, Case, Upstream, eligible, eligible_from, requirements
from towpath_gitops.promotion.requirement import Reason, Standing
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import Change, ChangeType, Deployment, Hold, PinnedRelease
from towpath_gitops.records.evidence import ONE_GRAPH, OWN_CODE, Evidence, Finding, Kind, Verdict
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.load import LoadFigures, driver_share
from towpath_gitops.records.load_gates import judged
from towpath_gitops.records.policy import HotfixLane, Policy
from towpath_gitops.records.release import Release

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
GATES = digest_of("gates")
LOAD = digest_of("serve")


def _release(version: int) -> Release:
    digests = dict.fromkeys(("artifact", "schema", "data"), digest_of(version))
    return Release(model="flights", version=version, semver=f"1.{version}.0", code="a" * 40, **digests)


OLD, NEW = _release(1), _release(2)
# Figures of two services that were really driven, and what they give without a champion.
FIGURES = LoadFigures.model_validate_json((Path(__file__).parent / "load.json").read_bytes())
_BARE = [{"challenger": each.challenger.plain()} for each in FIGURES.rounds]
_SHARE = {"driver_share": driver_share(FIGURES.turns)}
ALONE = LoadFigures.model_validate(FIGURES.plain() | {"rounds": _BARE, "champion": None, "against": []} | _SHARE)
POLICY = Policy.model_validate(
    {
        "apiVersion": "towpath/v1",
        "kind": "Policy",
        "environments": [
            {"name": "staging"},
            {
                "name": "production",
                "evidence": {"evaluation": "7d", "comparison": "7d", "load": "1d"},
                "soak": "1h",
            },
        ],
    }
)


def _deployment(**fields: object) -> Deployment:
    base = {"apiVersion": "towpath/v1", "kind": "Deployment", "model": "flights", "environment": "production"}
    change = Change(type=ChangeType.PROMOTE, replaces=None, reason="first")
    target = {"kind": "local", "port": 3000}
    return Deployment.model_validate(
        base | {"release": PinnedRelease.of(OLD), "change": change, "target": target} | fields
    )


def _evidence(kind: Kind, **fields: object) -> Evidence:
    finding = Finding(gate="roc_auc ≥ 0.68", verdict=Verdict.PASS, message="It is 0.71")
    values = {"kind": kind, "model": "flights", "release": NEW.id, "gates": LOAD if kind is Kind.LOAD else GATES}
    values |= {"created": NOW - timedelta(hours=1), "findings": (finding,)}
    values |= {"champion": OLD.id} if kind in {Kind.COMPARISON, Kind.LOAD} else {}
    values |= {"findings": judged(FIGURES), "details": FIGURES.plain()} if kind is Kind.LOAD else {}
    return Evidence.model_validate(values | fields)


def _case(**fields: object) -> Case:
    sound = Case(
        policy=POLICY,
        deployment=_deployment(),
        release=NEW,
        replaces=OLD.id,
        evidence={kind: _evidence(kind) for kind in (Kind.EVALUATION, Kind.COMPARISON, Kind.LOAD)},
        gates={Kind.EVALUATION: GATES, Kind.COMPARISON: GATES, Kind.LOAD: LOAD},
        champion=OLD.id,
        upstream=Upstream(Verdict.PASS, NOW - timedelta(hours=2)),
        now=NOW,
    )
    return replace(sound, **fields)


def _record(name: str) -> ImageRecord:
    digest = digest_of(name)
    place = f"registry.example.org/flights@{digest}"
    numbers = {"packages": 70, "size_bytes": 1, "user": "10001", "tool": "t", "created": NOW, "base": "b"}
    own = {"release": NEW.id, "artifact": NEW.artifact, "digest": digest, "image": place, "sbom": digest}
    return ImageRecord.model_validate(own | numbers)


def _imaged(
    image: str | None, *known: str, required: bool = False, driven: str | None = None, **fields: object
) -> Case:
    """Return the sound case with an image by its name; those `known` are on record, one was `driven` under load."""
    demand = {"image": "required" if required else "optional"}
    environments = tuple(each.model_copy(update=demand) for each in POLICY.environments)
    policy = POLICY.model_copy(update={"environments": environments})
    place = f"elsewhere.example.org/flights@{digest_of(image)}" if image else None
    if driven:
        details = FIGURES.plain() | {"image": digest_of(driven)}
        fields = {"evidence": {**_case().evidence, Kind.LOAD: _evidence(Kind.LOAD, details=details)}} | fields
    return _case(policy=policy, image=place, images=tuple(map(_record, known)), **fields)


def _with(kind: Kind, **fields: object) -> Case:
    case = _case()
    return replace(case, evidence={**case.evidence, kind: _evidence(kind, **fields)})


def _without(kind: Kind) -> Case:
    case = _case()
    return replace(case, evidence={other: item for other, item in case.evidence.items() if other is not kind})


def _finding(verdict: Verdict, **fields: object) -> Finding:
    return Finding(gate="roc_auc ≥ 0.68", verdict=verdict, message="It is 0.41", **fields)


def _native(policy: str, *gates: str, **fields: object) -> Case:
    """Return the sound case where the environments say `native`, and parity evidence gives these warnings."""
    environments = tuple(each.model_copy(update={"native": policy}) for each in POLICY.environments)
    warnings = tuple(Finding(gate=gate, verdict=Verdict.PASS, message=f"{gate}: why", measured=1) for gate in gates)
    graph = Finding(gate=ONE_GRAPH, verdict=Verdict.PASS, message="one graph serves", measured=0)
    evidence = _evidence(Kind.PARITY, findings=warnings or (graph,))
    known = {**_case().evidence, Kind.PARITY: evidence}
    return _case(policy=POLICY.model_copy(update={"environments": environments}), **({"evidence": known} | fields))


def _load(figures: LoadFigures) -> dict[str, object]:
    """Return the fields of load evidence with these figures."""
    return {"findings": judged(figures), "details": figures.plain()}


def _strict(figures: LoadFigures) -> LoadFigures:
    """Return figures that are inconclusive by one gate: p99 may not exceed what was measured."""
    limits = figures.limits.model_copy(update={"p99_ms": figures.challenger.p99_ms.value})
    return LoadFigures.model_validate(figures.plain() | {"limits": limits.plain()})


def _one(case: Case) -> Reason:
    (reason,) = eligible(case)
    return reason


def test_the_sound_case_has_no_reason_against_it() -> None:
    """Everything green: eligible."""
    assert eligible(_case()) == ()


def test_an_image_is_asked_for_where_policy_or_a_record_says_so() -> None:
    """One on record is good wherever it lies; without policy and record, images are the owner's own matter."""
    demanded = _imaged("new", "old", "new", required=True, driven="new")
    for case in (demanded, _imaged("any"), _imaged(None, "new")):
        assert eligible(case) == ()
    lines = [line for line in requirements(_imaged("new", "new")) if line.rule == "image"]
    assert [line.standing for line in lines] == [Standing.MET]


@pytest.mark.parametrize("change", [ChangeType.PROMOTE, ChangeType.REPACKAGE])
def test_what_bore_the_load_is_the_image_that_is_named(change: ChangeType) -> None:
    """Met in the same image; without one where images are optional, for there the target may serve without, too."""
    known = ("old", "new")
    (line,) = [
        each for each in requirements(_imaged("new", *known, driven="new", change=change)) if "load" in each.rule
    ]
    assert (line.rule, line.standing) == ("load_image", Standing.MET)
    assert eligible(_imaged("new", *known, change=change)) == ()
    assert eligible(_imaged("new", *known, driven="new", required=True, change=change)) == ()


def _hold(release: Release) -> Deployment:
    return _deployment(hold=Hold(blocked=(release.id,), reason="it was late", by="grace@example.org", since=NOW))


FAULTS: list[tuple[str, Callable[[], Case], str]] = [
    ("environment", lambda: _case(deployment=_deployment(environment="qa")), "no environment “qa”"),
    ("image", lambda: _imaged(None, required=True), "asks for an image"),
    ("image", lambda: _imaged("old", required=True, driven="old"), "is not on record"),
    ("image", lambda: _imaged("old", "new"), "which has"),
    ("image", lambda: _imaged("old", "new", change=ChangeType.REPACKAGE), "is not on record"),
    ("image", lambda: _imaged(None, required=True, change=ChangeType.EXPERIMENT), "asks for an image"),
    ("image", lambda: _imaged("old", "new", change=ChangeType.EXPERIMENT), "is not on record"),
    ("load_image", lambda: _imaged("new", "old", "new", driven="old", change=ChangeType.EXPERIMENT), "in the image"),
    ("load_image", lambda: _imaged("new", "new", required=True), "without an image, but"),
    ("load_image", lambda: _imaged("new", "old", "new", driven="old"), "towpath load RELEASE --image elsewhere"),
    ("load_image", lambda: _imaged("new", "new", required=True, change=ChangeType.REPACKAGE), "without an image"),
    ("load_image", lambda: _imaged("new", "new", driven="old", change=ChangeType.REPACKAGE), "in the image"),
    (
        "evidence_missing",
        lambda: _imaged("new", "new", required=True, change=ChangeType.REPACKAGE, evidence={}),
        "no load evidence",
    ),
    ("compare_and_swap", lambda: _case(replaces=None), "It replaces nothing"),
    ("compare_and_swap", lambda: _case(replaces=NEW.id), "now declares"),
    ("compare_and_swap", lambda: _case(deployment=_deployment(release=None, change=None)), "declares nothing"),
    ("blocked", lambda: _case(deployment=_hold(NEW)), "by grace@example.org: it was late"),
    ("evidence_missing", lambda: _without(Kind.EVALUATION), "never a pass"),
    ("evidence_missing", lambda: _without(Kind.COMPARISON), "towpath compare"),
    ("evidence_bound", lambda: _with(Kind.EVALUATION, release=OLD.id), "not about flights 1.2.0"),
    ("evidence_bound", lambda: _with(Kind.EVALUATION, model="boats"), "about boats"),
    ("evidence_bound", lambda: _with(Kind.EVALUATION, environment="qa"), "measured in qa"),
    ("evidence_bound", lambda: _with(Kind.LOAD, environment="production"), "not in staging"),
    ("gates_changed", lambda: _with(Kind.EVALUATION, gates=LOAD), "other gates"),
    ("gates_changed", lambda: _with(Kind.LOAD, gates=GATES), "other gates"),
    ("gates_changed", lambda: _case(gates={Kind.COMPARISON: GATES, Kind.LOAD: LOAD}), "other gates"),
    ("evidence_verdict", lambda: _with(Kind.EVALUATION, findings=()), "no finding"),
    ("evidence_verdict", lambda: _with(Kind.EVALUATION, findings=(_finding(Verdict.FAIL),)), "fail: It is 0.41"),
    ("evidence_verdict", lambda: _with(Kind.EVALUATION, findings=(_finding(Verdict.ERROR),)), "error: It is 0.41"),
    (
        "evidence_verdict",
        lambda: _with(Kind.EVALUATION, findings=(_finding(Verdict.INCONCLUSIVE, needed_rows=12000),)),
        "judged on about 12,000",
    ),
    ("evidence_expired", lambda: _with(Kind.EVALUATION, created=NOW - timedelta(days=7, seconds=1)), "good for 7d"),
    ("evidence_expired", lambda: _with(Kind.LOAD, created=NOW - timedelta(days=2)), "good for 1d"),
    ("evidence_future", lambda: _with(Kind.EVALUATION, created=NOW + timedelta(minutes=2)), "in the future"),
    ("champion", lambda: _with(Kind.COMPARISON, champion=NEW.id), "now declares"),
    ("champion", lambda: _with(Kind.COMPARISON, champion=None), "compared with nothing"),
    ("champion", lambda: _with(Kind.LOAD, champion=NEW.id), "loaded beside"),
    ("champion", lambda: _with(Kind.LOAD, champion=None, **_load(ALONE)), "loaded beside nothing"),
    ("evidence_figures", lambda: _with(Kind.LOAD, champion=OLD.id, findings=judged(FIGURES)[1:]), "contradicts itself"),
    ("evidence_figures", lambda: _with(Kind.LOAD, details={}), "figures"),
    ("evidence_verdict", lambda: _with(Kind.LOAD, **_load(_strict(FIGURES))), "in more rounds: towpath load RELEASE"),
    ("upstream_verified", lambda: _case(upstream=Upstream(None, None)), "it never was"),
    ("upstream_verified", lambda: _case(upstream=Upstream(Verdict.FAIL, NOW - timedelta(days=1))), "says fail"),
    ("upstream_verified", lambda: _case(upstream=Upstream(Verdict.INCONCLUSIVE, None)), "says inconclusive"),
    ("upstream_serving", lambda: _case(upstream=Upstream(Verdict.PASS, None)), "no longer serves"),
    ("soak", lambda: _case(upstream=Upstream(Verdict.PASS, NOW - timedelta(minutes=59))), "shorter than the 1h"),
]


@pytest.mark.parametrize(
    ("rule", "make", "words"), FAULTS, ids=[f"{rule}-{number}" for number, (rule, *_) in enumerate(FAULTS)]
)
def test_one_fault_gives_one_reason(rule: str, make: Callable[[], Case], words: str) -> None:
    """The rule objects, in words that name the fault, and says what would mend it."""
    reason = _one(make())
    assert reason.rule == rule
    assert words in str(reason)
    assert reason.mend


SOUND: list[Callable[[], Case]] = [
    lambda: _with(Kind.EVALUATION, created=NOW - timedelta(days=7)),
    lambda: _with(Kind.EVALUATION, created=NOW + timedelta(seconds=30)),
    lambda: _with(Kind.LOAD, environment="staging"),
    lambda: _case(deployment=_hold(OLD)),
    lambda: _case(upstream=Upstream(Verdict.PASS, NOW - timedelta(hours=1))),
    lambda: _case(deployment=_deployment(environment="staging"), evidence={}, upstream=Upstream(None, None)),
]


@pytest.mark.parametrize("make", SOUND)
def test_the_edge_of_each_rule_is_inside(make: Callable[[], Case]) -> None:
    """Just fresh enough, just soaked, within clock skew, measured upstream, first environment: all eligible."""
    assert eligible(make()) == ()


def test_all_reasons_are_told_at_once() -> None:
    """A person mends everything in one go, not one refusal at a time."""
    case = _case(deployment=_hold(NEW), evidence={}, upstream=Upstream(None, None), replaces=None)
    rules = [reason.rule for reason in eligible(case)]
    assert rules == ["compare_and_swap", "blocked", *["evidence_missing"] * 3, "upstream_verified"]


def _saying(kind: Kind, verdict: Verdict) -> dict[str, object]:
    """Return what makes evidence say so; load evidence says what its figures give, or contradicts itself."""
    return {} if kind is Kind.LOAD and verdict is Verdict.PASS else {"findings": (_finding(verdict),)}


@given(st.sets(st.sampled_from([Kind.EVALUATION, Kind.COMPARISON, Kind.LOAD])), st.sampled_from(list(Verdict)))
def test_nothing_but_complete_green_evidence_passes(kinds: set[Kind], verdict: Verdict) -> None:
    """Whatever is missing and whatever it says: eligible exactly when everything is there and passes."""
    evidence = {kind: _evidence(kind, **_saying(kind, verdict)) for kind in kinds}
    complete = len(kinds) == 3 and verdict is Verdict.PASS
    assert (eligible(_case(evidence=evidence)) == ()) is complete


# --- what is met, what is waiting ----------------------------------------------------------------------------------


def _frozen(**fields: object) -> Policy:
    plain = POLICY.plain()
    plain["environments"][1]["freeze"] = [{"name": "summer", "timezone": "Europe/Berlin", **fields}]
    return Policy.model_validate(plain)


def test_a_frozen_environment_waits_for_the_thaw() -> None:
    """In the freeze's own time for people, in UTC for machines; a rollback is said to be free."""
    policy = _frozen(**{"from": "2026-05-30T00:00", "until": "2026-06-01T20:00"})
    reason = _one(_case(policy=policy))
    assert (reason.rule, "until 2026-06-01 20:00 Europe/Berlin: summer" in reason.what) == ("freeze", True)
    assert "Wait until 2026-06-01 18:00 UTC. A rollback is never frozen." in reason.mend
    assert eligible(_case(policy=policy, now=NOW + timedelta(hours=6))) == ()


def test_a_freeze_without_end_is_not_waited_for() -> None:
    """When one follows another, only another policy helps."""
    policy = _frozen(cron="* * * * *", lasts="1h")
    (line,) = [line for line in requirements(_case(policy=policy)) if line.rule == "freeze"]
    assert (line.standing, line.at) == (Standing.MISSING, None)


@pytest.mark.parametrize("kind", list(RULES))
def test_a_freeze_stops_every_type_that_goes_forward(kind: ChangeType) -> None:
    """Each type that has rules at all asks for it; those that lead back have none."""
    policy = _frozen(cron="* * * * *", lasts="1h").model_copy(update={"hotfix": HotfixLane()})
    assert "freeze" in {reason.rule for reason in eligible(_case(policy=policy, change=kind))}


def test_a_release_that_is_declared_already_is_nothing_new() -> None:
    """Promoted again it would only rewrite why it is there."""
    assert "declared" in {reason.rule for reason in eligible(_case(release=OLD))}


def test_an_experiment_needs_a_champion_beside_it() -> None:
    """Another release that serves: neither nothing nor itself."""
    empty = _deployment(release=None, change=None)
    for case in (_case(deployment=empty, replaces=None), _case(release=OLD)):
        assert "champion_lane" in {reason.rule for reason in eligible(replace(case, change=ChangeType.EXPERIMENT))}
    assert eligible(_case(change=ChangeType.EXPERIMENT)) == ()


@given(
    soaked=st.integers(0, 90),
    frozen=st.integers(-60, 300),
    lasts=st.integers(1, 300),
    fresh=st.integers(1, 24 * 60 * 7),
)
def test_the_moment_that_people_are_told_to_wait_for_is_the_first(
    soaked: int, frozen: int, lasts: int, fresh: int
) -> None:
    """Then it is eligible, a minute before it is not; and where no moment is told, none of the next days is."""
    begins = (NOW + timedelta(minutes=frozen)).replace(tzinfo=None)
    ends = begins + timedelta(minutes=lasts)
    policy = _frozen(**{"from": begins.isoformat(), "until": ends.isoformat(), "timezone": "UTC"})
    created = NOW - timedelta(days=7) + timedelta(minutes=fresh)
    case = _case(policy=policy, upstream=Upstream(Verdict.PASS, NOW - timedelta(minutes=soaked)))
    case = replace(case, evidence={**case.evidence, Kind.EVALUATION: _evidence(Kind.EVALUATION, created=created)})
    moment = eligible_from(case)
    if moment is None:
        assert all(eligible(replace(case, now=NOW + timedelta(minutes=wait))) for wait in range(0, 60 * 24, 15))
        return
    assert eligible(replace(case, now=moment)) == ()
    assert moment == NOW or eligible(replace(case, now=moment - timedelta(minutes=1)))


@pytest.mark.parametrize(
    ("policy", "warnings", "refused"),
    [
        ("refuse", (), False),
        ("refuse", (ONE_GRAPH,), True),
        ("library", (ONE_GRAPH,), False),
        ("library", (ONE_GRAPH, OWN_CODE), True),
        ("allow", (ONE_GRAPH, OWN_CODE), False),
    ],
)
def test_a_policy_may_ask_for_one_graph(policy: str, warnings: tuple[str, ...], *, refused: bool) -> None:
    """`native: refuse` lets only graphs in, `library` also scikit-learn's own transformers, `allow` an owner's code."""
    reasons = eligible(_native(policy, *warnings))
    assert [reason.rule for reason in reasons] == (["native"] if refused else [])
    assert all(f"{warnings[-1 if policy == 'library' else 0]}: why" in reason.what for reason in reasons)


@pytest.mark.parametrize("policy", ["refuse", "library"])
def test_where_a_graph_is_asked_for_evidence_must_tell_of_it(policy: str) -> None:
    """Missing parity evidence, or that of another release, is never a pass."""
    assert [reason.rule for reason in eligible(_native(policy, evidence=_case().evidence))] == ["native"]
    foreign = {**_case().evidence, Kind.PARITY: _evidence(Kind.PARITY, release=OLD.id)}
    assert [reason.rule for reason in eligible(_native(policy, evidence=foreign))] == ["native"]


def test_code_of_an_owner_must_be_merged() -> None:
    """What runs where the release serves lies in main's history; a release without such code is not asked."""
    assert [reason.rule for reason in eligible(_native("allow", ONE_GRAPH, OWN_CODE, merged=False))] == ["own_code"]
    assert eligible(_native("allow", ONE_GRAPH, merged=False)) == ()
