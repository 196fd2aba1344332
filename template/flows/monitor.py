"""Monitor: what has drifted since the champion was trained, and whether it costs accuracy."""

from datetime import datetime

from prefect import flow
from towpath_flows import stages


@flow(name="monitor", persist_result=True, result_serializer="json")
def monitor(since: datetime | None = None, until: datetime | None = None, journal: str | None = None) -> str:
    """Return the folder of the report on the rows from `since` to `until` (default: monitor.window in model.yaml).

    `journal` is where the service remembers its answers (a folder or s3://…); the local service's own is found.
    """
    project = stages.open_project(clean=False)
    release = stages.champion(project)
    table = stages.load_window(project, since, until)
    report = stages.watch(project, release, table, journal)
    return stages.report(project, report)


if __name__ == "__main__":
    with stages.local_api():
        monitor()
