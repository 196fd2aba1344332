"""An owner's own modules run out of a release: only as their bytes were approved, and never another release's."""

import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest

from towpath_bento import lane
from towpath_bento.engines import Engine, open_engine
from towpath_bento.engines.owners import PREFIX, Code, module_name, read_code
from towpath_flows.training.safekeeping import Kept, keep, to_skops
from towpath_gitops.errors import DigestMismatchError, InvalidFileError
from towpath_gitops.records.artifact import CODE, PIPELINE, manifest_digest
from towpath_gitops.records.pointer import LanePointer
from towpath_gitops.records.signature import Column, Signature

SIGNATURE = Signature(task="regression", target="y", inputs=(Column(name="x", type="number"),), engine="native")
STEPS = """\
from os import system

import pier.words
import pier.words as spelled
from pier.factors import FACTOR

from . import factors


class Times:
    def fit(self, x, y=None):
        return self

    def transform(self, x):
        assert pier.words.WORD == spelled.WORD
        return np.asarray(x) * FACTOR + factors.FACTOR


import numpy as np
"""


def modules(factor: int) -> Mapping[str, bytes]:
    """Return an owner's package; `factor` is all that tells two versions apart."""
    return {
        "pier/factors.py": f"FACTOR = {factor}\n".encode(),
        "pier/steps.py": STEPS.encode(),
        "pier/words.py": b"WORD = 'mallow'\n",
    }


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture
def booster() -> str:
    """Return a LightGBM model that answers one of two values, by whether its input exceeds 5."""
    x = np.arange(400, dtype=np.float32).reshape(-1, 1) / 40
    model = lightgbm.LGBMRegressor(n_estimators=1, learning_rate=1.0, num_leaves=2, verbose=-1)
    model.fit(x, (x[:, 0] > 5).astype(float))
    return str(model.booster_.model_to_string())


def artifact(folder: Path, booster: str, factor: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Signature]:
    """Write what training would: the pipeline of an owner's class, its modules, the trees."""
    src = write(folder / "src", modules(factor))
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(src))
        forget()
        from pier.steps import Times  # type: ignore[import-not-found]  # noqa: PLC0415 (made by this test)

        kept = keep(Times(), src)
        forget()
    assert kept.why is None
    return packed(folder / "artifact", kept, booster)


def forget() -> None:
    """Let nobody import the owner's package from where it was before."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pier"]:
        del sys.modules[name]


def packed(folder: Path, kept: Kept, booster: str) -> tuple[Path, Signature]:
    """Write a kept pipeline as an artifact."""
    assert kept.code is not None
    write(folder / CODE, kept.code.files)
    write(folder, {PIPELINE: kept.content, "booster.txt": booster.encode()})
    return folder, SIGNATURE.model_copy(update={"code": kept.code.digest})


def asked(engine: Engine, value: float) -> float:
    """Return the rounded answer for one row."""
    return round(float(engine.predict({"x": np.array([[value]], np.float32)})[0, 0]))


def test_two_versions_of_a_module_serve_side_by_side(
    tmp_path: Path, booster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Champion and challenger, opened in turn and asked in turn: each computes with its own helper, none is in src/."""
    small = open_engine(*artifact(tmp_path / "1", booster, 1, monkeypatch))
    large = open_engine(*artifact(tmp_path / "2", booster, 2, monkeypatch))
    again = open_engine(tmp_path / "1" / "artifact", SIGNATURE.model_copy(update={"code": Code(modules(1)).digest}))
    assert [asked(engine, 3) for engine in (small, large, again, large, small)] == [0, 1, 0, 1, 0]  # by 4, or by 8
    assert "pier" not in sys.modules


def test_opening_leaves_the_artifact_as_it_was(tmp_path: Path, booster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bytecode is written beside the modules: the artifact keeps the digest that was approved."""
    folder, signature = artifact(tmp_path, booster, 1, monkeypatch)
    before = manifest_digest(folder)
    open_engine(folder, signature)
    assert manifest_digest(folder) == before


@pytest.mark.parametrize("path", ["pier/steps.py", "pier/factors.py", "pier/more.py"])
def test_altered_code_is_refused_before_it_runs(
    tmp_path: Path, booster: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Changed or added after approval: the lane refuses it by the artifact's digest, the engine by the code's own."""
    folder, signature = artifact(tmp_path, booster, 3, monkeypatch)
    approved, canary = manifest_digest(folder), tmp_path / "canary"
    with (folder / CODE / path).open("a") as file:
        file.write(f"\nopen({str(canary)!r}, 'w')\n")
    with pytest.raises(DigestMismatchError, match="not the one that was approved"):
        open_engine(folder, signature)
    with pytest.raises(DigestMismatchError, match="not the one that was approved"):
        lane.load(LanePointer(release="sha256:" + "0" * 64, artifact=approved, path=str(folder)))
    assert not canary.exists()


@pytest.mark.parametrize("name", ["system", "np", "Absent"])
def test_a_pipeline_may_name_only_what_the_code_defines(tmp_path: Path, booster: str, name: str) -> None:
    """Something that a module merely imports, such as os.system, is not trusted because it can be found there."""
    code = Code(modules(4))
    kept = Kept(renamed(to_skops(np.log1p), f"{code.package}.pier.steps", name), code)
    with pytest.raises(InvalidFileError, match="not trusted"):
        open_engine(*packed(tmp_path, kept, booster))


def renamed(content: bytes, module: str, name: str) -> bytes:
    """Return a kept function under another module and name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read("schema.json"))
    schema |= {"__module__": module, "__class__": name, "__loader__": "FunctionNode"}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return stream.getvalue()


def test_code_without_a_stated_digest_is_not_looked_at(
    tmp_path: Path, booster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature that speaks of no code trusts none, whatever lies in the folder."""
    folder, _ = artifact(tmp_path, booster, 5, monkeypatch)
    with pytest.raises(InvalidFileError, match=f"not trusted\n{PREFIX}"):
        open_engine(folder, SIGNATURE)


def test_only_modules_may_lie_there(tmp_path: Path) -> None:
    """A link or another kind of file is refused by its kind."""
    write(tmp_path, {"pier/steps.py": b""})
    (tmp_path / "pier" / "linked.py").symlink_to(tmp_path / "pier" / "steps.py")
    with pytest.raises(InvalidFileError, match="no module"):
        read_code(tmp_path, "sha256:" + "0" * 64)
    (tmp_path / "pier" / "linked.py").unlink()
    write(tmp_path, {"pier/steps.pyc": b"\x00"})
    with pytest.raises(InvalidFileError, match="no module"):
        read_code(tmp_path, "sha256:" + "0" * 64)
    with pytest.raises(InvalidFileError, match="no module"):
        module_name("pier/../steps.py")


def test_the_libraries_of_other_people_are_named() -> None:
    """What the modules import and Python does not bring; what only type checkers see is not needed."""
    source = b"import typing\nimport os, pandas as pd\nfrom sklearn.base import BaseEstimator\n"
    hidden = b"if typing.TYPE_CHECKING:\n    import mlflow\ndef later():\n    import scipy.stats\n"
    code = Code({"pier/steps.py": source + hidden, "pier/__init__.py": b"from pier.steps import later\n"})
    assert code.libraries == ("pandas", "scikit-learn", "scipy")
    assert pd.DataFrame is not None
