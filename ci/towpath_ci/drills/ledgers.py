"""What the drills about the ledger share: the ledger of a place that serves, and a forger who can push to it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from towpath_ci.drills.base import Refusal
from towpath_ci.drills.stage import STAGING, Stage
from towpath_gitops.delivery.audit import require_true
from towpath_gitops.delivery.ledger import REF, SEEN, Ledger


def audited(stage: Stage) -> Sequence[Refusal]:
    """Let the ledger be checked, of a stage on which something serves."""
    stage.crown()
    stage.repository.fetch()
    require_true(Ledger(stage.repository))
    return []


@contextmanager
def forged(stage: Stage, forge: Callable[[list[bytes]], list[bytes]]) -> Iterator[None]:
    """Push a ledger whose lines of staging are forged, for the time of the block."""
    repository, path = stage.repository, f"{STAGING}.jsonl"
    tip = repository.tip(REF) or ""
    lines = (repository.read_bytes(tip, path) or b"").splitlines(keepends=True)
    edited = repository.commit([tip], tip, {path: b"".join(forge(lines))}, "Tidy up\n")
    repository.push(edited, REF, tip)
    try:
        yield
    finally:
        repository.push(tip, REF, edited)
        repository.git.run("update-ref", SEEN, tip)  # whatever a gate that is open took for true
