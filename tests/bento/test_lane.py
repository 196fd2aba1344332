from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath_bento.lane import load
from towpath_gitops.errors import DeliveryError, DigestMismatchError
from towpath_gitops.records.artifact import manifest_digest


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_release_is_loaded_once_its_golden_requests_agree(tiny: Callable[..., Any], task: str) -> None:
    """A release of any task becomes a lane under its own id."""
    made = tiny(task=task)
    assert load(made.lane).release == made.release.id


def test_a_release_that_answers_otherwise_than_in_training_is_refused(tiny: Callable[..., Any]) -> None:
    """A golden request that is off by more than the tolerance keeps a release from taking traffic; less does not."""
    load(tiny(golden_error=5e-7).lane)
    with pytest.raises(DeliveryError, match="golden request 0") as caught:
        load(tiny(golden_error=2e-5).lane)
    assert "differs from training by 2e-05" in caught.value.why


@pytest.mark.parametrize("name", ["model.onnx", "signature.json", "golden.json"])
def test_one_byte_changed_is_refused_unopened(tiny: Callable[..., Any], name: str) -> None:
    """Whichever file is touched, the digest says so before anything is parsed."""
    made = tiny()
    path: Path = made.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DigestMismatchError):
        load(made.lane)


@pytest.mark.parametrize("name", ["signature.json", "golden.json"])
def test_an_artifact_without_a_file_says_which(tiny: Callable[..., Any], name: str) -> None:
    """An artifact that was registered without a file it needs is refused by name."""
    made = tiny()
    (made.folder / name).unlink()
    with pytest.raises(DeliveryError) as caught:
        load(made.lane.model_copy(update={"artifact": manifest_digest(made.folder)}))
    assert name in caught.value.why
