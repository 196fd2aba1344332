"""The command line itself: its contents, its help, its exit codes, its speed."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import typer

from towpath_ci import exit_codes
from towpath_ci.lazy import INTERRUPTED, Verb, command_line
from towpath_ci.main import VERBS
from towpath_gitops.errors import TowpathError

ROOT = Path(__file__).parents[2]


def towpath(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, and in a terminal of 100 columns."""
    return subprocess.run(
        [sys.executable, "-m", "towpath_ci", *arguments],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


def run(act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command line whose only verb is `act`, in this process; return its exit code."""
    module = ModuleType("acting")
    module.app = typer.Typer(add_completion=False)  # type: ignore[attr-defined]  # a module made for this test
    module.app.command()(act)
    monkeypatch.setitem(sys.modules, "acting", module)
    with pytest.raises(SystemExit) as stopped:
        command_line({"act": Verb(panel="Test", module="acting", help="Act.")}, epilog="")(["act"])
    return int(stopped.value.code or 0)


def test_help_is_a_table_of_contents() -> None:
    """Every verb of the table is listed under its panel, and nobody has to scroll sideways."""
    text = towpath("--help").stdout
    assert max(map(len, text.splitlines())) <= 100
    for name, verb in VERBS.items():
        assert f"─ {verb.panel} " in text
        assert f"│ {name} " in text
        assert verb.help in text


def test_help_imports_the_command_line_alone() -> None:
    """The first page needs none of the libraries that verbs work with, so it is there at once."""
    code = (
        "import atexit, runpy, sys; before = set(sys.modules); sys.argv[1:] = ['--help'];"
        "atexit.register(lambda: print(*set(sys.modules) - before, file=sys.stderr));"
        "runpy.run_module('towpath_ci', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in done.stderr.split()} - sys.stdlib_module_names
    assert packages == {"towpath_ci", "towpath_gitops", "typer", "annotated_doc", "shellingham"}


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_says_what_its_line_in_the_contents_says(name: str) -> None:
    """A verb's own help begins with its line in the table of contents, and its page shows an example."""
    module = import_module(VERBS[name].module)
    command = typer.main.get_command(module.app)
    assert (command.help or "").splitlines()[0] == VERBS[name].help
    assert (command.epilog or "").startswith("Example: towpath " + name)


def test_a_misspelt_verb_is_met_with_a_suggestion() -> None:
    """What is not understood exits with 2 and names the verb that was probably meant."""
    done = towpath("trian")
    assert done.returncode == 2
    assert "train" in done.stderr


@pytest.mark.parametrize("error", list(exit_codes.errors()), ids=lambda error: error.__name__)
def test_errors_become_three_beats_and_their_exit_code(
    error: type[TowpathError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What happened, why and what to do next stand on stderr, nothing on stdout, and scripts see the class's code."""

    def act() -> None:
        raise error("It broke [here].", why="Because of [that].", hint="Do this.")

    assert run(act, monkeypatch) == error.exit_code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.strip() for line in shown.err.splitlines()] == [
        "✗ It broke [here].",
        "Because of [that].",
        "→ Do this.",
    ]


def test_each_error_has_a_code_of_its_own() -> None:
    """No two errors share an exit code, and none takes those of the shell or of the command line."""
    codes = [error.exit_code for error in exit_codes.errors()]
    assert len(set(codes)) == len(codes)
    assert not {0, 1, 2, INTERRUPTED} & set(codes)


def test_the_page_of_exit_codes_is_current() -> None:
    """docs/exit-codes.md is what the errors say; renew it with `python -m towpath_ci.exit_codes`."""
    assert (ROOT / "docs/exit-codes.md").read_text() == exit_codes.render()


def test_a_bug_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw passes through, traceback and all."""

    def act() -> None:
        message = "a bug"
        raise ZeroDivisionError(message)

    with pytest.raises(ZeroDivisionError):
        run(act, monkeypatch)


def test_an_interruption_exits_as_shells_expect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C leaves 130 and one calm sentence."""

    def act() -> None:
        raise KeyboardInterrupt

    assert run(act, monkeypatch) == INTERRUPTED
    assert "Interrupted" in capsys.readouterr().err


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A verb whose library is not installed says which extra brings it."""

    def act() -> None:
        message = "No module named 'optuna'"
        raise ModuleNotFoundError(message, name="optuna.trial")

    assert run(act, monkeypatch) == 15
    assert "pip install 'towpath[flows]'" in capsys.readouterr().err


def test_a_missing_module_of_our_own_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only libraries that an extra brings are explained away."""

    def act() -> None:
        message = "No module named 'towpath_ci.nothing'"
        raise ModuleNotFoundError(message, name="towpath_ci.nothing")

    with pytest.raises(ModuleNotFoundError):
        run(act, monkeypatch)


def test_a_full_disk_is_told_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Which file, what the system says of it, and what to do; it may succeed later."""

    def act() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/notes.md")

    assert run(act, monkeypatch) == 11
    told = capsys.readouterr().err
    assert "/somewhere/notes.md" in told
    assert os.strerror(errno.ENOSPC) in told


def test_a_file_that_nobody_expected_to_miss_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the machine lacks is explained away."""

    def act() -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/somewhere/notes.md")

    with pytest.raises(FileNotFoundError):
        run(act, monkeypatch)
