"""Towpath's own transformers as ONNX operators, each the exact twin of its `transform`."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

Convert = Callable[[Any, Any, Any, int], Any]  # the fitted transformer, its input, its output's name, the opset


def register() -> None:
    """Tell skl2onnx of every transformer in `towpath_bento.transformers`."""
    from skl2onnx import update_registered_converter  # noqa: PLC0415 (heavy)

    from towpath_bento import transformers  # noqa: PLC0415 (imports scikit-learn)

    for name, convert in _CONVERTERS.items():
        kind = getattr(transformers, name)
        update_registered_converter(kind, f"Towpath{name}", _shape, _converter(convert))


def _shape(operator: Any) -> None:  # noqa: ANN401 (skl2onnx is not typed)
    """Say what comes out: as many rows as go in, and the columns that the transformer makes."""
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType  # noqa: PLC0415 (heavy)

    columns = sum(variable.type.shape[1] for variable in operator.inputs)
    width = {"Cyclic": 2 * columns, "Ratio": 1}.get(type(operator.raw_operator).__name__, columns)
    text = isinstance(operator.inputs[0].type, StringTensorType)
    operator.outputs[0].type = (StringTensorType if text else FloatTensorType)([None, width])


def _converter(convert: Convert) -> Callable[[Any, Any, Any], None]:
    def converted(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401 (skl2onnx is not typed)
        from skl2onnx.algebra.onnx_ops import OnnxConcat  # noqa: PLC0415 (heavy)

        opset, inputs = container.target_opset, operator.inputs
        source = inputs[0] if len(inputs) == 1 else OnnxConcat(*inputs, axis=1, op_version=opset)
        convert(operator.raw_operator, source, operator.outputs[:1], opset).add_to(scope, container)

    return converted


def _cyclic(fitted: Any, x: Any, out: Any, opset: int) -> Any:  # noqa: ANN401 (skl2onnx is not typed)
    from skl2onnx.algebra import onnx_ops as ops  # noqa: PLC0415 (heavy)

    from towpath_bento.transformers import GRID  # noqa: PLC0415 (imports scikit-learn)

    grid = np.array([GRID])
    turns = ops.OnnxDiv(_double(x, opset), np.array([fitted.length_]), op_version=opset)
    part = ops.OnnxSub(turns, ops.OnnxFloor(turns, op_version=opset), op_version=opset)
    angle = ops.OnnxMul(part, np.array([2 * np.pi]), op_version=opset)
    waves = [ops.OnnxSin(angle, op_version=opset), ops.OnnxCos(angle, op_version=opset)]
    steps = ops.OnnxMul(ops.OnnxConcat(*waves, axis=1, op_version=opset), grid, op_version=opset)
    return _single(ops.OnnxDiv(ops.OnnxRound(steps, op_version=opset), grid, op_version=opset), out, opset)


def _log(_fitted: Any, x: Any, out: Any, opset: int) -> Any:  # noqa: ANN401 (as above)
    from skl2onnx.algebra import onnx_ops as ops  # noqa: PLC0415 (heavy)

    values, zero = _double(x, opset), np.array([0.0])
    size = ops.OnnxLog(
        ops.OnnxAdd(ops.OnnxAbs(values, op_version=opset), np.array([1.0]), op_version=opset), op_version=opset
    )
    negative = ops.OnnxLess(values, zero, op_version=opset)
    signed = ops.OnnxWhere(negative, ops.OnnxNeg(size, op_version=opset), size, op_version=opset)
    return _single(signed, out, opset)


def _ratio(_fitted: Any, x: Any, out: Any, opset: int) -> Any:  # noqa: ANN401 (as above)
    from skl2onnx.algebra import onnx_ops as ops  # noqa: PLC0415 (heavy)

    ratio = ops.OnnxDiv(_column(x, 0, opset), _column(x, 1, opset), op_version=opset)
    return ops.OnnxWhere(ops.OnnxIsInf(ratio, op_version=opset), _NAN, ratio, op_version=opset, output_names=out)


def _clip(fitted: Any, x: Any, out: Any, opset: int) -> Any:  # noqa: ANN401 (as above)
    from skl2onnx.algebra import onnx_ops as ops  # noqa: PLC0415 (heavy)

    lows, highs = fitted.lows_.reshape(1, -1), fitted.highs_.reshape(1, -1)
    # Not ONNX's Clip: what that makes of NaN is nowhere written.
    raised = ops.OnnxWhere(ops.OnnxLess(x, lows, op_version=opset), lows, x, op_version=opset)
    above = ops.OnnxGreater(raised, highs, op_version=opset)
    return ops.OnnxWhere(above, highs, raised, op_version=opset, output_names=out)


def _bucket(fitted: Any, x: Any, out: Any, opset: int) -> Any:  # noqa: ANN401 (as above)
    from skl2onnx.algebra import onnx_ops as ops  # noqa: PLC0415 (heavy)
    from skl2onnx.proto import onnx_proto  # noqa: PLC0415 (heavy)

    columns = []
    for place, edges in enumerate(fitted.edges_):
        value = _column(x, place, opset)
        known = edges.reshape(1, -1) if len(edges) else np.full((1, 1), np.inf, dtype=np.float32)
        passed = ops.OnnxGreaterOrEqual(value, known, op_version=opset)
        counted = ops.OnnxCast(passed, to=onnx_proto.TensorProto.FLOAT, op_version=opset)
        columns.append(ops.OnnxReduceSum(counted, np.array([1]), keepdims=1, op_version=opset))
    buckets = ops.OnnxConcat(*columns, axis=1, op_version=opset)
    missing = ops.OnnxIsNaN(x, op_version=opset)
    return ops.OnnxWhere(missing, _NAN, buckets, op_version=opset, output_names=out)


def _rare(fitted: Any, x: Any, out: Any, opset: int) -> Any:  # noqa: ANN401 (as above)
    from skl2onnx.algebra import onnx_ops as ops  # noqa: PLC0415 (heavy)

    from towpath_bento.transformers import OTHER  # noqa: PLC0415 (imports scikit-learn)

    columns = [
        # A list must not be empty; a value of its own name changes nothing.
        ops.OnnxLabelEncoder(
            _column(x, place, opset),
            keys_strings=kept or [OTHER],
            values_strings=kept or [OTHER],
            default_string=OTHER,
            op_version=2,
        )
        for place, kept in enumerate(fitted.kept_)
    ]
    return ops.OnnxConcat(*columns, axis=1, op_version=opset, output_names=out)


def _column(x: Any, place: int, opset: int) -> Any:  # noqa: ANN401 (as above)
    from skl2onnx.algebra.onnx_ops import OnnxGather  # noqa: PLC0415 (heavy)

    return OnnxGather(x, np.array([place]), axis=1, op_version=opset)


def _double(x: Any, opset: int) -> Any:  # noqa: ANN401 (as above)
    from skl2onnx.algebra.onnx_ops import OnnxCast  # noqa: PLC0415 (heavy)
    from skl2onnx.proto import onnx_proto  # noqa: PLC0415 (heavy)

    return OnnxCast(x, to=onnx_proto.TensorProto.DOUBLE, op_version=opset)


def _single(x: Any, out: Any, opset: int) -> Any:  # noqa: ANN401 (as above)
    from skl2onnx.algebra.onnx_ops import OnnxCast  # noqa: PLC0415 (heavy)
    from skl2onnx.proto import onnx_proto  # noqa: PLC0415 (heavy)

    return OnnxCast(x, to=onnx_proto.TensorProto.FLOAT, op_version=opset, output_names=out)


_NAN: Final = np.array([np.nan], dtype=np.float32)
_CONVERTERS: Final[dict[str, Convert]] = {
    "Bucket": _bucket,
    "Clip": _clip,
    "Cyclic": _cyclic,
    "Log": _log,
    "RareCategories": _rare,
    "Ratio": _ratio,
}
