import json
import logging
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from time import sleep
from typing import Any

import pandas as pd
import pytest

from towpath_flows.data import Table, load
from towpath_flows.project import Project
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import (
    DataContractError,
    NotFoundError,
    TrainingError,
    UnavailableError,
    UncleanRepositoryError,
)
from towpath_gitops.records.evidence import Kind, Verdict
from towpath_gitops.records.release import Release

# The very flows that a generated repository holds.
TEMPLATE = Path(__file__).parents[2] / "template" / "flows"
Run = Callable[..., Any]


@pytest.fixture
def run(api: dict[str, str], published: Project, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a flow of the template in the published repository, on the real server."""
    for name, value in api.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(published.root)

    def run_flow(name: str, **parameters: object) -> Any:  # noqa: ANN401 (flows return what they like)
        from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 (takes seconds)

        spec = spec_from_file_location(f"template_{name}", TEMPLATE / f"{name}.py")
        assert spec
        assert spec.loader
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        with temporary_settings({PREFECT_API_URL: api["PREFECT_API_URL"]}):
            return getattr(module, name)(**parameters)

    return run_flow


def _artifacts(api: dict[str, str]) -> set[str]:
    """Return the keys of what was put beside runs; a bar of progress has none, and is told as `progress 100`."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 (takes seconds)
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 (takes seconds)

    with temporary_settings({PREFECT_API_URL: api["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        answer = client.request("POST", "/artifacts/filter", json={})
        return {each["key"] or f"{each['type']} {each['data']}" for each in answer.json()}


def _told(project: Project) -> list[tuple[str, str]]:
    """Return the kinds of OpenLineage's events, with the words of a failure."""
    lines = layout.state(project.root, "openlineage.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [(each["eventType"], each["run"]["facets"].get("errorMessage", {}).get("message", "")) for each in events]


def _wait_for_event(api: dict[str, str], event: str, resource: str) -> None:
    """Return when Prefect has the event of the resource; it is sent beside the run, not in it."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 (Prefect takes seconds)
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 (as above)

    question = {"filter": {"event": {"name": [event]}, "resource": {"id": [resource]}}}
    deadline = time.monotonic() + 60
    with temporary_settings({PREFECT_API_URL: api["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        while not client.request("POST", "/events/filter", json=question).json()["events"]:
            assert time.monotonic() < deadline, f"no {event}"
            time.sleep(0.2)


def test_a_model_is_trained_compared_and_monitored(
    run: Run, api: dict[str, str], published: Project, declare: Callable[[Project, Release], None]
) -> None:
    """The template's flows register a release with all its evidence, compare the next with it, and watch it."""
    registry = Registry(layout.tracking_uri(published.root))
    first = registry.find("returns", run("train", until=pd.Timestamp("2026-02-20", tz="UTC").to_pydatetime()))
    evidence = registry.evidence(first)
    assert set(evidence) == {Kind.DATA, Kind.PARITY, Kind.EVALUATION, Kind.COMPARISON, Kind.BEHAVIOUR}
    assert evidence[Kind.COMPARISON].champion is None
    artifact = registry.fetch(first, layout.store(published.root))
    assert {"card.html", "card.md", "golden.json", "model.onnx", "reference.parquet"} <= {
        p.name for p in artifact.iterdir()
    }
    assert list(layout.state(published.root, "training").iterdir()) == []
    declare(published, first)
    second = registry.find("returns", run("train"))
    assert second.semver == "1.0.1"
    assert registry.evidence(second)[Kind.COMPARISON].champion == first.id
    report = json.loads((Path(run("monitor")) / "report.json").read_text())
    assert report["release"]["id"] == first.id
    _wait_for_event(api, f"towpath.monitor.{report['outcome']}", "towpath.model.returns")
    (read,) = registry.lineage(second).inputs
    assert read.uri == "data/orders.parquet"
    events = [json.loads(line) for line in layout.state(published.root, "openlineage.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"] * 2
    assert events[-1]["inputs"][0]["facets"]["version"]["datasetVersion"] == read.digest
    for asset in ("towpath://returns/data", "towpath://returns/release"):
        _wait_for_event(api, "prefect.asset.materialization.succeeded", asset)
    assert {"data-contract", "metrics", "model-card", "monitor", "gates-comparison"} <= _artifacts(api)


def test_a_model_that_its_gates_refuse_is_registered_red(
    run: Run, api: dict[str, str], published: Project, commit: Callable[[Path, str], None]
) -> None:
    """The flow completes, its search shown as it went; its evidence says no, and it is not trained a second time."""
    path = published.root / "model.yaml"
    text = path.read_text().replace("{metric: roc_auc, min: 0.6}", "{metric: roc_auc, min: 0.99}")
    path.write_text(text.replace("{trials: 0,", "{trials: 1,"))
    commit(published.root, "Ask for too much")
    registry = Registry(layout.tracking_uri(published.root))
    release = registry.find("returns", run("train"))
    assert registry.evidence(release)[Kind.EVALUATION].verdict is Verdict.FAIL
    assert {"trials", "progress 100"} <= _artifacts(api)
    _nothing_new_is_not_trained(run, registry, release)


def _nothing_new_is_not_trained(run: Run, registry: Registry, release: Release) -> None:
    """A second run gives the release that exists and registers none, unless it is told to train again."""
    assert run("train") == release.id
    assert run("train", since=pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime()) == release.id  # the same rows
    assert registry.releases("returns") == [release]
    second = registry.find("returns", run("train", again=True))
    assert (second.id != release.id, second.semver) == (True, "1.0.1")


def test_data_that_breaks_the_contract_ends_the_flow(run: Run, api: dict[str, str], published: Project) -> None:
    """The flow fails with the report, which stands on Prefect's page too; nothing is registered."""
    path = published.root / "data" / "orders.parquet"
    pd.read_parquet(path).assign(items=99).to_parquet(path)
    with pytest.raises(DataContractError, match="breaks 1 rules"):
        run("train")
    assert "data-contract" in _artifacts(api)
    assert _told(published)[-1] == ("FAIL", "data/orders.parquet breaks 1 rules of the schema shop.schema:Orders")
    assert Registry(layout.tracking_uri(published.root)).releases("returns") == []


def test_a_rehearsal_tries_every_stage_and_registers_nothing(run: Run, published: Project) -> None:
    """A sample goes through the whole flow, also with uncommitted changes, and leaves nothing behind."""
    (published.root / "notes.txt").write_text("?\n")
    assert run("train", sample=600) is None
    assert Registry(layout.tracking_uri(published.root)).releases("returns") == []
    assert list(layout.state(published.root, "training").iterdir()) == []


def test_a_rehearsal_fails_on_data_that_gives_the_answer_away(run: Run, published: Project) -> None:
    """What a sample can tell, a leak for example, ends the rehearsal; that its model is weak does not."""
    path = published.root / "model.yaml"
    path.write_text(path.read_text().replace("exclude: [refund_days]\n", "").replace("min: 0.6}", "min: 0.99}"))
    with pytest.raises(TrainingError, match="refund_days") as caught:
        run("train", sample=600)
    assert "0.99" not in str(caught.value)


def test_a_sample_is_taken_from_all_over() -> None:
    """First and last row are in it, in order, without repetition; a small table is taken whole."""
    from towpath_flows import stages  # noqa: PLC0415 (Prefect takes seconds)

    frame = pd.DataFrame({"row": range(1000)})
    rows = stages._sampled(frame, 100)["row"].tolist()
    assert (rows[0], rows[-1], len(set(rows)), rows) == (0, 999, 100, sorted(rows))
    assert stages._sampled(frame, 2000) is frame
    assert stages._sampled(frame, None) is frame


def test_a_rehearsal_is_never_what_was_trained_before(published: Project) -> None:
    """Without a commit that a release could name, every stage is tried."""
    from towpath_flows import stages  # noqa: PLC0415 (Prefect takes seconds)

    workspace = stages.Workspace(published.root, published.spec, sample=600)
    assert stages.already_trained.fn(workspace, stages.load.fn(workspace)) is None


def test_what_is_away_for_a_moment_is_asked_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that asks something outside tries again when that did not answer, and only then."""
    from towpath_flows import stages  # noqa: PLC0415 (Prefect takes seconds)

    tried = []

    def moody(*_: object, **__: object) -> Table:
        tried.append(1)
        if len(tried) == 1:
            raise UnavailableError("The disk sleeps")
        raise DataContractError("The table is empty")

    monkeypatch.setattr(stages.sources, "load", moody)
    with pytest.raises(DataContractError, match="empty"):
        run("train")
    assert len(tried) == 2


@pytest.mark.usefixtures("prefect_api")
def test_a_stage_that_takes_too_long_is_not_begun_again() -> None:
    """It is ended at its limit, once, by a line that names it, though its error is of the kind that is tried again."""
    from prefect import flow  # noqa: PLC0415 (Prefect takes seconds)

    from towpath_flows.tasks import stage  # noqa: PLC0415 (as above)

    begun, told = [], list[logging.LogRecord]()
    heard = logging.Handler()
    heard.emit = told.append  # type: ignore[method-assign]  # the shortest handler that there is

    @stage("slow", outside=True)
    def slow() -> None:
        begun.append(1)
        for _ in range(600):
            sleep(0.1)

    @flow
    def hasty() -> None:
        slow.with_options(timeout_seconds=0.5)()

    logging.getLogger("prefect.task_runs").addHandler(heard)
    try:
        with pytest.raises(TimeoutError):
            hasty()
    finally:
        logging.getLogger("prefect.task_runs").removeHandler(heard)
    assert len(begun) == 1
    late = [record for record in told if record.getMessage().startswith("Task run exceeded timeout of 0.5")]
    assert [getattr(record, "task_name", "") for record in late] == ["slow"]


def test_uncommitted_changes_end_the_flow_before_it_costs_time(
    published: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage is a plain function as well: opening refuses, unless nothing is to be registered."""
    from towpath_flows import stages  # noqa: PLC0415 (Prefect takes seconds)

    monkeypatch.chdir(published.root / "src")
    assert stages.open_project.fn().code
    (published.root / "notes.txt").write_text("?\n")
    with pytest.raises(UncleanRepositoryError, match="uncommitted"):
        stages.open_project.fn()
    assert stages.open_project.fn(clean=False).code is None


def test_without_a_champion_there_is_nothing_to_monitor(published: Project) -> None:
    """The monitor says so and names the verb."""
    from towpath_flows import stages  # noqa: PLC0415 (Prefect takes seconds)

    with pytest.raises(NotFoundError, match="No release of returns is declared"):
        stages.champion.fn(published)


def test_the_monitor_reads_the_last_window(published: Project) -> None:
    """Without bounds it looks at the last `monitor.window` of the data, whatever window training has."""
    from towpath_flows import stages  # noqa: PLC0415 (Prefect takes seconds)

    table = stages.load_window.fn(published)
    moments = table.frame["ordered_at"]
    assert len(moments) == 720
    assert moments.max() - moments.min() < published.spec.monitor.window


@pytest.mark.usefixtures("bucket")
def test_blocks_bring_credentials(new_project: Callable[..., Project], s3_server: str, api: dict[str, str]) -> None:
    """With nothing in the environment, an S3Bucket or an AwsCredentials block of Prefect opens the bucket."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 (takes seconds)
    from prefect_aws import AwsCredentials, S3Bucket  # noqa: PLC0415 (as above)
    from prefect_aws.client_parameters import AwsClientParameters  # noqa: PLC0415 (as above)

    def at(named: str) -> Project:
        place = f"{{s3: s3://towpath-orders/all/orders.parquet, {named}}}"
        return new_project(spec=("{file: data/orders.parquet}", place))

    with temporary_settings({PREFECT_API_URL: api["PREFECT_API_URL"]}):
        credentials = AwsCredentials(
            aws_access_key_id="testing",
            aws_secret_access_key="a-secret-of-tests",  # noqa: S106 (moto takes any)
            region_name="eu-central-1",
            aws_client_parameters=AwsClientParameters(endpoint_url=s3_server),
        )
        credentials.save("shop-keys")
        S3Bucket(bucket_name="towpath-orders", credentials=credentials).save("shop-bucket")
        for named in ("credentials: shop-keys", "block: shop-bucket"):
            table = load(at(named))
            assert len(table.frame) == 1500
            assert "a-secret-of-tests" not in repr(table)
        with pytest.raises(NotFoundError, match="no block lost of type S3Bucket"):
            load(at("block: lost"))
