"""A model registry, a model repository with environments, and a service small enough to start in a moment."""

import json
import math
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.guard import Look, guard
from towpath_gitops.delivery.incident import Incident
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.loopback import ask
from towpath_gitops.delivery.reconcile import Outcome, reconcile
from towpath_gitops.delivery.registry import ID_TAG, RELEASE_TAG, SEMVER_TAG, Registry
from towpath_gitops.delivery.targets.base import MakeTarget
from towpath_gitops.delivery.targets.local import LocalTarget
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.records.artifact import manifest_digest
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import Deployment, PinnedRelease
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import dump_yaml
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature
from towpath_gitops.repository import Repository

TINY_SERVICE = Path(__file__).with_name("tiny_service.py")
COMMAND = (sys.executable, "-S", str(TINY_SERVICE))
_NUMBERS = count(1)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry in a SQLite file; tests share it, each with models of its own name."""
    return Registry(f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}")


@pytest.fixture
def model_name() -> str:
    """A model's name that no other test of this process uses."""
    return f"flights-{next(_NUMBERS)}"


Publish = Callable[..., Release]


@pytest.fixture
def publish(registry: Registry, model_name: str, tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Return a function that registers a release of a model whose answer is the logistic of `x + bias`."""

    def make(  # noqa: PLR0913 (each is a way to be another release)
        bias: float = 0.0,
        *,
        golden_bias: float | None = None,
        broken: bool = False,
        tag: bool = True,
        graph: bool = False,
        fails_above: float = math.inf,
    ) -> Release:
        folder = tmp_path_factory.mktemp("artifact")
        model = {} if broken else {"bias": bias} | ({"fails_above": fails_above} if fails_above < math.inf else {})
        _write_artifact(folder, model, bias if golden_bias is None else golden_bias)
        if graph:
            _write_graph(folder / "model.onnx", bias)
        return _register(registry, model_name, folder, tag=tag)

    return make


def _write_artifact(folder: Path, model: dict[str, Any], bias: float) -> None:
    signature = {"task": "binary", "target": "late", "classes": ["false", "true"], "threshold": 0.5}
    signature |= {"inputs": [{"name": "x", "type": "number"}]}
    cases = [{"rows": [{"x": x}], "expected": [[1 / (1 + math.exp(-(x + bias)))]]} for x in (-1.0, 0.0, 2.5)]
    for name, document in (("model", model), ("signature", signature), ("golden", {"cases": cases})):
        (folder / f"{name}.json").write_text(json.dumps(document))


def _write_graph(path: Path, bias: float) -> None:
    """Write the same model as an ONNX graph, for the real service."""
    import numpy as np  # noqa: PLC0415 (only the tests of the real service need it)
    from onnx import TensorProto, helper, numpy_helper, save  # noqa: PLC0415 (as above)

    nodes = [
        helper.make_node("Add", ["x", "bias"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], ["probabilities"], axis=1),
    ]
    constants = {"one": [1.0], "bias": [bias]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, None])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), str(path))


def _register(registry: Registry, model: str, folder: Path, *, tag: bool) -> Release:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds to import)

    client = registry.client
    try:
        client.create_registered_model(model)
        # A server keeps artifacts where it was told to.
        place = Path(registry.tracking_uri.removeprefix("sqlite:///")).parent / "artifacts"
        is_file = registry.tracking_uri.startswith("sqlite:")
        client.create_experiment(model, artifact_location=f"file://{place}" if is_file else None)
    except MlflowException:
        pass
    run = client.create_run(client.get_experiment_by_name(model).experiment_id)
    client.log_artifacts(run.info.run_id, str(folder), "model")
    version = client.create_model_version(model, f"{run.info.artifact_uri}/model", run.info.run_id).version
    release = Release(
        model=model,
        version=int(version),
        semver=f"1.{version}.0",
        artifact=manifest_digest(folder),
        input_schema=Signature.model_validate_json((folder / "signature.json").read_text()).digest,
        data=digest_of(int(version)),
        code="c" * 40,
    )
    if tag:
        tags = {ID_TAG: release.id, SEMVER_TAG: release.semver, RELEASE_TAG: release.model_dump_json(by_alias=True)}
        for key, value in tags.items():
            client.set_model_version_tag(model, version, key, value)
    return release


@dataclass
class World:
    """A model repository whose main branch declares what runs where, and the verbs that tests use on it."""

    repository: Repository
    registry: Registry
    model: str
    ports: dict[str, int]
    workers: int = 1
    command: Sequence[str] = COMMAND
    declared: dict[str, PinnedRelease] = field(default_factory=dict)
    made: list[LocalTarget] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        """The ledger as this clone sees it."""
        return Ledger(self.repository)

    def push(self, edits: dict[str, bytes | None], message: str = "Edit") -> str:
        """Commit files to the remote's main branch and return the commit."""
        self.repository.fetch()
        main = self.repository.tip("refs/heads/main")
        commit = self.repository.commit([main] if main else [], main, edits, message)
        self.repository.push(commit, "refs/heads/main", main)
        return commit

    def declare(self, release: Release | None, environment: str = "staging", **fields: Any) -> str:  # noqa: ANN401 (JSON)
        """Let main declare a release for an environment, as the merge of a pull request does."""
        before = self.declared.get(environment)
        document = {
            "apiVersion": "towpath/v1",
            "kind": "Deployment",
            "model": self.model,
            "environment": environment,
            "release": PinnedRelease.of(release).plain() if release else None,
            "change": {"type": "promote", "from": before.id if before else None, "reason": "because"},
            "target": {"kind": "local", "port": self.ports[environment], "workers": self.workers},
        } | fields
        if release is None:
            document["change"] = None
        else:
            self.declared[environment] = PinnedRelease.of(release)
        text = dump_yaml(Deployment.model_validate(document).plain())
        message = "Merge pull request #7: promote\n\nTowpath-Pull: 7\nApproved-by: grace@example.org\n"
        return self.push({layout.environment_path(environment, self.model): text.encode()}, message)

    def make_target(self, repository: Repository, deployment: Deployment) -> LocalTarget:
        """Return a local target that runs the tiny service."""
        target = LocalTarget.of(repository, deployment)
        target.command = self.command
        self.made.append(target)
        return target

    def reconcile(self, environment: str = "staging", **options: Any) -> Outcome:  # noqa: ANN401 (passed on)
        """Reconcile one environment with the tiny service."""
        targets: dict[str, MakeTarget] = {"local": self.make_target}
        options = {"targets": targets, "deadline_s": 60.0} | options
        return reconcile(self.repository, self.registry, environment, self.model, **options)

    def target(self, environment: str = "staging") -> LocalTarget:
        """Return the target of an environment."""
        target = LocalTarget(
            self.repository, environment, self.model, self.ports[environment], self.workers, command=self.command
        )
        self.made.append(target)
        return target


@pytest.fixture
def world(ada: Repository, registry: Registry, model_name: str) -> Iterator[World]:
    """A model repository with the environments staging and production, in which nothing is released yet."""
    environments = ("staging", "production")
    world = World(ada, registry, model_name, {name: free_port() for name in environments})
    policy = {"apiVersion": "towpath/v1", "kind": "Policy", "environments": [{"name": name} for name in environments]}
    files = {
        layout.MODEL: {"name": model_name, "gates": [{"metric": "roc_auc", "min": 0.5}]},
        layout.POLICY: policy,
    }
    edits: dict[str, bytes | None] = {path: dump_yaml(document).encode() for path, document in files.items()}
    world.push(edits | {"bento/service.py": b"# the service\n"}, "Begin")
    for name in environments:
        world.declare(None, name)
    yield world
    for name in environments:
        world.target(name).stop()


# --- where the guard stands ---------------------------------------------------------------------------------------

RULES: dict[str, Any] = {"automatic": True, "window": "1m", "bad": 2, "of": 3, "requests": 10, "errors": 0.05}
RIGHT, WRONG = b'{"rows":[{"x":1.0}]}', b'{"rows":[{"x":9.0}]}'


@dataclass
class Post:
    """Where the guard stands: a model repository, a clock that tests move, and who was told what."""

    world: World
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    told: list[Incident] = field(default_factory=list)

    @property
    def desk(self) -> Desk:
        """What the guard reads."""
        repository = self.world.repository
        return Desk(repository, LocalForge(repository), self.world.registry, self.world.ledger)

    def rule(self, **rules: Any) -> None:  # noqa: ANN401 (JSON)
        """Let main's policy say how staging is guarded."""
        environments = [{"name": "staging", "guard": RULES | rules}, {"name": "production"}]
        policy = {"apiVersion": "towpath/v1", "kind": "Policy", "environments": environments}
        self.world.push({layout.POLICY: dump_yaml(policy).encode()})

    def look(self, **options: Any) -> Look:  # noqa: ANN401 (passed on)
        """Look once, a minute after the last time."""
        self.now += timedelta(minutes=1)
        options = {
            "alert": self.hear,
            "clock": lambda: self.now,
            "targets": {"local": self.world.make_target},
        } | options
        return guard(self.desk, self.world.registry, "staging", self.world.model, **options)

    def hear(self, incident: Incident) -> bool:
        """Be told."""
        self.told.append(incident)
        return True

    def call(self, right: int = 0, wrong: int = 0) -> None:
        """Ask the service as its callers do."""
        for body in [RIGHT] * right + [WRONG] * wrong:
            ask(self.world.ports["staging"], "/v1/predict", body)

    def breach(self) -> Look:
        """Let two windows go by in which callers are failed, and return the look that notices."""
        self.look()
        self.call(10, 10)
        assert self.look().verdict is Verdict.INCONCLUSIVE
        self.call(10, 10)
        return self.look()

    @property
    def serves(self) -> str | None:
        """What the service says that it is."""
        version = self.world.target().observe().version
        return version.release if version else None


@dataclass(frozen=True)
class Releases:
    """Two releases of one model: the second fails its callers where no golden request looks."""

    good: Release
    bad: Release


@pytest.fixture
def post(world: World) -> Post:
    """Where the guard stands; nothing is released yet."""
    post = Post(world)
    post.rule()
    return post


@pytest.fixture
def live(post: Post, publish: Publish) -> Releases:
    """The good release served, and the bad one is live now, as main declares it."""
    releases = Releases(publish(0.0), publish(1.0, fails_above=5.0))
    for release in (releases.good, releases.bad):
        post.world.declare(release)
        post.world.reconcile()
    return releases
