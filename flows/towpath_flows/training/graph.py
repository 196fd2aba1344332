"""The transformer and the trees as one ONNX graph that takes the raw columns."""

from typing import Any, Final

from towpath_flows.training.model import Model
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.records.signature import Signature

# What the converters of both libraries were tried with; newer tree operators are not written by them yet.
OPSET: Final = {"": 19, "ai.onnx.ml": 3}


def to_graph(model: Model) -> bytes:
    """Return the serialised graph: one input of shape (n, 1) for each column, strings included.

    The same model gives the same bytes. Whatever the converters cannot express raises an exception of their own.
    """
    from skl2onnx import convert_sklearn  # noqa: PLC0415 (heavy)
    from sklearn.pipeline import Pipeline  # noqa: PLC0415 (heavy)

    TRAINERS[model.framework].register()
    graph = convert_sklearn(
        Pipeline([("features", model.pipeline), ("trees", model.estimator)]),
        name="towpath",  # else it is random
        initial_types=_inputs(model.signature),
        target_opset=OPSET,
        options={id(model.estimator): {"zipmap": False}} if model.signature.classes else None,
    )
    return bytes(graph.SerializeToString(deterministic=True))


def _inputs(signature: Signature) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType  # noqa: PLC0415 (heavy)

    return [
        (column.name, (StringTensorType if column.type == "string" else FloatTensorType)([None, 1]))
        for column in signature.inputs
    ]
