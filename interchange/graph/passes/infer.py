"""Types and shapes of inner values, from onnx's shape inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interchange.errors import FileError
from interchange.graph.core import Graph, ModelIR
from interchange.graph.files import SMALLEST_EXTERNAL
from interchange.graph.proto import to_proto
from interchange.graph.reading import read_type
from interchange.graph.tensor import Tensor

if TYPE_CHECKING:
    import onnx


def infer(model: ModelIR) -> int:
    """Fill in the types and shapes that are missing; for models that come from outside.

    In place; returns how many values were filled in. Contract: what is known is not changed. Covers subgraphs, not the
    bodies of functions. Weights are not copied. Check a model you do not trust first: shape inference runs as
    long as the model tells it to. Raises FileError IX320 when inference gives up: an operator of a
    domain that is not imported, a function that calls itself. Operators whose inputs do not fit stay without types.
    """
    import onnx

    proto = to_proto(model, place=_leave_out)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise FileError(
            "IX320",
            "types and shapes cannot be inferred",
            where="the model",
            found=" ".join(str(error).split()),
            expected="an opset import for each domain in use, and functions that do not call themselves",
            fix="add what is missing; `interchange check` names every problem of a model",
        ) from None
    return _fill(model.graph, inferred.graph)


def _leave_out(tensor: Tensor, proto: onnx.TensorProto) -> bool:
    """Stand in for data that inference has no use for; it looks at small tensors only (shapes, axes)."""
    if tensor.nbytes < SMALLEST_EXTERNAL:
        return False
    proto.data_location = 1  # type: ignore[assignment]
    proto.external_data.add(key="location", value="left-out")
    return True


def _fill(graph: Graph, proto: onnx.GraphProto) -> int:
    info = {v.name: v for v in (*proto.value_info, *proto.input, *proto.output) if v.HasField("type")}
    filled = 0
    for value in graph.values():
        if value.name not in info or (value.dtype is not None and value.shape is not None):
            continue
        dtype, shape, kept = read_type(info[value.name].type, value.name)
        if value.dtype is None and value.type_proto is None and (dtype is not None or kept is not None):
            value.dtype, value.shape, value.type_proto = dtype, shape, kept
            filled += 1
        elif value.dtype is not None and value.shape is None and shape is not None:
            value.shape = shape
            filled += 1
    for node, written in zip(graph.nodes, proto.node, strict=True):
        inner = [g for a in written.attribute for g in ((a.g,) if a.HasField("g") else a.graphs)]
        # attributes are written in the order of their names
        subgraphs = [g for name in sorted(node.attributes) for g in node.attributes[name].graphs()]
        filled += sum(_fill(sub, sub_proto) for sub, sub_proto in zip(subgraphs, inner, strict=True))
    return filled
