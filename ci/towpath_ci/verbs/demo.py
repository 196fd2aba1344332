"""`towpath demo`: the whole loop, from `copier copy` to a rehearsed rollback."""

from pathlib import Path
from typing import Annotated

import typer

from towpath_ci.lazy import verb

app = verb()


@app.command(epilog="Example: towpath demo --repository ../my-model")
def demo(
    folder: Annotated[Path, typer.Option(help="Where the story takes place; cleared at the start.")] = Path(".demo"),
    repository: Annotated[
        Path | None,
        typer.Option(
            help="Tell the story on a copy of this model repository, not on the flights example.", exists=True
        ),
    ] = None,
) -> None:
    """Live through the whole loop on real flights, in minutes.

    Scaffold a repository, train, promote, serve, monitor, retrain, experiment, refuse, roll back and testify.
    Everything is real and on this machine: git, Prefect, MLflow, BentoML; nothing is left running at the end.
    """
    from towpath_ci.demo import tell  # noqa: PLC0415 (pandas, MLflow: imported when the story begins)

    tell(folder.resolve(), repository.resolve() if repository else None)
