"""May this release enter this environment? Pure: facts go in, reasons against it come out; none means yes.

One rule is one function in `RULES`. A reason says what is wrong and what would mend it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from towpath_gitops.records.base import Name, Record, format_duration, short
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Evidence, Kind, Verdict
from towpath_gitops.records.policy import Environment, Policy
from towpath_gitops.records.release import Release

# Clocks of two machines may differ by this much before evidence counts as dated in the future.
CLOCK_SKEW: Final = timedelta(minutes=1)


class Reason(Record):
    """Why not: the rule that objects, what is wrong, and what would mend it."""

    rule: Name
    what: str
    mend: str = Field(default="", description="what would make the rule agree; empty when nothing would")

    def __str__(self) -> str:
        """Say what is wrong, and then what would mend it."""
        return f"{self.what.rstrip('.')}. {self.mend}".rstrip()


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

    @property
    def demands(self) -> Environment | None:
        """What the policy demands of the environment; None when it does not know it."""
        return self.policy.environment(self.deployment.environment)

    @property
    def before(self) -> Environment | None:
        """The environment before this one; None for the first."""
        return self.policy.upstream(self.deployment.environment) if self.demands else None


Rule = Callable[[Case], Iterator[Reason]]


def eligible(case: Case) -> tuple[Reason, ...]:
    """Return every reason why the release may not enter the environment now; empty when it may."""
    return tuple(reason for rule in RULES for reason in rule(case))


def _known(case: Case) -> Iterator[Reason]:
    if case.demands is None:
        known = ", ".join(environment.name for environment in case.policy.environments)
        yield Reason(
            rule="environment",
            what=f"The policy has no environment “{case.deployment.environment}” (it has {known})",
            mend="Add it to gitops/policy.yaml.",
        )


def _swap(case: Case) -> Iterator[Reason]:
    yield from swap(case.deployment, case.replaces)


def swap(deployment: Deployment, replaces: str | None) -> Iterator[Reason]:
    """Object when the release that a change says it replaces is not the one that main declares now."""
    declared = deployment.release.id if deployment.release else None
    if replaces != declared:
        yield Reason(
            rule="compare_and_swap",
            what=f"It replaces {_name(replaces)}, but {deployment.environment} now declares {_name(declared)}",
            mend="Propose it again: what was compared and approved was another change.",
        )


def _blocked(case: Case) -> Iterator[Reason]:
    hold = case.deployment.hold
    if hold and case.release.id in hold.blocked:
        yield Reason(
            rule="blocked",
            what=f"{case.release} is blocked in {case.deployment.environment} since {hold.since:%Y-%m-%d %H:%M} "
            f"by {hold.by}: {hold.reason}",
            mend="Train a release without the fault.",
        )


def _evidence(case: Case) -> Iterator[Reason]:
    for kind, lifetime in (case.demands.evidence if case.demands else {}).items():
        evidence = case.evidence.get(kind)
        if evidence is None:
            yield Reason(
                rule="evidence_missing",
                what=f"There is no {kind} evidence for {case.release}",
                mend=f"Missing evidence is never a pass: {_again(kind)}.",
            )
            continue
        yield from _bound(case, kind, evidence)
        yield from _green(kind, evidence)
        yield from _fresh(case, kind, evidence, lifetime)


def _bound(case: Case, kind: Kind, evidence: Evidence) -> Iterator[Reason]:
    if (evidence.release, evidence.model, evidence.kind) != (case.release.id, case.release.model, kind):
        yield Reason(
            rule="evidence_bound",
            what=f"The {kind} evidence is {evidence.kind} evidence about {evidence.model} {short(evidence.release)}, "
            f"not about {case.release}",
            mend=f"Make its own: {_again(kind)}.",
        )
    before = case.before.name if case.before else None
    if evidence.environment not in {None, before}:
        yield Reason(
            rule="evidence_bound",
            what=f"The {kind} evidence was measured in {evidence.environment}, not in {before or 'training'}",
            mend=f"Measure it there: {_again(kind)}.",
        )
    if evidence.gates != case.gates.get(kind):
        yield Reason(
            rule="gates_changed",
            what=f"The {kind} evidence was judged by other gates than model.yaml on main has now",
            mend=f"Judge it again: {_again(kind)}.",
        )


def _green(kind: Kind, evidence: Evidence) -> Iterator[Reason]:
    if not evidence.findings:
        yield Reason(rule="evidence_verdict", what=f"The {kind} evidence holds no finding", mend=f"{_again(kind)}.")
    for finding in evidence.findings:
        if finding.verdict is not Verdict.PASS:
            more = f"About {finding.needed_rows:,} rows would settle it." if finding.needed_rows else ""
            yield Reason(
                rule="evidence_verdict",
                what=f"{kind}: {finding.gate}: {finding.verdict}: {finding.message.rstrip('.')}",
                mend=more or "Mend the model or its data, then train again.",
            )


def _fresh(case: Case, kind: Kind, evidence: Evidence, lifetime: timedelta) -> Iterator[Reason]:
    age = case.now - evidence.created
    if age > lifetime:
        yield Reason(
            rule="evidence_expired",
            what=f"The {kind} evidence is of {evidence.created:%Y-%m-%d %H:%M}; "
            f"it is good for {format_duration(lifetime)}",
            mend=f"Renew it: {_again(kind)}.",
        )
    if age < -CLOCK_SKEW:
        yield Reason(
            rule="evidence_future",
            what=f"The {kind} evidence is dated in the future: {evidence.created:%Y-%m-%d %H:%M}",
            mend="Set the clock of the machine that made it, and make it again.",
        )


def _champion(case: Case) -> Iterator[Reason]:
    evidence = case.evidence.get(Kind.COMPARISON)
    demanded = case.demands is not None and Kind.COMPARISON in case.demands.evidence
    if demanded and evidence is not None and evidence.champion != case.champion:
        yield Reason(
            rule="champion",
            what=f"It was compared with {_name(evidence.champion)}, but {case.policy.last.name} now declares "
            f"{_name(case.champion)}",
            mend=f"Compare it with that: {_again(Kind.COMPARISON)}.",
        )


def _upstream(case: Case) -> Iterator[Reason]:
    if case.before is None or case.demands is None:
        return
    name, since = case.before.name, case.upstream.healthy_since
    if case.upstream.verdict is not Verdict.PASS:
        said = (
            f"its latest verification there says {case.upstream.verdict}" if case.upstream.verdict else "it never was"
        )
        yield Reason(
            rule="upstream_verified",
            what=f"{case.release} is not verified in {name}: {said}",
            mend=f"Promote it to {name} and let it be verified there first.",
        )
    elif since is None:
        yield Reason(
            rule="upstream_serving",
            what=f"{case.release} no longer serves in {name}, healthy and unreplaced",
            mend=f"Promote it to {name} again, or promote what serves there.",
        )
    elif case.now - since < case.demands.soak:
        ready = since + case.demands.soak
        yield Reason(
            rule="soak",
            what=f"{case.release} has been healthy in {name} since {since:%Y-%m-%d %H:%M:%S}, "
            f"shorter than the {format_duration(case.demands.soak)} that {case.demands.name} demands",
            mend=f"Wait until {ready:%Y-%m-%d %H:%M:%S}.",
        )


RULES: Final[tuple[Rule, ...]] = (_known, _swap, _blocked, _evidence, _champion, _upstream)


def _again(kind: Kind) -> str:
    """Return the command that makes evidence of a kind."""
    commands = {Kind.COMPARISON: "towpath compare RELEASE", Kind.VERIFICATION: "towpath reconcile"}
    return commands.get(kind, "towpath train")


def _name(release: str | None) -> str:
    return short(release) if release else "nothing"
