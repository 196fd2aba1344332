"""One class and one exit code for each way to fail.

Every error speaks in three beats: what happened, why, and what to do next. The command line prints them and exits
with the class's code, so that scripts can tell a refusal from a broken file from a service that is merely late.
"""

from typing import ClassVar

from towpath_gitops.redaction import redacted


class TowpathError(Exception):
    """Base of every failure that a user is told about; never raised itself."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        """Say `what` happened, `why`, and in `hint` what the reader can do next; secrets are left out."""
        super().__init__(redacted(what))
        self.what = redacted(what)
        self.why = redacted(why)
        self.hint = redacted(hint)

    def __str__(self) -> str:
        """Join the beats that were given, one to a line."""
        return "\n".join(beat for beat in (self.what, self.why, self.hint) if beat)


class InvalidFileError(TowpathError):
    """A file that people or programs wrote does not say what it should: names the file, the place, the expectation."""

    exit_code = 3


class NotFoundError(TowpathError):
    """A release, environment, pull request or file that was named does not exist."""

    exit_code = 4


class UncleanRepositoryError(TowpathError):
    """The repository is not in a state from which the command may start: uncommitted changes, no remote, no commit."""

    exit_code = 5


class ConflictError(TowpathError):
    """Somebody else moved first: a compare-and-swap lost. Look again, then repeat."""

    exit_code = 6


class RefusedError(TowpathError):
    """A gate, a rule or a reviewer says no. Nothing was changed."""

    exit_code = 7


class DigestMismatchError(TowpathError):
    """Bytes differ from the digest that was approved. They were not opened."""

    exit_code = 8


class DataContractError(TowpathError):
    """The data breaks the owner's schema; the report says which column, rule, count and rows."""

    exit_code = 9


class TrainingError(TowpathError):
    """A model cannot be fitted, exported or stored from this data and this configuration."""

    exit_code = 10


class UnavailableError(TowpathError):
    """A part that is needed does not answer now; the same command may succeed later. The one retryable failure."""

    exit_code = 11


class DeliveryError(TowpathError):
    """A release was declared but could not be brought to serve, or fails its verification there."""

    exit_code = 12


class LedgerError(TowpathError):
    """The ledger's chain is broken, or contradicts the history of the main branch."""

    exit_code = 13


class DrillError(TowpathError):
    """A gate let its known-bad fixture through: it protects nobody."""

    exit_code = 14


class MissingDependencyError(TowpathError):
    """A library or program that this command needs is not installed."""

    exit_code = 15


class StoryError(TowpathError):
    """The demo could not be told to its end: a command answered otherwise than the story says."""

    exit_code = 16


class SignatureError(TowpathError):
    """A release is not signed, or not by anybody whom the policy names. It was not opened."""

    exit_code = 17


class GuardError(TowpathError):
    """A live release does harm: the guard has moved traffic away from it, or asks a person to."""

    exit_code = 18


class UnreviewedMergeError(TowpathError):
    """A pull request was merged onto a main that review had not seen; it stands, and a person should look at it."""

    exit_code = 19
