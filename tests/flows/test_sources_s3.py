"""Rows in S3: a real server of moto on a free port, asked through Prefect's blocks."""

from collections.abc import Callable

import pandas as pd
import pytest

from towpath_flows.data import load, validate
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError, NotFoundError, UnavailableError

New = Callable[..., Project]
BUCKET = "towpath-orders"  # see `bucket` in conftest.py

pytestmark = pytest.mark.usefixtures("aws_environment")


def at(new_project: New, place: str) -> Project:
    """Return the shop's repository with its orders in S3."""
    return new_project(spec=("{file: data/orders.parquet}", f"{{{place}}}"))


@pytest.mark.parametrize("key", ["all/orders.parquet", "parts/"])
@pytest.mark.usefixtures("bucket")
def test_objects_are_read_like_files(new_project: New, orders: pd.DataFrame, key: str) -> None:
    """One object or all below a prefix, in the order of their keys; nothing stays on the disk."""
    project = at(new_project, f"s3: s3://{BUCKET}/{key}")
    table = load(project)
    assert validate(project, table).frame["order_id"].tolist() == orders["order_id"].tolist()
    assert all(each.uri.startswith(f"s3://{BUCKET}/{key}") and each.size_bytes for each in table.inputs)
    assert len(table.inputs) == (2 if key == "parts/" else 1)
    assert [path for path in (project.root / ".towpath" / "incoming").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (f"s3: s3://{BUCKET}/all/order.parquet", "no data at"),
        ("s3: s3://no-such-bucket/parts/", "no data at"),
        (f"s3: s3://{BUCKET}/nothing/", "no data below"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_is_not_there_is_named(new_project: New, place: str, words: str) -> None:
    """A missing object, bucket and an empty prefix."""
    with pytest.raises(NotFoundError, match=words):
        load(at(new_project, place))


@pytest.mark.usefixtures("bucket")
def test_an_object_of_another_kind_is_refused(new_project: New) -> None:
    """Its name must end as a file's does."""
    with pytest.raises(DataContractError, match="of no kind that can be read"):
        load(at(new_project, f"s3: s3://{BUCKET}/parts/README.md"))


def test_a_server_that_is_away_may_come_back(new_project: New, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one failure that is worth another try."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(UnavailableError, match="cannot be read"):
        load(at(new_project, f"s3: s3://{BUCKET}/all/orders.parquet"))
