"""Twenty seeded secrets, and not one of them in anything that is printed, stored or shown to others."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from towpath_ci.drills.stage import OWNER, PRODUCTION, STAGING, Stage
from towpath_ci.main import VERBS, app
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.promotion.change import one_line
from towpath_gitops.signers import KEY_VARIABLE, PASSPHRASE_VARIABLE, PRIVATE, new_key_pair

# Each is unlike all others in every part of it that is longer than four characters.
SECRETS: Final = {
    name: f"c4nary-{number:02d}-{'abcdefghijklmnopqrst'[number]}7Qx"
    for number, name in enumerate(
        (
            *("GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
            *("PREFECT_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SLACK_WEBHOOK"),
            *("DATABASE_PASSWORD", "PGPASSWORD", "AZURE_CLIENT_SECRET", "GOOGLE_CREDENTIALS", "VAULT_TOKEN"),
            *(PASSPHRASE_VARIABLE, "alert webhook", "remote password", "registry password", "registry query"),
        )
    )
}
NUMBER, RELEASE = "1", "latest"
# What a person would type; the values matter little: where the remote is away, each of them fails early.
ARGUMENTS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "promote": (("promote", RELEASE, "--to", STAGING, "--reason", "weekly"),),
    "rollback": (("rollback", "-e", STAGING, "--reason", "worse"),),
    "hold": (("hold", RELEASE, "-e", STAGING, "--reason", "units"),),
    "unhold": (("unhold", RELEASE, "-e", STAGING, "--reason", "units"),),
    "experiment": (
        ("experiment", "status"),
        ("experiment", "start", RELEASE, "-e", STAGING, "--mode", "ab", "--reason", "is it better?"),
    ),
    "repackage": (("repackage", "ghcr.io/acme/canal@sha256:" + "0" * 64, "-e", STAGING, "--reason", "base"),),
    "policy": (("policy",), ("policy", "explain", STAGING, RELEASE)),
    "approve": (("approve", NUMBER),),
    "merge": (("merge", NUMBER),),
    "close": (("close", NUMBER, "--reason", "old"),),
    "review": (("review", NUMBER),),
    "pulls": (("pulls",), ("pulls", "--json")),
    "reconcile": (("reconcile", "-e", STAGING), ("reconcile", "--json")),
    "verify": (("verify",),),
    "package": (("package", RELEASE),),
    "client": (("client", RELEASE, "--into", ".towpath/client.py"),),
    "image": (
        ("image", "build", RELEASE, "--builder", "no-such-builder"),
        ("image", "push", RELEASE, "--to", "127.0.0.1:9"),
        ("image", "sync", RELEASE, "--from", "127.0.0.1:9", "--to", "127.0.0.1:9"),
        ("image", "verify", RELEASE),
        ("image", "list", RELEASE),
    ),
    "status": (("status",), ("status", "--json")),
    "releases": (("releases",), ("releases", "--json")),
    "show": (("show", RELEASE), ("show", RELEASE, "--json")),
    "lineage": (("lineage", RELEASE), ("lineage", RELEASE, "--check"), ("lineage", RELEASE, "--json")),
    "sign": (("sign", RELEASE),),
    "audit": (
        ("audit",),
        ("audit", "verify"),
        ("audit", "rebuild"),
        ("audit", "export"),
        ("audit", "at", "2026-01-01"),
    ),
    "report": (("report", "compliance"), ("report", "compliance", "--json")),
    "guard": (("guard",),),
    "doctor": (("doctor",), ("doctor", "--json")),
    "down": (("down",),),
}
# These train, start servers or make a repository of their own, without what the environment says: minutes each.
ELSEWHERE: Final = {
    *("infer", "train", "reproduce", "compare", "load", "monitor", "validate", "up", "drill", "demo", "schemas"),
}


@pytest.fixture
def seeded(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    """A stage in whose environment every secret lies."""
    for name, value in SECRETS.items():
        if name.isupper():
            monkeypatch.setenv(name, value)
    path = SECRETS["alert webhook"]
    monkeypatch.setenv("TOWPATH_ALERT_WEBHOOK", f"http://127.0.0.1:9/hooks/{path}")
    keys = new_key_pair(tmp_path / "keys", SECRETS[PASSPHRASE_VARIABLE])[0].parent
    monkeypatch.setenv(KEY_VARIABLE, str(keys / PRIVATE))
    monkeypatch.chdir(stage.root)
    yield stage
    with suppress(subprocess.CalledProcessError):
        stage.repository.git.run("remote", "set-url", "origin", str(stage.root.parent / "forge.git"))


def found_in(text: str) -> list[str]:
    """Return the names of the secrets in a text; a part of one is enough."""
    return [name for name, value in SECRETS.items() if value in text or quote(value) in text or value[3:-1] in text]


def run(*arguments: str) -> int:
    """Run a verb in this process."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments))
    return int(ended.value.code or 0)


def test_every_verb_is_asked() -> None:
    """A new verb is either tried here, or named as one that is not."""
    assert {*ARGUMENTS, *ELSEWHERE} == set(VERBS)
    assert len(SECRETS) == 20


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_a_verb_whose_remote_and_registry_are_away_repeats_no_secret(
    verb: str, seeded: Stage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Addresses hold passwords, and failures quote addresses: git's, MLflow's, our own."""
    token, password, query = (SECRETS[name] for name in ("remote password", "registry password", "registry query"))
    seeded.repository.git.run("remote", "set-url", "origin", f"http://ada:{token}@127.0.0.1:9/forge.git")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://mona:{password}@127.0.0.1:9/?token={query}")
    for arguments in ARGUMENTS[verb]:
        run(*arguments)
        shown = capfd.readouterr()
        assert found_in(shown.out + shown.err) == [], arguments


def test_nothing_that_is_kept_holds_a_secret(seeded: Stage, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The whole loop with every secret at hand: signed, proposed, approved, merged, served, audited, reported."""
    assert run("sign", RELEASE) == 0
    assert run("promote", RELEASE, "--to", STAGING, "--reason", "weekly") == 0
    (pull,) = seeded.desk().forge.list()
    seeded.desk(OWNER).forge.approve(pull.number)
    for arguments in (
        ("review", str(pull.number)),
        ("merge", str(pull.number)),
        ("reconcile", "-e", STAGING),
        ("status",),
        ("audit",),
        ("audit", "export", "--output", str(tmp_path / "ledger.json")),
        ("report", "compliance", "-e", STAGING, "--output", str(tmp_path / "reports")),
        ("show", RELEASE),
        ("lineage", RELEASE),
        ("promote", RELEASE, "--to", PRODUCTION, "--reason", "weekly"),
    ):
        assert run(*arguments) == 0, capfd.readouterr().err
    shown = capfd.readouterr()
    assert found_in(shown.out + shown.err) == []
    history = seeded.repository.git.text("log", "--all", "--patch", "--format=fuller")
    assert "applied canal" in history
    assert found_in(history) == []
    folders = (seeded.root / ".towpath", tmp_path / "reports", seeded.root.parent / "forge.git")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files += [tmp_path / "ledger.json"]
    assert len(files) > 20
    assert {path: found_in(path.read_bytes().decode(errors="replace")) for path in files} == {
        path: [] for path in files
    }


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_a_reason_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reason stands in git for ever: what this process knows to be secret gets neither there nor into the refusal."""
    monkeypatch.setenv("SOME_TOKEN", SECRETS[name])
    with pytest.raises(InvalidFileError, match="holds a secret") as refused:
        one_line(f"because of {SECRETS[name]}")
    assert found_in(str(refused.value)) == []
