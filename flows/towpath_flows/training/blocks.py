"""A graph with an input for each column becomes one with two inputs: all numbers, and all texts.

onnxruntime spends more on an input than on the values in it, so that a wide row in one array costs a fraction.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from towpath_bento.columns import NUMBERS, TEXTS, Places
from towpath_gitops.records.signature import Signature

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

Place = tuple[str, int]  # of a column: its array, and where it stands in it

_INDICES: Final = "indices"  # what the tensors are called that say which columns of an array are taken


def take_blocks(graph: "GraphProto", signature: Signature) -> None:
    """Let `graph`, whose inputs are those of `signature` in order, take the arrays that `Places` describes instead.

    The nodes see the same tensors as before, now taken out of an array. Where they only joined columns of one array,
    that is done in the same stroke; a join of all of them is the array itself.
    """
    _make_way(graph, (NUMBERS, TEXTS))
    places = Places(signature)
    columns = {node.name: places.of[column.name] for node, column in zip(graph.input, signature.inputs, strict=True)}
    _declare(graph, places)
    joined = {node.output[0]: [columns[name] for name in node.input] for node in graph.node if _joins(node, columns)}
    nodes = [node for node in graph.node if node.output[0] not in joined]
    read = {name for node in nodes for name in _read(node)}
    wanted = joined | {name: [place] for name, place in columns.items() if name in read}
    whole = {name: taken[0][0] for name, taken in wanted.items() if _is_whole(taken, places)}
    takes = [_take(graph, name, taken) for name, taken in wanted.items() if name not in whole]
    del graph.node[:]
    graph.node.extend([*takes, *nodes])
    _rename(graph, whole)


def _make_way(graph: "GraphProto", names: Iterable[str]) -> None:
    """Call the tensors otherwise that have these names."""
    taken = set(_names(graph)) | set(names)
    _rename(graph, {name: _free(name, taken) for name in names})


def _free(name: str, taken: set[str]) -> str:
    fresh = next(free for number in count() if (free := f"{name}_{number}") not in taken)
    taken.add(fresh)
    return fresh


def _declare(graph: "GraphProto", places: Places) -> None:
    from onnx import TensorProto, helper  # noqa: PLC0415 (heavy)

    del graph.input[:]
    for block, kind in ((NUMBERS, TensorProto.FLOAT), (TEXTS, TensorProto.STRING)):
        if places.columns(block):
            graph.input.append(helper.make_tensor_value_info(block, kind, [None, len(places.columns(block))]))


def _joins(node: "NodeProto", columns: Mapping[str, Place]) -> bool:
    """Whether all that a node does is to put columns of one array side by side."""
    blocks = {columns.get(name, ("", 0))[0] for name in node.input}
    return (
        node.op_type == "Concat"
        and [each.i for each in node.attribute] == [1]
        and len(blocks - {""}) == len(blocks) == 1
    )


def _is_whole(taken: list[Place], places: Places) -> bool:
    block = taken[0][0]
    return taken == [(block, place) for place in range(len(places.columns(block)))]


def _take(graph: "GraphProto", name: str, taken: list[Place]) -> "NodeProto":
    """Return the node that makes the tensor `name` of these columns of one array."""
    from onnx import TensorProto, helper  # noqa: PLC0415 (heavy)

    indices = _free(_INDICES, set(_names(graph)))
    numbers = [place for _, place in taken]
    graph.initializer.append(helper.make_tensor(indices, TensorProto.INT64, [len(numbers)], numbers))
    return helper.make_node("Gather", [taken[0][0], indices], [name], name=f"take_{name}", axis=1)


def _read(node: "NodeProto") -> Iterator[str]:
    yield from node.input
    for inner in _inner(node):
        yield from _names(inner)


def _names(graph: "GraphProto") -> Iterator[str]:
    """Yield the names of all tensors, those of inner graphs too."""
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer))
    for node in graph.node:
        yield from (*node.input, *node.output)
        for inner in _inner(node):
            yield from _names(inner)


def _rename(graph: "GraphProto", names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for inner in _inner(node):
            _rename(inner, names)


def _inner(node: Any) -> "list[GraphProto]":  # noqa: ANN401 (protobuf's classes are made at run time)
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]
