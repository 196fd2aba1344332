"""An artifact that is another than the one that was approved, in every way in which it can be another."""

import pickle
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from towpath_gitops import layout
from towpath_gitops.delivery.loopback import Answer
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.verification import Question, verify
from towpath_gitops.errors import DigestMismatchError, InvalidFileError, UnavailableError
from towpath_gitops.records.artifact import GOLDEN, SIGNATURE
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.release import Release

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

FILES = ("model.json", SIGNATURE, GOLDEN)


class Bomb:
    """Writes a canary file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        """Name the file to be written."""
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        """Call `touch` when read."""
        return Path.touch, (self.canary,)


def stored(registry: Registry, release: Release) -> Path:
    """Return the folder in which MLflow keeps a release's artifact."""
    version = registry.client.get_model_version(release.model, str(release.version))
    return Path(version.source.removeprefix("file://"))


def _flip(name: str, position: int) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[position] ^= 1
        (folder / name).write_bytes(data)

    return edit


def _add(folder: Path) -> None:
    (folder / "more.json").write_text("{}")


def _remove(folder: Path) -> None:
    (folder / GOLDEN).unlink()


def _rename(folder: Path) -> None:
    (folder / GOLDEN).rename(folder / "gilded.json")


def _link(folder: Path) -> None:
    (folder / GOLDEN).unlink()
    (folder / GOLDEN).symlink_to("/etc/hostname")


def _empty(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"")


EDITS = [_flip(name, position) for name in FILES for position in (0, -1)] + [_add, _remove, _rename, _link, _empty]
NAMES = [f"{name}[{position}]" for name in FILES for position in (0, -1)] + ["add", "remove", "rename", "link", "empty"]


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_what_was_swapped_in_the_registry_is_refused(
    registry: Registry, publish: "Publish", tmp_path: Path, edit: Callable[[Path], None]
) -> None:
    """A bit of any file, a file more, less, renamed, led elsewhere or emptied: nothing of it stays."""
    release = publish()
    folder = stored(registry, release)
    before = shutil.copytree(folder, tmp_path / "before")
    edit(folder)
    try:
        with pytest.raises((DigestMismatchError, UnavailableError)):  # the latter: MLflow itself follows no such link
            registry.fetch(release, tmp_path / "store")
        assert list((tmp_path / "store").iterdir()) == []
    finally:
        shutil.rmtree(folder)
        shutil.copytree(before, folder)


def test_a_moved_alias_moves_nothing(world: "World", publish: "Publish") -> None:
    """Aliases are shown to people and obeyed by nobody: what is served is what main declares."""
    declared, other = publish(0.0), publish(1.0)
    world.declare(declared)
    world.reconcile()
    for alias in ("staging", "champion"):
        world.registry.set_alias(other, alias)
    assert world.reconcile().release == declared
    version = world.target().observe().version
    assert version
    assert version.release == declared.id


def test_a_swap_between_approval_and_delivery_leaves_the_old_release_serving(
    world: "World", publish: "Publish"
) -> None:
    """The bytes of another release under the approved one's version: refused, written down, nothing moved."""
    old, new, other = publish(0.0), publish(1.0), publish(2.0)
    world.declare(old)
    world.reconcile()
    folder = stored(world.registry, new)
    shutil.rmtree(folder)
    shutil.copytree(stored(world.registry, other), folder)
    world.declare(new)
    with pytest.raises(DigestMismatchError):
        world.reconcile()
    version = world.target().observe().version
    assert version
    assert version.release == old.id
    assert world.ledger.last_verified("staging", world.model, new.id) is not None


@pytest.mark.parametrize("name", [GOLDEN, SIGNATURE])
def test_a_verification_opens_no_pickle(registry: Registry, publish: "Publish", tmp_path: Path, name: str) -> None:
    """What is read from an artifact is JSON or refused, whoever approved it."""
    release = publish()
    folder = shutil.copytree(registry.fetch(release, tmp_path / "store"), tmp_path / "artifact")
    canary = tmp_path / "canary"
    (folder / name).write_bytes(pickle.dumps(Bomb(canary)))
    question = Question(release, "staging", folder, digest_of("gates"), None)
    with pytest.raises(InvalidFileError):
        verify(lambda *_: Answer(200, b"{}"), question, datetime.now(UTC))
    assert not canary.exists()


def test_a_store_that_was_tampered_with_is_not_served_from(world: "World", publish: "Publish") -> None:
    """What lies in the local store is checked again before each use, and fetched anew when it is not what it was."""
    release = publish()
    world.declare(release)
    world.reconcile()
    folder = layout.store(world.repository.root) / release.artifact.removeprefix("sha256:")
    (folder / "model.json").write_text('{"bias": 9}')
    world.reconcile()
    assert (folder / "model.json").read_text() == '{"bias": 0.0}'
