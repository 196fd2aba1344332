"""The generated prefect.yaml against a real Prefect server and a real worker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pandas as pd
import pytest
from towpath_flows.server import api_environment, ensure_api, stop

Render = Callable[..., Path]
Run = Callable[..., str]


@pytest.fixture
def root(render: Render, commit: Callable[[Path], str], tmp_path: Path) -> Iterator[Path]:
    """Return a generated repository that trains in seconds on one in twenty flights; its Prefect server is stopped."""
    folder = render(tmp_path / "r", {"frameworks": ["xgboost"]})
    model = folder / "model.yaml"
    model.write_text(model.read_text().replace("tune: {trials: 4", "tune: {trials: 0"))
    commit(folder)
    subprocess.run(["make", "data", f"VENV={sys.prefix}"], cwd=folder, check=True, capture_output=True)
    table = folder / "data/flights.parquet"
    pd.read_parquet(table).iloc[::20].to_parquet(table, index=False)
    yield folder
    stop(folder)


@pytest.fixture
def run(root: Path) -> Run:
    """Return a function that runs a command in the repository, against its Prefect server, and returns its output."""
    ensure_api(root)
    environment = os.environ | api_environment(root)

    def command(*arguments: str) -> str:
        result = subprocess.run(arguments, cwd=root, env=environment, check=False, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    return command


@pytest.fixture
def ask(root: Path) -> Callable[..., Any]:
    """Return a function that posts a question to the Prefect server and returns the answer."""
    api = ensure_api(root)

    def answer(path: str, question: dict[str, Any]) -> Any:  # noqa: ANN401 (whatever JSON the server answers)
        body = json.dumps(question).encode()
        request = Request(f"{api}/{path}", body, {"content-type": "application/json"})  # noqa: S310 (loopback)
        with urlopen(request, timeout=30) as response:  # noqa: S310 (as above)
            return json.load(response)

    return answer


def test_a_deployed_flow_is_scheduled_and_a_worker_trains(run: Run, ask: Callable[..., Any]) -> None:
    """`make deploy` gives both flows a schedule from which runs are made, and a worker completes a training run."""
    run("make", "deploy", f"VENV={sys.prefix}")
    deployed = {found["name"]: found["id"] for found in ask("deployments/filter", {})}
    assert set(deployed) == {"flights-train", "flights-monitor"}
    asked = ask(f"deployments/{deployed['flights-train']}/create_flow_run", {"parameters": {"record": False}})
    said = run(sys.executable, "-m", "prefect", "worker", "start", "--pool", "flights", "--run-once")
    (run_now,) = ask("flow_runs/filter", {"flow_runs": {"id": {"any_": [asked["id"]]}}})
    assert run_now["state"]["type"] == "COMPLETED", said
    scheduled: set[str] = set()
    deadline = time.monotonic() + 90  # the server's scheduler looks once a minute
    while scheduled != set(deployed.values()) and time.monotonic() < deadline:
        runs = ask("flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}})
        scheduled = {found["deployment_id"] for found in runs if found["auto_scheduled"]}
        time.sleep(0.5)
    assert scheduled == set(deployed.values())
