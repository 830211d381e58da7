"""Constants that decide shapes, and declarations compared with what was inferred."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from interchange.checker.context import domain_of
from interchange.checker.typetext import dim_text
from interchange.dtypes import Array

SMALL = 1024  # elements of a constant that may decide a shape or an index

Types = Mapping[str, Any]


# -- constants --------------------------------------------------------------------------------------------------------
def is_small(tensor: Any) -> bool:
    """Whether its data stands in the proto and is small."""
    return tensor.data_location != 1 and all(d >= 0 for d in tensor.dims) and math.prod(tensor.dims) <= SMALL


def array_of(tensor: Any) -> Array | None:
    """The numbers of a small constant; None where its bytes do not fit (the rules on data say so)."""
    from onnx import numpy_helper

    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, RuntimeError):
        return None


def constant(proto: Any, types: Types, data: MutableMapping[str, Any]) -> None:
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
    if found is not None and found.size <= SMALL:
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


def dims_of(proto: Any) -> list[int | None] | None:
    """The sizes of a tensor type, None for one that is not a number; None if the rank is not known."""
    tensor = proto.tensor_type
    if proto.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]


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
