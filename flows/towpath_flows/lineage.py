"""Lineage for others to read: MLflow's dataset inputs, and OpenLineage events.

Events go to .towpath/openlineage.jsonl, or wherever the environment says in OpenLineage's own variables: with
`OPENLINEAGE_URL` (and `OPENLINEAGE_API_KEY`) over HTTP. `OPENLINEAGE_DISABLED=true` sends none.
"""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from towpath_flows.data.sources.base import Input
from towpath_gitops import layout
from towpath_gitops.records.lineage import Lineage, LineageInput
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


def announce(root: Path, release: Release, record: Lineage, *, began: datetime, run: str | None = None) -> None:
    """Send the two events of a finished training: it began, and it made this release from those inputs.

    `run` is the run's UUID; a new one where nobody has given it any.

    Raises:
        Exception: whatever the transport raises; a release stands without its events.
    """
    if os.environ.get("OPENLINEAGE_DISABLED", "").lower() in {"1", "true"}:
        return
    from openlineage.client.event_v2 import RunState  # noqa: PLC0415 (only where events are sent)

    client = _client(root)
    run_id = run or str(uuid4())
    for state, moment in ((RunState.START, began), (RunState.COMPLETE, datetime.now(UTC))):
        client.emit(_event(state, moment, run_id, release, record))
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


def _event(state: Any, moment: datetime, run_id: str, release: Release, record: Lineage) -> Any:  # noqa: ANN401 (OpenLineage's enum and event)
    from openlineage.client.event_v2 import (  # noqa: PLC0415 (only where events are sent)
        InputDataset,
        Job,
        OutputDataset,
        Run,
        RunEvent,
    )
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet  # noqa: PLC0415
    from openlineage.client.generated.source_code_location_job import SourceCodeLocationJobFacet  # noqa: PLC0415

    def version(digest: str) -> dict[str, Any]:
        return {"version": DatasetVersionDatasetFacet(datasetVersion=digest, producer=PRODUCER)}

    places = [(_named(each.uri), each.digest) for each in record.inputs] or [((NAMESPACE, record.source), record.data)]
    code = SourceCodeLocationJobFacet(type="git", url="", version=release.code, producer=PRODUCER)
    return RunEvent(
        eventType=state,
        eventTime=moment.isoformat(),
        run=Run(runId=run_id),
        job=Job(namespace=NAMESPACE, name=f"{release.model}.train", facets={"sourceCodeLocation": code}),
        inputs=[InputDataset(namespace, name, facets=version(digest)) for (namespace, name), digest in places],
        outputs=[OutputDataset(NAMESPACE, f"{release.model}/release", facets=version(release.id))],
        producer=PRODUCER,
    )


def _named(uri: str) -> tuple[str, str]:
    """Return namespace and name as OpenLineage writes them: `s3://bucket` and the key, `file` and a path."""
    scheme, found, rest = uri.partition("://")
    if not found:
        return "file", uri
    place, _, name = rest.partition("/")
    return f"{scheme}://{place}", name or place
