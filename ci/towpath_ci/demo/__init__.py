"""The whole loop as a story, told with the same verbs that a user types."""

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from rich.console import Console

from towpath_ci.demo import acts, scaffold, troupe
from towpath_ci.demo.story import Story
from towpath_ci.demo.summary import summarise
from towpath_ci.demo.theatre import Person, Theatre
from towpath_ci.demo.traffic import Traffic
from towpath_gitops import layout


def tell(stage: Path, repository: Path | None) -> None:
    """Tell the story below the folder `stage`, on the flights example or on a copy of `repository`.

    Raises:
        StoryError: a command answered otherwise than the story says.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    scaffold.strike(stage)
    troupe.assemble()
    root = stage / (repository.name if repository else "flights")
    theatre = Theatre(Console(), stage, Person("Ada", "ada@example.com"))
    try:
        story = _begin(theatre, root, repository)
        _live(story)
    finally:
        if root.is_dir():
            subprocess.run([sys.executable, "-m", "towpath_ci", "down"], cwd=root, check=False, capture_output=True)


def _begin(theatre: Theatre, root: Path, repository: Path | None) -> Story:
    with theatre.act("Scaffold", "A model repository is made, with a bare git remote beside it. No account, no cloud."):
        if repository:
            scaffold.duplicate(repository, root)
        else:
            scaffold.render(theatre, root)
        scaffold.publish(theatre, root)
        scaffold.provide_data(theatre, root, root.parent / "cache")
    story = Story(theatre, root, theatre.author)
    path = layout.environment_path(story.environments[-1], story.spec.name)
    story.approver = scaffold.approver(root, path)
    return story


def _live(story: Story) -> None:
    acts.train(story)
    acts.promote(story)
    acts.serve(story)
    with Traffic(story.port, story.sample_rows()) as traffic:
        acts.notice(story)
        acts.experiment(story)
        acts.refuse(story)
        acts.roll_back(story, traffic)
    acts.testify(story)
    summarise(story, traffic)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Let a polite end be one: what was started is stopped, as after Ctrl-C."""
    raise KeyboardInterrupt
