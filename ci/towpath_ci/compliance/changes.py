"""Controls that every single change of production is held against."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from towpath_ci.compliance.base import Control, Finding, day, flagged, gap, met, moment, none
from towpath_ci.compliance.frameworks import AI_ACT, NIST, SOC2, cite
from towpath_gitops.delivery.desired import releases
from towpath_gitops.delivery.served import freeze_at_merge
from towpath_gitops.delivery.tenure import Tenure
from towpath_gitops.errors import SignatureError
from towpath_gitops.promotion.signatures import signature_at, standing
from towpath_gitops.records.base import format_duration, short
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import Evidence, Kind, Verdict, bundle_digest
from towpath_gitops.repository import Repository

_COMMIT_TIME: Final = timedelta(seconds=1)  # git tells the time of a commit to the second, cut off
# Changes that bring no other release along, or lead back to one that was examined before.
_BACK: Final = frozenset({ChangeType.ROLLBACK, ChangeType.HOLD})


class SecondPerson(Control):
    """Another person than its author approved the change."""

    short = "Approval"
    cites = (*cite(NIST, "GOVERN 2.1", "MAP 3.5"), *cite(AI_ACT, "Art. 14"), *cite(SOC2, "CC6.3", "CC8.1"))

    @staticmethod
    def check(tenure: Tenure) -> Finding:
        """The merge commit names an approver who is not the author.

        That is worth as much as the rules that keep others from writing such a commit: see the repository's access.
        """
        facts = tenure.declared.facts()
        author, approvers = facts["author"] or "", facts["approved_by"]
        others = [name for name in approvers if name.lower() != author.lower()]
        place = f"main's commit {tenure.declared.commit[:12]}"
        if not others:
            who = f"only its author {author} approved" if approvers else "nobody approved"
            return gap(f"{place} names no second person: {who}.")
        pull = f"pull request #{facts['pull']}, " if facts["pull"] else ""
        return met(f"{pull}{place}: written by {author}, approved by {', '.join(others)}.")


class GreenEvidence(Control):
    """The evidence that the policy demanded was present, green and fresh."""

    short = "Evidence"
    cites = (
        *cite(NIST, "MEASURE 2.3", "MEASURE 2.5"),
        *cite(AI_ACT, "Art. 9", "Art. 15"),
        *cite(SOC2, "CC8.1"),
    )

    @staticmethod
    def check(tenure: Tenure) -> Finding:
        """The merged commit holds each kind of evidence that its own policy demands.

        It is about this release, all of it green, was not expired, and has the digest that the change names.
        """
        change = tenure.declared.deployment.change
        if change is None or change.type in _BACK:
            return none("It leads back to a release that was examined when it came, or keeps the one that serves.")
        demands = tenure.policy.environment(tenure.declaration.place.environment) if tenure.policy else None
        if demands is None:
            return gap("Main's policy of that commit does not say what this environment demands.")
        problems = [problem for kind in demands.evidence for problem in _problems(tenure, kind)]
        if bundle_digest(tenure.evidence.values()) != change.evidence:
            problems.append("The files of evidence are not those whose digest the change names.")
        if problems:
            return gap(*problems)
        if not demands.evidence:
            return gap("The policy demands no evidence for this environment.")
        return met(*(_told(kind, tenure.evidence[kind]) for kind in demands.evidence))


def _problems(tenure: Tenure, kind: Kind) -> Iterator[str]:
    evidence = tenure.evidence.get(kind)
    if evidence is None:
        yield f"There is no {kind} evidence in {tenure.declared.commit[:12]}."
        return
    if evidence.release != tenure.subject.id:
        yield f"The {kind} evidence is about {short(evidence.release)}."
    if evidence.verdict is not Verdict.PASS:
        yield f"The {kind} evidence says {evidence.verdict}."
    lifetime = tenure.policy.environment(tenure.declaration.place.environment) if tenure.policy else None
    age = tenure.declaration.merged - evidence.created
    if lifetime and age > lifetime.evidence[kind]:
        yield f"The {kind} evidence was older than {format_duration(lifetime.evidence[kind])} when it was merged."


def _told(kind: Kind, evidence: Evidence) -> str:
    count = len(evidence.findings)
    gates = f"{count} gate{'s' if count != 1 else ''} passed"
    return f"{kind}: {gates}, {day(evidence.created)}, {short(evidence.digest)}."


class Traceability(Control):
    """Data, code and artifact can be traced."""

    short = "Traceability"
    cites = (
        *cite(NIST, "GOVERN 1.6", "MAP 2.3", "MEASURE 2.1"),
        *cite(AI_ACT, "Art. 10", "Art. 11", "Art. 12"),
        *cite(SOC2, "CC2.1", "CC8.1"),
    )

    @staticmethod
    def check(tenure: Tenure, repository: Repository, main: str) -> Finding:
        """The environment file names the digests of artifact and data, and the commit that trained the model.

        That commit is in main's history, and the data evidence speaks of the same data.
        """
        release = tenure.subject
        problems = []
        if repository.resolve(release.code) is None or not repository.is_ancestor(release.code, main):
            problems.append(f"The commit that trained it, {release.code[:12]}, is not in main's history.")
        examined = tenure.evidence.get(Kind.DATA)
        if examined is not None and examined.data not in {None, release.data}:
            problems.append(f"The data evidence speaks of {short(examined.data or '')}, not of {short(release.data)}.")
        if problems:
            return gap(*problems)
        return met(f"Artifact {short(release.artifact)}, data {short(release.data)}, code {release.code[:12]} on main.")


class SignedRelease(Control):
    """Somebody whom main names has signed the release."""

    short = "Signature"
    cites = (*cite(NIST, "MEASURE 2.7"), *cite(AI_ACT, "Art. 15"), *cite(SOC2, "CC6.8"))

    @staticmethod
    def check(tenure: Tenure, repository: Repository, main: str) -> Finding:
        """Main holds a signature of each release that serves, which a key or identity of today's policy confirms."""
        signers = []
        for _, release in releases(tenure.declared):
            try:
                found = standing(repository, main, release, signature_at(repository, main, release))
            except SignatureError as error:
                return gap(" ".join(f"{error.what}. {error.why}".split()))
            if not found.asked:
                return gap("Main's policy asks for no signature (policy.signing): nobody vouches for the bytes.")
            if found.signer is None:
                return gap("It is not signed, which policy.signing.unsigned allows.")
            signers.append(f"{release.semver} ({release.short_id}) is signed with {found.signer}.")
        return met(*signers)


class StagedBefore(Control):
    """It proved itself in the environment before."""

    short = "Staged"
    cites = (*cite(NIST, "MANAGE 1.1", "MEASURE 2.5"), *cite(AI_ACT, "Art. 9"), *cite(SOC2, "CC8.1"))

    @staticmethod
    def check(tenure: Tenure, upstream: list[Tenure] | None) -> Finding:
        """The ledger holds a green verification of the release in the environment before, from before the merge."""
        change = tenure.declared.facts()["change"]
        if change in _BACK:
            return none("It leads back, or keeps what serves: the environment before is not asked.")
        if upstream is None:
            return none("There is no environment before this one.")
        release, merged = tenure.subject.id, tenure.declaration.merged + _COMMIT_TIME
        entries = [entry for earlier in upstream for entry in earlier.verifications]
        green = [
            entry
            for entry in entries
            if entry.release == release and entry.time <= merged and entry.verdict is Verdict.PASS
        ]
        if green:
            first = min(green, key=lambda entry: entry.time)
            return met(f"Verified in {first.environment} on {moment(first.time)} (ledger entry {first.seq}).")
        if change is ChangeType.HOTFIX:
            return flagged("A hotfix: it skipped the environments before.")
        return gap("No green verification in the environment before precedes its merge.")


class VerifiedHere(Control):
    """The service proved that it serves this very release."""

    short = "Verified"
    cites = (*cite(NIST, "MEASURE 2.4"), *cite(AI_ACT, "Art. 12", "Art. 15"), *cite(SOC2, "CC7.2"))

    @staticmethod
    def check(tenure: Tenure) -> Finding:
        """The ledger holds a green verification after the delivery, and no red one since.

        In a verification the service names the release that it serves, and repeats its golden answers.
        """
        if not tenure.verifications:
            return gap("The ledger holds no verification of it here.")
        red = [entry for entry in tenure.verifications if entry.verdict is not Verdict.PASS]
        if red:
            said = [f"{moment(entry.time)}: {entry.verdict}. {entry.note or ''}".strip() for entry in red]
            return flagged(*said, "Green again since.") if tenure.verifications[-1] is not red[-1] else gap(*said)
        first, count = tenure.verifications[0], len(tenure.verifications)
        words = f"{count} verifications, all green, from" if count > 1 else "Green on"
        return met(f"{words} {moment(first.time)} (ledger entry {first.seq}).")


class OutsideFreeze(Control):
    """It was merged outside of a change freeze."""

    short = "Freeze"
    cites = (*cite(NIST, "GOVERN 1.4"), *cite(AI_ACT, "Art. 17"), *cite(SOC2, "CC5.3", "CC8.1"))

    @staticmethod
    def check(tenure: Tenure, repository: Repository) -> Finding:
        """The policy of the merged commit states freezes, and none of them held at the time of the merge."""
        environment = tenure.declaration.place.environment
        demands = tenure.policy.environment(environment) if tenure.policy else None
        if demands is None or not demands.freeze:
            return none("The policy of that commit stated no freeze.")
        held = freeze_at_merge(repository, tenure.declared.commit, environment)
        if held is None:
            return met(f"Merged on {moment(tenure.declaration.merged)}; {len(demands.freeze)} freezes, none held.")
        change = tenure.declared.facts()["change"]
        if change in {ChangeType.ROLLBACK, ChangeType.HOTFIX}:
            return flagged(f"Merged during the freeze “{held}”, as a {change}.")
        return gap(f"Merged during the freeze “{held}”, as a {change}.")


class StatedException(Control):
    """No rule was skipped, or it was said."""

    short = "Exceptions"
    cites = (*cite(NIST, "GOVERN 1.4", "MEASURE 2.8"), *cite(AI_ACT, "Art. 17"), *cite(SOC2, "CC5.3", "CC8.1"))

    @staticmethod
    def check(tenure: Tenure) -> Finding:
        """The change says what it is; a hotfix stays flagged, with its reason and at least two approvals."""
        facts = tenure.declared.facts()
        if facts["change"] is not ChangeType.HOTFIX:
            return met(f"An ordinary {facts['change']}: “{facts['reason']}”.")
        words = f"A hotfix: “{facts['reason']}”, approved by {', '.join(facts['approved_by']) or 'nobody'}."
        return flagged(words) if len(facts["approved_by"]) > 1 else gap(words)


CHANGES: Final[tuple[type[Control], ...]] = (
    SecondPerson,
    GreenEvidence,
    Traceability,
    SignedRelease,
    StagedBefore,
    VerifiedHere,
    OutsideFreeze,
    StatedException,
)
