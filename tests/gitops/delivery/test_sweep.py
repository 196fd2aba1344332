"""One pass over every place: cheap where all is well, bounded where it is not, and nobody holds up anybody."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.ledger import REF
from towpath_gitops.delivery.loopback import Answer
from towpath_gitops.delivery.survey import Place
from towpath_gitops.delivery.sweep import LAST, Sweeper, Swept
from towpath_gitops.delivery.targets.local import LocalTarget
from towpath_gitops.errors import (
    DeliveryError,
    InvalidFileError,
    LedgerError,
    NotFoundError,
    TowpathError,
    UnavailableError,
)
from towpath_gitops.files import write_atomically
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.repository import Repository

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World


class Fleet:
    """A world in which whole passes are made."""

    def __init__(self, world: "World") -> None:
        """Remember what is asked of the services."""
        self.world = world
        self.replayed: list[str] = []

    def sweep(self, **options: Any) -> Swept:  # noqa: ANN401 (passed on)
        """Make a pass with the tiny service."""
        return self.sweeper(**options).sweep()

    def sweeper(self, **options: Any) -> Sweeper:  # noqa: ANN401 (passed on)
        """Return who makes passes."""
        options = {"targets": {"local": self.make_target}, "deadline_s": 60.0} | options
        return Sweeper(repository=self.world.repository, registry=self.world.registry, **options)

    def make_target(self, repository: Repository, deployment: Deployment) -> LocalTarget:
        """Return a target that tells when it is asked a golden request."""
        target = self.world.make_target(repository, deployment)
        ask, environment = target.ask, deployment.environment

        def asking(path: str, body: bytes | None = None) -> Answer:
            if body is not None:
                self.replayed.append(environment)
            return ask(path, body)

        target.ask = asking  # type: ignore[method-assign]  # to listen
        return target

    def place(self, environment: str) -> Place:
        """Return the world's model in an environment."""
        return Place(environment, self.world.model)


@pytest.fixture
def fleet(world: "World") -> Iterator[Fleet]:
    """A world in which whole passes are made."""
    return Fleet(world)


def _failures(swept: Swept) -> dict[Place, type[TowpathError]]:
    return {place: type(error) for place, error in swept.failures}


def test_a_pass_brings_every_place_in_policy_order_and_the_next_finds_nothing_to_do(
    fleet: Fleet, publish: "Publish"
) -> None:
    """The second pass replays no golden request, writes no line, and says what it found."""
    release = publish()
    for environment in ("production", "staging"):
        fleet.world.declare(release, environment)
    first = fleet.sweep()
    assert {outcome.environment for outcome in first.outcomes} == {"staging", "production"}
    tip = fleet.world.repository.tip(REF)
    fleet.replayed.clear()
    second = fleet.sweep()
    assert second.settled == (fleet.place("staging"), fleet.place("production"))
    assert (second.outcomes, second.failures, second.pending) == ((), (), ())
    assert (fleet.replayed, fleet.world.repository.tip(REF)) == ([], tip)
    said = json.loads(layout.state(fleet.world.repository.root, LAST).read_text())
    assert (said["settled"], said["moved"], said["commit"]) == (2, 0, fleet.world.repository.main())


def test_a_place_where_nothing_is_declared_is_left_alone(fleet: Fleet) -> None:
    """Before the first promotion there is nothing to do, and that is told apart from being settled."""
    swept = fleet.sweep()
    assert swept.empty == (fleet.place("staging"), fleet.place("production"))


def _a_day_later(_: Fleet) -> dict[str, Any]:
    later = datetime.now(UTC) + timedelta(days=1, minutes=1)
    return {"clock": lambda: later}


def _another_terms(fleet: Fleet) -> dict[str, Any]:
    gates = {"name": fleet.world.model, "gates": [{"metric": "roc_auc", "min": 0.9}]}
    fleet.world.push({layout.MODEL: json.dumps(gates).encode()})
    return {}


def _another_code(fleet: Fleet) -> dict[str, Any]:
    fleet.world.push({"bento/service.py": b"# newer\n"})
    return {}


def _said_again(fleet: Fleet) -> dict[str, Any]:
    path = layout.environment_path("staging", fleet.world.model)
    text = fleet.world.repository.read_bytes(fleet.world.repository.main(), path) or b""
    fleet.world.push({path: text + b"# approved again\n"})
    return {}


def _killed(fleet: Fleet) -> dict[str, Any]:
    fleet.world.target().stop()
    return {}


def _drifted(fleet: Fleet) -> dict[str, Any]:
    pointer = fleet.world.target().folder / "pointer.json"
    document = json.loads(pointer.read_text())
    write_atomically(pointer, json.dumps(document | {"generation": document["generation"] + 1, "lanes": {}}))
    return {}


def _not_shown(fleet: Fleet) -> dict[str, Any]:
    layout.state(fleet.world.repository.root, "published", "staging", fleet.world.model).unlink()
    return {}


@pytest.mark.parametrize(
    "change", [_a_day_later, _another_terms, _another_code, _said_again, _killed, _drifted, _not_shown]
)
def test_whatever_differs_from_what_was_proved_is_proved_anew(fleet: Fleet, publish: "Publish", change: Any) -> None:  # noqa: ANN401 (one of the functions above)
    """Time, gates, code, declaration, process, pointer or registry: the golden requests are replayed, once."""
    fleet.world.declare(publish())
    fleet.sweep()
    options = change(fleet)
    fleet.replayed.clear()
    (outcome,) = fleet.sweep(**options).outcomes
    assert outcome.environment == "staging"
    assert fleet.replayed
    fleet.replayed.clear()
    assert fleet.place("staging") in fleet.sweep(**options).settled
    assert fleet.replayed == []


def test_no_more_than_the_limit_is_moved_and_the_others_come_next(fleet: Fleet, publish: "Publish") -> None:
    """What is beyond the limit is told as pending; a place that failed lets those that were not tried go first."""
    broken, good = publish(broken=True), publish()
    fleet.world.declare(broken, "staging")
    fleet.world.declare(good, "production")
    first = fleet.sweep(limit=1)
    assert (_failures(first), first.pending) == ({fleet.place("staging"): DeliveryError}, (fleet.place("production"),))
    second = fleet.sweep(limit=1)
    assert ([outcome.environment for outcome in second.outcomes], second.pending) == (
        ["production"],
        (fleet.place("staging"),),
    )
    third = fleet.sweep(limit=1)
    assert (_failures(third), third.settled) == (
        {fleet.place("staging"): DeliveryError},
        (fleet.place("production"),),
    )


@pytest.mark.parametrize(
    ("text", "error"), [(None, NotFoundError), (b"", InvalidFileError), (b"kind: [", InvalidFileError)]
)
def test_one_broken_place_neither_hides_nor_holds_up_the_others(
    fleet: Fleet, publish: "Publish", text: bytes | None, error: type[TowpathError]
) -> None:
    """A file that is gone, empty or half written is told of, nothing is removed, and production is served."""
    fleet.world.declare(publish())
    fleet.sweep()
    fleet.world.declare(publish(1.0), "production")
    fleet.world.push({layout.environment_path("staging", fleet.world.model): text})
    swept = fleet.sweep()
    assert _failures(swept) == {fleet.place("staging"): error}
    assert [outcome.environment for outcome in swept.outcomes] == ["production"]
    assert fleet.world.target().observe().running


def test_an_emptied_environments_folder_removes_nothing(fleet: Fleet, publish: "Publish") -> None:
    """Every place that served is told of, and serves on."""
    release = publish()
    for environment in ("staging", "production"):
        fleet.world.declare(release, environment)
    fleet.sweep()
    gone = {layout.environment_path(name, fleet.world.model): None for name in ("staging", "production")}
    fleet.world.push(dict(gone))
    assert _failures(fleet.sweep()) == dict.fromkeys((fleet.place("staging"), fleet.place("production")), NotFoundError)
    for environment in ("staging", "production"):
        version = fleet.world.target(environment).observe().version
        assert version
        assert version.release == release.id


def test_a_missing_policy_stops_the_pass_and_nothing_else(fleet: Fleet, publish: "Publish") -> None:
    """Without it nobody knows which environments there are."""
    fleet.world.declare(publish())
    fleet.sweep()
    fleet.world.push({layout.POLICY: None})
    with pytest.raises(NotFoundError, match="left alone"):
        fleet.sweep()
    assert fleet.world.target().observe().running


def test_files_that_are_not_environment_files_are_told_of(fleet: Fleet, publish: "Publish") -> None:
    """Another case, another suffix, an environment that the policy lacks, a link: never obeyed, never silent."""
    fleet.world.declare(publish())
    main, path = fleet.world.repository.main(), layout.environment_path("staging", fleet.world.model)
    text = fleet.world.repository.read_bytes(main, path)
    names = ("staging/Flights.yaml", "staging/flights.yml", "Staging/flights.yaml", "qa/flights.yaml")
    fleet.world.push({f"{layout.ENVIRONMENTS}/{name}": text for name in names})
    _link(fleet.world, f"{layout.ENVIRONMENTS}/staging/linked.yaml")
    failures = _failures(fleet.sweep())
    assert failures == {
        Place("staging", "Flights"): InvalidFileError,
        Place("staging", "flights.yml"): InvalidFileError,
        Place("Staging", "flights"): InvalidFileError,
        Place("qa", "flights"): InvalidFileError,
        Place("staging", "linked"): InvalidFileError,
    }


def _link(world: "World", path: str) -> None:
    """Let main hold a symbolic link."""
    repository = world.repository
    main = repository.main()
    blob = repository.git.text("hash-object", "-w", "--stdin", stdin=b"../../../../etc/passwd")
    commit = repository._commit_blobs([main], main, {path: ("120000", blob)}, "Link")
    repository.push(commit, "refs/heads/main", main)


def test_a_broken_ledger_holds_up_its_own_environment_only(fleet: Fleet, publish: "Publish") -> None:
    """Staging's forged chain stops staging; production is served."""
    world = fleet.world
    world.declare(publish())
    fleet.sweep()
    tip = world.repository.tip(REF)
    assert tip
    data = world.repository.read_bytes(tip, "staging.jsonl") or b""
    forged = world.repository.commit([tip], tip, {"staging.jsonl": data.replace(b"because", b"becaus.")}, "Forge")
    world.repository.push(forged, REF, tip)
    world.declare(publish(1.0), "production")
    swept = fleet.sweep()
    assert _failures(swept) == {fleet.place("staging"): LedgerError}
    assert [outcome.environment for outcome in swept.outcomes] == ["production"]


def test_a_place_that_waits_lets_the_others_go_on(fleet: Fleet, publish: "Publish") -> None:
    """Both services are started before either has answered: they come up side by side."""
    release = publish()
    for environment in ("staging", "production"):
        fleet.world.declare(release, environment)
    steps: list[tuple[str, str]] = []
    fleet.sweep(progress=lambda place, step: steps.append((place.environment, step)))
    assert steps.index(("production", "converge")) < steps.index(("staging", "verify"))


def test_a_pass_that_is_stopped_gives_every_lease_back(fleet: Fleet, publish: "Publish") -> None:
    """Interrupted while it waits, it leaves nothing that the next one has to wait for."""

    class StoppedError(Exception):
        """Somebody pressed a key."""

    turns: list[float] = []

    def stop(seconds: float) -> None:
        turns.append(seconds)
        if len(turns) == 3:  # each has had its first turn, and holds its lease
            raise StoppedError

    for environment in ("staging", "production"):
        fleet.world.declare(publish(), environment)
    with pytest.raises(StoppedError):
        fleet.sweep(sleep=stop)
    assert len(fleet.sweep().outcomes) == 2


def test_a_pass_that_cannot_be_remembered_is_a_failure_in_words(fleet: Fleet, publish: "Publish") -> None:
    """A watch goes on after it: what the pass moved serves, and the next one finds it settled."""
    release = publish(0.0)
    fleet.world.declare(release)
    path = layout.state(fleet.world.repository.root, LAST)
    path.mkdir(parents=True)  # no file can take its place
    with pytest.raises(UnavailableError, match="could not be made to its end"):
        fleet.sweep()
    path.rmdir()
    assert fleet.place("staging") in fleet.sweep().settled


def test_a_state_folder_that_cannot_be_read_is_a_failure_of_its_place(
    fleet: Fleet, publish: "Publish", monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the operating system in one place is told like any other."""
    release = publish()
    for environment in ("staging", "production"):
        fleet.world.declare(release, environment)
    fleet.sweep()
    serves, steps = LocalTarget.serves, LocalTarget.steps

    def failing(method: Any) -> Any:  # noqa: ANN401 (a method)
        def call(self: LocalTarget, wanted: Any) -> Any:  # noqa: ANN401 (as above)
            if self.environment == "staging":
                raise OSError(28, "No space left on device")
            return method(self, wanted)

        return call

    monkeypatch.setattr(LocalTarget, "serves", failing(serves))
    monkeypatch.setattr(LocalTarget, "steps", failing(steps))
    swept = fleet.sweep()
    assert [(place, error.what) for place, error in swept.failures] == [
        (fleet.place("staging"), f"{fleet.place('staging')} could not be moved")
    ]
    assert swept.settled == (fleet.place("production"),)
