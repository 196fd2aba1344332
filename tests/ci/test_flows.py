"""How the verbs that train and monitor find a flow and tell what its stages do."""

import gc
import logging
from pathlib import Path

import pytest

from towpath_ci import flows
from towpath_gitops.errors import InvalidFileError, NotFoundError, TrainingError


def test_a_missing_flow_is_said_before_any_server_starts(tmp_path: Path) -> None:
    """Nobody waits for Prefect to learn that a file is not there."""
    with pytest.raises(NotFoundError, match=r"flows/train\.py"):
        flows.run_flow(tmp_path, "train")
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_the_flow_is_named(tmp_path: Path) -> None:
    """The file must define what the verb is called."""
    path = tmp_path / "train.py"
    path.write_text("other = 1\n")
    with pytest.raises(InvalidFileError, match="no flow called train"):
        flows._load(path, "train")


def test_a_flow_that_does_not_take_a_parameter_is_named(tmp_path: Path) -> None:
    """A flow of an older template is not called with what it does not know; the message says how to renew it."""
    with pytest.raises(InvalidFileError, match="takes no parameter sample") as caught:
        flows._require(lambda since, until: (since, until), {"since", "sample"}, tmp_path / "train.py")
    assert "make update" in caught.value.hint


def test_libraries_are_loaded_with_few_looks_for_cycles() -> None:
    """Inside, Python looks for cycles far more rarely, but it does; afterwards as ever, whatever happened."""
    before, seen = gc.get_threshold(), []

    def fail() -> None:
        seen.append((gc.isenabled(), gc.get_threshold()))
        raise OSError

    with pytest.raises(OSError), flows.briskly():  # noqa: PT011 (any error would do)
        fail()
    assert seen == [(True, (50_000, *before[1:]))]
    assert gc.get_threshold() == before


def test_stages_are_told_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A stage that ends has one line, its warnings stand out, and Prefect's own chatter is left to its pages."""

    def log(words: str, level: int = logging.INFO, function: str = "say") -> None:
        record = logging.LogRecord("prefect.task_runs", level, "", 0, words, None, None, func=function)
        record.task_name = "load"
        teller.handle(record)

    teller = flows._Teller()
    log("Read [3] rows")
    log("Beginning subflow run", function="begin")
    log("evaluation: fail: too weak", logging.WARNING, "warn")
    log("Finished in state Completed()", function="finish")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["  Read [3] rows", "  ! evaluation: fail: too weak"]
    assert lines[2].startswith("✓ load ")
    assert len(lines) == 3


def test_a_stage_that_took_too_long_is_named() -> None:
    """Prefect's error names no stage, its line does; another timeout, such as a server's, stays what it is."""

    def end(words: str) -> None:
        logging.getLogger("prefect.task_runs").error(words, extra={"task_name": "fit", "send_to_api": False})
        raise TimeoutError

    with pytest.raises(TrainingError, match="stage “fit” took longer") as told, flows._told():
        end("Task run exceeded timeout of 3600.0 second(s)")
    assert "3600" in told.value.why
    assert "with_options" in told.value.hint
    with pytest.raises(TimeoutError), flows._told():
        end("Task run failed due to timeout")
