"""What comes out of the template, for the defaults and for other answers."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from towpath_flows.spec import load_spec
from towpath_gitops.layout import environment_path
from towpath_gitops.records.deployment import parse_deployment
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.policy import Policy

ROOT = Path(__file__).parents[2]
MAX_FILES = 45
MAX_PYTHON_LINES = 300

COMBINATIONS: dict[str, dict[str, object]] = {
    "defaults": {},
    "one environment, on GitHub": {
        "forge": "github",
        "github_repository": "a-cme/flights.2013_",
        "approvers": "@lee @grace-h",
        "environments": "live",
        "port": 8080,
        "frameworks": ["lightgbm"],
        "schedule": "*/30 1-5 * * 0,6",
        "work_pool": "kubernetes",
    },
    "four environments": {
        "model": "late-flights_2",
        "environments": "dev,test , pre-production, production",
        "approvers": "@acme/risk @lee lee.o-neil+ml@mail.example.com",
        "port": 65_532,
        "work_pool": "ecs",
        "clone_url": "https://git.example.com:8443/teams/late-flights_2.git",
    },
    "own names": {
        "model": "delays",
        "package": "a_package_whose_name_is_rather_long_2013",
        "description": "Won't say “late” too often: 80 % précis, $5 & up, #1 @ 10:00; 日本語 🚢",
        "frameworks": ["xgboost"],
        "work_pool": "managed",
    },
}
every_combination = pytest.mark.parametrize("answers", COMBINATIONS.values(), ids=COMBINATIONS.keys())
Render = Callable[..., Path]
Rendered = Callable[[dict[str, object]], Path]


@pytest.fixture(scope="module")
def rendered(render_at: Render, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Return a function that gives a render for the answers, made once and read by all tests."""
    top, made = tmp_path_factory.mktemp("renders"), dict[str, Path]()

    def once(answers: dict[str, object]) -> Path:
        key = json.dumps(answers, sort_keys=True)
        if key not in made:
            made[key] = render_at(top / str(len(made)), answers)
        return made[key]

    return once


def files(folder: Path) -> list[Path]:
    """Return every file below a folder, links included, git's own left out."""
    found = (path for path in folder.rglob("*") if ".git" not in path.relative_to(folder).parts)
    return sorted(path for path in found if path.is_symlink() or path.is_file())


@every_combination
def test_a_render_is_small_and_plain(answers: dict[str, object], rendered: Rendered) -> None:
    """A render has at most 45 files and 300 lines of Python, no links, no leftovers of the template language."""
    rendered = files(rendered(answers))
    python = [path.read_text() for path in rendered if path.suffix == ".py"]
    assert len(rendered) <= MAX_FILES
    assert sum(len(text.splitlines()) for text in python) <= MAX_PYTHON_LINES
    assert all(ast.parse(text) for text in python)
    assert not [path for path in rendered if path.is_symlink() or path.suffix == ".jinja"]
    assert not [path for path in rendered if "{%" in path.read_text() or "{{ package" in path.read_text()]


@every_combination
def test_every_file_says_what_was_answered(answers: dict[str, object], rendered: Rendered) -> None:
    """Spec, policy and environment files parse as their records and agree with the answers and with each other."""
    root = rendered(answers)
    spec = load_spec(root)
    policy = parse_yaml((root / "gitops/policy.yaml").read_text(), Policy, source="policy.yaml")
    names = [name.strip() for name in str(answers.get("environments", "staging, production")).split(",")]
    assert spec.name == answers.get("model", "flights")
    assert list(spec.train.frameworks) == answers.get("frameworks", ["xgboost", "lightgbm"])
    assert [environment.name for environment in policy.environments] == names
    assert {path.name for path in (root / "gitops/environments").iterdir()} == set(names)
    for place, name in enumerate(names):
        path = environment_path(name, spec.name)
        deployment = parse_deployment((root / path).read_text(), source=path)
        assert (deployment.model, deployment.environment, deployment.release) == (spec.name, name, None)
        assert deployment.target.port == int(str(answers.get("port", 3000))) + place


@every_combination
def test_the_policy_starts_where_its_forge_is(answers: dict[str, object], rendered: Rendered) -> None:
    """The policy names the forge of the answers, holds nobody up for time, and is what editors are told it is."""
    path = rendered(answers) / "gitops/policy.yaml"
    policy = parse_yaml(path.read_text(), Policy, source="policy.yaml")
    assert policy.forge.kind == answers.get("forge", "local")
    assert getattr(policy.forge, "repository", None) == answers.get("github_repository")
    assert not any(environment.soak or environment.freeze for environment in policy.environments)
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(ROOT / "docs/schemas/policy.json")]
    result = subprocess.run([*command, str(path)], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_every_example_in_the_policy_may_be_used(rendered: Rendered) -> None:
    """What the comments show is valid as it stands: in the place of the line that it replaces."""
    text = (rendered({}) / "gitops/policy.yaml").read_text()
    examples = re.findall(r"^#   (\w+): (\{.*\})$", text, re.MULTILINE)
    assert [key for key, _ in examples] == ["evidence", "guard", "hotfix", "signing", "signing"]
    for key, value in examples:
        used = re.sub(rf"^( *){key}: (null|\{{.*\}}).*$", rf"\1{key}: {value}", text, flags=re.MULTILINE)
        assert parse_yaml(used, Policy, source="policy.yaml") != parse_yaml(text, Policy, source="policy.yaml")
    block = re.search(r"^#   freeze:\n((?:#     - .*\n)+)", text, re.MULTILINE)
    assert block
    used = re.sub(r"^ {4}freeze: \[\].*\n", "    freeze:\n" + block[1].replace("# ", "  "), text, flags=re.MULTILINE)
    policy = parse_yaml(used, Policy, source="policy.yaml")
    assert [freeze.name for freeze in policy.environments[0].freeze] == ["Christmas", "weekend"]


@every_combination
def test_other_tools_can_read_their_files(answers: dict[str, object], rendered: Rendered) -> None:
    """Prefect's deployments, the project's metadata and the answers hold the values that were given, typed."""
    root = rendered(answers)
    prefect = yaml.safe_load((root / "prefect.yaml").read_text())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    kept = yaml.safe_load((root / ".copier-answers.yml").read_text())
    model = answers.get("model", "flights")
    assert prefect["name"] == project["name"] == kept["model"] == model
    assert prefect["deployments"][0]["schedules"][0]["cron"] == answers.get("schedule", "0 5 * * 1")
    assert [deployment["entrypoint"] for deployment in prefect["deployments"]] == [
        "flows/train.py:train",
        "flows/monitor.py:monitor",
    ]
    assert project["description"] == kept["description"]
    assert {key: kept[key] for key in answers} == answers


@every_combination
def test_every_path_of_consequence_has_an_owner(answers: dict[str, object], rendered: Rendered) -> None:
    """CODEOWNERS names approvers for all that decides what is served: environments, policy, gates, workflows, tools."""
    root = rendered(answers)
    lines = (root / ".github/CODEOWNERS").read_text().splitlines()
    owned = dict(line.split(" ", 1) for line in lines if not line.startswith("#"))
    names = [path.name for path in (root / "gitops/environments").iterdir()]
    tools = {"/Makefile", "/pyproject.toml", "/requirements.txt", "/bento/"}
    places = {"/gitops/", "/.github/", "/model.yaml", *tools, *(f"/gitops/environments/{name}/" for name in names)}
    assert set(owned) == places
    assert set(owned.values()) == {answers.get("approvers", "reviewer@example.com")}


def checked(root: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run a render's own `make test` in the environment of these tests."""
    measured = ("COVERAGE", "COV_", "PYTEST")  # the render is no part of what is measured here
    environment = {key: value for key, value in os.environ.items() if not key.startswith(measured)}
    return subprocess.run(
        ["make", "test", f"VENV={sys.prefix}"],
        cwd=root,
        env=environment | {"MYPY_CACHE_DIR": str(cache)},
        check=False,
        capture_output=True,
        text=True,
    )


def test_its_own_checks_pass(
    render: Render, commit: Callable[[Path], str], tmp_path: Path, kept: Callable[[str], Path]
) -> None:
    """`make test` of each fresh repository passes in an environment that has Towpath, and leaves git clean.

    One test for all of them, since only the first has to read the types of every library (half a minute).
    """
    cache = kept("mypy-of-renders")
    for name, answers in COMBINATIONS.items():
        root = render(tmp_path / name.replace(" ", "-").replace(",", ""), answers)
        commit(root)
        result = checked(root, cache)
        assert result.returncode == 0, f"{name}:\n{result.stdout}{result.stderr}"
        assert "12 passed" in result.stdout
        assert "TOTAL" in result.stdout  # of the coverage
        status = subprocess.run(["git", "status", "--porcelain"], cwd=root, check=True, capture_output=True, text=True)
        assert status.stdout == ""
