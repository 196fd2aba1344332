"""What a stage tells while it runs: log lines, events, artifacts on Prefect's pages; outside a run, log lines."""

import logging
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import emit_event
from prefect.logging import get_run_logger

_LOGGER = logging.getLogger("towpath")


def is_run() -> bool:
    """Return whether Prefect runs this code in a flow or a task, rather than somebody as a plain function."""
    return (TaskRunContext.get() or FlowRunContext.get()) is not None


def say(words: str, *, done: int | None = None, total: int | None = None) -> None:
    """Log one line, to the run's log where there is a run; `done` of `total` steps move whoever shows a bar."""
    steps = {"steps_done": done, "steps_total": total}
    (get_run_logger() if is_run() else _LOGGER).info("%s", words, extra=steps)


def warn(words: str) -> None:
    """Log one line that somebody should look at."""
    (get_run_logger() if is_run() else _LOGGER).warning("%s", words)


def show_markdown(key: str, markdown: str, description: str) -> None:
    """Put a page beside the run; later ones with the same key are its next versions."""
    if is_run():
        create_markdown_artifact(markdown, key=_key(key), description=description)


def show_table(key: str, rows: list[dict[str, Any]], description: str) -> None:
    """Put a table beside the run."""
    if is_run():
        create_table_artifact(rows, key=_key(key), description=description)


def progress(description: str, total: int) -> Callable[[int], None]:
    """Return a function that takes how many of `total` steps are done and moves a progress bar on Prefect's page."""
    if not is_run() or total < 1:
        return lambda _: None
    identity = create_progress_artifact(progress=0.0, description=description)
    if not isinstance(identity, UUID):
        message = "progress is shown from synchronous stages only"
        raise TypeError(message)

    def advance(done: int) -> None:
        update_progress_artifact(identity, progress=min(100.0, 100.0 * done / total))

    return advance


def emit(event: str, model: str, payload: dict[str, Any]) -> None:
    """Send an event about the model to Prefect, where automations wait for it (`triggers` in prefect.yaml)."""
    if is_run():
        resource = {"prefect.resource.id": f"towpath.model.{model}", "prefect.resource.name": model}
        emit_event(event=f"towpath.{event}", resource=resource, payload=payload)


def _key(text: str) -> str:
    """Return a key as Prefect wants it: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
