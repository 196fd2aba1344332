"""The weekly pull request for what is new in the template: its script, run as GitHub would, on a real remote."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Git = Callable[..., str]
Run = Callable[..., subprocess.CompletedProcess[str]]

# What `gh` is asked is written down; there are as many open pull requests for the branch as OPEN says.
GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$ASKED"
if [ "$1 $2" = "pr list" ]; then echo "${OPEN:-0}"; fi
"""


@pytest.fixture
def root(source: Path, render: Callable[..., Path], commit: Callable[[Path], str], git: Git, tmp_path: Path) -> Path:
    """Return a repository for GitHub, pushed to its remote, whose template has a v2.0.0 by now."""
    folder = render(tmp_path / "r", {"forge": "github"})
    commit(folder)
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    git(folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(folder, "push", "--quiet", "origin", "main")
    path = source / "template/prefect.yaml.jinja"
    path.write_text(path.read_text().replace("From rows to a registered release.", "From rows to a release."))
    commit(source)
    git(source, "tag", "v2.0.0")
    return folder


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Run:
    """Return a function that runs the script of the workflow's last step."""
    job = yaml.safe_load((root / ".github/workflows/update.yml").read_text())["jobs"]["update"]
    step = job["steps"][-1]
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gh").write_text(GH)
    (tools / "gh").chmod(0o755)
    given = {name: value for name, value in step["env"].items() if "${{" not in value}
    path = f"{tools}:{os.environ['PATH']}"
    environment = os.environ | given | {"PATH": path, "VENV": sys.prefix, "ASKED": str(tmp_path / "asked")}

    def script(**variables: str) -> subprocess.CompletedProcess[str]:
        # The options are those with which GitHub runs a step.
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
        variables = {"OWN_TOKEN": "", "GH_TOKEN": "secret"} | variables
        return subprocess.run(
            command, cwd=root, env=environment | variables, check=False, capture_output=True, text=True
        )

    return script


@pytest.fixture
def asked(tmp_path: Path) -> Callable[[], str]:
    """Return a function that tells what GitHub was asked to do."""
    return lambda: (tmp_path / "asked").read_text() if (tmp_path / "asked").exists() else ""


def proposed(root: Path, git: Git) -> list[str]:
    """Return the files in which the branch on the remote differs from main; none where there is no branch."""
    if not git(root, "ls-remote", "origin", "template-update"):
        return []
    git(root, "fetch", "--quiet", "origin", "template-update")
    return git(root, "diff", "--name-only", "main", "FETCH_HEAD").splitlines()


def test_what_is_new_becomes_a_pull_request(root: Path, run: Run, git: Git, asked: Callable[[], str]) -> None:
    """One branch with what changed, one pull request; the next week refreshes both, and main is not touched."""
    main = git(root, "rev-parse", "main")
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert proposed(root, git) == [".copier-answers.yml", "prefect.yaml", "pyproject.toml"]
    assert "pr create --head template-update --base main --title Update from the template" in asked()
    assert "--draft" not in asked()
    git(root, "switch", "--quiet", "main")
    git(root, "branch", "--quiet", "--delete", "--force", "template-update")
    again = run(OPEN="1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert asked().count("pr create") == 1
    assert asked().count("pr edit") == 1
    assert git(root, "ls-remote", "origin", "main").startswith(main)


def test_collisions_make_a_draft(
    root: Path, run: Run, git: Git, commit: Callable[[Path], str], asked: Callable[[], str]
) -> None:
    """Where the owner and the template changed the same line, the pull request is a draft that names the file."""
    path = root / "prefect.yaml"
    path.write_text(path.read_text().replace("From rows to a registered release.", "Ours."))
    commit(root)
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "prefect.yaml" in proposed(root, git)
    assert "--draft" in asked()
    assert "collide" in asked()
    assert "in: prefect.yaml" in asked()
    git(root, "switch", "--quiet", "main")
    git(root, "branch", "--quiet", "--delete", "--force", "template-update")
    assert run(OPEN="1").returncode == 0
    assert "pr ready template-update --undo" in asked()


def test_nothing_new_asks_for_nothing(root: Path, run: Run, git: Git, asked: Callable[[], str], source: Path) -> None:
    """A template that has not moved leads to no branch and no pull request."""
    git(source, "tag", "--delete", "v2.0.0")
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing new" in done.stdout
    assert (proposed(root, git), asked()) == ([], "")


def test_new_workflows_need_a_token_of_ones_own(
    root: Path, run: Run, git: Git, source: Path, commit: Callable[[Path], str]
) -> None:
    """GitHub would refuse the push: the run says what to do, and pushes nothing; with such a token it goes on."""
    (path,) = source.glob("template/.github/*/check.yml")
    path.write_text(path.read_text().replace("timeout-minutes: 30", "timeout-minutes: 40"))
    commit(source)
    git(source, "tag", "v3.0.0")
    done = run()
    assert (done.returncode, proposed(root, git)) == (1, [])
    assert "UPDATE_TOKEN" in done.stdout
    git(root, "switch", "--quiet", "--discard-changes", "main")
    git(root, "branch", "--quiet", "--delete", "--force", "template-update")
    assert run(OWN_TOKEN="secret").returncode == 0  # noqa: S106 (a word of the test)
    assert ".github/workflows/check.yml" in proposed(root, git)
