"""A release looks its features up in a real Feast repository, by Feast's own server, and answers as it was trained."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from towpath_bento.engines import open_engine
from towpath_bento.online.store import URL_VARIABLE
from towpath_bento.sent import as_sent
from towpath_bento.server import ModelServer
from towpath_flows.data import load, split, validate
from towpath_flows.data.sources.feast import PYTHON_VARIABLE
from towpath_flows.online_spec import OnlineSpec
from towpath_flows.project import Project
from towpath_flows.spec import load_spec
from towpath_flows.training import Exported, TuneResult, export, fit
from towpath_flows.training.features import Features, engine_columns
from towpath_flows.training.lookups import Described, online_of
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.artifact import manifest_digest
from towpath_gitops.records.online import OnlineKey, OnlineView
from towpath_gitops.records.pointer import LanePointer, Pointer
from towpath_gitops.records.signature import Signature

NOW = pd.Timestamp.now(tz="UTC").floor("s")
TTL_S = 60 * 86_400
START_S = 60

DEFINITIONS = '''\
"""What is known of sellers and depots; brought online, and described."""

import sys
from datetime import datetime, timedelta
from pathlib import Path

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Float64, Int64, String

root = Path(sys.argv[1])
seller = Entity(name="seller", join_keys=["seller"], value_type=ValueType.STRING)
depot = Entity(name="depot", join_keys=["depot_id"], value_type=ValueType.INT64)


def source(name):
    return FileSource(path=str(root / f"{name}.parquet"), timestamp_field="known_at")


stats = FeatureView(
    name="stats",
    entities=[seller],
    ttl=timedelta(days=60),
    source=source("stats"),
    schema=[Field(name="rating", dtype=Float32), Field(name="sales", dtype=Int64), Field(name="tier", dtype=String)],
)
depots = FeatureView(
    name="depots",
    entities=[depot],
    ttl=timedelta(0),
    source=source("depots"),
    schema=[Field(name="delay", dtype=Float64)],
)
store = FeatureStore(repo_path=str(root))
store.apply([seller, depot, stats, depots])
now = datetime.fromisoformat(sys.argv[2])
store.materialize(now - timedelta(days=365), now)
'''
SOURCE = (
    "{file: data/orders.parquet}",
    (
        "{feast: store, rows: data/orders.parquet, features: "
        "['stats:rating', 'stats:sales', 'stats:tier', 'depots:delay']}"
    ),
)
ONLINE = "gates:\n", "serve: {online: {timeout: 5s}}\ngates:\n"
SCHEMA = (
    "    seller: str\n",
    (
        "    seller: str\n    rating: float = pa.Field(nullable=True)\n    sales: float = pa.Field(nullable=True)\n"
        "    tier: str = pa.Field(nullable=True)\n    delay: float = pa.Field(nullable=True)\n"
    ),
)


@pytest.fixture(scope="module")
def store(feast_repository: Callable[..., Path]) -> Path:
    """Return a Feast repository: sellers 0 to 57 were rated lately, 58 long ago, 59 never; depots 1 to 3 are known."""
    days = [(number, day) for number in range(58) for day in (80, 5)] + [(58, 80)]
    stats = [
        (f"seller {n}", NOW - pd.Timedelta(days=day), n / 7 + day, n * 3 if n % 4 else None, "gold" if n % 3 else None)
        for n, day in days
    ]
    columns = ["seller", "known_at", "rating", "sales", "tier"]
    tables = {"stats": pd.DataFrame(stats, columns=columns).astype({"sales": "Int64", "tier": "string"})}
    delays = [(n, NOW - pd.Timedelta(days=300), 0.1 * n) for n in (1, 2, 3)]
    tables["depots"] = pd.DataFrame(delays, columns=["depot_id", "known_at", "delay"])
    return feast_repository(DEFINITIONS, tables, NOW.isoformat())


@dataclass(frozen=True)
class Served:
    """A feature server that runs."""

    url: str
    process: "subprocess.Popen[bytes]"


@pytest.fixture(scope="module")
def features(store: Path, feast_python: str) -> Iterator[Served]:
    """Run `feast serve` in Feast's own environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [feast_python, "-m", "feast.cli.cli", "serve", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"FEAST_USAGE": "False"}
    with (store / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=store, env=environment, stdout=log, stderr=log, start_new_session=True)
    served = Served(f"http://127.0.0.1:{port}", process)
    _wait(served, store / "serve.log")
    yield served
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait(served: Served, log: Path) -> None:
    end = time.monotonic() + START_S
    while True:
        assert served.process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        try:
            httpx.get(f"{served.url}/health", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return


@pytest.fixture
def build(
    new_project: Callable[..., Project],
    orders: pd.DataFrame,
    feast_python: str,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Project]:
    """Return a function that makes a shop whose features come from Feast; of orders until now, each from a depot."""
    monkeypatch.setenv(PYTHON_VARIABLE, feast_python)
    hours = pd.to_timedelta(np.arange(len(orders))[::-1] + 1, unit="h")
    table = orders.assign(ordered_at=NOW - hours, depot_id=np.arange(len(orders)) % 5)

    def made(online: tuple[str, str] = ONLINE, schema: tuple[str, str] = SCHEMA) -> Project:
        project = new_project(spec=SOURCE, schema=schema, table=table)
        path = project.root / "model.yaml"
        assert online[0] in path.read_text()
        path.write_text(path.read_text().replace(*online, 1))
        shutil.copytree(store, project.root / "store", ignore=shutil.ignore_patterns("*.log"), dirs_exist_ok=True)
        return Project.open(project.root)

    return made


def train(project: Project) -> Exported:
    """Train a small model of the shop's orders."""
    parts = split(project, validate(project, load(project)).frame)
    tuned = TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, (), 20)
    return export(fit(project, parts, tuned), parts, project.root / "artifact")


def now_of(project: Project, orders: pd.DataFrame) -> pd.DataFrame:
    """Return an order of each seller, one of nobody's, and one of no depot, as the offline store completes them now."""
    rows = orders.drop_duplicates("seller").assign(ordered_at=NOW)
    rows = rows.assign(depot_id=np.arange(len(rows)) % 5)
    rows.iloc[0, rows.columns.get_loc("seller")] = "nobody"
    rows.to_parquet(project.root / "data" / "orders.parquet", index=False)
    return load(Project(project.root, load_spec(project.root))).frame


def rows_of(signature: Signature, frame: pd.DataFrame, x: pd.DataFrame, left_out: set[str]) -> list[dict[str, Any]]:
    """Return the rows as callers send them, without `left_out`."""
    sent = [column for column in signature.inputs if column.name not in left_out]
    return [
        {column.name: as_sent(column, x[column.name].iloc[place]) for column in sent} | {"depot_id": place % 5}
        for place in range(len(frame))
    ]


def point(exported: Exported, folder: Path) -> Path:
    """Write a pointer to the artifact, and return its path."""
    digest = manifest_digest(exported.folder)
    lane = LanePointer(release=digest, artifact=digest, path=str(exported.folder))
    pointer = Pointer(model="returns", environment="testing", generation=1, lanes={"champion": lane})
    folder.mkdir()
    (folder / "pointer.json").write_text(pointer.model_dump_json(by_alias=True))
    return folder / "pointer.json"


def test_the_service_answers_as_the_offline_store_would(
    build: Callable[..., Project],
    orders: pd.DataFrame,
    features: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For each entity at this moment: the same bits, whether the features are joined in training or looked up.

    Among them are values that are null, too old, and unknown. When the feature server hangs, requests that need it are
    answered 503, and again as before when it is back; a request that brings its features does not notice.
    """
    project = build()
    exported = train(project)
    signature = exported.signature
    assert signature.online is not None
    assert signature.online.views == (
        OnlineView(view="depots", columns=("delay",), keys=(OnlineKey(name="depot_id", type="integer"),)),
        OnlineView(
            view="stats",
            columns=("rating", "sales", "tier"),
            keys=(OnlineKey(name="seller", type="string"),),
            ttl_s=TTL_S,
        ),
    )
    assert signature.online.timeout_s == 5
    frame = now_of(project, orders)
    assert 0 < frame["rating"].isna().sum() < frame["sales"].isna().sum() < len(frame)
    x = Features(signature).x(frame)
    offline = open_engine(exported.folder, signature).predict(engine_columns(x))[:, 0]
    assert len(set(offline.tolist())) > 10
    looked_up = {"rating", "sales", "tier", "delay"}
    monkeypatch.setenv(URL_VARIABLE, features.url)
    pointer = point(exported, project.root / "run")

    async def scenario() -> None:
        server = ModelServer("returns", 1)
        await server.start(pointer)
        transport = httpx.ASGITransport(server)  # type: ignore[arg-type]  # the same protocol under other names
        async with httpx.AsyncClient(transport=transport, base_url="http://testing", timeout=60) as client:
            rows = rows_of(signature, frame, x, looked_up)
            answer = await client.post("/v1/predict", json={"rows": rows})
            assert answer.status_code == 200, answer.text
            online = np.array([each["probability"] for each in answer.json()["predictions"]], np.float32)
            np.testing.assert_array_equal(online, offline)
            os.killpg(features.process.pid, signal.SIGSTOP)
            try:
                late = asyncio.create_task(client.post("/v1/predict", json={"rows": rows[:1]}))
                whole = await client.post("/v1/predict", json={"rows": rows_of(signature, frame, x, set())})
                assert whole.json()["predictions"] == answer.json()["predictions"]
                assert (await late).status_code == 503
            finally:
                os.killpg(features.process.pid, signal.SIGCONT)
            assert (await client.post("/v1/predict", json={"rows": rows})).content == answer.content
        await server.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"features": {"amount": "String"}}, "It is String in Feast, and number in the schema."),
        ({"features": {"items": "Int64"}}, "The schema does not let it be missing."),
        ({"features": {"colour": "String"}}, "None of the features that Feast adds"),
        ({"keys": {}}, "The view has no entity"),
        ({"keys": {"day": "UnixTimestamp"}}, "Its key day is UnixTimestamp in Feast."),
    ],
)
def test_what_could_not_be_looked_up_is_refused_in_training(changes: dict[str, Any], told: str) -> None:
    """A feature of another type than Feast's, or that may be unknown though the schema forbids it; a view of no key."""
    inputs = [{"name": "amount", "type": "number", "nullable": True}, {"name": "items", "type": "integer"}]
    signature = Signature.model_validate({"task": "binary", "target": "returned", "inputs": inputs})
    view = {"view": "stats", "features": {"amount": "Float32"}, "keys": {"seller": "String"}, "ttl_s": None}
    assert online_of([Described.model_validate(view)], OnlineSpec(), signature).columns == {"amount"}
    with pytest.raises(InvalidFileError) as refused:
        online_of([Described.model_validate(view | changes)], OnlineSpec(), signature)
    assert told in refused.value.why


@pytest.mark.parametrize(
    ("online", "told"),
    [
        ("{url: 'http://me:secret@store:6566'}", "without a password"),
        ("{url: store}", "http://host:6566"),
        ("{unknown: ignore}", "missing"),
        ("{timeout: 11s}", "timeout"),
        ("{}", "rows come from elsewhere"),
    ],
)
def test_settings_that_cannot_be_are_refused(new_project: Callable[..., Project], online: str, told: str) -> None:
    """An address with a password, or none; a wish that there is not; and a lookup where nothing is to be looked up."""
    with pytest.raises(InvalidFileError, match=r"model\.yaml") as refused:
        new_project(spec=("gates:\n", f"serve: {{online: {online}}}\ngates:\n"))
    assert told in str(refused.value)
