"""Operators that make tensors out of sizes and numbers. None has a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import Dim, Shape, dim_max
from interchange.dtypes import Array, DType, float32, from_onnx
from interchange.eager.tensor import Tensor, shape_text
from interchange.ops.frame import op
from interchange.ops.shape_tools import at_least, known_or_refuse, normalize_axis, refuse


def _value_dtype(input: Tensor, *, value: Array | None = None) -> DType:
    return float32 if value is None else value.dtype


@op(shape=lambda input, **_: known_or_refuse(input, "the shape"), dtype=_value_dtype)
def ConstantOfShape(input: Array, *, value: Array | None = None) -> Array:
    """A tensor of this shape filled with `value` (one element; float32 zero when left out)."""
    shape = tuple(input.tolist())
    return np.zeros(shape, np.float32) if value is None else np.full(shape, value.reshape(-1)[0], value.dtype)


@op()
def Range(start: Array, limit: Array, delta: Array) -> Array:
    """start, start + delta, ... before limit."""
    count = max(0, int(np.ceil((limit.item() - start.item()) / delta.item())))
    return np.asarray(start + np.arange(count).astype(start.dtype) * delta, start.dtype)


@Range.shape
def _(start: Tensor, limit: Tensor, delta: Tensor) -> Shape:
    for name, x in (("start", start), ("limit", limit), ("delta", delta)):
        if x.shape:
            raise refuse(f"{name} has {len(x.shape)} axes", expected="a scalar")
    a, b, step = (known_or_refuse(x, "the range")[0] for x in (start, limit, delta))
    if isinstance(step, Dim) or step == 0:
        raise refuse(f"a step of {step}", expected="a fixed step other than 0")
    if isinstance(a, Dim) or isinstance(b, Dim):
        return (dim_max(0, (b - a + step - 1) // step if step > 0 else (a - b - step - 1) // -step),)
    return (max(0, int(np.ceil((b - a) / step))),)


def _like_dtype(input: Tensor, *, dtype: int | None = None, k: int = 0) -> Any:
    return input.dtype if dtype is None else from_onnx(dtype)


@op(dtype=_like_dtype)
def EyeLike(input: Array, *, dtype: int | None = None, k: int) -> Array:
    """Ones on the k-th diagonal of a matrix of the input's shape."""
    rows, columns = input.shape
    return np.eye(rows, columns, k=k, dtype=input.dtype if dtype is None else from_onnx(dtype))


@EyeLike.shape
def _(input: Tensor, *, dtype: int | None = None, k: int) -> Shape:
    if len(input.shape) != 2:
        raise refuse(f"the input has {len(input.shape)} axes", expected="2 axes")
    return input.shape


@op()
def OneHot(indices: Array, depth: Array, values: Array, *, axis: int) -> Array:
    """values[1] at the position each index names along a new axis of size depth, values[0] elsewhere."""
    count = int(depth.reshape(-1)[0])
    if depth.size != 1 or count < 0 or values.shape != (2,):
        raise ValueError("depth is one size, values are two")
    where = np.expand_dims(indices.astype(np.int64), axis)
    where = np.where(where < 0, where + count, where)
    shape = [1] * where.ndim
    shape[axis] = count
    return np.asarray(np.where(where == np.arange(count).reshape(shape), values[1], values[0]), values.dtype)


@OneHot.shape
def _(indices: Tensor, depth: Tensor, values: Tensor, *, axis: int) -> Shape:
    axis = normalize_axis(axis, len(indices.shape) + 1)
    (count,) = known_or_refuse(depth, "depth")
    at_least(count, 0, "depth")
    if len(values.shape) != 1 or values.shape[0] != 2:
        raise refuse(f"values has the shape {shape_text(values.shape)}", expected="[2]: the off value, the on value")
    return (*indices.shape[:axis], count, *indices.shape[axis:])
