"""What is asked of a change: a requirement that is met or not, and the reason against the change that is left of it."""

from enum import StrEnum

from pydantic import AwareDatetime, Field

from towpath_gitops.records.base import Name, Record


class Reason(Record):
    """Why not: the rule that objects, what is wrong, and what would mend it."""

    rule: Name
    what: str
    mend: str = Field(default="", description="what would make the rule agree; empty when nothing would")

    def __str__(self) -> str:
        """Say what is wrong, and then what would mend it."""
        return f"{self.what.rstrip('.')}. {self.mend}".rstrip()


class Standing(StrEnum):
    """Whether a requirement is met; `waiting` when it is not, but time alone will meet it."""

    MET = "met"
    MISSING = "missing"
    WAITING = "waiting"


class Requirement(Reason):
    """One line of what is asked of a change, and how it stands."""

    standing: Standing
    at: AwareDatetime | None = Field(default=None, description="when time alone will have met what is waiting")

    @property
    def reason(self) -> Reason:
        """What it says against the change, when it is not met."""
        return Reason(rule=self.rule, what=self.what, mend=self.mend)


def met(rule: str, what: str) -> Requirement:
    """Return a requirement that is met."""
    return Requirement(rule=rule, what=what, standing=Standing.MET)


def missing(rule: str, what: str, mend: str = "") -> Requirement:
    """Return a requirement that is not met until somebody does something."""
    return Requirement(rule=rule, what=what, mend=mend, standing=Standing.MISSING)
