"""What main declares and no reconciler has brought about yet: whoever only mends leaves it alone."""

from towpath_gitops.delivery.desired import desired
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.repository import Repository


def is_undelivered(repository: Repository, environment: str, model: str) -> bool:
    """Return whether main, as last fetched, declares what the ledger does not know to have been applied.

    A declaration may have to wait for somebody, such as the reviewers of an environment on GitHub; what was applied
    once was let through. An environment that declares nothing waits for nothing.

    Raises:
        RefusedError: main's history was rewritten.
        NotFoundError: main has no such environment file.
        InvalidFileError: the file cannot be read.
        LedgerError: the ledger's chain is broken, or its branch was rewritten.
    """
    wanted = desired(repository, environment, model)
    return wanted.declared is not None and not Ledger(repository).tells(environment, model, wanted.commit)
