"""Prefect and MLflow on a PostgreSQL of this test's own, which is killed in the midst of it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psycopg
import pytest

from towpath_flows.evaluation.assessment import Assessment
from towpath_flows.project import Project
from towpath_flows.registration import Training, register
from towpath_flows.server import api_environment, stop
from towpath_flows.training import Exported
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import UnavailableError
from towpath_gitops.records.evidence import Finding, Kind, Verdict
from towpath_gitops.repository import Repository

TRAIN = Path(__file__).parents[2] / "template" / "flows" / "train.py"
PATIENCE_S = 240
GREEN = Assessment(Kind.EVALUATION, (Finding(gate="roc_auc ≥ 0.6", verdict=Verdict.PASS, message="good"),))


def programs() -> Path:
    """Return the folder of PostgreSQL's own programs, the newest there is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("pg_ctl")
    if not found and on_path is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not on this machine: install its server package")
    return (found[-1] if found else Path(str(on_path)).resolve()).parent


@dataclass
class Database:
    """A PostgreSQL server in `base` that can be killed and started again. It does not run as root: nobody does then."""

    base: Path
    port: int

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs."""
        who: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": ()} if os.getuid() == 0 else {}
        command = [str(programs() / program), "-D", str(self.base / "data"), *arguments]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, cwd="/", check=True, **quiet, **who)

    def start(self) -> None:
        """Start it; after a kill it reads its log first, and its orphans have to be gone."""
        options = f"-p {self.port} -k {self.base} -c listen_addresses=127.0.0.1 -c max_connections=60"
        for _ in range(20):
            with suppress(subprocess.CalledProcessError):
                return self.run("pg_ctl", "-o", options, "-l", str(self.base / "log"), "-w", "-t", "120", "start")
            time.sleep(0.5)
        raise AssertionError((self.base / "log").read_text())

    def kill(self) -> None:
        """Kill it, and then the processes of its sessions, which would answer for a moment more."""
        server = (self.base / "data" / "postmaster.pid").read_text().split()[0]
        sessions = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        for process in (server, *sessions):
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)

    def uri(self, driver: str, database: str = "postgres") -> str:
        """Return SQLAlchemy's address of a database."""
        return f"postgresql+{driver}://ada@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """Start an empty PostgreSQL; it is killed and removed afterwards."""
    base = Path(tempfile.mkdtemp(prefix="towpath-pg-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        made = Database(base, free.getsockname()[1])
    try:
        if os.getuid() == 0:
            shutil.chown(base, "nobody", "nogroup")
        made.run("initdb", "-U", "ada", "--auth=trust", "--no-sync")
        made.start()
        with psycopg.connect(made.uri("psycopg").replace("+psycopg", ""), autocommit=True) as session:
            session.execute("CREATE DATABASE prefect")  # Prefect and MLflow each call a table alembic_version
        yield made
    finally:
        with suppress(OSError):
            made.kill()
        shutil.rmtree(base, ignore_errors=True)


class _Killing:
    """An MLflow client that kills the database before its first call of `name` (or the last of a release)."""

    def __init__(self, client: Any, name: str, kill: Callable[[], None]) -> None:  # noqa: ANN401 (MLflow has no types)
        self.client, self.name, self.kill = client, name, kill

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (as above)
        def call(*arguments: Any, **named: object) -> object:  # noqa: ANN401 (as above)
            if self.name in {name, arguments[2] if len(arguments) > 2 else None}:
                self.kill()
            return getattr(self.client, name)(*arguments, **named)

        return call


def test_a_registration_outlives_a_killed_database(
    published: Project, exported: Exported, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at the figures, the version or the last tag, it is said to be away; the next try leaves one release."""
    uri = database.uri("psycopg")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    registry, known = Registry(uri), len(Registry(uri).releases("returns"))
    for number, name in enumerate(("log_batch", "create_model_version", "towpath.release"), start=1):
        training = _training(published, exported, f"attempt-{number}")
        killing = _Killing(registry.client, name, database.kill)
        with monkeypatch.context() as patched:
            patched.setattr(Registry, "client", killing)
            with pytest.raises(UnavailableError, match="went away"):
                register(published.root, training, [GREEN])
        database.start()
        release = register(published.root, training, [GREEN])
        assert (registry.releases("returns")[0], len(registry.releases("returns"))) == (release, known + number)
    assert len(registry.client.search_model_versions("name='returns'")) == known + 3


def _training(project: Project, exported: Exported, attempt: str) -> Training:
    return Training(
        model="returns",
        folder=exported.folder,
        signature=exported.signature,
        code=Repository.discover(project.root).head(),
        data="sha256:" + "d" * 64,
        source="data/orders.parquet",
        window=(None, None),
        params={"depth": 6},
        rows=1500,
        attempt=attempt,
    )


@pytest.mark.long
def test_a_flow_outlives_a_database_that_is_killed_under_it(
    published: Project, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's and MLflow's tables lie in it; it dies early and at the registration. The run completes, once."""
    uri = database.uri("psycopg")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", database.uri("asyncpg", "prefect"))
    registry = Registry(uri)
    known = len(registry.releases("returns"))
    try:
        environment = os.environ | api_environment(published.root)
        flow = subprocess.Popen([sys.executable, str(TRAIN)], cwd=published.root, env=environment)
        _wait_for(lambda: _ask(environment, "task_runs/count") >= 2)
        _strike(database)
        _wait_for(lambda: _runs_of(registry) or flow.poll() is not None)
        _strike(database)
        assert flow.wait(PATIENCE_S) == 0
        assert _ask(environment, "flow_runs/count") == 1
        done = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
        assert _ask(environment, "flow_runs/count", done) == 1
    finally:
        stop(published.root)
    assert len(registry.releases("returns")) == known + 1
    assert len(registry.client.search_model_versions("name='returns'")) == known + 1


def _strike(database: Database) -> None:
    """Kill the database and start it again after two seconds."""
    database.kill()
    time.sleep(2)
    database.start()


def _runs_of(registry: Registry) -> int:
    found = registry.client.get_experiment_by_name("returns")
    return len(registry.client.search_runs([found.experiment_id], "status = 'RUNNING'")) if found else 0


def _wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _ask(environment: dict[str, str], path: str, question: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 (JSON)
    url = f"{environment['PREFECT_API_URL']}/{path}"
    request = Request(url, json.dumps(question or {}).encode(), {"content-type": "application/json"})  # noqa: S310 (loopback)
    with urlopen(request, timeout=60) as answer:  # noqa: S310 (as above)
        return json.load(answer)
