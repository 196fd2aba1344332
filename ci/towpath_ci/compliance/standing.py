"""Controls that the repository as a whole is held against, whatever serves."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from towpath_ci.compliance.base import Control, Finding, day, flagged, gap, met, moment
from towpath_ci.compliance.frameworks import AI_ACT, NIST, SOC2, cite
from towpath_gitops import layout
from towpath_gitops.delivery.entries import Entry, Event, Problem
from towpath_gitops.delivery.tenure import Tenure
from towpath_gitops.delivery.testimony import Place
from towpath_gitops.forges.base import Safeguards
from towpath_gitops.promotion.codeowners import owners_of
from towpath_gitops.records.base import format_duration, short
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.policy import Policy
from towpath_gitops.repository import Repository

# A release that serves is verified anew at least once a day where reconcile runs on a schedule.
_QUIET: Final = timedelta(days=2)
_LOCAL: Final = "the local forge has no rules of its own: whoever can push to the remote can"


class TrueRecords(Control):
    """What served when is recorded, and the record is true."""

    short = "Records"
    cites = (*cite(NIST, "MEASURE 2.8"), *cite(AI_ACT, "Art. 12", "Art. 19"), *cite(SOC2, "CC2.1"))

    @staticmethod
    def check(problems: Sequence[Problem], entries: Sequence[Entry]) -> Finding:
        """The ledger's chain of hashes is whole, and main's history confirms every entry and misses none."""
        if problems:
            return gap(f"The ledger has {len(problems)} problems.", *map(str, problems[:5]))
        if not entries:
            return gap("The ledger holds no entry of this environment.")
        first, last = entries[0], entries[-1]
        return met(
            f"{len(entries)} entries from {day(first.time)} to {day(last.time)}, confirmed by main's history.",
            f"Its head is entry {last.seq}, {last.hash}.",
        )


class Retention(Control):
    """Records and evidence are kept."""

    short = "Retention"
    cites = (*cite(AI_ACT, "Art. 18", "Art. 19", "Art. 26"), *cite(NIST, "MEASURE 2.8"), *cite(SOC2, "CC2.1"))

    @staticmethod
    def check(tenures: Sequence[Tenure], safeguards: Safeguards | None) -> Finding:
        """Git still holds the evidence of every change, and the forge forbids rewriting and deleting main.

        How long the law asks for (ten years for documentation, at least six months for logs of high-risk systems) is
        for people to arrange: whether the remote is backed up cannot be seen from here.
        """
        problems = []
        if safeguards is None:
            problems.append(f"Nothing keeps history from being rewritten: {_LOCAL} rewrite it.")
        elif safeguards.branch.rewritable or safeguards.branch.deletable:
            problems.append("The forge lets main be rewritten or deleted.")
        bare = [tenure for tenure in tenures if tenure.declared.deployment.change and _lost(tenure)]
        problems += [f"The evidence of {tenure.declared.commit[:12]} cannot be read from git." for tenure in bare]
        if problems:
            return gap(*problems)
        oldest = min(tenure.declaration.merged for tenure in tenures) if tenures else None
        since = f"since {day(oldest)}" if oldest else "of no change yet"
        return met(f"Evidence {since} is in git; the forge forbids rewriting and deleting main.")


def _lost(tenure: Tenure) -> bool:
    change = tenure.declared.deployment.change
    return change is not None and change.evidence is not None and not tenure.evidence


class AccessRules(Control):
    """Production changes by reviewed pull request only."""

    short = "Access"
    cites = (*cite(NIST, "GOVERN 2.1"), *cite(AI_ACT, "Art. 15", "Art. 17"), *cite(SOC2, "CC6.1", "CC6.3", "CC8.1"))

    @staticmethod
    def check(safeguards: Safeguards | None) -> Finding:
        """The forge's own rules require pull requests, owners' fresh approvals and green checks, for everybody."""
        if safeguards is None:
            return gap(f"No rule of a forge protects main: {_LOCAL} change it.")
        rules = safeguards.branch
        wanted = {
            "pull requests are not required": rules.pull_required,
            "no approval is required": rules.approvals > 0,
            "owners need not approve": rules.owners_approve,
            "old approvals outlive a push": rules.fresh_approvals,
            "no check is required": bool(rules.checks),
        }
        problems = [f"On main {words}." for words, holds in wanted.items() if not holds]
        if rules.bypassed_by:
            problems.append(f"Who may ignore the rules: {', '.join(rules.bypassed_by)}.")
        problems += [f"CODEOWNERS: {error}" for error in safeguards.codeowners_errors]
        if problems:
            return gap(*problems)
        return met(f"Pull requests, {rules.approvals} approvals of owners, checks: {', '.join(rules.checks)}.")


class Owners(Control):
    """Somebody answers for production, and for the rules about it."""

    short = "Owners"
    cites = (*cite(NIST, "GOVERN 2.1", "MAP 3.5"), *cite(AI_ACT, "Art. 14", "Art. 17"), *cite(SOC2, "CC6.3"))

    @staticmethod
    def check(repository: Repository, main: str, place: Place) -> Finding:
        """CODEOWNERS on main names owners of the environment file, the policy, and of CODEOWNERS itself."""
        text = repository.read(main, layout.CODEOWNERS) or ""
        paths = (layout.environment_path(*place), layout.POLICY, layout.CODEOWNERS)
        owners = {path: owners_of(text, path) for path in paths}
        missing = [f"Nobody owns {path}." for path, names in owners.items() if not names]
        if missing:
            return gap(*missing)
        return met(*(f"{path}: {', '.join(names)}." for path, names in owners.items()))


class RehearsedRollback(Control):
    """The way back was walked, and led back."""

    short = "Rollback"
    cites = (
        *cite(NIST, "MANAGE 2.3", "MANAGE 2.4", "MANAGE 4.3"),
        *cite(AI_ACT, "Art. 14", "Art. 20"),
        *cite(SOC2, "CC7.5"),
    )

    @staticmethod
    def check(tenures: Sequence[Tenure], entries: Sequence[Entry], place: Place) -> Finding:
        """The ledger holds a rollback here, by change or by the guard, after which the service was green.

        Drills rehearse it, too, on a repository that is thrown away: they leave nothing in git to point at.
        """
        back = [tenure for tenure in tenures if tenure.declared.facts()["change"] is ChangeType.ROLLBACK]
        green = [tenure for tenure in back if tenure.verifications and tenure.verifications[0].verdict is Verdict.PASS]
        words = [
            f"{moment(tenure.applied.time)}: back to {tenure.declared.release.semver}, green "
            f"(ledger entry {tenure.applied.seq})."
            for tenure in green
        ]
        words += [
            f"{moment(entry.time)}: the guard moved traffic to {short(entry.to or '')} (ledger entry {entry.seq})."
            for entry in entries
            if entry.event is Event.SHIFTED
        ]
        if words:
            return met(*words)
        if back:
            return gap("A rollback was made, but no green verification followed it.")
        return gap(f"Nobody ever rolled back in {place.environment}.")


class GuardOnDuty(Control):
    """A harmful release is taken back without waiting for a person."""

    short = "Guard"
    cites = (
        *cite(NIST, "MANAGE 2.4", "MANAGE 4.1"),
        *cite(AI_ACT, "Art. 15", "Art. 20", "Art. 72"),
        *cite(SOC2, "CC7.2", "CC7.4"),
    )

    @staticmethod
    def check(policy: Policy, place: Place) -> Finding:
        """The policy has a guard for this environment that may act by itself."""
        demands = policy.environment(place.environment)
        guard = demands.guard if demands else None
        if guard is None:
            return gap("The policy has no guard for this environment: a person must notice.")
        words = f"{guard.bad} bad windows of {guard.of}, each {format_duration(guard.window)}"
        return (
            met(f"It acts by itself after {words}.") if guard.automatic else flagged(f"It only alerts, after {words}.")
        )


class Monitored(Control):
    """What serves now is watched."""

    short = "Monitoring"
    cites = (*cite(NIST, "MEASURE 2.4", "MANAGE 4.1"), *cite(AI_ACT, "Art. 26", "Art. 72"), *cite(SOC2, "CC7.2"))

    @staticmethod
    def check(tenures: Sequence[Tenure], now: datetime) -> Finding:
        """The ledger holds a verification of what serves now that is no older than two days."""
        if not tenures:
            return gap("Nothing serves.")
        looked = tenures[0].verifications
        if not looked:
            return gap("What serves now was never verified.")
        age = now - looked[-1].time
        if age > _QUIET:
            return gap(f"Last verified on {moment(looked[-1].time)}, {age.days} days before this page.")
        if looked[-1].verdict is not Verdict.PASS:
            return gap(f"Its latest verification, on {moment(looked[-1].time)}, says {looked[-1].verdict}.")
        return met(f"Last verified on {moment(looked[-1].time)}: {looked[-1].verdict}.")


STANDING: Final[tuple[type[Control], ...]] = (
    TrueRecords,
    Retention,
    AccessRules,
    Owners,
    RehearsedRollback,
    GuardOnDuty,
    Monitored,
)
