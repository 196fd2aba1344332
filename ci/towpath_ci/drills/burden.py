"""A graph that answers as before, and computes for nothing."""

from pathlib import Path
from typing import Final

SIDE: Final = 1500  # of a square matrix that each request multiplies by itself: 7 thousand million operations


def burden(path: Path) -> None:
    """Let the ONNX graph in a file multiply large matrices before each answer; its answers stay the same."""
    import onnx  # noqa: PLC0415 (heavy: not for the command line's start)
    from onnx import TensorProto, helper  # noqa: PLC0415 (as above)

    model = onnx.load(path)
    graph = model.graph
    outputs = [each for each in graph.output if each.type.tensor_type.elem_type == TensorProto.FLOAT]
    for node in graph.node:
        for position, name in enumerate(node.output):
            if name in {each.name for each in outputs}:
                node.output[position] = f"{name}:light"
    # The size of the request times nought stands in the matrix, so that nothing can be computed once and for all.
    side = helper.make_tensor("side", TensorProto.INT64, [2], [SIDE, SIDE])
    nought = helper.make_tensor("nought", TensorProto.FLOAT, [], [0.0])
    tiny = helper.make_tensor("tiny", TensorProto.FLOAT, [1], [1e-6])
    graph.initializer.extend([side, nought])
    graph.node.extend(
        [
            helper.make_node("Shape", [graph.input[0].name], ["shape"]),
            helper.make_node("Cast", ["shape"], ["sizes"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["sizes"], ["size"], keepdims=0),
            helper.make_node("Mul", ["size", "nought"], ["none"]),
            helper.make_node("ConstantOfShape", ["side"], ["matrix"], value=tiny),
            helper.make_node("Add", ["matrix", "none"], ["asked"]),
            helper.make_node("MatMul", ["asked", "asked"], ["squared"]),
            helper.make_node("ReduceMean", ["squared"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "nought"], ["nothing"]),
            *(helper.make_node("Add", [f"{each.name}:light", "nothing"], [each.name]) for each in outputs),
        ]
    )
    onnx.save(model, path)
