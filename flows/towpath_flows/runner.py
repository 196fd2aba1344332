"""Where the tasks that a flow submits run: in threads, or on the workers of the cluster that model.yaml names."""

from pathlib import Path
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from towpath_flows.cluster import address_of, local_settings
from towpath_flows.server import find_root
from towpath_flows.spec import load_spec
from towpath_gitops.errors import MissingDependencyError, TowpathError


def task_runner() -> TaskRunner[Any]:
    """Return Prefect's task runner for `@flow(task_runner=task_runner())`, after `train.cluster` in model.yaml.

    Only tasks that are submitted go there (`stages.evaluate.submit(…)`); those that are called run in the flow's own
    process, `tune` and `fit` among them: these bring their work to the workers themselves. A submitted stage needs the
    repository's folder at the same place on the worker. Where model.yaml cannot be read, tasks run in threads, and
    `open_project` says what is wrong with it.

    Raises:
        MissingDependencyError: prefect-dask is not installed.
    """
    try:
        spec = load_spec(find_root(Path.cwd())).train.cluster
        address = address_of(spec) if spec else None
    except TowpathError:
        return ThreadPoolTaskRunner()
    if spec is None:
        return ThreadPoolTaskRunner()
    try:
        from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise MissingDependencyError(
            "prefect-dask is not installed",
            why=f"model.yaml asks for a cluster under train.cluster: {error}",
            hint="pip install 'towpath[dask]', or take train.cluster out",
        ) from error
    runner: TaskRunner[Any] = (
        DaskTaskRunner(address=address) if address else DaskTaskRunner(cluster_kwargs=local_settings(spec.workers or 1))
    )
    return runner
