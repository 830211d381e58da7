"""What onnx's shape rules do not look at (Conv's channels, a constant Reshape or Gather), and declarations compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from interchange.checker.context import NodeRef, domain_of
from interchange.checker.rule import Problem
from interchange.checker.typetext import dim_text, reader_text
from interchange.dtypes import Array

_SMALL = 1024  # elements of a constant that may decide a shape or an index

Types = Mapping[str, Any]
Looked = Iterator[tuple[str, Problem]]


# -- constants --------------------------------------------------------------------------------------------------------
def is_small(tensor: Any) -> bool:
    """Whether its data stands in the proto and is small."""
    return tensor.data_location != 1 and all(d >= 0 for d in tensor.dims) and math.prod(tensor.dims) <= _SMALL


def array_of(tensor: Any) -> Array | None:
    """The numbers of a small constant; None where its bytes do not fit (the rules on data say so)."""
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, RuntimeError):
        return None


def constant(proto: Any, types: Types, data: dict[str, Any]) -> None:
    """Note the outputs of a node that are constants: Constant itself, and what commonly computes shapes from them."""
    from onnx import numpy_helper

    if domain_of(proto) or not proto.output or not proto.output[0]:
        return
    name = proto.output[0]
    data.pop(name, None)
    if proto.op_type == "Constant":
        tensor = _constant(proto)
        if tensor is not None and is_small(tensor):
            data[name] = tensor
        return
    found = _computed(proto, types, data)
    if found is not None and found.size <= _SMALL:
        data[name] = numpy_helper.from_array(found)


def _constant(proto: Any) -> Any:
    from onnx import numpy_helper

    for attribute in proto.attribute:
        match attribute.name:
            case "value":
                return attribute.t
            case "value_int":
                return numpy_helper.from_array(np.array(attribute.i, np.int64))
            case "value_ints":
                return numpy_helper.from_array(np.array(attribute.ints, np.int64))
            case "value_float":
                return numpy_helper.from_array(np.array(attribute.f, np.float32))
            case "value_floats":
                return numpy_helper.from_array(np.array(attribute.floats, np.float32))
    return None


def _computed(proto: Any, types: Types, data: Mapping[str, Any]) -> Array | None:
    if proto.op_type == "Shape" and not proto.attribute and proto.input[0] in types:
        dims = dims_of(types[proto.input[0]])
        return np.array(dims, np.int64) if dims is not None and all(d is not None for d in dims) else None
    if proto.op_type not in ("Identity", "Concat", "Unsqueeze") or not all(n in data for n in proto.input):
        return None
    arrays = [array_of(data[n]) for n in proto.input]
    if any(a is None for a in arrays):
        return None
    values = [a for a in arrays if a is not None]
    if proto.op_type == "Identity":
        return values[0]
    if proto.op_type == "Concat":
        fits = all(v.ndim == 1 and v.dtype == values[0].dtype for v in values)
        return np.concatenate(values) if fits else None
    return values[0].reshape(1) if len(values) == 2 and values[0].ndim == 0 and values[1].tolist() == [0] else None


# -- what onnx does not look at ---------------------------------------------------------------------------------------
def look(node: NodeRef, proto: Any, types: Types, data: Mapping[str, Any]) -> Looked:
    """Problems of one node by kind, beyond onnx's shape rule."""
    found = _LOOKS.get(proto.op_type) if not domain_of(proto) else None
    if found is not None:
        yield from found(node, proto, types, data)


def dims_of(proto: Any) -> list[int | None] | None:
    """The sizes of a tensor type, None for one that is not a number; None if the rank is not known."""
    tensor = proto.tensor_type
    if proto.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]


def _attribute(proto: Any, name: str, default: int) -> int:
    return next((int(a.i) for a in proto.attribute if a.name == name), default)


def _conv(node: NodeRef, proto: Any, types: Types, data: Mapping[str, Any]) -> Looked:
    x, w = dims_of(types[proto.input[0]]), dims_of(types[proto.input[1]])
    group, transposed = _attribute(proto, "group", 1), proto.op_type == "ConvTranspose"
    if x is None or w is None or len(x) < 3 or len(w) < 3:
        return
    both = "; ".join(f"{n}: {reader_text(types[n])}" for n in proto.input[:2])
    channels, first, second = x[1], w[0], w[1]
    takes = first if transposed else None if second is None else second * group
    if channels is not None and takes is not None and channels != takes:
        means = f"{second} x group {group}" if not transposed else f"{first}"
        yield (
            "conv",
            Problem(
                f"node {node.label}: the input has {channels} channels, the weight takes {takes} ({means})",
                node.where(proto.input[0]),
                found=f"{both}; group={group}",
                expected=f"{takes} channels at axis 1 of {proto.input[0]}",
                why="the runtime loads the model and fails in every run",
                fix="make the weight's channels times group the input's, or the reverse (NHWC data needs a Transpose)",
            ),
        )
    outputs = first if not transposed else None if second is None else second * group
    divided = channels if transposed else first
    if divided is not None and group > 0 and divided % group:
        yield (
            "conv",
            Problem(
                f"node {node.label}: {divided} channels do not divide into {group} groups",
                node.where(proto.input[1]),
                found=f"{both}; group={group}",
                expected=f"a multiple of {group}",
                why="the runtime loads the model and fails in every run",
                fix="correct group or the weight",
            ),
        )
    bias = proto.input[2] if len(proto.input) > 2 else ""
    length = dims_of(types[bias]) if bias else None
    if length and len(length) == 1 and None not in (length[0], outputs) and length[0] != outputs:
        yield (
            "conv",
            Problem(
                f"node {node.label}: the bias has {length[0]} values, the weight makes {outputs} channels",
                node.where(bias),
                found=f"{both}; {bias}: {reader_text(types[bias])}",
                expected=f"{bias}[{outputs}]",
                why="the runtime loads the model and fails in every run",
                fix="correct the bias",
            ),
        )


def _reshape(node: NodeRef, proto: Any, types: Types, data: Mapping[str, Any]) -> Looked:
    dims = dims_of(types[proto.input[0]])
    wanted = array_of(data[proto.input[1]]) if proto.input[1] in data else None
    if dims is None or wanted is None or wanted.ndim != 1:
        return
    target: list[int | None] = [int(d) for d in wanted]
    if not _attribute(proto, "allowzero", 0):
        target = [(dims[i] if i < len(dims) else None) if d == 0 else d for i, d in enumerate(target)]
    if None in target or None in dims:
        return
    have = math.prod(d for d in dims if d is not None)
    rest = math.prod(d for d in target if d is not None and d != -1)
    fits = have == rest if -1 not in target else (rest and have % rest == 0)
    if not fits:
        yield (
            "reshape",
            Problem(
                f"node {node.label}: {have} elements cannot take the shape {[int(d) for d in wanted]}",
                node.where(proto.input[0]),
                found=f"{proto.input[0]}: {reader_text(types[proto.input[0]])}",
                expected=f"a shape of {have} elements",
                why="the runtime loads the model and fails in every run",
                fix=f"correct the constant {proto.input[1]!r}, or use -1 for the open size",
            ),
        )


def _gather(node: NodeRef, proto: Any, types: Types, data: Mapping[str, Any]) -> Looked:
    dims = dims_of(types[proto.input[0]])
    indices = array_of(data[proto.input[1]]) if proto.input[1] in data else None
    axis = _attribute(proto, "axis", 0)
    if dims is None or indices is None or not indices.size or not -len(dims) <= axis < len(dims):
        return
    size = dims[axis]
    bad = [] if size is None else sorted({int(i) for i in indices.reshape(-1) if not -size <= i < size})
    if bad:
        yield (
            "gather",
            Problem(
                f"node {node.label}: index {bad[0]} is outside of axis {axis}, which has {size}",
                node.where(proto.input[1]),
                found=f"indices {', '.join(map(str, bad[:5]))}; {proto.input[0]}: {reader_text(types[proto.input[0]])}",
                expected=f"indices from {-(size or 0)} to {(size or 0) - 1}",
                why="the runtime loads the model and fails in every run",
                fix=f"correct the constant {proto.input[1]!r}",
            ),
        )


_LOOKS: dict[str, Callable[[NodeRef, Any, Types, Mapping[str, Any]], Looked]] = {
    "Conv": _conv,
    "ConvTranspose": _conv,
    "Gather": _gather,
    "Reshape": _reshape,
}


# -- declarations -----------------------------------------------------------------------------------------------------
def conflict(inferred: Any, declared: Any, symbols: set[str]) -> tuple[str, str]:
    """(kind of problem, more for the message) of a declaration that contradicts; ("", "") if it does not."""
    kind = inferred.WhichOneof("value")
    if kind != declared.WhichOneof("value"):
        return "declared dtype", ""
    if kind != "tensor_type":
        return "", ""
    a, b = inferred.tensor_type, declared.tensor_type
    if a.elem_type and b.elem_type and a.elem_type != b.elem_type:
        return "declared dtype", ""
    if not (a.HasField("shape") and b.HasField("shape")):
        return "", ""
    if len(a.shape.dim) != len(b.shape.dim):
        return "declared shape", ""
    pairs = list(zip(a.shape.dim, b.shape.dim, strict=True))
    if any(x.HasField("dim_value") and y.HasField("dim_value") and 0 <= y.dim_value != x.dim_value for x, y in pairs):
        return "declared shape", ""
    for x, y in pairs:
        if x.dim_param in symbols and (y.HasField("dim_value") or y.dim_param):
            if y.HasField("dim_value") or y.dim_param in symbols - {x.dim_param}:
                return "symbols", f" ({dim_text(x)} is not always {dim_text(y)})"
            if y.dim_param != x.dim_param:
                return "names", f" (the inputs call this size {x.dim_param})"
    return "", ""


def filled(inferred: Any, *others: Any) -> Any:
    """The inferred type, with sizes that it leaves open taken from the others."""
    tensor = inferred.tensor_type
    if inferred.WhichOneof("value") != "tensor_type":
        return inferred
    if tensor.HasField("shape") and all(d.WhichOneof("value") for d in tensor.shape.dim):
        return inferred
    result = type(inferred)()
    result.CopyFrom(inferred)
    for other in others:
        if other is None or not other.tensor_type.HasField("shape"):
            continue
        known, told = result.tensor_type, other.tensor_type.shape.dim
        if not known.HasField("shape"):
            known.shape.CopyFrom(other.tensor_type.shape)
        elif len(known.shape.dim) == len(told):
            for mine, theirs in zip(known.shape.dim, told, strict=True):
                if mine.WhichOneof("value") is None and theirs.WhichOneof("value") is not None:
                    mine.CopyFrom(theirs)
    return result


def without_shape(proto: Any) -> Any:
    """A tensor type's dtype alone; other types as they are."""
    if proto.WhichOneof("value") != "tensor_type":
        return proto
    result = type(proto)()
    result.tensor_type.elem_type = proto.tensor_type.elem_type
    return result
