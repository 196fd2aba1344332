"""Engines: what turns columns into numbers. Training proves parity with the very engines that serve.

Columns are arrays of shape (n, 1), one per input of the signature: numbers, integers and booleans as float32 with NaN
for missing; strings as object arrays of `str` with "" for missing. Those of a request stand side by side in two arrays
(`towpath_bento.columns`). Answers are float arrays of shape (n, k): binary
k = 1, the probability of the second class; multiclass k = number of classes; regression k = 1.
"""

from pathlib import Path
from typing import Final

from towpath_bento.engines import native, onnx
from towpath_bento.engines.base import Engine, EngineModule
from towpath_gitops.records import signature as records

__all__ = ["ENGINES", "Engine", "open_engine"]

ENGINES: Final[dict[records.Engine, EngineModule]] = {"onnx": onnx, "native": native}


def open_engine(folder: Path, signature: records.Signature) -> Engine:
    """Open the model in the artifact `folder` with the engine that its signature names.

    The caller compares the folder with its approved digest first (`check_artifact`): this function parses its bytes.

    Raises:
        NotFoundError: the folder lacks a file that the engine needs.
        InvalidFileError: a file is not what the engine can open safely, or does not fit the signature.
        MissingDependencyError: the engine's library is not installed.
    """
    return ENGINES[signature.engine].open_engine(folder, signature)
