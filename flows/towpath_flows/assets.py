"""What a run makes, told to others: assets on Prefect's pages, events of OpenLineage. A run never fails by telling."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from prefect.assets import Asset, add_asset_metadata, materialize
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from towpath_flows import announcing, lineage
from towpath_flows.data.sources import Table
from towpath_flows.project import Project
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.release import Release

MOST_UPSTREAM: Final = 20  # inputs that the data asset is drawn from
_LONGEST_KEY: Final = 500
_OPEN: Final[dict[str, tuple[Path, lineage.Training]]] = {}  # by run: trainings whose end was not sent yet


def tell_of_data(project: Project, table: Table) -> None:
    """Let the rows be an asset, made from what was read for them; outside of a run there is nobody to tell."""
    if not announcing.is_run():
        return
    key = f"towpath://{project.spec.name}/data"
    facts = {"digest": table.digest, "rows": len(table.frame), "source": table.source, "bytes": table.memory_bytes}
    upstream = list(dict.fromkeys(asset_key(each.uri) for each in table.inputs))[:MOST_UPSTREAM]
    told = _data.with_options(assets=[Asset(key=key)], asset_deps=list[str | Asset](upstream))
    told(key, facts | {"inputs": {each.uri: each.digest for each in table.inputs[:MOST_UPSTREAM]}})


@materialize("towpath://model/data", by="towpath", name="tell of data", persist_result=False, cache_policy=NO_CACHE)
def _data(key: str, facts: dict[str, Any]) -> None:
    add_asset_metadata(key, facts)


def asset_key(uri: str) -> str:
    """Return the key of an input's asset: an address as it is, a path as `file://…`, without signs that keys lack."""
    address = uri if re.match(r"[a-z0-9]+://", uri) else f"file://{re.sub(r'^[a-z0-9+]+://', '', uri)}"
    return re.sub(r"[^A-Za-z0-9._:/@=+-]", "_", address)[:_LONGEST_KEY]


# --- OpenLineage --------------------------------------------------------------------------------------------------


def begin(project: Project, code: str) -> None:
    """Send that the training of this run has begun, and see to it that its end is sent, whichever it is."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return
    run = context.flow_run
    training = lineage.Training(project.spec.name, str(run.id), code)
    _OPEN[training.run] = project.root, training
    for hooks in (
        context.flow.on_completion_hooks,
        context.flow.on_failure_hooks,
        context.flow.on_crashed_hooks,
        context.flow.on_cancellation_hooks,
    ):
        if _conclude not in hooks:
            hooks.append(_conclude)
    with _forgiven():
        lineage.began(project.root, training, run.start_time or datetime.now(UTC))


def read(table: Table) -> None:
    """Keep what the run has read, for the event that ends it."""
    root, training = _open()
    if training is not None:
        _OPEN[training.run] = root, replace(training, inputs=lineage.inputs_of(table.inputs))


def announce(release: Release) -> None:
    """Send that the run's training is through, with this release."""
    root, training = _open()
    if training is not None:
        del _OPEN[training.run]
        with _forgiven():
            lineage.completed(root, training, release)


def _open() -> tuple[Path, lineage.Training | None]:
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return _OPEN.get(str(run.id), (Path(), None)) if run else (Path(), None)


def _conclude(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ANN401 (Prefect's flow, run and state, as its hooks get them)
    """Send the end of a run that no release has ended."""
    del flow
    root, training = _OPEN.pop(str(flow_run.id), (Path(), None))
    if training is None:
        return
    with _forgiven():
        if state.is_completed():
            lineage.completed(root, training, None)
        else:
            lineage.failed(root, training, _in_words(state), is_stopped=state.is_cancelled())


def _in_words(state: Any) -> str:  # noqa: ANN401 (Prefect's state)
    """Return the first beat of an error of ours, of others the type alone: their words may hold values of the data."""
    error = state.result(raise_on_failure=False) if state.is_final() else None
    if isinstance(error, TowpathError):
        return error.what.splitlines()[0].rstrip(":")
    return type(error).__name__ if isinstance(error, BaseException) else str(state.name)


@contextmanager
def _forgiven() -> Iterator[None]:
    """Name in the log who does not take an event, and go on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (transports raise what they like, and the training stands)
        announcing.warn(f"The lineage was not sent to OpenLineage: {type(error).__name__}: {error}")
