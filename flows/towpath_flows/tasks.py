"""How a stage becomes a Prefect task: what is tried again, how long it may take, and that nothing is pickled."""

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.task_engine import TaskRunTimeoutError
from prefect.tasks import Task

from towpath_gitops.errors import UnavailableError

P = ParamSpec("P")
R = TypeVar("R")

RETRY_DELAYS_S: Final = [1.0, 5.0, 30.0]
RETRIES: Final = len(RETRY_DELAYS_S)
STAGE_TIMEOUT_S: Final = 3600.0  # a stage that hangs must not hang for ever; tuning has a limit of its own besides


def retryable(_: "Task[..., Any]", __: Any, state: Any) -> bool:  # noqa: ANN401 (Prefect's state)
    """Try again only what may succeed later: whatever the data or the model are, they stay so.

    A stage that took longer than it may would do so again, though Prefect's error for that is one of the system's.
    """
    error = state.result(raise_on_failure=False)
    return isinstance(error, UnavailableError | OSError) and not isinstance(error, TaskRunTimeoutError)


def stage(name: str, *, outside: bool = False) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task; `outside` ones ask something that may be away for a moment."""
    return task(
        name=name,
        retries=RETRIES if outside else 0,
        retry_delay_seconds=RETRY_DELAYS_S if outside else None,
        retry_condition_fn=retryable if outside else None,
        timeout_seconds=STAGE_TIMEOUT_S,
        persist_result=False,
        cache_policy=NO_CACHE,
    )
