"""The transformer and the trees as one ONNX graph that takes the raw columns."""

from typing import Any, Final

from towpath_flows.training import converters
from towpath_flows.training.blocks import take_blocks
from towpath_flows.training.model import Model
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.records.signature import Signature

# What the converters of both libraries were tried with; newer tree operators are not written by them yet.
OPSET: Final = {"": 19, "ai.onnx.ml": 3}


def to_graph(model: Model) -> bytes:
    """Return the serialised graph: all numbers and all strings of a row go in as two arrays, see `Places`.

    The same model gives the same bytes, in any process. Whatever the converters cannot express raises an exception of
    their own.
    """
    from skl2onnx import convert_sklearn  # noqa: PLC0415 (heavy)
    from sklearn.pipeline import Pipeline  # noqa: PLC0415 (heavy)

    TRAINERS[model.framework].register()
    converters.register()
    graph = convert_sklearn(
        Pipeline([("features", model.pipeline), ("trees", model.estimator)]),
        name="towpath",  # else it is random
        initial_types=_inputs(model.signature),
        target_opset=OPSET,
        options={id(model.estimator): {"zipmap": False}} if model.signature.classes else None,
    )
    take_blocks(graph.graph, model.signature)
    opsets = sorted(graph.opset_import, key=lambda opset: opset.domain)  # the converter's order is that of a set
    del graph.opset_import[:]
    graph.opset_import.extend(opsets)
    return bytes(graph.SerializeToString(deterministic=True))


def _inputs(signature: Signature) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType  # noqa: PLC0415 (heavy)

    return [
        (column.name, (StringTensorType if column.type == "string" else FloatTensorType)([None, 1]))
        for column in signature.inputs
    ]
