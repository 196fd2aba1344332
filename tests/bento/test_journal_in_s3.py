# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""A journal in a bucket: a real server of moto on a free port, asked as AWS's own tools would."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import msgspec
import pytest

from towpath_bento import metrics
from towpath_bento.journal import names
from towpath_bento.journal.entry import Noted
from towpath_bento.journal.places import Bucket, place_of
from towpath_bento.journal.reading import read_journal
from towpath_bento.journal.writer import Writer
from towpath_bento.lane import load
from towpath_bento.settings import Journal
from towpath_gitops.errors import UnavailableError

ADDRESS = "s3://remembered/tiny/production"
WAIT_S = 60


@pytest.fixture(autouse=True)
def client(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let AWS's own chain find server and credentials, and return a client of a fresh bucket."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    made = boto3.client("s3")
    made.create_bucket(Bucket="remembered")
    yield made
    for item in made.list_objects_v2(Bucket="remembered").get("Contents", ()):
        made.delete_object(Bucket="remembered", Key=item["Key"])
    made.delete_bucket(Bucket="remembered")


@pytest.fixture
def noted(tiny: Callable[..., Any], row: dict[str, Any]) -> Noted:
    """Return an answered request of one row."""
    lane = load(tiny().lane)
    body = msgspec.json.encode({"rows": [row]})
    columns = lane.codec.decode(body).columns
    return Noted(
        "champion", lane, columns, lane.engine.predict(columns), None, "r", 1.8e9, 0.1, len(body), sampled=True
    )


def test_rows_are_written_and_read(client: Any, noted: Noted) -> None:
    """Few objects that grow until they are full, each whole at any moment."""
    writer = Writer(Journal(share=1, flush_s=0.01, s3=ADDRESS), place_of(ADDRESS))
    writer.start()
    for number in range(6):
        writer.offer([noted._replace(request=str(number), at_s=noted.at_s + number)])
        end = time.monotonic() + WAIT_S
        while len(read_journal(ADDRESS)) < number + 1:
            assert time.monotonic() < end
    writer.close()
    writer._thread.join(WAIT_S)  # it gives up sooner, which a busy machine may need
    assert read_journal(ADDRESS)[names.REQUEST].to_pylist() == [str(number) for number in range(6)]
    (item,) = client.list_objects_v2(Bucket="remembered")["Contents"]
    assert item["Key"].startswith("tiny/production/2027-01-15/")


def test_an_empty_prefix_holds_nothing() -> None:
    """Before the first answer was remembered there is nothing to read, and nothing wrong."""
    assert len(read_journal(ADDRESS)) == 0


def test_a_bucket_that_is_away_costs_nobody_an_answer(noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing fails and is counted; reading says so."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    failures = metrics.JOURNAL_FAILURES._value.get()
    writer = Writer(Journal(share=1, flush_s=0.01, s3=ADDRESS), Bucket(ADDRESS))
    writer.start()
    writer.offer([noted])
    end = time.monotonic() + WAIT_S
    while metrics.JOURNAL_FAILURES._value.get() == failures:
        assert time.monotonic() < end
        time.sleep(0.05)
    writer.close()
    writer._thread.join(WAIT_S)  # it gives up sooner, which a busy machine may need
    with pytest.raises(UnavailableError, match="cannot be listed"):
        read_journal(ADDRESS)
