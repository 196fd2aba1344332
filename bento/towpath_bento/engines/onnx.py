"""The onnx engine: one graph from raw columns to probabilities, in onnxruntime."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from towpath_bento.columns import NUMBERS, TEXTS, Columns, Places
from towpath_bento.engines.base import Engine, needed
from towpath_gitops.errors import InvalidFileError, MissingDependencyError
from towpath_gitops.records.artifact import GRAPH
from towpath_gitops.records.signature import Signature

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PROBABILITIES = "probabilities"  # the name that converters give the classifiers' second output
_FLOAT, _STRING = "tensor(float)", "tensor(string)"
_ERRORS_ONLY = 3  # onnxruntime's log severity


class OnnxEngine:
    """An onnxruntime session. One thread per call: requests are the unit of parallelism, not rows."""

    def __init__(self, session: "InferenceSession", signature: Signature) -> None:
        """Wrap a session whose inputs fit `signature`.

        Raises:
            InvalidFileError: an input or output of the graph is not what the signature says.
        """
        self._places = Places(signature)
        self._inputs = {node.name: node for node in session.get_inputs()}
        self._blocks = _takes_blocks(self._inputs, self._places)
        if not self._blocks:
            _check_inputs(self._inputs, signature)
        self._session = session
        self._outputs = [_output_name(session, signature)]
        self._binary = signature.task == "binary"

    def predict(self, columns: Columns) -> NDArray[np.floating[Any]]:
        """Return (n, k) float32 for columns of shape (n, 1)."""
        fed = self._joined(columns) if self._blocks else {name: columns[name] for name in self._inputs}
        (answer,) = self._session.run(self._outputs, fed)
        if self._binary:
            return cast("NDArray[np.floating[Any]]", answer[:, -1:])
        return cast("NDArray[np.floating[Any]]", answer.reshape(len(answer), -1))

    def _joined(self, columns: Columns) -> dict[str, NDArray[Any]]:
        blocks = self._places.join(columns)
        return {name: blocks.texts if name == TEXTS else blocks.numbers for name in self._inputs}


def open_engine(folder: Path, signature: Signature) -> Engine:
    """Open `model.onnx`; see `towpath_bento.engines.open_engine`.

    The graph is read as bytes, so that it cannot point to other files on this machine.
    """
    try:
        import onnxruntime  # noqa: PLC0415 (heavy)
    except ImportError as error:
        raise MissingDependencyError(
            "onnxruntime is not installed", hint="Install it with: pip install 'towpath[bento]'"
        ) from error
    path = needed(folder, GRAPH)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime raises a family of its own exceptions without a common base.
        raise InvalidFileError(f"{path} is not a graph that onnxruntime can run", why=str(error)) from error
    return OnnxEngine(session, signature)


def _takes_blocks(inputs: Mapping[str, Any], places: Places) -> bool:
    """Whether a graph takes all columns in two arrays; the graphs of older releases have an input for each column.

    A graph of one column that is called like its array can be read either way, and both mean the same.
    """
    types = {NUMBERS: _FLOAT, TEXTS: _STRING}
    return all(
        name in types and (node.type, node.shape[1:]) == (types[name], [len(places.columns(name))])
        for name, node in inputs.items()
    )


def _check_inputs(inputs: Mapping[str, Any], signature: Signature) -> None:
    types = {column.name: _STRING if column.type == "string" else _FLOAT for column in signature.inputs}
    wrong = [
        f"“{name}” is {node.type}, the signature says {types.get(name, 'there is no such column')}"
        for name, node in inputs.items()
        if types.get(name) != node.type
    ]
    if wrong:
        raise InvalidFileError("The graph does not fit the signature", why="; ".join(wrong))


def _output_name(session: "InferenceSession", signature: Signature) -> str:
    names = [node.name for node in session.get_outputs()]
    if signature.task == "regression":
        return str(names[0])
    if PROBABILITIES in names:
        return PROBABILITIES
    if len(names) > 1:
        return str(names[1])
    raise InvalidFileError("The graph answers no probabilities", why=f"Its outputs are: {', '.join(names)}.")
