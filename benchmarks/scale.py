"""How work grows: with places that are as declared, with promotions made before, with records that are audited.

Passes are made over 10, 100 and 1,000 models in three environments, each applied, verified and served. A promotion is
proposed in a repository where 10 or 10,000 were made before: as many merges on main, pairs of lines in the ledger, and
settled pull requests; clone, registry and model are those of the drills. Contestants take turns.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from fleet import ENVIRONMENTS, Fleet, Stream, bare, chain_of, cloned, environment_file, foundation, release_of
from rounds import Contestant, Run, compare, head, timed
from settled_pulls import settle_many

from towpath_ci.drills.stage import MODEL, PRODUCTION, STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.delivery.audit import require_true
from towpath_gitops.delivery.ledger import REF, Ledger
from towpath_gitops.delivery.sweep import Sweeper
from towpath_gitops.promotion.proposal import propose_promotion

PASSES, PROPOSALS, AUDITS = 5, 9, 3
FEW, MANY = 10, 10_000
RECORDS, MERGES = 100_000, 10_000


@contextmanager
def fleet(models: int) -> Iterator[Run]:
    """Yield a run that makes a pass over so many models."""
    with TemporaryDirectory() as folder:
        made = Fleet.of(Path(folder), models)

        def sweep() -> None:
            swept = Sweeper(repository=made.repository, registry=made.registry).sweep()
            if len(swept.settled) != len(ENVIRONMENTS) * models:
                message = f"not settled: {swept.failures[:1] or swept.outcomes[:1]}"
                raise RuntimeError(message)

        try:
            yield timed(sweep)
        finally:
            made.stop()


@contextmanager
def team(promotions: int) -> Iterator[Run]:
    """Yield a run that proposes a promotion after so many; closing it again is not timed."""
    with TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        release = stage.good
        _promote(stage, Path(folder, "forge.git"), promotions)

        def propose() -> float:
            began = perf_counter()
            pull = propose_promotion(stage.desk(), environment=PRODUCTION, release=release, reason="a benchmark")
            took = perf_counter() - began
            stage.desk().forge.close(pull.number, "Measured.")
            return took

        yield propose


def _promote(stage: Stage, remote: Path, count: int) -> None:
    """Let staging have been promoted so many times, and its pull requests been settled."""
    repository, path = stage.repository, layout.environment_path(STAGING, MODEL)
    history = Stream("refs/heads/main", remote, onto=repository.main())
    releases = [*(release_of(MODEL, number) for number in range(1, count + 1)), stage.good]
    for release in releases:
        history.commit({path: environment_file(STAGING, release, 3000)})
    commits = history.write()
    ledger = Stream(REF, remote)
    told = [(release, commit) for release, commit in zip(releases, commits[1:], strict=True)]
    ledger.commit({f"{STAGING}.jsonl": chain_of(repository, STAGING, told)})
    ledger.write()
    settle_many(remote, count, head=commits[-1])
    repository.fetch()


@contextmanager
def records(count: int) -> Iterator[Callable[[], int]]:
    """Yield what audits a ledger of so many records, five for each merge and environment."""
    with TemporaryDirectory() as folder:
        remote = bare(Path(folder))
        main = Stream("refs/heads/main", remote)
        main.commit(foundation("flights", (STAGING,)))
        path, merges = layout.environment_path(STAGING, "flights"), MERGES * count // RECORDS
        releases = [release_of("flights", number) for number in range(1, merges + 1)]
        for before, release in zip([None, *releases], releases, strict=False):
            main.commit({path: environment_file(STAGING, release, 3000, before)})
        commits = main.write()
        repository = cloned(Path(folder))
        ledger = Stream(REF, remote)
        told = list(zip(releases, commits[2:], strict=True))
        data = chain_of(repository, STAGING, told, chained=True, verifications=count // merges - 1)
        ledger.commit({f"{STAGING}.jsonl": data})
        ledger.write()
        repository.fetch()
        yield lambda: require_true(Ledger(repository))


def main() -> None:
    """Measure and print."""
    head()
    with fleet(10) as ten, fleet(100) as hundred, fleet(1000) as thousand:
        compare(Contestant("no-op pass, 100 models", hundred), Contestant("10 models", ten), PASSES)
        compare(Contestant("no-op pass, 1,000 models", thousand), Contestant("100 models", hundred), PASSES)
    with team(FEW) as few, team(MANY) as many:
        compare(Contestant(f"propose after {MANY:,} promotions", many), Contestant(f"after {FEW}", few), PROPOSALS)
    with records(RECORDS // 10) as tenth, records(RECORDS) as whole:
        names = (f"`audit verify`, {RECORDS:,} records", f"{RECORDS // 10:,} records")
        compare(Contestant(names[0], timed(whole)), Contestant(names[1], timed(tenth)), AUDITS)
        took = median([timed(whole)() for _ in range(AUDITS)])
    print(f"\n`audit verify`: {RECORDS / took:,.0f} records per second, {datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()
