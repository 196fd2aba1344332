"""The generated prefect.yaml against a real Prefect server and a real worker."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import pandas as pd
import pytest

from towpath_flows.server import api_environment, ensure_api, stop
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry

Render = Callable[..., Path]
Run = Callable[..., str]
Ask = Callable[..., Any]
Worker = Callable[..., AbstractContextManager[Any]]

PATIENCE_S = 240  # for anything that a server or a worker does in its own time
# A run that waits for its turn asks again after 2 s, and the turn of one that died is free after half a minute.
IMPATIENT = {
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
    "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "30",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
}
RESULTS = "towpath-results"
BLOCK = """\
import sys
from prefect_aws import AwsClientParameters, AwsCredentials, S3Bucket

credentials = AwsCredentials(
    aws_access_key_id="testing",
    aws_secret_access_key="a-secret-of-tests",
    region_name="us-east-1",
    aws_client_parameters=AwsClientParameters(endpoint_url=sys.argv[1]),
)
S3Bucket(bucket_name=sys.argv[2], credentials=credentials).save("results")
"""
STEPS = """\
import asyncio, sys, yaml
from prefect.deployments.steps.core import run_steps

steps = yaml.safe_load(open(sys.argv[1]))["pull"]
(_, shell), = steps[-1].items()
shell["script"] = "\\n".join(line for line in shell["script"].splitlines() if "pip install" not in line)
print(asyncio.run(run_steps(steps))["directory"])
"""


@pytest.fixture(scope="module")
def root(render_at: Render, commit: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a generated repository that trains in seconds on one in twenty flights; its Prefect server is stopped."""
    folder = render_at(tmp_path_factory.mktemp("deployed") / "r", {"frameworks": ["xgboost"]})
    model = folder / "model.yaml"
    model.write_text(model.read_text().replace("tune: {trials: 4", "tune: {trials: 0"))
    commit(folder)
    subprocess.run(["make", "data", f"VENV={sys.prefix}"], cwd=folder, check=True, capture_output=True)
    table = folder / "data/flights.parquet"
    pd.read_parquet(table).iloc[::20].to_parquet(table, index=False)
    yield folder
    stop(folder)


@pytest.fixture(scope="module")
def environment(root: Path) -> Iterator[dict[str, str]]:
    """Return the variables of a process that talks to the repository's own Prefect server, which runs."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in IMPATIENT.items():
            patched.setenv(name, value)
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "TOWPATH_ROOT"):
            patched.delenv(name, raising=False)
        yield os.environ | api_environment(root)


@pytest.fixture(scope="module")
def run(root: Path, environment: dict[str, str]) -> Run:
    """Return a function that runs a command in the repository, against its Prefect server, and returns its output."""

    def command(*arguments: str, cwd: Path = root, **variables: str) -> str:
        result = subprocess.run(
            arguments, cwd=cwd, env=environment | variables, check=False, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    return command


@pytest.fixture(scope="module")
def ask(root: Path, environment: dict[str, str]) -> Ask:
    """Return a function that posts a question to the Prefect server and returns the answer."""
    assert environment
    api = ensure_api(root)

    def answer(path: str, question: Any) -> Any:  # noqa: ANN401 (whatever JSON the server takes and answers)
        body = json.dumps(question).encode()
        request = Request(f"{api}/{path}", body, {"content-type": "application/json"})  # noqa: S310 (loopback)
        with urlopen(request, timeout=60) as response:  # noqa: S310 (as above)
            return json.loads(response.read() or b"null")

    return answer


@pytest.fixture(scope="module")
def deployed(run: Run, ask: Ask) -> dict[str, str]:
    """Return name → id of the deployments that `make deploy` made."""
    run("make", "deploy", f"VENV={sys.prefix}")
    return {found["name"]: found["id"] for found in ask("deployments/filter", {})}


@pytest.fixture(scope="module")
def results(environment: dict[str, str], s3_server: str) -> Callable[[], list[Any]]:
    """Return a function that reads the results which flows left in a bucket: a Prefect block names it."""
    import boto3  # noqa: PLC0415 (takes seconds)

    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "a-secret-of-tests"}
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=RESULTS)
    subprocess.run([sys.executable, "-c", BLOCK, s3_server, RESULTS], env=environment, check=True)

    def read() -> list[Any]:
        found = client.list_objects_v2(Bucket=RESULTS).get("Contents", [])
        return [json.load(client.get_object(Bucket=RESULTS, Key=each["Key"])["Body"]) for each in found]

    return read


@pytest.fixture(scope="module")
def worker(root: Path, environment: dict[str, str]) -> Worker:
    """Return what lets a worker run for a while; it keeps the results of flows in S3."""
    return partial(a_worker, root, environment | {"PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": "s3-bucket/results"})


@contextmanager
def a_worker(root: Path, environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """Let a worker of the repository's pool run, and end it with whatever it has started."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "flights"]
    with (root / ".towpath" / "worker.log").open("ab") as log:
        worker = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield worker
        finally:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGINT)
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


def wait_for(what: str, condition: Callable[[], Any], root: Path) -> Any:  # noqa: ANN401 (what the condition gives)
    """Return what a condition gives as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.3)
    log = root / ".towpath" / "worker.log"
    raise AssertionError(f"{what} did not happen:\n{log.read_text() if log.exists() else ''}")


def runs_of(ask: Ask, deployment: str) -> list[dict[str, Any]]:
    """Return the runs of a deployment that no schedule made, in the order in which they were made."""
    found = ask("flow_runs/filter", {"flow_runs": {"deployment_id": {"any_": [deployment]}}})
    return sorted((each for each in found if not each["auto_scheduled"]), key=lambda each: str(each["created"]))


def started(ask: Ask, identity: str) -> int | None:
    """Return the process of a run once it is known to run."""
    (found,) = ask("flow_runs/filter", {"flow_runs": {"id": {"any_": [identity]}}})
    pid = str(found["infrastructure_pid"] or "").rpartition(":")[2]
    return int(pid) if pid and found["state"]["type"] == "RUNNING" else None


def working(ask: Ask, identity: str) -> int | None:
    """Return the process of a run once the run has tasks, too: it is on its way, and has shown signs of life."""
    return started(ask, identity) if ask("task_runs/filter", {"flow_runs": {"id": {"any_": [identity]}}}) else None


def test_each_deployment_has_a_schedule_from_which_runs_are_made(
    root: Path, deployed: dict[str, str], ask: Ask
) -> None:
    """`make deploy` makes both, and the server makes their runs: its scheduler looks once a minute."""
    assert set(deployed) == {"flights-train", "flights-monitor"}

    def scheduled() -> bool:
        runs = ask("flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}})
        return {found["deployment_id"] for found in runs if found["auto_scheduled"]} == set(deployed.values())

    wait_for("A scheduled run of each", scheduled, root)


def test_an_event_starts_one_run_at_a_time_and_a_died_one_begins_again(  # noqa: PLR0913, PLR0917 (all that is deployed)
    root: Path, deployed: dict[str, str], ask: Ask, worker: Worker, results: Callable[[], list[Any]], run: Run
) -> None:
    """Of three trainings (drift, a person, the rescue of the first, which is killed) one registers, none overlap.

    Each that ended has left in S3 which release came of it, for whatever runs next.
    """
    train = deployed["flights-train"]
    drifted = {
        "event": "towpath.monitor.drifted",
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {"prefect.resource.id": "towpath.model.flights"},
    }
    ask("events", [drifted])
    (first,) = wait_for("A run by the event", lambda: runs_of(ask, train), root)
    with worker():
        pid = wait_for("The start of the first", lambda: started(ask, first["id"]), root)
        os.kill(pid, signal.SIGSTOP)  # a quick machine would have trained before the second comes to wait
        second = ask(f"deployments/{train}/create_flow_run", {})  # now, since a worker takes waiting runs in any order
        wait_for("The wait of the second", lambda: _state(ask, second["id"]) == "AwaitingConcurrencySlot", root)
        os.kill(pid, signal.SIGKILL)
        wait_for("The rescue", lambda: len(runs_of(ask, train)) == 3, root)
        wait_for("The end of all", lambda: {each["state"]["type"] for each in runs_of(ask, train)} <= DONE, root)
    states = {each["id"]: each["state"]["type"] for each in runs_of(ask, train)}
    assert states.pop(first["id"]) == "CRASHED"
    assert set(states.values()) == {"COMPLETED"}
    ends = sorted((each["start_time"], each["end_time"]) for each in runs_of(ask, train) if each["start_time"])
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(ends))
    (release,) = _versions(root)
    assert results() == [release.id] * 2
    assert f"Nothing has changed since {release}" in " ".join(run(sys.executable, "-m", "towpath_ci", "train").split())


DONE = {"COMPLETED", "CRASHED"}


def _state(ask: Ask, identity: str) -> str:
    (found,) = ask("flow_runs/filter", {"flow_runs": {"id": {"any_": [identity]}}})
    return str(found["state"]["name"])


def _versions(root: Path) -> list[Any]:
    """Return the releases, after a look that MLflow has no version besides."""
    registry = Registry(layout.tracking_uri(root))
    releases = registry.releases("flights")
    assert len(registry.client.search_model_versions("name='flights'")) == len(releases)
    return releases


def test_a_pull_elsewhere_is_a_clone_with_its_history(
    render_at: Render, commit: Callable[[Path], str], tmp_path: Path, run: Run
) -> None:
    """Run as a worker runs them, the steps give main with every commit, and the table; all but `pip install` is run."""
    (tmp_path / "job").mkdir()
    origin = tmp_path / "origin"
    render_at(origin, {"work_pool": "ecs", "clone_url": origin.as_uri()})
    for name in ("one", "two"):
        (origin / name).write_text(name)
        commit(origin)
    call = (sys.executable, "-c", STEPS, str(origin / "prefect.yaml"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with pytest.raises(AssertionError, match="Set the Prefect variable mlflow_tracking_uri"):
        run(*call, cwd=tmp_path / "job", PATH=path)
    assert list((tmp_path / "job").iterdir()) == []
    said = run(*call, cwd=tmp_path / "job", PATH=path, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    (clone,) = (tmp_path / "job").iterdir()
    assert clone.name in said
    counted = subprocess.run(["git", "rev-list", "--count", "HEAD"], cwd=clone, check=True, capture_output=True)
    assert int(counted.stdout) == 2
    assert (clone / "data" / "flights.parquet").is_file()


@pytest.mark.long
def test_what_ran_on_a_machine_that_died_is_trained_by_the_next_worker(
    root: Path, deployed: dict[str, str], ask: Ask, environment: dict[str, str], commit: Callable[[Path], str]
) -> None:
    """Worker and run are killed together, nobody reports it: four missed signs of life start another, once."""
    train, before = deployed["flights-train"], _versions(root)
    (root / "model.yaml").write_text((root / "model.yaml").read_text().replace("seed: 7", "seed: 8"))
    commit(root)
    known = len(runs_of(ask, train))
    first = ask(f"deployments/{train}/create_flow_run", {})
    with a_worker(root, environment) as killed:
        pid = wait_for("The start", lambda: working(ask, first["id"]), root)
        os.kill(killed.pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
    with a_worker(root, environment):
        rescue = wait_for("The rescue", lambda: runs_of(ask, train)[known + 1 :], root)
        wait_for("Its end", lambda: _state(ask, rescue[0]["id"]) == "Completed", root)
    assert len(_versions(root)) == len(before) + 1
