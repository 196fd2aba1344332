"""How long a rollback takes under load: from the merge to the first answer of the old release, and what it costs.

Real git remote, registry and BentoML service (one worker); fifty requests a second come from another process on this
machine. The way back is declared by a merge commit, without its review: only what follows the merge is measured.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from reconcile import Staging

from towpath_ci.drills.callers import calling
from towpath_ci.drills.stage import STAGING, Stage

ROUNDS = 20
AFTERWARDS_S = 0.3  # so that requests come after the swap, too


def main() -> None:
    """Go forth and back, and print the way back."""
    with TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        old, new = stage.train(), stage.train(lambda frame: frame.iloc[100:])
        staging = Staging(stage)
        staging.declare(old)
        took_s: list[float] = []
        asked = 0
        try:
            staging.reconcile()
            for _ in range(ROUNDS):
                staging.declare(new)
                staging.reconcile()
                with calling(stage.port(STAGING), stage.request(old)) as calls:
                    staging.declare(old)
                    merged_s = monotonic()
                    staging.reconcile()
                    sleep(AFTERWARDS_S)
                took_s.append(calls.back_after_s(merged_s, old.id))  # which fails when a request did
                asked += len(calls.made)
        finally:
            staging.target().stop()
    print("| merge → the old release answers, 50 requests/s | worst of | failed requests |")
    print("| --- | --- | --- |")
    print(f"| **{median(took_s):.2f} s** (median) | {max(took_s):.2f} s of {ROUNDS} | 0 of {asked:,} |")


if __name__ == "__main__":
    main()
