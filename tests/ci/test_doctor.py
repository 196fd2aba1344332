"""The doctor: what it finds on a machine and in a repository, and what it advises."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from towpath_ci.doctor import CHECKS, files, machine, repository, services
from towpath_ci.doctor.base import Absent, Check, Finding, State, diagnose

BROKEN = "gitops/environments/staging/canal.yaml"


class Fine(Check):
    """All is fine."""

    @staticmethod
    def check() -> Finding:
        """Nothing can go wrong here."""
        return True


class Wrong(Check):
    """Nothing is wrong."""

    mend = "mend it"
    gravity = State.WARN

    @staticmethod
    def check(number: int) -> Finding:
        """Numbers should be
        even.
        """  # noqa: D205 (a sentence that wraps, on purpose)
        return f"{number} is odd"


def git(answers: Mapping[str, str | None]) -> Callable[..., str | None]:
    """Return a git that answers by its first plain argument."""
    return lambda *arguments: next((answers[word] for word in arguments if word in answers), None)


def test_a_check_is_told_by_its_docstrings() -> None:
    """Title, reason, advice and command all reach the user, and what is fine says nothing more."""
    fine, wrong = diagnose([Fine, Wrong], {"number": lambda: 3})
    assert fine.plain() | {"check": "", "title": ""} == dict.fromkeys(wrong.plain(), "") | {"state": "ok"}
    assert (wrong.title, wrong.state, wrong.reason) == ("Nothing is wrong", State.WARN, "3 is odd")
    assert (wrong.advice, wrong.mend) == ("Numbers should be even.", "mend it")


def test_a_check_without_its_input_does_not_apply() -> None:
    """Where there is nothing to look at, nothing is found wrong."""
    assert next(diagnose([Wrong], {"number": lambda: None})).state is State.SKIPPED


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_check_has_words(check: type[Check]) -> None:
    """Each check has a title, advice for when it fails, and a command that mends it."""
    assert check.title()
    assert check.advice().endswith(".")
    assert check.mend


@pytest.mark.parametrize(
    ("answer", "fine"), [("git version 2.39.5", True), ("git version 2.25.1", False), (None, False)]
)
def test_git_must_be_young_enough(answer: str | None, fine: bool) -> None:  # noqa: FBT001 (a parameter of the table above)
    """Git 2.31 is the oldest that will do; none at all will not."""
    assert (machine.GitVersion.check(git({"--version": answer})) is True) is fine


def test_missing_libraries_are_named() -> None:
    """What a job lacks is named."""
    assert machine.ServingLibraries.check(frozenset({"msgspec", "numpy"})) == (
        "not installed: bentoml, onnxruntime, prometheus_client"
    )


def test_missing_container_tools_are_named_and_matter_where_images_are_asked_for() -> None:
    """One builder is enough; what is missing is always said, and a warning only where the policy wants images."""
    check = machine.ContainerTools.check
    assert check(frozenset({"podman", "skopeo"}), asks_for_images=True) is True
    asked = check(frozenset({"docker"}), asks_for_images=True)
    assert asked == "not on the PATH: skopeo"
    unasked = check(frozenset(), asks_for_images=False)
    assert isinstance(unasked, Absent)
    assert "none of buildah, podman, docker; skopeo" in unasked


def test_a_remote_that_does_not_answer_is_not_one(tmp_path: Path) -> None:
    """An address alone is not enough."""
    finding = repository.HasRemote.check(git({"get-url": "/gone", "ls-remote": None}), tmp_path)
    assert finding == "/gone does not answer"


@pytest.mark.parametrize(
    ("lines", "bare"),
    [
        ("/gitops/ @a\n/.github/ @a\n/keys/ @a", None),
        ("* @a", None),
        ("/gitops/ @a", ".github"),
        ("/gitops/\n/.github/ @a", "gitops"),
        ("* @a\n/keys/", "keys/release.pub"),
    ],
)
def test_codeowners_must_cover_what_is_released(lines: str, bare: str | None, repository_root: Path) -> None:
    """A path that nobody owns is named: environments, policy, keys, workflows and CODEOWNERS itself."""
    policy = repository_root / "gitops/policy.yaml"
    policy.write_text(policy.read_text() + "signing: {method: key, keys: [keys/release.pub]}\n")
    (repository_root / ".github/CODEOWNERS").write_text(lines)
    finding = found(files.Codeowners, repository_root)
    assert finding is True if bare is None else bare in str(finding)


HOTFIX = "hotfix: {approvals: 2}"
NO_HOTFIX = (HOTFIX, "hotfix: null")
TWO_TO_ROLL_BACK = (HOTFIX, "hotfix: null"), ("rollback: {approvals: 1}", "rollback: {approvals: 2}")


@pytest.mark.parametrize(
    ("owners", "changes", "finding"),
    [
        ("lee@example.com", [NO_HOTFIX], True),
        (
            "lee@example.com",
            [NO_HOTFIX, ("environments:\n", "environments:\n  - {name: dev, approvals: 3}\n")],
            "dev: 1 of 3",
        ),
        ("lee@example.com", TWO_TO_ROLL_BACK, "staging: 1 of 2, production: 1 of 2"),
        ("lee@example.com ann@example.com", TWO_TO_ROLL_BACK, True),
        ("@acme/risk", TWO_TO_ROLL_BACK, True),
        ("lee@example.com", [], "staging: 1 of 2, production: 1 of 2"),
        ("lee@example.com ann@example.com", [], True),
        (
            "lee@example.com",
            [NO_HOTFIX, ("environments:", "forge: {kind: github, repository: acme/canal}\nenvironments:")],
            "staging: 0 of 1, production: 0 of 1",
        ),
    ],
)
def test_there_must_be_enough_people_to_approve(
    owners: str, changes: Sequence[tuple[str, str]], finding: Finding, repository_root: Path
) -> None:
    """A policy that asks for more approvals than there are owners lets nothing through, and the doctor counts them."""
    policy = repository_root / "gitops/policy.yaml"
    for old, new in changes:
        assert old in policy.read_text()
        policy.write_text(policy.read_text().replace(old, new))
    (repository_root / ".github/CODEOWNERS").write_text(f"* {owners}\n")
    assert found(files.EnoughOwners, repository_root) == finding


def test_a_port_taken_by_a_stranger_is_named(repository_root: Path) -> None:
    """A listener that is not ours stands in the way."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        path = repository_root / BROKEN
        path.write_text(re.sub(r"port: \d+", f"port: {port}", path.read_text()))
        assert str(port) in str(found(services.Ports, repository_root))


def test_unknown_keys_are_met_with_a_suggestion(repository_root: Path) -> None:
    """The doctor reads every file that people write, and says where it is wrong."""
    path = repository_root / BROKEN
    path.write_text(path.read_text().replace("rollout:", "rolout:"))
    assert "did you mean “rollout”?" in str(found(files.EnvironmentFiles, repository_root))


def test_a_server_that_is_named_must_answer() -> None:
    """PREFECT_API_URL that leads nowhere is found; without it there is nothing to ask."""
    assert "does not answer" in str(services.PrefectApi.check({"PREFECT_API_URL": "http://127.0.0.1:9/api"}))
    assert services.PrefectApi.check({}) is None


def test_a_cluster_that_is_named_must_be_there(tmp_path: Path) -> None:
    """Where model.yaml names a scheduler, something listens there; else there is nothing to ask."""
    text = "name: canal\ntarget: late\ndata: {train: {file: a.csv}}\nschema: canal.schema:Barges\n"
    (tmp_path / "model.yaml").write_text(text)
    assert services.DaskCluster.check(tmp_path) is None
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "model.yaml").write_text(f"{text}train: {{cluster: {{address: '{address}'}}}}\n")
        assert services.DaskCluster.check(tmp_path) is True
    assert "nothing listens" in str(services.DaskCluster.check(tmp_path))


def test_the_whole_visit(repository_root: Path) -> None:
    """In a sound repository nothing is broken; every result has its state, and JSON says the same."""
    done = subprocess.run(
        [sys.executable, "-m", "towpath_ci", "doctor", "--json"],
        cwd=repository_root,
        capture_output=True,
        text=True,
        check=False,
    )
    results = json.loads(done.stdout)
    assert [result for result in results if result["state"] == "failed"] == []
    assert done.returncode == 0
    assert len(results) == len(CHECKS)


def test_outside_of_a_repository_it_still_speaks(tmp_path: Path) -> None:
    """Anywhere else it looks at the machine and says that this is no repository."""
    done = subprocess.run(
        [sys.executable, "-m", "towpath_ci", "doctor"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "not in a git repository" in done.stdout
    assert done.returncode == 0


def found(check: type[Check], root: Path) -> Finding | str:
    """Return what one check finds in a repository."""
    from towpath_ci.doctor.inputs import gather  # noqa: PLC0415 (only here)

    result = next(diagnose([check], gather(root)))
    return True if result.state is State.OK else result.reason
