"""A small shop's orders, some of them returned, and a model repository around them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from towpath_flows.data import Splits, load, split, validate
from towpath_flows.evaluation.judgement import assess_worth
from towpath_flows.project import Project
from towpath_flows.registration import Training, register
from towpath_flows.server import api_environment, stop
from towpath_flows.training import Exported, Model, TuneResult, export, fit
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.records.deployment import Change, ChangeType, Deployment, LocalTarget, PinnedRelease
from towpath_gitops.records.parsing import dump_yaml
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

ROWS = 1500

SPEC = """\
name: returns
task: binary
target: returned
time: ordered_at
entity: order_id
exclude: [refund_days]
data:
  train: {file: data/orders.parquet}
schema: shop.schema:Orders
split: {validation: 0.2, test: 0.2}
train: {frameworks: [xgboost, lightgbm], seed: 7, rounds: 40, patience: 10}
tune: {trials: 0, folds: 2}
gates:
  - {metric: roc_auc, min: 0.6}
"""

SCHEMA = '''\
"""What an order is."""

import pandas as pd
import pandera.pandas as pa


class Orders(pa.DataFrameModel):
    """One row per order."""

    order_id: str = pa.Field(unique=True)
    ordered_at: pd.DatetimeTZDtype = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    amount: float = pa.Field(nullable=True, ge=0)
    items: int = pa.Field(ge=1, le=50)
    express: bool
    country: str = pa.Field(isin=["DE", "FR", "IT"])
    seller: str
    coupon: str = pa.Field(nullable=True)
    refund_days: float = pa.Field(nullable=True)
    returned: bool
'''


def make_orders(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Return orders of which amount, country and items tell something about `returned`, and refund_days everything."""
    random = np.random.default_rng(seed)
    amount = random.gamma(2.0, 30.0, rows)
    items = random.integers(1, 9, rows)
    country = random.choice(["DE", "FR", "IT"], rows)
    score = 0.03 * amount + 0.3 * (items - 4) + 1.2 * (country == "DE") - 2.5
    returned = random.random(rows) < 1 / (1 + np.exp(-score))
    return pd.DataFrame(
        {
            "order_id": [f"o{number:06d}" for number in range(rows)],
            "ordered_at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows), unit="h"),
            "amount": np.where(random.random(rows) < 0.1, np.nan, amount.round(2)),
            "items": items,
            "express": random.random(rows) < 0.3,
            "country": country,
            "seller": [f"seller {number}" for number in random.integers(0, 60, rows)],
            "coupon": np.where(random.random(rows) < 0.5, None, random.choice(["SPRING", "VIP"], rows)),
            "refund_days": np.where(returned, random.integers(1, 30, rows), np.nan),
            "returned": returned,
        }
    )


def make_project(root: Path, orders: pd.DataFrame, spec: str = SPEC, schema: str = SCHEMA) -> Project:
    """Write a model repository to `root` and open it."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "src" / "shop").mkdir(parents=True, exist_ok=True)
    (root / "src" / "shop" / "__init__.py").write_text('"""A shop."""\n')
    (root / "src" / "shop" / "schema.py").write_text(schema)
    (root / "model.yaml").write_text(spec)
    orders.to_parquet(root / "data" / "orders.parquet", index=False)
    return Project.open(root)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the variables of a real Prefect server, started once and stopped afterwards."""
    root = tmp_path_factory.mktemp("prefect")
    yield api_environment(root)
    from prefect.logging.handlers import APILogHandler  # noqa: PLC0415 (takes seconds)

    APILogHandler().flush()  # else the last lines are sent to a server that is gone
    stop(root)


@pytest.fixture
def prefect_api(api: dict[str, str]) -> Iterator[None]:
    """Let flows of this test run on the real server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 (takes seconds)

    with temporary_settings({PREFECT_API_URL: api["PREFECT_API_URL"]}):
        yield


@pytest.fixture(scope="session")
def orders() -> pd.DataFrame:
    """Return 1,500 orders, one an hour from 2026-01-01; do not change them in place."""
    return make_orders()


@pytest.fixture
def new_project(tmp_path: Path, orders: pd.DataFrame) -> Callable[..., Project]:
    """Return a function that makes a model repository; `spec` and `schema` are pairs of (old, new) text to replace."""

    def build(
        *, spec: tuple[str, str] = ("", ""), schema: tuple[str, str] = ("", ""), table: pd.DataFrame | None = None
    ) -> Project:
        assert spec[0] in SPEC
        assert schema[0] in SCHEMA
        rows = orders if table is None else table
        return make_project(tmp_path, rows, SPEC.replace(*spec, 1), SCHEMA.replace(*schema, 1))

    return build


@pytest.fixture
def project(new_project: Callable[..., Project]) -> Project:
    """Return the shop's model repository as it stands."""
    return new_project()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, orders: pd.DataFrame) -> Project:
    """Return a model repository that all tests share: read from it only."""
    return make_project(tmp_path_factory.mktemp("shop"), orders)


@pytest.fixture(scope="session")
def splits(shop: Project) -> Splits:
    """Return the shop's orders in three parts."""
    return split(shop, validate(shop, load(shop)).frame)


@pytest.fixture(scope="session")
def model(shop: Project, splits: Splits) -> Model:
    """Return a model of the shop's orders, fitted with XGBoost's defaults."""
    return fit(shop, splits, TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, ()))


GATES = """\
gates:
  - {metric: roc_auc, min: 0.6}
  - {metric: roc_auc, against: champion, margin: 0.05}
  - {metric: roc_auc, slice: express, gap: 0.3}
  - {check: behaviour}
"""

POLICY = """\
apiVersion: towpath/v1
kind: Policy
environments:
  - {name: staging}
  - {name: production}
"""


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return result.stdout.strip()


def _commit(root: Path, words: str) -> None:
    """Commit everything and push it to the repository's bare remote."""
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", f"--message={words}")
    _git(root, "push", "--quiet", "origin", "HEAD:main")


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the git configuration, the registry or the Prefect server of the person who runs it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("MLFLOW_TRACKING_URI", "OPENLINEAGE_URL", "PREFECT_API_URL", "TOWPATH_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the SQLite file of an MLflow that has made its tables and holds nothing: making them takes seconds."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    Registry(f"sqlite:///{path}").releases("nothing")
    return path


@pytest.fixture(scope="session")
def exported(model: Model, splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return the artifact of the shop's model, all but the card: read from it only."""
    return export(model, splits, tmp_path_factory.mktemp("artifact") / "model")


@pytest.fixture
def commit() -> Callable[[Path, str], None]:
    """Return a function that commits everything in a repository and pushes it."""
    return _commit


@pytest.fixture
def published(new_project: Callable[..., Project], empty_registry: Path, tmp_path: Path) -> Project:
    """Return a shop of one's own with all kinds of gates, committed, pushed to a bare remote, its registry empty."""
    project = new_project(spec=("gates:\n  - {metric: roc_auc, min: 0.6}\n", GATES))
    root = project.root
    (root / ".gitignore").write_text(".towpath/\ndata/\nremote.git/\n__pycache__/\n")
    (root / "gitops").mkdir()
    (root / "gitops" / "policy.yaml").write_text(POLICY)
    _git(root, "init", "--quiet", "--initial-branch=main")
    _git(root, "config", "user.name", "Ada")
    _git(root, "config", "user.email", "ada@example.org")
    _git(root, "init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "remote.git"))
    _git(root, "remote", "add", "origin", str(tmp_path / "remote.git"))
    _commit(root, "Begin")
    state = layout.state(root)
    state.mkdir()
    shutil.copy(empty_registry, state / "mlflow.db")
    return project


@pytest.fixture
def declare() -> Callable[[Project, Release], None]:
    """Return a function that lets a repository's main declare a release in production, without the ceremony."""

    def write(project: Project, release: Release) -> None:
        change = Change(type=ChangeType.PROMOTE, replaces=None, reason="first")
        deployment = Deployment(
            api_version="towpath/v1",
            kind="Deployment",
            model=release.model,
            environment="production",
            release=PinnedRelease.of(release),
            change=change,
            target=LocalTarget(port=3000),
        )
        path = project.root / layout.environment_path("production", release.model)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump_yaml(deployment.plain()))
        _commit(project.root, "Promote")

    return write


def make_awkward(rows: int = 400, seed: int = 3) -> pd.DataFrame:
    """Return a table of which `size (m).x` and `class` tell something about `def`, `kind` and `label text`."""
    random = np.random.default_rng(seed)
    size = random.normal(size=rows)
    words = random.choice(["\N{GREEK SMALL LETTER ALPHA}β", "naïve", "日本語", "a,b", 'q"uote', "x'y"], rows)
    value = size * 2 + (words == "日本語") * 3 + random.normal(size=rows) - 5
    return pd.DataFrame(
        {
            "size (m).x": size,
            "class": words,
            "index": np.arange(rows),
            "import": random.integers(0, 5, rows),
            "meanRadius": random.random(rows) * 1e-6,
            "Datum": pd.date_range("2024-01-01", periods=rows, freq="3h").strftime("%d.%m.%Y"),
            "when": [moment.isoformat() for moment in pd.date_range("2024", periods=rows, freq="3h", tz="Asia/Tokyo")],
            "flag": random.random(rows) < 0.3,
            "maybe": np.where(random.random(rows) < 0.1, None, random.random(rows) < 0.5),
            "postcode": [f"{value:05d}" for value in random.choice([501, 1000, 90210], rows)],
            "big": random.integers(2**40, 2**41, rows),
            "empty": [None] * rows,
            "const": 7,
            "user id": [f"id-{number:06x}" for number in random.permutation(rows)],
            "mixed": ["?" if share < 0.05 else str(round(share * 10, 1)) for share in random.random(rows)],
            "epoch_time": 1_600_000_000 + random.integers(0, 10**7, rows),
            "prose": [" ".join(random.choice(["the", "cat", "sat", "und", "der"], 9)) for _ in range(rows)],
            "a: b #c": random.random(rows),
            "gap": np.where(random.random(rows) < 0.2, np.nan, random.integers(0, 9, rows)),
            "endless": np.where(random.random(rows) < 0.01, np.inf, 1.0),
            "def": np.where(np.arange(rows) % 97 == 5, np.nan, value.round(3)),
            "label text": np.where(value + random.normal(size=rows) > -5, "Très haut", "bas / low"),
            "kind": pd.cut(value + random.normal(size=rows), [-99, -7, -4, 99], labels=["zwei drei", "四", "x"]).astype(
                str
            ),
        }
    )


@pytest.fixture(scope="session")
def awkward() -> Callable[..., pd.DataFrame]:
    """Return a function that makes a table with awkward names, types and values, of so many rows."""
    return make_awkward


FEAST = """\
project: shop
provider: local
registry: registry.db
online_store: {type: sqlite, path: online.db}
entity_key_serialization_version: 3
"""


@pytest.fixture(scope="module")
def feast_repository(feast_python: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that makes a Feast repository of tables by a script, which is told its folder and more."""

    def made(script: str, tables: Mapping[str, pd.DataFrame], *arguments: str) -> Path:
        folder = tmp_path_factory.mktemp("feast")
        (folder / "feature_store.yaml").write_text(FEAST)
        (folder / "definitions.txt").write_text(script)
        for name, table in tables.items():
            table.to_parquet(folder / f"{name}.parquet", index=False)
        command = [feast_python, str(folder / "definitions.txt"), str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return folder

    return made


BUCKET = "towpath-orders"


@pytest.fixture
def release(published: Project, exported: Exported, splits: Splits) -> Release:
    """Return a registered release with its evaluation evidence."""
    training = Training(
        model="returns",
        folder=exported.folder,
        signature=exported.signature,
        code=Repository.discover(published.root).head(),
        data="sha256:" + "d" * 64,
        source="data/orders.parquet",
        window=(None, None),
        params={},
        rows=1500,
    )
    return register(published.root, training, [assess_worth(published, exported.folder, splits.test)])


@pytest.fixture
def aws_environment(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let AWS's own chain find a server and credentials in the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(s3_server: str, orders: pd.DataFrame) -> Any:  # noqa: ANN401 (boto3 makes its types when it runs)
    """Return a client of a bucket that holds the orders: one object, and two below a prefix."""
    import boto3  # noqa: PLC0415 (takes seconds)

    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        aws_access_key_id="testing",
        aws_secret_access_key="a-secret-of-tests",  # noqa: S106 (moto takes any)
        region_name="eu-central-1",
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_object(Bucket=BUCKET, Key="all/orders.parquet", Body=orders.to_parquet(index=False))
    for name, rows in {"2.csv": orders.iloc[700:], "1.csv": orders.iloc[:700]}.items():
        client.put_object(Bucket=BUCKET, Key=f"parts/{name}", Body=rows.to_csv(index=False).encode())
    client.put_object(Bucket=BUCKET, Key="parts/README.txt", Body=b"nothing to read")
    yield client
    for item in client.list_objects_v2(Bucket=BUCKET)["Contents"]:
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    client.delete_bucket(Bucket=BUCKET)
