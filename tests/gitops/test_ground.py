"""The ground: files that are whole, errors in three beats, paths in one place."""

import os
import subprocess
from pathlib import Path

import pytest

from towpath_gitops import errors, layout
from towpath_gitops.errors import ConflictError, TowpathError
from towpath_gitops.files import scratch, write_atomically


def test_a_file_is_written_whole_in_folders_that_may_be_missing(tmp_path: Path) -> None:
    """Text or bytes; the new content replaces the old; nothing is left beside it."""
    path = tmp_path / "a" / "b"
    write_atomically(path, "one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the last moment: the old bytes stay and no temporary file remains."""
    path = tmp_path / "a"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_a_killed_writer_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    """Whoever still runs may be writing: theirs stays, as does what only looks alike."""
    dead, alive = _dead_process(), os.getpid()
    left = [f".{name}.0123456789ab.{dead}.tmp" for name in ("a", "b")]
    others = [f".a.0123456789ab.{alive}.tmp", f".a.{dead}.tmp", ".a.tmp", f"a.0123456789ab.{dead}.tmp"]
    for name in (*left, *others):
        (tmp_path / name).touch()
    write_atomically(tmp_path / "a", "new")
    assert sorted(place.name for place in tmp_path.iterdir()) == sorted(["a", *others])


def test_a_scratch_folder_is_gone_afterwards_and_so_is_that_of_a_killed_process(tmp_path: Path) -> None:
    """Whether the block ended well or not."""
    left = tmp_path / f".incoming-0123456789ab.{_dead_process()}.tmp"
    left.mkdir()
    (left / "file").touch()

    def fail() -> None:
        with scratch(tmp_path, ".incoming-") as folder:
            assert [*tmp_path.iterdir()] == [folder]
            (folder / "file").touch()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert [*tmp_path.iterdir()] == []


def test_an_error_speaks_in_three_beats() -> None:
    """What, why, what next: one a line, without the ones that were not given."""
    assert (
        str(ConflictError("It moved", why="Grace pushed.", hint="Look again."))
        == "It moved\nGrace pushed.\nLook again."
    )
    assert str(ConflictError("It moved", hint="Look again.")) == "It moved\nLook again."


def test_each_class_of_error_has_its_own_exit_code() -> None:
    """Scripts can tell them apart; 0, 1 and 2 mean what they always mean."""
    classes = [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, TowpathError)]
    codes = [found.exit_code for found in classes if found is not TowpathError]
    assert len(codes) == len(set(codes))
    assert not {0, 1, 2} & set(codes)
    assert all(found.__doc__ for found in classes)


def test_paths_are_spelled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every path of a model repository, and MLflow's address from the environment or the local state."""
    assert layout.environment_path("production", "flights") == "gitops/environments/production/flights.yaml"
    assert layout.evidence_path("9c1f", "data") == "gitops/evidence/9c1f/data.json"
    assert layout.local_target(tmp_path, "staging", "flights") == tmp_path / ".towpath/local/staging/flights"
    assert layout.store(tmp_path) == tmp_path / ".towpath/store"
    assert layout.mlartifacts(tmp_path) == tmp_path / ".towpath/mlartifacts"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert layout.tracking_uri(tmp_path) == f"sqlite:///{tmp_path.resolve()}/.towpath/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    assert layout.tracking_uri(tmp_path) == "https://mlflow.example"
