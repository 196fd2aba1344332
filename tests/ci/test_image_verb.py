"""`towpath image` on a release that was trained and registered."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from towpath_ci.drills.stage import Stage
from towpath_ci.main import app
from towpath_gitops.errors import InvalidFileError, MissingDependencyError, NotFoundError, UnavailableError
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.release import Release


def run(*arguments: str) -> int:
    """Run a verb in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments))
    return int(ended.value.code or 0)


def record(release: Release, name: str, day: int) -> ImageRecord:
    """Return the record of an image of a release, as a push on a day of January leaves it."""
    digest = digest_bytes(name.encode())
    return ImageRecord(
        release=release.id,
        artifact=release.artifact,
        digest=digest,
        image=f"127.0.0.1:9/acme/canal@{digest}",
        base="registry.example.org/base:1",
        sbom=digest_bytes(b"bill"),
        packages=70,
        size_bytes=80_000_000,
        user="10001:10001",
        tool="a test",
        created=datetime(2026, 1, day, tzinfo=UTC),
    )


@pytest.fixture
def here(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage, with the current folder in its repository."""
    monkeypatch.chdir(stage.root)
    return stage


@pytest.mark.usefixtures("here")
def test_a_release_without_an_image_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    """What was not built cannot be pushed, and what is not on record can be neither moved nor verified."""
    assert run("image", "push", "1.0.0", "--to", "127.0.0.1:9/acme") == NotFoundError.exit_code
    assert "towpath image build" in capsys.readouterr().err
    for arguments in (("verify", "1.0.0"), ("sync", "1.0.0", "--from", "127.0.0.1:9", "--to", "127.0.0.1:9")):
        assert run("image", *arguments) == NotFoundError.exit_code
        assert "towpath image push" in capsys.readouterr().err
    assert run("image", "list", "1.0.0", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_records_lie_beside_the_release_newest_first(here: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Kept in the registry, listed, and chosen by the beginning of a digest; the release itself stays what it was."""
    release = here.good
    older, newer = record(release, "older", 1), record(release, "newer", 2)
    for each in (newer, older):
        here.registry.publish_image(release, each)
    assert here.registry.images(release) == (newer, older)
    assert here.registry.find("canal", "1.0.0").id == release.id
    assert run("image", "list", "1.0.0") == 0
    assert newer.image in capsys.readouterr().out.splitlines()
    away = UnavailableError.exit_code if shutil.which("skopeo") else MissingDependencyError.exit_code
    assert run("image", "verify", "1.0.0", "--digest", older.digest[:20]) == away
    assert run("image", "verify", "1.0.0", "--digest", "sha256:ffffffffffff") == NotFoundError.exit_code


def test_an_image_of_another_release_is_not_recorded(here: Stage) -> None:
    """A record that speaks of another release, or of another artifact, is refused before it is written."""
    wrong = record(here.good, "wrong", 3)
    for change in ({"release": digest_bytes(b"other")}, {"artifact": digest_bytes(b"other")}):
        with pytest.raises(InvalidFileError, match="does not carry"):
            here.registry.publish_image(here.good, wrong.model_copy(update=change))


def test_a_builder_that_is_not_there_is_told_before_anything_is_packaged(
    here: Stage, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice is the package to install; no Bento was made in vain."""
    (tmp_path / "git").symlink_to(shutil.which("git") or "git")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("image", "build", "1.0.0") == MissingDependencyError.exit_code
    assert "apt-get install buildah" in capsys.readouterr().err
    assert not (here.root / ".towpath" / "bentos").exists()
