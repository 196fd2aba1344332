"""What a run makes, told to others: assets on Prefect's pages, events of OpenLineage. A run never fails by telling."""

import re
from pathlib import Path
from typing import Any, Final

from prefect.assets import Asset, add_asset_metadata, materialize
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from towpath_flows import announcing, lineage
from towpath_flows.data.sources import Table
from towpath_flows.project import Project
from towpath_gitops.records.lineage import Lineage
from towpath_gitops.records.release import Release

MOST_UPSTREAM: Final = 20  # inputs that the data asset is drawn from
_LONGEST_KEY: Final = 500


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


def announce(root: Path, release: Release, record: Lineage) -> None:
    """Send OpenLineage's events of a finished training; whoever does not take them is named in the log."""
    run = FlowRunContext.get()
    flow_run = run.flow_run if run else None
    began = (flow_run.start_time if flow_run else None) or record.created
    identity = str(flow_run.id) if flow_run else None
    try:
        lineage.announce(root, release, record, began=began, run=identity)
    except Exception as error:  # noqa: BLE001 (transports raise what they like, and the release stands)
        announcing.warn(f"The lineage was not sent to OpenLineage: {type(error).__name__}: {error}")
