"""May this release enter this environment? Pure: facts go in, requirements come out, each met or not.

One rule is one function in `RULES`, which says for each type of change what is asked of it. A requirement that is not
met says what is wrong and what would mend it: as a reason it stands in reviews and decision documents, beside those
that are met in what `towpath policy explain` prints.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from towpath_gitops.promotion.freezes import frozen, thaw
from towpath_gitops.promotion.requirement import Reason, Requirement, Standing, met, missing
from towpath_gitops.records.base import format_duration, short
from towpath_gitops.records.deployment import ChangeType, Deployment
from towpath_gitops.records.evidence import ONE_GRAPH, OWN_CODE, Evidence, Finding, Kind, Verdict
from towpath_gitops.records.image import ImageRecord, carries, digest_in
from towpath_gitops.records.load_gates import contradictions
from towpath_gitops.records.policy import Environment, Policy
from towpath_gitops.records.release import Release

# Clocks of two machines may differ by this much before evidence counts as dated in the future.
CLOCK_SKEW: Final = timedelta(minutes=1)
_PATIENCE: Final = 5  # waits in a row, such as a freeze that begins while a release still soaks


@dataclass(frozen=True)
class Upstream:
    """How the release fares in the environment before."""

    verdict: Verdict | None  # of its latest verification there; None without one
    healthy_since: datetime | None  # it serves there with green verifications only; None when it does not


@dataclass(frozen=True)
class Case:
    """All that the decision may depend on."""

    policy: Policy
    deployment: Deployment  # as main declares it now
    release: Release
    replaces: str | None  # the release that the change says it replaces
    evidence: Mapping[Kind, Evidence]
    gates: Mapping[Kind, str]  # digest of main's gate configuration for each kind
    champion: str | None  # what the last environment declares now
    upstream: Upstream
    now: datetime
    change: ChangeType = ChangeType.PROMOTE
    image: str | None = None  # that would carry the release, by its digest
    images: Sequence[ImageRecord] = ()  # of the release that the registry has on record
    merged: bool = True  # the commit that trained the release lies in main's history

    @property
    def demands(self) -> Environment | None:
        """What the policy demands of the environment; None when it does not know it."""
        return self.policy.environment(self.deployment.environment)

    @property
    def before(self) -> Environment | None:
        """The environment before this one; None for the first."""
        return self.policy.upstream(self.deployment.environment) if self.demands else None


Rule = Callable[[Case], Iterator[Requirement]]


def requirements(case: Case) -> tuple[Requirement, ...]:
    """Return everything that is asked of the change, in the order in which people think of it, met or not.

    What only matters once something else is met is not listed before.
    """
    return tuple(line for rule in RULES[case.change] for line in rule(case))


def eligible(case: Case) -> tuple[Reason, ...]:
    """Return every reason why the change may not be made now; empty when it may."""
    return tuple(line.reason for line in requirements(case) if line.standing is not Standing.MET)


def eligible_from(case: Case) -> datetime | None:
    """Return the first moment from `case.now` on at which the change may be made if only time passes; None: never."""
    for _ in range(_PATIENCE):
        lines = requirements(case)
        if all(line.standing is Standing.MET for line in lines):
            return case.now
        moments = [line.at for line in lines if line.at is not None]
        if not moments or any(line.standing is Standing.MISSING for line in lines):
            return None
        case = replace(case, now=max(moments))
    return None


# --- rules --------------------------------------------------------------------------------------------------------


def _known(case: Case) -> Iterator[Requirement]:
    if case.demands is None:
        known = ", ".join(environment.name for environment in case.policy.environments)
        yield missing(
            "environment",
            f"The policy has no environment “{case.deployment.environment}” (it has {known})",
            "Add it to gitops/policy.yaml.",
        )


def _new(case: Case) -> Iterator[Requirement]:
    declared = case.deployment.release
    if declared and declared.id == case.release.id:
        what = f"{case.deployment.environment} declares {case.release} already"
        yield missing("declared", what, "There is nothing to change.")


def _swap(case: Case) -> Iterator[Requirement]:
    yield swap(case.deployment, case.replaces)


def swap(deployment: Deployment, replaces: str | None) -> Requirement:
    """Ask that the release that a change says it replaces is the one that main declares now."""
    declared = deployment.release.id if deployment.release else None
    if replaces == declared:
        what = f"It replaces what {deployment.environment} declares now: {_name(declared)}"
        return met("compare_and_swap", what)
    return missing(
        "compare_and_swap",
        f"It replaces {_name(replaces)}, but {deployment.environment} now declares {_name(declared)}",
        "Propose it again: what was compared and approved was another change.",
    )


def _blocked(case: Case) -> Iterator[Requirement]:
    hold, place = case.deployment.hold, case.deployment.environment
    if hold is None or case.release.id not in hold.blocked:
        yield met("blocked", f"It is not blocked in {place}")
        return
    yield missing(
        "blocked",
        f"{case.release} is blocked in {place} since {hold.since:%Y-%m-%d %H:%M} by {hold.by}: {hold.reason}",
        "Train a release without the fault.",
    )


def _freeze(case: Case) -> Iterator[Requirement]:
    """Ask that no freeze holds. Rollbacks and holds never ask: the way back is always open."""
    freezes, place = case.demands.freeze if case.demands else (), case.deployment.environment
    holding, free = frozen(freezes, case.now), thaw(freezes, case.now)
    if holding is None:
        if freezes:
            yield met("freeze", f"No freeze of {place} holds now")
        return
    local = holding.until.astimezone(ZoneInfo(holding.freeze.timezone))
    what = f"{place} is frozen until {local:%Y-%m-%d %H:%M} {holding.freeze.timezone}: {holding.freeze.name}"
    if free is None:
        yield missing("freeze", what, "One freeze follows another: change the policy.")
        return
    mend = f"Wait until {_moment(free)}. A rollback is never frozen."
    yield Requirement(rule="freeze", what=what, mend=mend, standing=Standing.WAITING, at=free)


def _lane(case: Case) -> Iterator[Requirement]:
    lane = case.policy.hotfix
    if lane is None:
        mend = "Promote it through every environment, or add `hotfix: {approvals: 2}` to gitops/policy.yaml."
        yield missing("hotfix", "The policy has no lane for hotfixes", mend)
        return
    before = case.before.name if case.before else "the environments before"
    yield met("hotfix", f"It goes around {before}: as a hotfix, which stays flagged in the ledger and in reports")
    if lane.frozen:
        yield from _freeze(case)


def _image(case: Case) -> Iterator[Requirement]:
    """Ask that the image is one built of this release, where the policy or a record beside the release says so."""
    required = case.demands is not None and case.demands.image == "required"
    make = f"towpath image build {case.release.short_id}, then push it, and propose it again."
    if case.image is None:
        if required:
            what = f"{case.deployment.environment} asks for an image, and the change names none for {case.release}"
            yield missing("image", what, make)
        return
    record = carries(case.images, case.image)
    if record is not None:
        yield met(
            "image", f"Its image {short(record.digest)} is on record: {record.packages} packages on {record.base}"
        )
    elif required or case.images:
        known = ", ".join(short(each.digest) for each in case.images) or "none"
        what = f"The image {short(digest_in(case.image))} is not on record for {case.release}, which has {known}"
        yield missing("image", what, make)


def _load_image(case: Case) -> Iterator[Requirement]:
    """Ask that load evidence is of the image that would carry the release; without one only where images are optional.

    Where the target serves without images, evidence that was measured without says what callers will notice.
    """
    evidence = case.evidence.get(Kind.LOAD)
    if case.demands is None or Kind.LOAD not in case.demands.evidence or case.image is None or evidence is None:
        return
    wanted, measured = digest_in(case.image), evidence.details.get("image")
    if measured == wanted:
        yield met("load_image", f"It bore the load in the image that is named, {short(wanted)}")
    elif measured is not None or case.demands.image == "required":
        where = f"in the image {short(str(measured))}" if measured else "without an image"
        yield missing(
            "load_image",
            f"It bore the load {where}, but the change names {short(wanted)}",
            f"Drive that one: {again(Kind.LOAD)} --image {case.image}.",
        )


def _reloaded(case: Case) -> Iterator[Requirement]:
    """Ask load evidence of the other image alone: the model is the same, what is around it may be slower."""
    lifetime = case.demands.evidence.get(Kind.LOAD) if case.demands else None
    if case.demands is not None and case.demands.image == "required" and lifetime is not None:
        yield from _evidence_of(case, Kind.LOAD, lifetime)
    yield from _load_image(case)


def _native(case: Case) -> Iterator[Requirement]:
    """Ask for one graph where the policy does; and code that runs where the release serves must be part of main."""
    policy = case.demands.native if case.demands else "allow"
    evidence = case.evidence.get(Kind.PARITY)
    if evidence is None or evidence.release != case.release.id:
        if policy != "allow":
            what = f"Nothing says which engine serves {case.release}"
            yield missing("native", what, f"Missing evidence is never a pass: {again(Kind.PARITY)}.")
        return
    native, own = _warning(evidence, ONE_GRAPH), _warning(evidence, OWN_CODE)
    refused = {"refuse": native or own, "library": own, "allow": None}[policy]
    if refused:
        graph = "Build the features from transformers that have a graph (docs/training.md), and train again."
        yield missing("native", f"{case.deployment.environment} refuses it: {refused.rstrip('.')}", graph)
    elif policy != "allow":
        yield met("native", "One graph serves it" if not native else "It serves natively, without code of its owner's")
    if own and not case.merged:
        what = f"{case.release} runs code of its commit {case.release.code[:12]}, which main does not hold"
        yield missing("own_code", what, "Merge that commit, or train again on main.")


def _warning(evidence: Evidence, gate: str) -> str | None:
    """Return what parity evidence says of a gate that warns by measuring more than nothing."""
    return next((found.message for found in evidence.findings if found.gate == gate and found.measured), None)


def _beside(case: Case) -> Iterator[Requirement]:
    declared, place = case.deployment.release, case.deployment.environment
    if declared is None:
        yield missing("champion_lane", f"{place} declares nothing to compare it with", f"Promote a release to {place}.")
    elif declared.id == case.release.id:
        yield missing("champion_lane", f"{case.release} is the champion of {place} itself", "Try another release.")


def _evidence(case: Case) -> Iterator[Requirement]:
    for kind, lifetime in (case.demands.evidence if case.demands else {}).items():
        yield from _evidence_of(case, kind, lifetime)


def _evidence_of(case: Case, kind: Kind, lifetime: timedelta) -> Iterator[Requirement]:
    evidence = case.evidence.get(kind)
    if evidence is None:
        mend = f"Missing evidence is never a pass: {again(kind)}."
        yield missing("evidence_missing", f"There is no {kind} evidence for {case.release}", mend)
        return
    faults = [
        *_bound(case, kind, evidence),
        *_consistent(kind, evidence),
        *_green(kind, evidence),
        *_fresh(case, kind, evidence, lifetime),
    ]
    yield from faults
    if not faults:
        until = evidence.created + lifetime
        yield met("evidence", f"The {kind} evidence is green, and good until {_moment(until)}")


def _bound(case: Case, kind: Kind, evidence: Evidence) -> Iterator[Requirement]:
    if (evidence.release, evidence.model, evidence.kind) != (case.release.id, case.release.model, kind):
        yield missing(
            "evidence_bound",
            f"The {kind} evidence is {evidence.kind} evidence about {evidence.model} {short(evidence.release)}, "
            f"not about {case.release}",
            f"Make its own: {again(kind)}.",
        )
    before = case.before.name if case.before else None
    if evidence.environment not in {None, before}:
        yield missing(
            "evidence_bound",
            f"The {kind} evidence was measured in {evidence.environment}, not in {before or 'training'}",
            f"Measure it there: {again(kind)}.",
        )
    if evidence.gates != case.gates.get(kind):
        yield missing(
            "gates_changed",
            f"The {kind} evidence was judged by other gates than model.yaml on main has now",
            f"Judge it again: {again(kind)}.",
        )


def _consistent(kind: Kind, evidence: Evidence) -> Iterator[Requirement]:
    """Ask that evidence that can be judged again says what its own figures give."""
    contradiction = next(contradictions(evidence), None) if kind is Kind.LOAD and evidence.kind is kind else None
    if contradiction is not None:
        what = f"The {kind} evidence contradicts itself: {contradiction}"
        yield missing("evidence_figures", what, f"Measure it: {again(kind)}.")


def _green(kind: Kind, evidence: Evidence) -> Iterator[Requirement]:
    if not evidence.findings:
        yield missing("evidence_verdict", f"The {kind} evidence holds no finding", f"{again(kind)}.")
    for finding in evidence.findings:
        if finding.verdict is not Verdict.PASS:
            yield missing(
                "evidence_verdict",
                f"{kind}: {finding.gate}: {finding.verdict}: {finding.message.rstrip('.')}",
                _remedy(kind, finding),
            )


def _remedy(kind: Kind, finding: Finding) -> str:
    if kind is Kind.LOAD and finding.verdict is Verdict.INCONCLUSIVE:
        return f"Measure it in more rounds: {again(kind)} --rounds NUMBER."
    if finding.needed_rows:
        return f"Gather rows until it is judged on about {finding.needed_rows:,}, then train again."
    return "Mend the model or its data, then train again."


def _fresh(case: Case, kind: Kind, evidence: Evidence, lifetime: timedelta) -> Iterator[Requirement]:
    age = case.now - evidence.created
    if age > lifetime:
        yield missing(
            "evidence_expired",
            f"The {kind} evidence is of {evidence.created:%Y-%m-%d %H:%M}; it is good for {format_duration(lifetime)}",
            f"Renew it: {again(kind)}.",
        )
    if age < -CLOCK_SKEW:
        yield missing(
            "evidence_future",
            f"The {kind} evidence is dated in the future: {evidence.created:%Y-%m-%d %H:%M}",
            "Set the clock of the machine that made it, and make it again.",
        )


def _champion(case: Case) -> Iterator[Requirement]:
    """Ask that whom the release was compared with, or drove beside, is still the champion."""
    for kind, done in ((Kind.COMPARISON, "was compared with"), (Kind.LOAD, "was loaded beside")):
        evidence = case.evidence.get(kind)
        if evidence is not None and case.demands is not None and kind in case.demands.evidence:
            yield _still_champion(case, kind, done, evidence)


def _still_champion(case: Case, kind: Kind, done: str, evidence: Evidence) -> Requirement:
    last = case.policy.last.name
    alone = kind is Kind.LOAD and case.champion == case.release.id  # nobody is driven beside itself
    if evidence.champion == case.champion or (alone and evidence.champion is None):
        return met("champion", f"It {done} what {last} declares now: {_name(evidence.champion)}")
    return missing(
        "champion",
        f"It {done} {_name(evidence.champion)}, but {last} now declares {_name(case.champion)}",
        f"Compare it with that: {again(kind)}.",
    )


def _upstream(case: Case) -> Iterator[Requirement]:
    if case.before is None or case.demands is None:
        return
    name, verdict, since = case.before.name, case.upstream.verdict, case.upstream.healthy_since
    if verdict is not Verdict.PASS:
        said = f"its latest verification there says {verdict}" if verdict else "it never was"
        soak = f", and stay healthy for {format_duration(case.demands.soak)}" if case.demands.soak else ""
        mend = f"Promote it to {name} and let it be verified there first{soak}."
        yield missing("upstream_verified", f"{case.release} is not verified in {name}: {said}", mend)
        return
    yield met("upstream_verified", f"Its latest verification in {name} says pass")
    if since is None:
        mend = f"Promote it to {name} again, or promote what serves there."
        yield missing("upstream_serving", f"{case.release} no longer serves in {name}, healthy and unreplaced", mend)
        return
    yield met("upstream_serving", f"It serves in {name}, healthy since {_moment(since)}")
    yield from _soak(case, name, case.demands.soak, since)


def _soak(case: Case, before: str, soak: timedelta, since: datetime) -> Iterator[Requirement]:
    if case.now - since >= soak:
        if soak:
            yield met("soak", f"It has soaked in {before} for the {format_duration(soak)} that are asked for")
        return
    ready = since + soak
    what = (
        f"{case.release} has been healthy in {before} since {since:%Y-%m-%d %H:%M:%S}, "
        f"shorter than the {format_duration(soak)} that {case.deployment.environment} demands"
    )
    mend = f"Wait until {ready:%Y-%m-%d %H:%M:%S}."
    yield Requirement(rule="soak", what=what, mend=mend, standing=Standing.WAITING, at=ready)


_EVIDENCE: Final[tuple[Rule, ...]] = (_blocked, _evidence, _champion, _native)
_IMAGE: Final[tuple[Rule, ...]] = (_image, _load_image)

# What is asked of each type of change. Those that are not listed lead back: they ask for nothing that takes time.
RULES: Final[Mapping[ChangeType, tuple[Rule, ...]]] = {
    ChangeType.PROMOTE: (_known, _new, _swap, _freeze, *_EVIDENCE, *_IMAGE, _upstream),
    ChangeType.HOTFIX: (_known, _new, _swap, _lane, *_EVIDENCE, *_IMAGE),
    ChangeType.EXPERIMENT: (_known, _beside, _swap, _freeze, *_EVIDENCE, *_IMAGE, _upstream),
    ChangeType.REPACKAGE: (_known, _swap, _freeze, _blocked, _image, _reloaded),
}


def again(kind: Kind) -> str:
    """Return the command that makes evidence of a kind, where RELEASE stands for one."""
    commands = {
        Kind.COMPARISON: "towpath compare RELEASE",
        Kind.LOAD: "towpath load RELEASE",
        Kind.VERIFICATION: "towpath reconcile",
    }
    return commands.get(kind, "towpath train")


def _name(release: str | None) -> str:
    return short(release) if release else "nothing"


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
