"""`towpath sign` and a training with a key: what is signed, where the signature goes, and what a person is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError, RefusedError
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.signers import KEY_VARIABLE, PASSPHRASE_VARIABLE, PRIVATE, PUBLIC, PublicKeys, new_key_pair
from towpath_gitops.signing import check


def towpath(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a verb in a repository, as a user does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOWPATH_", "MLFLOW_"))}
    command = [sys.executable, "-m", "towpath_ci", *arguments]
    return subprocess.run(command, cwd=root, env=kept | environment, capture_output=True, text=True, check=False)


def test_a_pair_is_made_outside_of_any_repository(tmp_path: Path, repository_root: Path) -> None:
    """The private half never lies where `git add --all` would take it along; how to make main believe is said."""
    done = towpath(tmp_path, "sign", "--new-key", "keys")
    assert done.returncode == 0
    assert (tmp_path / "keys" / PRIVATE).is_file()
    assert "method: key" in done.stdout
    refused = towpath(repository_root, "sign", "--new-key", "keys")
    assert refused.returncode == RefusedError.exit_code
    assert not (repository_root / "keys").exists()


def test_without_a_key_or_a_release_it_is_said_what_is_missing(repository_root: Path) -> None:
    """Neither is guessed."""
    for arguments in ((), ("latest",)):
        done = towpath(repository_root, "sign", *arguments)
        assert done.returncode == InvalidFileError.exit_code
        assert "→ towpath sign" in done.stderr


def test_a_release_is_signed_into_the_registry_and_a_file(stage: Stage, tmp_path: Path) -> None:
    """The signature holds for the release, both copies are the same, and the passphrase is never shown."""
    keys = new_key_pair(tmp_path / "keys", "correct horse")[0].parent
    secrets = {PASSPHRASE_VARIABLE: "correct horse"}
    file = tmp_path / "release.sig"
    arguments = ("sign", stage.good.short_id, "--key", str(keys / PRIVATE), "--output", str(file))
    done = towpath(stage.root, *arguments, **secrets)
    assert done.returncode == 0, done.stderr
    assert "asks for no signature yet" in done.stdout
    assert "horse" not in done.stdout + done.stderr
    assert stage.registry.signature(stage.good) == file.read_bytes()
    trust = PublicKeys({"k": (keys / PUBLIC).read_bytes()})
    assert check(file.read_bytes(), stage.good, trust) == "k"


def test_a_training_signs_when_the_environment_names_a_key(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release is registered with its signature, and its release.json has the id for a digest, as is signed."""
    keys = new_key_pair(tmp_path / "keys")[0].parent
    monkeypatch.setenv(KEY_VARIABLE, str(keys / PRIVATE))
    release = stage.train(lambda frame: frame.iloc[50:])
    signature = stage.registry.signature(release)
    assert signature
    assert check(signature, release, PublicKeys({"k": (keys / PUBLIC).read_bytes()})) == "k"
    (file,) = [
        path
        for path in layout.mlartifacts(stage.root).rglob("release.json")
        if digest_bytes(path.read_bytes()) == release.id
    ]
    assert (file.parent / "model").is_dir()


def test_a_key_that_cannot_be_used_is_said_before_the_training(repository_root: Path, tmp_path: Path) -> None:
    """Minutes of training are not lost to a missing passphrase."""
    private = new_key_pair(tmp_path / "locked", "correct horse")[0]
    done = towpath(repository_root, "train", **{KEY_VARIABLE: str(private)})
    assert done.returncode == InvalidFileError.exit_code
    assert PASSPHRASE_VARIABLE in done.stderr
