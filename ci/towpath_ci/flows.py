"""Run a flow of the repository in this process, and tell what its stages do."""

import gc
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from inspect import signature
from pathlib import Path
from time import monotonic
from typing import Any, Final

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from towpath_ci.console import mark, plain, stderr, working
from towpath_gitops.errors import InvalidFileError, NotFoundError, TrainingError

# Prefect's own lines go to its page only; the console shows one line for each stage instead.
_QUIET: Final = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "PREFECT_LOGGING_LEVEL": "INFO"}

_TIMED_OUT: Final = "Task run exceeded timeout"  # how Prefect's line on it begins; its error names no stage
_COLLECT_AFTER: Final = 50_000  # objects made since the last look for cycles; Python looks after 700
_SHOWN: Final = 70  # characters beside the spinner; a second line would flicker


@contextmanager
def briskly() -> Iterator[None]:
    """Load what a training needs, some five thousand modules, in two thirds of the time.

    Python looks for cycles among the million objects of these modules so often that it takes a fifth of the loading:
    inside it looks less often. And skops, when it is loaded, looks for scipy's functions in all modules there are, in
    the order in which they were loaded: scipy comes first.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(_COLLECT_AFTER, before[0]), *before[1:])
    try:
        with suppress(ImportError):  # whoever needs it says that it is missing
            import scipy.special  # noqa: F401, PLC0415 (heavy)
        yield
    finally:
        gc.set_threshold(*before)


def run_flow(root: Path, name: str, **parameters: object) -> Any:  # noqa: ANN401 (the owner's flow may return anything)
    """Run the flow `name` of `root`/flows/`name`.py against the repository's Prefect API; return what it returns.

    Parameters that are None are not handed over. A moment without a time zone is in UTC.

    Raises:
        NotFoundError: there is no such file.
        InvalidFileError: it holds no flow of that name, or one that does not take a parameter that is given.
        UnavailableError: Prefect's server does not start.
        TrainingError: a stage took longer than it may. Whatever the flow raises passes through.
    """
    from towpath_flows.server import ensure_api, local_api  # noqa: PLC0415 (verbs that look do without)

    path = root / "flows" / f"{name}.py"
    if not path.is_file():
        raise NotFoundError(f"There is no {path}", why=f"`towpath {name}` runs the flow `{name}` in it.")
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)
    with working("Prefect's server"):
        ensure_api(root)
    with local_api(root), chdir(root):
        with working("Loading the flow and its libraries"):
            flow = _load(path, name)
        given = {key: _aware(value) for key, value in parameters.items() if value is not None}
        _require(flow, given, path)
        with _told():
            return flow(**given)


def _aware(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _require(flow: Callable[..., Any], given: Iterable[str], path: Path) -> None:
    """Refuse what the owner's flow does not take."""
    known = signature(getattr(flow, "fn", flow)).parameters
    missing = [name for name in given if name not in known]
    if missing:
        raise InvalidFileError(
            f"The flow in {path} takes no parameter {', '.join(missing)}",
            why=f"It takes {', '.join(known) or 'none'}.",
            hint="Take it over from the template: make update",
        )


def _load(path: Path, name: str) -> Callable[..., Any]:
    spec = spec_from_file_location(f"towpath_flow_{name}", path)
    if spec is None or spec.loader is None:
        raise InvalidFileError(f"{path} cannot be loaded as Python")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not callable(found):
        raise InvalidFileError(f"{path} holds no flow called {name}", hint=f"Define it: @flow def {name}(since, until)")
    flow: Callable[..., Any] = found
    return flow


@contextmanager
def _told() -> Iterator[None]:
    """Show what the stages of the flow log, for as long as it runs.

    Raises:
        TrainingError: a stage was ended for the time that it took.
    """
    teller = _Teller()
    loggers = [logging.getLogger(name) for name in ("prefect.task_runs", "prefect.flow_runs", "towpath")]
    for logger in loggers:
        logger.addHandler(teller)
    try:
        with teller:
            yield
    except TimeoutError as error:
        if teller.late is None:
            raise
        stage, words = teller.late
        raise TrainingError(
            f"The stage “{stage}” took longer than it may",
            why=f"{words}.",
            hint="Ask it for less, or allow it more in the flow: stages.fit.with_options(timeout_seconds=4 * 3600)(…)",
        ) from error
    finally:
        for logger in loggers:
            logger.removeHandler(teller)


class _Teller(logging.Handler):
    """Shows each stage as it ends, its words below it, and on a terminal what runs now."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._console = stderr()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._running = self._progress.add_task("Starting", total=None)
        self._last = monotonic()
        self.late: tuple[str, str] | None = None  # the stage that was ended for the time it took, and Prefect's words

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line of a stage."""
        stage = str(getattr(record, "task_name", "")) or "flow"
        words = record.getMessage()
        if words.startswith("Finished in state Completed") and stage != "flow":
            now = monotonic()
            self._print(f"{mark('ok')} {plain(stage)} [dim]{now - self._last:.1f} s[/]")
            self._last = now
        elif words.startswith(_TIMED_OUT):
            self.late = stage, words
        elif record.levelno == logging.WARNING:
            self._print(f"  {mark('warn')} {plain(words)}")
        elif record.levelno == logging.INFO and getattr(record, "funcName", "") in {"say", "warn"}:
            self._print(f"  [dim]{plain(words)}[/]")
            self._show(f"{stage}: {words}"[:_SHOWN], record)

    def _show(self, words: str, record: logging.LogRecord) -> None:
        """Move the bar: it pulses where nobody knows how much there is to do."""
        done, total = getattr(record, "steps_done", None), getattr(record, "steps_total", None)
        self._progress.update(self._running, description=plain(words), completed=done or 0, total=total)

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)
