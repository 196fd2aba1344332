"""Where drills take place: a model repository of their own with a bare remote, in a folder that is thrown away."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from towpath_ci.drills.base import Refusal
from towpath_gitops import layout
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.reconcile import Outcome, reconcile
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposal import propose_promotion
from towpath_gitops.promotion.review import merge_reviewed, review
from towpath_gitops.records.deployment import parse_deployment
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

if TYPE_CHECKING:
    import pandas as pd

FIXTURE: Final = Path(__file__).parent / "model"
AUTHOR: Final = ("Ada", "ada@example.org")
OWNER: Final = ("Grace", "grace@example.org")  # in the fixture's CODEOWNERS
MODEL: Final = "canal"
STAGING, PRODUCTION = "staging", "production"
DATA: Final = "data/barges.parquet"

Edit = Callable[["pd.DataFrame"], "pd.DataFrame"]


def scaffold(folder: Path, fixture: Path = FIXTURE) -> Repository:
    """Make the drills' model a committed and pushed repository `folder`/canal, its remote `folder`/forge.git."""
    root = folder / MODEL
    shutil.copytree(fixture, root, ignore=shutil.ignore_patterns("__pycache__"))
    for environment in (STAGING, PRODUCTION):
        _take_free_port(root / layout.environment_path(environment, MODEL))
    (root / ".gitignore").write_text("/.towpath/\n/data/\n__pycache__/\n", encoding="utf-8")
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "forge.git")
    git(root, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", AUTHOR[0]), ("user.email", AUTHOR[1]), ("commit.gpgsign", "false")):
        git(root, "config", key, value)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Begin")
    git(root, "remote", "add", "origin", str(folder / "forge.git"))
    git(root, "push", "--quiet", "--set-upstream", "origin", "main")
    return Repository.discover(root).acting_as(*AUTHOR)


def _take_free_port(file: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"port: \d+", f"port: {port}", text), encoding="utf-8")


def git(folder: Path, *arguments: str) -> None:
    """Run git without the user's own settings and identity: a drill says the same on every machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *arguments], cwd=folder, env=kept | alone, check=True, capture_output=True)


class Stage:
    """The repository of the drills, the people in it, and what they do; everything is real but the data."""

    def __init__(self, folder: Path) -> None:
        """Set the stage in an empty folder."""
        self.repository = scaffold(folder)
        self.root = self.repository.root
        self._crowned = False
        self.registry = Registry(f"sqlite:///{layout.state(self.root, 'mlflow.db')}")

    def desk(self, person: tuple[str, str] = AUTHOR) -> Desk:
        """Return the desk of a person."""
        repository = self.repository.acting_as(*person)
        return Desk(repository, LocalForge(repository), self.registry, Ledger(repository))

    # --- training ----------------------------------------------------------------------------------------------

    @cached_property
    def good(self) -> Release:
        """A release that passes every gate."""
        return self.train()

    @cached_property
    def peer(self) -> Release:
        """A release as good as the champion, trained while that serves, on the later rows."""
        self.crown()
        return self.train(lambda frame: frame.iloc[100:])

    def train(self, edit: Edit | None = None) -> Release:
        """Train and register a release from barges that `edit` has changed, with the stages of every train flow."""
        from towpath_ci.drills.barges import barges  # noqa: PLC0415 (as above)
        from towpath_flows import stages  # noqa: PLC0415 (heavy: only drills that train need it)
        from towpath_flows.registration import Training, register  # noqa: PLC0415 (as above)

        frame = barges()
        self.write(frame if edit is None else edit(frame))
        with chdir(self.root):
            project = stages.open_project.fn()
        table = stages.load.fn(project)
        validated = stages.validate.fn(project, table)
        parts = stages.split.fn(project, validated)
        model = stages.fit.fn(project, parts, stages.tune.fn(project, parts))
        exported = stages.export.fn(project, model, parts)
        evidence = [
            stages.examine_data.fn(project, validated, parts),
            stages.prove_parity.fn(exported),
            stages.evaluate.fn(project, exported, parts),
            stages.compare.fn(project, exported, parts),
            stages.check_behaviour.fn(project, exported, parts),
        ]
        training = Training(
            model=MODEL,
            folder=exported.folder,
            signature=exported.signature,
            code=self.repository.head(),
            data=table.digest,
            source=table.source,
            window=table.window,
            params={},
            rows=len(table.frame),
        )
        return register(self.root, training, [assessment for assessment in evidence if assessment])

    def write(self, frame: "pd.DataFrame") -> None:
        """Put rows where model.yaml looks for them; git ignores the place."""
        path = self.root / DATA
        path.parent.mkdir(exist_ok=True)
        frame.to_parquet(path)

    @contextmanager
    def branch(self, name: str, path: str, old: str, new: str) -> Iterator[None]:
        """Work on a branch where `old` in the file `path` is `new`, committed; come back to main."""
        git(self.root, "switch", "--quiet", "--create", name)
        file = self.root / path
        file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        git(self.root, "commit", "--quiet", "--all", f"--message={name}")
        try:
            yield
        finally:
            git(self.root, "switch", "--quiet", "main")

    # --- promotion ---------------------------------------------------------------------------------------------

    @contextmanager
    def proposal(self, release: Release, environment: str = STAGING) -> Iterator[Pull]:
        """Propose a release for the time of the block; what is still open afterwards is closed."""
        pull = propose_promotion(self.desk(), environment=environment, release=release, reason="a drill")
        try:
            yield pull
        finally:
            if self.desk().forge.get(pull.number).state is State.OPEN:
                self.desk().forge.close(pull.number, "The drill is over.")

    def approve(self, pull: Pull) -> None:
        """Let the owner of the environment approve."""
        self.desk(OWNER).forge.approve(pull.number)

    def review(self, pull: Pull, *, now: datetime | None = None) -> Sequence[Refusal]:
        """Return who objects to a pull request: a kind of evidence by its name, everything else by its rule."""
        found = review(self.desk(), pull.number, now=now)
        return [Refusal(_gate(reason.rule, reason.what), reason.what) for reason in found.reasons]

    def reviewed(self, release: Release, environment: str = STAGING) -> Sequence[Refusal]:
        """Propose a release, let the owner approve in good faith, and return who still objects."""
        with self.proposal(release, environment) as pull:
            self.approve(pull)
            return self.review(pull)

    # --- delivery ----------------------------------------------------------------------------------------------

    def deliver(self, release: Release, environment: str) -> Outcome:
        """Propose, approve, merge and reconcile a release."""
        with self.proposal(release, environment) as pull:
            return self.bring(pull, environment)

    def bring(self, pull: Pull, environment: str) -> Outcome:
        """Approve and merge a pull request, and reconcile its environment."""
        self.approve(pull)
        merge_reviewed(self.desk(OWNER), pull.number)
        return reconcile(self.repository, self.registry, environment, MODEL)

    def crown(self) -> None:
        """Let the good release serve in both environments, if it does not yet."""
        if not self._crowned:
            for environment in (STAGING, PRODUCTION):
                self.deliver(self.good, environment)
        self._crowned = True

    def strike(self) -> None:
        """Stop what serves."""
        for environment in (STAGING, PRODUCTION):
            path = layout.environment_path(environment, MODEL)
            deployment = parse_deployment((self.root / path).read_text(encoding="utf-8"), source=path)
            TARGETS[deployment.target.kind](self.repository, deployment).stop()


def _gate(rule: str, what: str) -> str:
    """Return the gate behind a reason: red evidence names its kind first, as in “evaluation: roc_auc ≥ 0.7: …”."""
    return what.partition(":")[0] if rule == "evidence_verdict" else rule
