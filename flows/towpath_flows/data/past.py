"""The last release, as far as today's data is compared with it."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from towpath_flows.project import Project
from towpath_gitops import layout
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.records.artifact import REFERENCE
from towpath_gitops.records.evidence import Evidence, Kind, Verdict
from towpath_gitops.records.figures import DataFigures, find
from towpath_gitops.records.release import Release

_LOOKED_AT: Final = 5  # releases, newest first; each costs a look at its evidence


@dataclass(frozen=True)
class Past:
    """The newest release whose data was found good: how many rows it had, and its reference sample of them.

    `reference` has a column for each input of that release, as they are served, and some of Towpath's own.
    """

    release: Release
    rows: int | None
    reference: pd.DataFrame


def last_release(project: Project) -> Past | None:
    """Return the newest of the last five releases with green data evidence; None where there is none.

    A release that learned from bad data is no measure for what comes after it.

    Raises:
        UnavailableError: the registry does not answer.
        DigestMismatchError: the registry's bytes are not those that were registered.
    """
    uri = layout.tracking_uri(project.root)
    if uri == f"sqlite:///{layout.state(project.root, 'mlflow.db').resolve()}" and not _exists(project):
        return None  # before the first training; asking would make the database
    registry = Registry(uri)
    for release in registry.releases(project.spec.name)[:_LOOKED_AT]:
        evidence = registry.evidence(release)
        data = evidence.get(Kind.DATA)
        if data is not None and data.verdict is Verdict.PASS:
            folder = registry.fetch(release, layout.store(project.root))
            return Past(release, _rows(evidence), pd.read_parquet(folder / REFERENCE))
    return None


def _exists(project: Project) -> bool:
    return layout.state(project.root, "mlflow.db").exists()


def _rows(evidence: dict[Kind, Evidence]) -> int | None:
    figures = find(evidence, Kind.DATA, DataFigures)
    return figures.total if figures else None
