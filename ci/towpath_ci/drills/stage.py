"""Where drills take place: a model repository of their own with a bare remote, in a folder that is thrown away."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import replace
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
from towpath_gitops.delivery.targets.base import Target
from towpath_gitops.forges.base import Pull, State
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposal import propose_promotion
from towpath_gitops.promotion.review import merge_reviewed, review
from towpath_gitops.records.artifact import GOLDEN, GRAPH, SIGNATURE
from towpath_gitops.records.base import canonical_json
from towpath_gitops.records.deployment import Deployment, edited, parse_deployment
from towpath_gitops.records.evidence import Evidence, Kind, Verdict, bundle_digest
from towpath_gitops.records.golden import Golden
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Column, Signature
from towpath_gitops.repository import Repository

if TYPE_CHECKING:
    import pandas as pd

FIXTURE: Final = Path(__file__).parent / "model"
AUTHOR: Final = ("Ada", "ada@example.org")
OWNER: Final = ("Grace", "grace@example.org")  # in the fixture's CODEOWNERS
SECOND_OWNER: Final = ("Linus", "linus@example.org")  # there, too
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

    @cached_property
    def stranger(self) -> Release:
        """A release that needs a column which nobody sends: like the peer in everything but its signature."""

        def need(folder: Path) -> None:
            signature = parse_json((folder / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)
            more = (*signature.inputs, Column(name="draught", type="number"))
            wider = signature.model_copy(update={"inputs": more})
            (folder / SIGNATURE).write_text(wider.model_dump_json(by_alias=True), encoding="utf-8")

        return self.altered("stranger", need)

    @cached_property
    def sluggish(self) -> Release:
        """A release that answers like the peer, and takes long for it."""
        from towpath_ci.drills.burden import burden  # noqa: PLC0415 (heavy: only some drills need it)

        return self.altered("sluggish", lambda folder: burden(folder / GRAPH))

    def altered(self, name: str, alter: Callable[[Path], None], like: Release | None = None) -> Release:
        """Register the peer (or `like`) once more, `alter`ed, on what is checked out, with the same evidence."""
        from towpath_flows.registration import Training, register  # noqa: PLC0415 (heavy: only some drills need it)

        like = like or self.peer
        whole = self.registry.fetch(like, layout.store(self.root).absolute())
        folder = self.root.parent / name
        shutil.copytree(whole, folder)
        alter(folder)
        training = Training(
            model=MODEL,
            folder=folder,
            signature=parse_json((folder / SIGNATURE).read_bytes(), Signature, source=SIGNATURE),
            code=self.repository.head(),
            data=like.data,
            source="a drill",
            window=(None, None),
            params={},
            rows=0,
        )
        release = register(self.root, training, [])
        for kind, evidence in self.registry.evidence(like).items():
            if kind is not Kind.LOAD:
                self.registry.publish_evidence(release, evidence.model_copy(update={"release": release.id}))
        return release

    def load(self, release: Release) -> Evidence:
        """Return what the load test of a release finds: measured once, beside the champion."""
        from towpath_flows.load import LoadTest  # noqa: PLC0415 (as above)
        from towpath_flows.project import Project  # noqa: PLC0415 (as above)

        self.crown()
        known = self.registry.evidence(release).get(Kind.LOAD)
        project = Project.open(self.root)
        return known or LoadTest(project, release, project.spec.serve.load).run()

    def train(self, edit: Edit | None = None) -> Release:
        """Train and register a release from barges that `edit` has changed, with the stages of every train flow."""
        from towpath_ci.drills.barges import barges  # noqa: PLC0415 (as above)
        from towpath_flows import stages  # noqa: PLC0415 (heavy: only drills that train need it)
        from towpath_flows.recipe import recipe_of  # noqa: PLC0415 (as above)
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
            recipe=recipe_of(project, model),
            inputs=table.inputs,
        )
        return register(self.root, training, [assessment for assessment in evidence if assessment])

    @cached_property
    def unremarkable(self) -> Sequence[Refusal]:
        """Which rules of `quality` the good release's own rows break: none."""
        from towpath_ci.drills.barges import barges  # noqa: PLC0415 (as above)

        return self.examined(barges(), {}, {})

    def examined(
        self, frame: "pd.DataFrame", spec: Mapping[str, object], quality: Mapping[str, object]
    ) -> Sequence[Refusal]:
        """Ask the rules of `quality` about rows, beside the good release's; return those that do not pass, by name.

        `spec` and `quality` replace values of model.yaml.
        """
        from towpath_flows import stages  # noqa: PLC0415 (heavy: only drills that look at rows need it)
        from towpath_flows.data import contract  # noqa: PLC0415 (as above)
        from towpath_flows.data_spec import QualitySpec  # noqa: PLC0415 (as above)
        from towpath_gitops.records.figures import DataFigures  # noqa: PLC0415 (as above)

        _ = self.good  # what comes before today's rows
        self.write(frame)
        with chdir(self.root):
            project = stages.open_project.fn()
        changed = {**spec, "quality": QualitySpec.model_validate(dict(quality))}
        project = replace(project, spec=project.spec.model_copy(update=changed))
        validated = contract.examine(project, stages.load.fn(project))
        found = stages.examine_data.fn(project, validated, stages.split.fn(project, validated))
        figures = DataFigures.model_validate(found.details).quality
        # The schema's own findings come first; then one for each measure, in the same order.
        messages = [finding.message for finding in found.findings[len(validated.report.findings) :]]
        return [
            Refusal(measure.rule, message)
            for measure, message in zip(figures, messages, strict=False)
            if measure.verdict is not Verdict.PASS
        ]

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

    @contextmanager
    def main(self, files: Mapping[str, bytes]) -> Iterator[None]:
        """Let main hold other files for the time of the block, as if they had been merged."""
        before = {path: self.repository.read_bytes(self.repository.main(), path) for path in files}
        self._push_main(files, "A drill begins")
        try:
            yield
        finally:
            self._push_main(before, "The drill is over")

    def _push_main(self, files: Mapping[str, bytes | None], message: str) -> None:
        self.repository.fetch()
        main = self.repository.main()
        commit = self.repository.commit([main], main, files, message)
        self.repository.push(commit, "refs/heads/main", main)

    # --- promotion ---------------------------------------------------------------------------------------------

    @contextmanager
    def proposal(self, release: Release, environment: str = STAGING, *, hotfix: bool = False) -> Iterator[Pull]:
        """Propose a release for the time of the block; what is still open afterwards is closed."""
        desk = self.desk()
        pull = propose_promotion(desk, environment=environment, release=release, reason="a drill", hotfix=hotfix)
        with self.closing(pull):
            yield pull

    @contextmanager
    def closing(self, pull: Pull) -> Iterator[Pull]:
        """Close a pull request at the end of the block, when it is still open."""
        try:
            yield pull
        finally:
            if self.desk().forge.get(pull.number).state is State.OPEN:
                self.desk().forge.close(pull.number, "The drill is over.")

    def approve(self, pull: Pull, *owners: tuple[str, str]) -> None:
        """Let the owner of the environment approve, or the owners that are named."""
        for person in owners or (OWNER,):
            self.desk(person).forge.approve(pull.number)

    def review(self, pull: Pull, *, now: datetime | None = None) -> Sequence[Refusal]:
        """Return who objects to a pull request: a kind of evidence by its name, everything else by its rule."""
        found = review(self.desk(), pull.number, now=now)
        return [Refusal(_gate(reason.rule, reason.what), reason.what) for reason in found.reasons]

    def reviewed(self, release: Release, environment: str = STAGING) -> Sequence[Refusal]:
        """Propose a release, let the owner approve in good faith, and return who still objects."""
        with self.proposal(release, environment) as pull:
            self.approve(pull)
            return self.review(pull)

    @cached_property
    def sound(self) -> Sequence[Refusal]:
        """Who objects to the good release as it was trained, approved by the owner: nobody should."""
        return self.reviewed(self.good)

    def amend(self, pull: Pull, path: str, change: Callable[[str], str | None]) -> None:
        """Let the author put a commit on a proposal's branch that changes one file; None removes it."""
        repository = self.repository
        repository.fetch()
        head = repository.tip(f"refs/heads/{pull.branch}") or pull.head
        text = change(repository.read(head, path) or "")
        commit = repository.commit([head], head, {path: None if text is None else text.encode()}, "One more thing\n")
        repository.push(commit, f"refs/heads/{pull.branch}", head)

    def rewrite(self, pull: Pull, environment: str = STAGING, **values: object) -> None:
        """Let the author write other values into a proposal's environment file, well formed."""
        path = layout.environment_path(environment, MODEL)

        def change(text: str) -> str:
            deployment = parse_deployment(text, source=path).model_copy(update=values)
            return edited(text, deployment, source=path)

        self.amend(pull, path, change)

    def forge(self, pull: Pull, kind: Kind, **fields: object) -> None:
        """Let the author write other evidence of the good release, and its digest wherever one is asked for."""
        evidence = declared.evidence(self.repository, pull.head, self.good.id)
        evidence[kind] = evidence[kind].model_copy(update=fields)
        path = layout.evidence_path(self.good.short_id, kind)
        self.amend(pull, path, lambda _: evidence[kind].model_dump_json(by_alias=True))
        place = layout.environment_path(STAGING, MODEL)
        found = parse_deployment(self.repository.read(pull.head, place) or "", source=place).change
        assert found is not None  # noqa: S101 (narrows the type: a proposal always has a change)
        self.rewrite(pull, change=found.model_copy(update={"evidence": bundle_digest(evidence.values())}))

    @contextmanager
    def saying(self, path: str, old: str, new: str) -> Iterator[None]:
        """Let main say `new` instead of `old` in a file for the time of the block.

        Raises:
            ValueError: main does not say `old` there.
        """
        self.repository.fetch()
        text = self.repository.read(self.repository.main(), path) or ""
        if old not in text:
            message = f"{path} does not hold {old!r}"
            raise ValueError(message)
        with self.main({path: text.replace(old, new).encode()}):
            yield

    # --- delivery ----------------------------------------------------------------------------------------------

    def deliver(self, release: Release, environment: str) -> Outcome:
        """Propose, approve, merge and reconcile a release."""
        with self.proposal(release, environment) as pull:
            return self.bring(pull, environment)

    def place(self, release: Release, environment: str) -> None:
        """Deliver a release, unless the environment declares it already."""
        self.repository.fetch()
        here = declared.deployment(self.repository, self.repository.main(), environment, MODEL)
        if here.declared != release:
            self.deliver(release, environment)

    def bring(self, pull: Pull, environment: str) -> Outcome:
        """Approve and merge a pull request, and reconcile its environment."""
        self.merge(pull)
        return self.reconcile(environment)

    def merge(self, pull: Pull) -> None:
        """Approve and merge a pull request."""
        self.approve(pull)
        merge_reviewed(self.desk(OWNER), pull.number)

    def reconcile(self, environment: str) -> Outcome:
        """Reconcile an environment."""
        return reconcile(self.repository, self.registry, environment, MODEL)

    def target(self, environment: str) -> Target:
        """Return what serves in an environment."""
        deployment = self._deployment(environment)
        return TARGETS[deployment.target.kind](self.repository, deployment)

    def port(self, environment: str) -> int:
        """Return the port on which an environment serves."""
        return self._deployment(environment).target.port

    def _deployment(self, environment: str) -> Deployment:
        path = layout.environment_path(environment, MODEL)
        return parse_deployment((self.root / path).read_text(encoding="utf-8"), source=path)

    def request(self, release: Release) -> bytes:
        """Return a request that callers of a release may send: the first of its golden ones."""
        artifact = self.registry.fetch(release, layout.store(self.root))
        golden = parse_json((artifact / GOLDEN).read_bytes(), Golden, source=GOLDEN)
        return canonical_json({"rows": list(golden.cases[0].rows)})

    def crown(self) -> None:
        """Let the good release serve in both environments, if it does not yet."""
        if not self._crowned:
            for environment in (STAGING, PRODUCTION):
                self.deliver(self.good, environment)
        self._crowned = True

    def strike(self) -> None:
        """Stop what serves."""
        for environment in (STAGING, PRODUCTION):
            self.target(environment).stop()


def _gate(rule: str, what: str) -> str:
    """Return the gate behind a reason: red evidence names its kind first, as in “evaluation: roc_auc ≥ 0.7: …”."""
    return what.partition(":")[0] if rule == "evidence_verdict" else rule
