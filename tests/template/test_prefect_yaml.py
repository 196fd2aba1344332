"""prefect.yaml for each work pool, read by Prefect itself: its loader, its triggers, and the pools' own schemas."""

import asyncio
import inspect
import io
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., Path]
Loaded = Callable[[str], tuple[list[dict[str, Any]], list[dict[str, Any]]]]

POOLS = ("process", "managed", "kubernetes", "ecs")
every_pool = pytest.mark.parametrize("pool", POOLS)
IMAGE = "prefecthq/prefect:3.8.8-python3.12"
OF_STEPS = {"id", "requires"}  # what a step may say besides the arguments of its function


@pytest.fixture(scope="module")
def folder(render_at: Render, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the repository of a work pool, rendered once."""
    top = tmp_path_factory.mktemp("pools")

    def once(pool: str) -> Path:
        return top / pool if (top / pool).exists() else render_at(top / pool, {"work_pool": pool})

    return once


@pytest.fixture(scope="module")
def loaded(folder: Callable[[str], Path]) -> Loaded:
    """Return a function that gives deployments and pull steps of a work pool as `prefect deploy` reads them."""
    from prefect.cli.deploy._config import _load_deploy_configs_and_actions  # noqa: PLC0415 (Prefect takes seconds)
    from rich.console import Console  # noqa: PLC0415 (as above)

    def load(pool: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        said = io.StringIO()
        path = folder(pool) / "prefect.yaml"
        deployments, actions = _load_deploy_configs_and_actions(path, console=Console(file=said))
        assert said.getvalue() == ""  # it skips what it does not understand, and only says so
        return deployments, actions["pull"]

    return load


@every_pool
def test_prefect_reads_both_deployments(pool: str, loaded: Loaded) -> None:
    """Each has a schedule and a limit of one run at a time; a second training waits, a second look is dropped."""
    train, monitor = loaded(pool)[0]
    assert (train["name"], monitor["name"]) == ("flights-train", "flights-monitor")
    assert [len(each["schedules"]) for each in (train, monitor)] == [1, 1]
    assert train["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert monitor["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


@every_pool
def test_every_trigger_is_one_of_prefects(pool: str, loaded: Loaded) -> None:
    """Drift and a died run each start a training, at most once an hour; silence after four missed signs of life."""
    from prefect.cli.deploy._triggers import _initialize_deployment_triggers  # noqa: PLC0415 (Prefect takes seconds)

    drift, crash, silence = _initialize_deployment_triggers("flights-train", loaded(pool)[0][0]["triggers"])
    assert drift.expect == {"towpath.monitor.drifted", "towpath.monitor.costly"}
    assert (drift.within.total_seconds(), crash.within.total_seconds()) == (3600, 3600)
    assert silence.posture.value == "Proactive"
    assert silence.after == {"prefect.flow-run.heartbeat"} < silence.expect
    assert not any(trigger.parameters for trigger in (drift, crash, silence))  # they would be typed by their looks


@every_pool
def test_every_step_can_be_called_as_it_is_written(pool: str, loaded: Loaded) -> None:
    """Each pull step is a function of Prefect's that takes exactly these arguments."""
    steps = loaded(pool)[1]
    for (name, arguments), *more in (list(step.items()) for step in steps):
        assert not more
        module, _, function = name.rpartition(".")
        called = inspect.signature(getattr(import_module(module), function))
        called.bind(**{key: value for key, value in arguments.items() if key not in OF_STEPS})


@pytest.mark.parametrize("pool", [pool for pool in POOLS if pool != "managed"])
def test_the_pool_knows_every_variable(pool: str, loaded: Loaded) -> None:
    """The job variables are valid by the schema of Prefect's own template of such a pool."""
    from prefect.utilities.schema_tools import validate  # noqa: PLC0415 (Prefect takes seconds)

    known = template_of(pool)["variables"]
    for deployment in loaded(pool)[0]:
        variables = deployment["work_pool"]["job_variables"]
        assert set(variables) <= set(known["properties"])
        validate(variables, known, raise_on_error=True, ignore_required=True)
        assert variables["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


def template_of(pool: str) -> Any:  # noqa: ANN401 (JSON)
    """Return the base job template that `prefect work-pool create --type` gives a pool."""
    from prefect.server.api import collections_data  # noqa: PLC0415 (Prefect takes seconds)

    path = Path(next(iter(collections_data.__path__))) / "views" / "aggregate-worker-metadata.json"
    kinds = json.loads(path.read_text()).values()
    return next(each[pool]["default_base_job_configuration"] for each in kinds if pool in each)


def test_a_job_on_kubernetes_asks_for_its_size(loaded: Loaded) -> None:
    """The manifest that the worker would hand to the cluster holds image, CPU and memory; training asks for more."""
    from prefect.utilities.templating import apply_values  # noqa: PLC0415 (Prefect takes seconds)

    sizes = []
    for deployment in loaded("kubernetes")[0]:
        job = apply_values(template_of("kubernetes")["job_configuration"], deployment["work_pool"]["job_variables"])
        container = job["job_manifest"]["spec"]["template"]["spec"]["containers"][0]
        assert container["image"] == IMAGE
        sizes.append((container["resources"]["requests"], container["resources"]["limits"]["memory"]))
    assert sizes == [({"cpu": "2", "memory": "4Gi"}, "8Gi"), ({"cpu": "1", "memory": "2Gi"}, "4Gi")]


def test_a_task_on_ecs_is_of_a_size_that_fargate_has(loaded: Loaded) -> None:
    """prefect-aws itself builds the task from it: 1 CPU with 4 GiB, 2 CPU with 8 GiB."""
    from prefect.client.orchestration import PrefectClient  # noqa: PLC0415 (Prefect takes seconds)
    from prefect_aws.workers.ecs_worker import ECSJobConfiguration  # noqa: PLC0415 (as above)

    client = PrefectClient("http://127.0.0.1:9/api")  # asked only for blocks and variables, of which there are none
    for deployment, size in zip(loaded("ecs")[0], [(2048, 8192), (1024, 4096)], strict=True):
        variables = deployment["work_pool"]["job_variables"] | {"env": {}}
        job = asyncio.run(ECSJobConfiguration.from_template_and_values(template_of("ecs"), variables, client=client))
        assert (int(job.task_definition["cpu"]), int(job.task_definition["memory"])) == size
        assert job.task_definition["containerDefinitions"][0]["image"] == IMAGE
