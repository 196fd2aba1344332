"""The stage is set: a model repository made by Copier (or a copy of one's own), a bare remote, and data."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from towpath_ci.demo.theatre import Person, Theatre
from towpath_flows.data_spec import FileSource
from towpath_flows.spec import ModelSpec, load_spec
from towpath_gitops.errors import NotFoundError, StoryError

APPROVER = "grace@example.com"
NOT_COPIED = (".git", ".venv", ".towpath")
PORTS = 10  # as many neighbouring environments as the template's ports may need


def template_source() -> Path:
    """Return the template's folder: the top of the source tree that this package was installed from.

    Raises:
        NotFoundError: the package was installed without its source tree.
    """
    top = Path(__file__).resolve().parents[3]
    if not (top / "copier.yml").is_file():
        raise NotFoundError(
            "The template is not beside the installed library.",
            why="The demo scaffolds a repository from the source tree.",
            hint="Run `make demo` in a clone of Towpath, or name a repository of yours with --repository.",
        )
    return top


def strike(stage: Path) -> None:
    """Stop what an earlier demo left running on `stage` and clear it; data that took time to make is kept."""
    for repository in stage.glob("*/.towpath"):
        subprocess.run(
            [sys.executable, "-m", "towpath_ci", "down"], cwd=repository.parent, check=False, capture_output=True
        )
    for path in stage.iterdir() if stage.exists() else ():
        if path.name != "cache":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    stage.mkdir(parents=True, exist_ok=True)


def free_port(neighbours: int = PORTS) -> int:
    """Return a port on loopback that is free now, as are the `neighbours` - 1 after it.

    Raises:
        OSError: no such run of ports was found.
    """
    for start in range(20_000, 32_000, neighbours):
        if all(_is_free(start + offset) for offset in range(neighbours)):
            return start
    message = "no free ports between 20000 and 32000"
    raise OSError(message)


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def render(theatre: Theatre, root: Path) -> None:
    """Scaffold the flights example with Copier, as a newcomer would."""
    answers = [f"approvers={APPROVER}", f"port={free_port()}"]
    options = [part for answer in answers for part in ("--data", answer)]
    theatre.folder = root.parent
    theatre.run(
        "copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD", *options, str(template_source()), root.name
    )


def duplicate(repository: Path, root: Path) -> None:
    """Copy a repository of the user's own, with its data and without its history: the original is never touched."""
    load_spec(repository)
    shutil.copytree(repository, root, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)


def publish(theatre: Theatre, root: Path) -> None:
    """Make the folder a git repository whose `origin` is a bare one beside it: all that the local forge needs."""
    theatre.folder = root
    theatre.run("git", "init", "--quiet", "--initial-branch=main")
    settings = {"user.name": theatre.author.name, "user.email": theatre.author.email, "commit.gpgsign": "false"}
    for key, value in settings.items():
        theatre.run("git", "config", key, value)
    theatre.run("git", "add", "--all")
    theatre.run("git", "commit", "--quiet", "--message=Begin a model repository")
    theatre.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "../forge.git")
    theatre.run("git", "remote", "add", "origin", str(root.parent / "forge.git"))
    theatre.run("git", "push", "--quiet", "--set-upstream", "origin", "main")


def data_file(spec: ModelSpec) -> str:
    """Return the path, from the root, of the file that the model learns from.

    Raises:
        StoryError: it learns from another source, of which the demo cannot tell.
    """
    if isinstance(spec.data.train, FileSource):
        return spec.data.train.file
    raise StoryError("The demo needs a model that learns from a file", hint="See data.train in model.yaml.")


def provide_data(theatre: Theatre, root: Path, cache: Path) -> None:
    """Make the training data if it is not there, and keep a copy for the next demo."""
    wanted = root / data_file(load_spec(root))
    kept = cache / wanted.name
    if wanted.exists():
        return
    if kept.exists():
        theatre.say(f"The data was made by an earlier demo; copied from {kept}.")
        wanted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(kept, wanted)
        return
    theatre.run("make", "data", f"VENV={sys.prefix}")
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copy2(wanted, kept.with_suffix(".tmp"))
    kept.with_suffix(".tmp").replace(kept)


def approver(root: Path, environment_file: str) -> Person:
    """Return the first owner of an environment file, who will approve in this story."""
    from towpath_gitops.layout import CODEOWNERS  # noqa: PLC0415 (keeps the imports above to what is shown)
    from towpath_gitops.promotion.codeowners import owners_of  # noqa: PLC0415 (as above)

    path = root / CODEOWNERS
    owners = owners_of(path.read_text(encoding="utf-8"), environment_file) if path.exists() else ()
    return Person("Grace", next(iter(owners), APPROVER))
