"""What reconciling takes on the drills' model: real git remote, registry, BentoML service with one worker.

A run that finds everything as declared, beside the least that it can take: fetching main, which is one of the things it
does. And a release that is swapped by pointer into a warm service, beside the same run when the service was stopped
first, as a deployment that restarts would.
"""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from rounds import Contestant, Run, compare, head, timed

from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.delivery.reconcile import Outcome, reconcile
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.targets.base import Target
from towpath_gitops.records.deployment import Change, ChangeType, Deployment, PinnedRelease, parse_deployment
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import dump_yaml
from towpath_gitops.records.release import Release

ROUNDS, SWAPS = 15, 5
REF = "refs/heads/main"


class Staging:
    """The environment that is measured."""

    def __init__(self, stage: Stage) -> None:
        """Take staging of a stage that is set."""
        self.stage, self.repository = stage, stage.repository
        self.path = layout.environment_path(STAGING, MODEL)

    def deployment(self) -> Deployment:
        """Return what main declares."""
        text = self.repository.read(self.repository.main(), self.path)
        return parse_deployment(text or "", source=self.path)

    def target(self) -> Target:
        """Return what serves."""
        deployment = self.deployment()
        return TARGETS[deployment.target.kind](self.repository, deployment)

    def declare(self, release: Release) -> None:
        """Let main declare a release, without the pull request: only what follows is measured."""
        now = self.deployment()
        before = now.declared.id if now.declared else None
        change = Change(type=ChangeType.PROMOTE, replaces=before, reason="a benchmark")
        then = now.model_copy(update={"release": PinnedRelease.of(release), "change": change})
        main = self.repository.main()
        commit = self.repository.commit([main], main, {self.path: dump_yaml(then.plain()).encode()}, "Declare")
        self.repository.push(commit, REF, main)
        self.repository.fetch()

    def reconcile(self) -> Outcome:
        """Reconcile; whatever is not proved does not count.

        Raises:
            RuntimeError: the service was not verified.
        """
        outcome = reconcile(self.repository, self.stage.registry, STAGING, MODEL)
        if outcome.verdict is not Verdict.PASS:
            message = f"not verified: {outcome}"
            raise RuntimeError(message)
        return outcome


def change(staging: Staging, next_release: Callable[[], Release], *, restart: bool) -> Run:
    """Return a run that brings the next release, in a service that is warm or was stopped; declaring is not timed."""

    def run() -> float:
        staging.declare(next_release())
        if restart:
            staging.target().stop()
        return timed(staging.reconcile)()

    return run


def main() -> None:
    """Set the stage and compare."""
    with TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        releases = cycle([stage.train(), stage.train(lambda frame: frame.iloc[100:])])
        staging = Staging(stage)
        staging.declare(next(releases))
        try:
            staging.reconcile()
            head()
            fetch = Contestant("`git fetch` alone", timed(stage.repository.fetch))
            compare(Contestant("reconcile, nothing to do", timed(staging.reconcile)), fetch, ROUNDS)
            warm, cold = (change(staging, releases.__next__, restart=restart) for restart in (False, True))
            compare(Contestant("new release, service restarted", cold), Contestant("swapped by pointer", warm), SWAPS)
        finally:
            staging.target().stop()


if __name__ == "__main__":
    main()
