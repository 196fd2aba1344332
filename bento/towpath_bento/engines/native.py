"""The native engine: pipeline and booster as the training libraries keep them, for what no graph can express."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from towpath_bento.columns import Columns
from towpath_bento.engines.base import Engine, needed
from towpath_bento.engines.owners import read_code
from towpath_gitops.errors import InvalidFileError, MissingDependencyError, NotFoundError
from towpath_gitops.records.artifact import CODE, PIPELINE
from towpath_gitops.records.signature import Signature

Booster = Callable[[Any], NDArray[np.floating[Any]]]

LIBRARIES: Final = ("pandas", "scikit-learn", "skops")  # that it needs beside the booster's own
XGBOOST: Final = "booster.ubj"
LIGHTGBM: Final = "booster.txt"
BOOSTERS: Final = {XGBOOST: "xgboost", LIGHTGBM: "lightgbm"}  # file → library
_OURS: Final = "towpath_bento.transformers"
# What a pipeline may hold besides scikit-learn's own estimators, which skops knows and trusts itself.
TRUSTED: Final = (
    "numpy.dtype",
    "sklearn.compose._column_transformer.make_column_selector",  # three plain values; calling it only picks columns
    "sklearn.model_selection._split.KFold",  # of a target encoder: three plain values, used in fitting only
    # Towpath's own: plain parameters and arrays, and methods that compute with them.
    *(f"{_OURS}.{name}" for name in ("Bucket", "Clip", "Cyclic", "Log", "RareCategories", "Ratio")),
)


class NativeEngine:
    """A fitted scikit-learn pipeline in front of a booster."""

    def __init__(self, pipeline: Any, booster: Booster, names: list[str]) -> None:  # noqa: ANN401 (untyped library)
        """Join a fitted transformer, a function from its output to (n,) or (n, k), and the input columns in order."""
        self._pipeline, self._booster, self._names = pipeline, booster, names

    def predict(self, columns: Columns) -> NDArray[np.floating[Any]]:
        """Return (n, k) floats for columns of shape (n, 1)."""
        import pandas as pd  # noqa: PLC0415 (heavy; only this engine needs it)

        frame = pd.DataFrame({name: columns[name][:, 0] for name in self._names})
        answer = self._booster(dense(self._pipeline.transform(frame)))
        return answer.reshape(len(frame), -1)


def dense(matrix: Any) -> NDArray[np.float32]:  # noqa: ANN401 (an array, a sparse matrix or a frame)
    """Return transformed rows as the dense float32 array (n, m) that trees learn from and graphs compute with.

    Whatever type a transformer computes in: a row that lies on a threshold would otherwise be decided differently.
    """
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float32)


def open_engine(folder: Path, signature: Signature) -> Engine:
    """Open `pipeline.skops` and the booster beside it; see `towpath_bento.engines.open_engine`.

    The pipeline is refused when it holds a type outside `TRUSTED` and scikit-learn: skops would import and call it.
    Where the signature states the digest of code that the release carries, what that code defines is trusted as well.
    """
    openers = {XGBOOST: _open_xgboost, LIGHTGBM: _open_lightgbm}
    present = [name for name in openers if (folder / name).is_file()]
    if not present:
        raise NotFoundError(f"The artifact has neither {XGBOOST} nor {LIGHTGBM}", why=f"Looked in {folder}.")
    try:
        pipeline = _open_pipeline(needed(folder, PIPELINE), (*TRUSTED, *_owners_types(folder, signature)))
        booster = openers[present[0]](folder / present[0])
    except ImportError as error:
        raise MissingDependencyError(
            f"The native engine lacks a library: {error}",
            hint="One of Python: pip install 'towpath[bento,native]'. One of the system: LightGBM needs libgomp.so.1, "
            "of Debian's package libgomp1; an image has it from its base, or not at all.",
        ) from error
    return NativeEngine(pipeline, booster, [column.name for column in signature.inputs])


def _owners_types(folder: Path, signature: Signature) -> frozenset[str]:
    """Make the owner's modules importable, their bytes compared, and return what they define; nothing runs yet."""
    if signature.code is None:
        return frozenset()
    code = read_code(folder / CODE, signature.code)
    code.install()
    return code.types


def _open_pipeline(path: Path, trusted: tuple[str, ...]) -> Any:  # noqa: ANN401 (untyped library)
    import skops.io  # noqa: PLC0415 (heavy; only this engine needs it)

    try:
        foreign = sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted))
        if not foreign:
            return skops.io.load(path, trusted=list(trusted))
    except ImportError:
        raise
    except Exception as error:
        # A damaged file fails in whatever way the part that reads it does.
        raise InvalidFileError(f"{path} is not a pipeline that skops can read", why=str(error)) from error
    raise InvalidFileError(
        f"{path} holds types that are not trusted",
        why=", ".join(foreign),
        hint="Build the pipeline from scikit-learn's own transformers.",
    )


def _open_xgboost(path: Path) -> Booster:
    xgboost = _library(BOOSTERS[XGBOOST])
    try:
        booster = xgboost.Booster({"nthread": 1}, model_file=path)
    except (xgboost.core.XGBoostError, UnicodeDecodeError) as error:
        # It quotes the file's first byte in its message and then fails to decode that.
        raise InvalidFileError(f"{path} is not an XGBoost model", why=str(error).splitlines()[0]) from error
    best = booster.attr("best_iteration")  # set by early stopping; scikit-learn's interface stops there as well
    rounds = (0, int(best) + 1) if best else (0, 0)
    return lambda matrix: cast(
        "NDArray[np.floating[Any]]", booster.inplace_predict(matrix, iteration_range=rounds, validate_features=False)
    )


def _open_lightgbm(path: Path) -> Booster:
    lightgbm = _library(BOOSTERS[LIGHTGBM])
    try:
        booster = lightgbm.Booster(model_file=path)
    except lightgbm.basic.LightGBMError as error:
        raise InvalidFileError(f"{path} is not a LightGBM model", why=str(error)) from error
    return lambda matrix: cast("NDArray[np.floating[Any]]", np.asarray(booster.predict(matrix, num_threads=1)))


def _library(name: str) -> Any:  # noqa: ANN401 (untyped libraries)
    """Import a booster's library, heavy and only needed here; each loads its own code by hand, which may lack some."""
    try:
        return import_module(name)
    except OSError as error:
        raise ImportError(str(error)) from error
