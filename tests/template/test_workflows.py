"""The workflows of a render and of this project: pinned, without standing permissions, and valid."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PLACES = ["template/.github/workflows", ".github/workflows"]
PINNED = re.compile(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}")
every_place = pytest.mark.parametrize("place", PLACES)

# Each breaks one rule; the check that it names must notice.
BROKEN = {
    "an action by its tag": ("@08c6903cd8c0fde910a37f88322edcfb5dd907a8", "@v5", "unpinned-uses"),
    "event text in a script": ("- run: make test", "- run: echo ${{ github.event.head_commit.message }}", "injection"),
    "kept credentials": ("        with:\n          persist-credentials: false\n", "", "artipacked"),
    "permissions for everything": (
        "permissions:\n      contents: read # to check out\n",
        "permissions: write-all\n",
        "excessive-permissions",
    ),
    "a dangerous trigger": ("  pull_request:", "  pull_request_target:", "dangerous-triggers"),
}


def zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the workflow auditor on a folder."""
    command = [f"{sys.prefix}/bin/zizmor", "--offline", "--no-progress", "--no-config", "--format", "plain", "."]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


def validated(*workflows: Path) -> subprocess.CompletedProcess[str]:
    """Check workflows against GitHub's schema of workflows."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run([*command, *map(str, workflows)], check=False, capture_output=True, text=True)


@pytest.fixture
def repository(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies the workflows of a place into a folder of their own."""

    def copied(place: str) -> Path:
        shutil.copytree(ROOT / place, tmp_path / ".github/workflows")
        return tmp_path

    return copied


@every_place
def test_the_auditor_finds_nothing(place: str, repository: Callable[[str], Path]) -> None:
    """Zizmor has no finding."""
    result = zizmor(repository(place))
    assert result.returncode == 0, result.stdout + result.stderr


@every_place
def test_github_would_accept_them(place: str) -> None:
    """Every workflow has the form that GitHub demands."""
    result = validated(*(ROOT / place).iterdir())
    assert result.returncode == 0, result.stdout


def test_a_misspelt_key_is_not_accepted(repository: Callable[[str], Path]) -> None:
    """The schema check refuses a workflow with a key that GitHub does not know."""
    workflow = repository(PLACES[0]) / ".github/workflows/check.yml"
    workflow.write_text(workflow.read_text().replace("runs-on:", "run-on:"))
    assert validated(workflow).returncode != 0


@pytest.mark.parametrize(("old", "new", "rule"), BROKEN.values(), ids=BROKEN.keys())
def test_the_auditor_notices_a_broken_rule(old: str, new: str, rule: str, repository: Callable[[str], Path]) -> None:
    """Breaking a rule in the real workflow is found, under that rule's name."""
    folder = repository(PLACES[0])
    workflow = folder / ".github/workflows/check.yml"
    assert old in workflow.read_text()
    workflow.write_text(workflow.read_text().replace(old, new))
    result = zizmor(folder)
    assert result.returncode != 0
    assert rule in result.stdout


@every_place
def test_every_action_is_pinned_and_no_permission_stands(place: str) -> None:
    """Each `uses` names a full commit, the top grants nothing, jobs end, and no event text reaches a script."""
    for path in (ROOT / place).iterdir():
        workflow = yaml.safe_load(path.read_text())
        steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
        assert workflow["permissions"] == {}
        assert all("timeout-minutes" in job for job in workflow["jobs"].values())
        assert all(PINNED.fullmatch(step["uses"]) for step in steps if "uses" in step)
        assert not [step for step in steps if "${{" in step.get("run", "")]
