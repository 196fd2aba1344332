"""Who has said yes, and whose yes counts: owners of that very path on main, who did not write a line of it."""

from dataclasses import dataclass

from towpath_gitops import layout
from towpath_gitops.forges.base import Approval, Pull
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.codeowners import owners_of
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.judgement import approvals_needed
from towpath_gitops.promotion.proposed import Proposed
from towpath_gitops.promotion.requirement import Reason


@dataclass(frozen=True)
class Vote:
    """What the approvals of a pull request come to."""

    needed: int
    counted: tuple[str, ...]  # who approved and counts
    ignored: tuple[str, ...]  # who approved and does not, with the reason why
    able: frozenset[str]  # who else could

    def reasons(self, number: int) -> list[Reason]:
        """Return the reason against pull request `number` when they are too few."""
        open_ = self.needed - len(self.counted)
        if open_ <= 0:
            return []
        what = f"{len(self.counted)} of {self.needed} approvals by owners who did not write it"
        if self.ignored:
            what += f"; not counted: {', '.join(self.ignored)}"
        who = f"{_number(open_)} of {', '.join(sorted(self.able))} runs: towpath approve {number}."
        return [Reason(rule="approvals", what=what, mend=who if len(self.able) >= open_ else self._too_few(open_))]

    def _too_few(self, open_: int) -> str:
        names = f"only {', '.join(sorted(self.able))}" if self.able else "nobody"
        return f"{layout.CODEOWNERS} on main names {names} who could, {open_} must: add owners there."


def owners(desk: Desk, main: str, path: str) -> frozenset[str]:
    """Return everybody who owns a path by the CODEOWNERS of the commit `main`, teams resolved, in lower case."""
    text = desk.repository.read(main, layout.CODEOWNERS) or ""
    return frozenset(member for owner in owners_of(text, path) for member in desk.forge.members(owner))


def count(desk: Desk, pull: Pull, main: str, proposed: Proposed) -> Vote:
    """Count the approvals of a pull request, by the owners and the policy of the commit `main`."""
    able, writers = owners(desk, main, proposed.path), desk.forge.writers(pull)
    counted: dict[str, None] = {}
    ignored: dict[str, None] = {}
    for approval in pull.approvals:
        objection = _objection(approval, pull, writers, able, proposed.path)
        (ignored if objection else counted)[f"{approval.by} ({objection})" if objection else approval.by.lower()] = None
    policy = declared.policy(desk.repository, main)
    needed = approvals_needed(policy, proposed.before.environment, proposed.lane)
    return Vote(needed, tuple(counted), tuple(ignored), able - writers - set(counted))


def _objection(approval: Approval, pull: Pull, writers: frozenset[str], able: frozenset[str], path: str) -> str | None:
    """Return why an approval does not count, or None when it does."""
    if approval.head != pull.head:
        return "approved an earlier commit"
    if not approval.is_genuine:
        return f"was written down by {approval.recorded_by}"
    if approval.by.lower() in writers:
        return "wrote it"
    return None if approval.by.lower() in able else f"does not own {path}"


def _number(count: int) -> str:
    return "One" if count == 1 else str(count)
