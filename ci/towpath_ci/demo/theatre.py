"""How the story is shown: acts that are timed, commands that are run for all to see, people who run them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.panel import Panel

from towpath_ci.demo import troupe
from towpath_gitops.errors import StoryError


@dataclass(frozen=True)
class Person:
    """Somebody with a git identity."""

    name: str
    email: str

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which git knows who acts."""
        return {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", self.name), ("EMAIL", self.email))
        }


@dataclass
class Theatre:
    """Runs the story's commands in `folder` and keeps how long each act took, in seconds."""

    console: Console
    folder: Path
    author: Person
    took_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def act(self, title: str, about: str) -> Iterator[None]:
        """Announce an act, and keep its duration."""
        number = len(self.took_s) + 1
        self.console.print()
        self.console.print(Panel(about, title=f"[bold]{number}. {title}[/]", title_align="left", border_style="cyan"))
        start = time.monotonic()
        yield
        self.took_s[title] = time.monotonic() - start

    def say(self, text: str) -> None:
        """Let the narrator speak."""
        self.console.print(f"[cyan]▌[/] {text}")

    def towpath(self, *arguments: str, by: Person | None = None, expect: int = 0) -> None:
        """Run a verb as the user would type it.

        Raises:
            StoryError: it exits otherwise than with `expect`.
        """
        self.run("towpath", *arguments, by=by, expect=expect)

    def run(self, *command: str, by: Person | None = None, expect: int = 0) -> None:
        """Show a command, run it with its output in full view, and compare its exit code with the story.

        Raises:
            StoryError: it exits otherwise than with `expect`.
        """
        person = by or self.author
        shown = " ".join(f"“{word}”" if " " in word else word for word in command)
        self.console.print(f"\n[bold green]{person.name} $[/] [bold]{shown}[/]", highlight=False)
        start = time.monotonic()
        code = self._run(command, self._environment(person))
        self.console.print(f"[dim]{time.monotonic() - start:.1f} s[/]", highlight=False)
        if code != expect:
            raise StoryError(
                f"The demo stopped: `{shown}` exited with {code}, the story expects {expect}.",
                why="The lines above say what happened.",
                hint=f"The repository is kept in {self.folder}. Run the demo again to start afresh.",
            )

    def _run(self, command: tuple[str, ...], environment: dict[str, str]) -> int:
        sys.stdout.flush()
        if command[0] == "towpath" and command[1] not in troupe.ALONE:
            return troupe.play(command[1:], self.folder, environment)
        return subprocess.run(self._argv(command), cwd=self.folder, env=environment, check=False).returncode

    def _argv(self, command: tuple[str, ...]) -> list[str]:
        """Let `towpath` and `python` be those of this very environment, whatever else is on the path."""
        own = {"towpath": [sys.executable, "-m", "towpath_ci"], "python": [sys.executable]}
        return [*own.get(command[0], [command[0]]), *command[1:]]

    def _environment(self, person: Person) -> dict[str, str]:
        binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**os.environ, **person.environment, "PATH": binaries}
