"""The onnx engine: one graph from raw columns to probabilities, in onnxruntime."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from towpath_bento.engines.base import Columns, Engine, needed
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
        _check_inputs(session, signature)
        self._session = session
        self._inputs = [node.name for node in session.get_inputs()]
        self._output = _output_name(session, signature)
        self._binary = signature.task == "binary"

    def predict(self, columns: Columns) -> NDArray[np.floating[Any]]:
        """Return (n, k) float32 for columns of shape (n, 1)."""
        (answer,) = self._session.run([self._output], {name: columns[name] for name in self._inputs})
        if self._binary:
            return cast("NDArray[np.floating[Any]]", answer[:, -1:])
        return cast("NDArray[np.floating[Any]]", answer.reshape(len(answer), -1))


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


def _check_inputs(session: "InferenceSession", signature: Signature) -> None:
    types = {column.name: _STRING if column.type == "string" else _FLOAT for column in signature.inputs}
    wrong = [
        f"“{node.name}” is {node.type}, the signature says {types.get(node.name, 'there is no such column')}"
        for node in session.get_inputs()
        if types.get(node.name) != node.type
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
