"""The transformer and the trees as one ONNX graph that takes the raw columns."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from towpath_flows.training import converters
from towpath_flows.training.model import Model
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.records.signature import Signature

if TYPE_CHECKING:
    from onnx import GraphProto

# What the converters of both libraries were tried with; newer tree operators are not written by them yet.
OPSET: Final = {"": 19, "ai.onnx.ml": 3}


def to_graph(model: Model) -> bytes:
    """Return the serialised graph: one input of shape (n, 1) for each column, strings included.

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
    _name_inputs(graph.graph, [column.name for column in model.signature.inputs])
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


def _name_inputs(graph: "GraphProto", columns: list[str]) -> None:
    """Call the graph's inputs as the columns are called, whatever letters that takes.

    The converter makes identifiers of names ("mean radius" → "mean_radius") and gives way to names of its own
    ("label"). Engines ask by column; so it is the inner tensors that give way.
    """
    inputs = {node.name: name for node, name in zip(graph.input, columns, strict=True)}
    taken = set(_names(graph)) | set(columns)
    renamed = dict(inputs)
    for name in sorted((set(_names(graph)) - set(inputs)) & set(columns)):
        fresh = next(free for number in range(len(taken) + 1) if (free := f"{name}_{number}") not in taken)
        renamed[name] = fresh
        taken.add(fresh)
    _rename(graph, renamed)


def _names(graph: "GraphProto") -> Iterator[str]:
    """Yield the names of all tensors, those of inner graphs too."""
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer))
    for node in graph.node:
        yield from (*node.input, *node.output)
        for inner in _inner(node):
            yield from _names(inner)


def _rename(graph: "GraphProto", names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in _inner(node):
            _rename(inner, names)


def _inner(node: Any) -> "list[GraphProto]":  # noqa: ANN401 (protobuf's classes are made at run time)
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]
