"""Every form of a pickle, in place of every file that is opened: refused, and what it would do is never done.

The digests are right: whoever made the artifact meant it so, and it was approved by mistake.
"""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io

from towpath_bento import lane
from towpath_bento.engines import open_engine
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.artifact import GOLDEN, GRAPH, PIPELINE, SIGNATURE, manifest_digest
from towpath_gitops.records.pointer import LanePointer
from towpath_gitops.records.signature import Signature


class Bomb:
    """Writes a canary file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        """Name the file to be written."""
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        """Call `touch` when read."""
        return Path.touch, (self.canary,)


def _pickle(bomb: Bomb) -> bytes:
    return pickle.dumps(bomb)


def _joblib(bomb: Bomb) -> bytes:
    stream = io.BytesIO()
    joblib.dump({"model": bomb}, stream, compress=3)
    return stream.getvalue()


def _npy(bomb: Bomb) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([bomb], dtype=object), allow_pickle=True)
    return stream.getvalue()


def _npz(bomb: Bomb) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, weights=np.array([bomb], dtype=object))
    return stream.getvalue()


def _zipped(bomb: Bomb, name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, pickle.dumps(bomb))
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def _torch(bomb: Bomb) -> bytes:
    """Return what torch.save writes: a zip with a pickle in it."""
    return _zipped(bomb, "archive/data.pkl")


def _skops(bomb: Bomb) -> bytes:
    """Return a skops file whose schema names a function to call and what to call it with."""
    del bomb
    return skops.io.dumps({"call": Path.touch})


PAYLOADS: tuple[Callable[[Bomb], bytes], ...] = (_pickle, _joblib, _npy, _npz, _torch, _skops)
PLACES = (GRAPH, PIPELINE, "booster.ubj", "booster.txt", SIGNATURE, GOLDEN)


def test_the_payloads_would_go_off(tmp_path: Path) -> None:
    """A canary that cannot sing proves nothing: each form does its work when it is opened as its library does."""
    openers: dict[Callable[[Bomb], bytes], Callable[[bytes], Any]] = {
        _pickle: pickle.loads,
        _joblib: lambda data: joblib.load(io.BytesIO(data)),
        _npy: lambda data: np.load(io.BytesIO(data), allow_pickle=True),
        _npz: lambda data: np.load(io.BytesIO(data), allow_pickle=True)["weights"],
        _torch: lambda data: pickle.loads(zipfile.ZipFile(io.BytesIO(data)).read("archive/data.pkl")),  # noqa: S301 (bait)
    }
    for number, (make, opened) in enumerate(openers.items()):
        canary = tmp_path / str(number)
        opened(make(Bomb(canary)))
        assert canary.exists(), make.__name__


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("place", PLACES)
def test_no_load_path_opens_a_pickle(
    tiny: Callable[..., Any], tmp_path: Path, payload: Callable[[Bomb], bytes], place: str
) -> None:
    """The engine by itself, and a lane with the whole artifact, whose digest is the approved one."""
    made, canary = tiny(), tmp_path / "canary"
    folder = Path(made.folder)
    native = place in {PIPELINE, "booster.ubj", "booster.txt"}
    signature = Signature.model_validate_json((folder / SIGNATURE).read_text())
    signature = signature.model_copy(update={"engine": "native" if native else "onnx"})
    (folder / SIGNATURE).write_text(signature.model_dump_json(by_alias=True))
    if native:
        (folder / PIPELINE).write_bytes(skops.io.dumps([]))
        if place != "booster.txt":
            (folder / "booster.ubj").write_bytes(b"")
    (folder / place).write_bytes(payload(Bomb(canary)))
    digest = manifest_digest(folder)
    with pytest.raises(TowpathError):
        lane.load(LanePointer(release=made.release.id, artifact=digest, path=str(folder)))
    if place not in {SIGNATURE, GOLDEN}:
        with pytest.raises(TowpathError):
            open_engine(folder, signature)
    assert not canary.exists()
