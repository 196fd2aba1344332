"""Lineage for others to read: MLflow's dataset inputs, and OpenLineage events.

Events go to .towpath/openlineage.jsonl, or wherever the environment says in OpenLineage's own variables: with
`OPENLINEAGE_URL` (and `OPENLINEAGE_API_KEY`) over HTTP. `OPENLINEAGE_DISABLED=true` sends none.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from towpath_flows.data.sources.base import Input
from towpath_gitops import layout
from towpath_gitops.records.lineage import LineageInput
from towpath_gitops.records.release import Release

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient

EVENTS: Final = "openlineage.jsonl"
PRODUCER: Final = "https://pypi.org/project/towpath"
NAMESPACE: Final = "towpath"
MOST_DATASETS: Final = 100  # inputs that MLflow is told of; lineage.json has them all
_SETTINGS: Final = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_ENDPOINT")


def inputs_of(found: Sequence[Input]) -> tuple[LineageInput, ...]:
    """Return what was read as the record keeps it."""
    return tuple(LineageInput(uri=each.uri, digest=each.digest, size_bytes=each.size_bytes) for each in found)


# --- MLflow -------------------------------------------------------------------------------------------------------


def datasets(source: str, data: str, rows: int, inputs: Sequence[Input]) -> list[Any]:
    """Return MLflow's dataset inputs: the rows that were trained on, and each thing that was read for them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415 (takes seconds)

    def one(name: str, digest: str, profile: dict[str, object], context: str) -> Any:  # noqa: ANN401 (MLflow has no types)
        kind = name.partition("://")[0] if "://" in name else "local"
        dataset = Dataset(
            name=name[-500:],
            digest=digest.removeprefix("sha256:")[:36],
            source_type=kind,
            source=json.dumps({"uri": name}),
            profile=json.dumps(profile),
        )
        return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])

    read = [
        one(each.uri, each.digest, {"size_bytes": each.size_bytes, "digest": each.digest}, "source")
        for each in inputs[:MOST_DATASETS]
    ]
    return [one(source, data, {"num_rows": rows, "digest": data}, "training"), *read]


# --- OpenLineage --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """A run that trains `model`: `run` is its UUID, `code` its commit, `inputs` what it has read by now."""

    model: str
    run: str
    code: str
    inputs: tuple[LineageInput, ...] = ()


def began(root: Path, training: Training, moment: datetime) -> None:
    """Send that a training has begun; what it reads is not known yet.

    Raises:
        Exception: whatever the transport raises, here and below; a training goes on without its events.
    """
    _send(root, training, "START", moment)


def completed(root: Path, training: Training, release: Release | None) -> None:
    """Send that a training is through, from which inputs, and with which release; None where it made none."""
    _send(root, training, "COMPLETE", datetime.now(UTC), release=release)


def failed(root: Path, training: Training, words: str, *, is_stopped: bool = False) -> None:
    """Send that a training failed, or was stopped by somebody; `words` are one line without values of the data."""
    _send(root, training, "ABORT" if is_stopped else "FAIL", datetime.now(UTC), error=words)


def _send(  # noqa: PLR0913 (what an event tells)
    root: Path,
    training: Training,
    state: str,
    moment: datetime,
    *,
    release: Release | None = None,
    error: str | None = None,
) -> None:
    if os.environ.get("OPENLINEAGE_DISABLED", "").lower() in {"1", "true"}:
        return
    client = _client(root)
    client.emit(_event(state, moment, training, release, error))
    client.close()


def _client(root: Path) -> "OpenLineageClient":
    from openlineage.client import OpenLineageClient  # noqa: PLC0415 (only where events are sent)
    from openlineage.client.transport.file import FileConfig, FileTransport  # noqa: PLC0415 (as above)

    if any(name in os.environ for name in _SETTINGS) or any(name.startswith("OPENLINEAGE__") for name in os.environ):
        before = set(os.environ)
        client = OpenLineageClient()
        for name in set(os.environ) - before:  # where it keeps what it made of OPENLINEAGE_URL
            del os.environ[name]
        return client
    path = layout.state(root, EVENTS)
    path.parent.mkdir(parents=True, exist_ok=True)
    return OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(path), append=True)))


def _event(state: str, moment: datetime, training: Training, release: Release | None, error: str | None) -> Any:  # noqa: ANN401 (OpenLineage's event)
    from openlineage.client.event_v2 import Job, OutputDataset, Run, RunEvent, RunState  # noqa: PLC0415 (as above)
    from openlineage.client.generated import source_code_location_job as location  # noqa: PLC0415 (as above)
    from openlineage.client.generated.error_message_run import ErrorMessageRunFacet  # noqa: PLC0415 (as above)

    code = location.SourceCodeLocationJobFacet(type="git", url="", version=training.code, producer=PRODUCER)
    told: dict[str, Any] = (
        {"errorMessage": ErrorMessageRunFacet(message=error, programmingLanguage="PYTHON")} if error else {}
    )
    made = [release] if release else []
    return RunEvent(
        eventType=RunState[state],
        eventTime=moment.isoformat(),
        run=Run(runId=training.run, facets=told),
        job=Job(namespace=NAMESPACE, name=f"{training.model}.train", facets={"sourceCodeLocation": code}),
        inputs=[_input(each) for each in training.inputs],
        outputs=[OutputDataset(NAMESPACE, f"{each.model}/release", facets=_version(each.id)) for each in made],
        producer=PRODUCER,
    )


def _input(each: LineageInput) -> Any:  # noqa: ANN401 (OpenLineage's dataset)
    from openlineage.client.event_v2 import InputDataset  # noqa: PLC0415 (only where events are sent)
    from openlineage.client.generated.data_quality_metrics_input_dataset import (  # noqa: PLC0415 (as above)
        DataQualityMetricsInputDatasetFacet,
    )

    namespace, name = _named(each.uri)
    size = DataQualityMetricsInputDatasetFacet(columnMetrics={}, bytes=each.size_bytes, producer=PRODUCER)
    return InputDataset(namespace, name, facets=_version(each.digest), inputFacets={"dataQualityMetrics": size})


def _version(digest: str) -> dict[str, Any]:
    from openlineage.client.generated import dataset_version_dataset as versions  # noqa: PLC0415 (as above)

    return {"version": versions.DatasetVersionDatasetFacet(datasetVersion=digest, producer=PRODUCER)}


def _named(uri: str) -> tuple[str, str]:
    """Return namespace and name as OpenLineage writes them: `s3://bucket` and the key, `file` and a path."""
    scheme, found, rest = uri.partition("://")
    if not found:
        return "file", uri
    place, _, name = rest.partition("/")
    return f"{scheme}://{place}", name or place
