"""Reductions over axes. axes is an input (int64); left out it means all axes, or none with noop_with_empty_axes=1."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import DimLike, Shape, product
from interchange.dtypes import Array, is_float
from interchange.eager.tensor import Tensor
from interchange.ops.activation import Exp
from interchange.ops.arithmetic import Equal, Sign
from interchange.ops.frame import Grads, op
from interchange.ops.shape import Expand, Transpose, reshape
from interchange.ops.shape_tools import (
    known_or_refuse,
    normalize_axis,
    refuse,
    scalar_of,
    shape_tensor,
)


def reduced_axes(shape: Shape, axes: Tensor | None, noop: int) -> list[int]:
    """The axes a reduction of a tensor of this shape goes over, counted from the front."""
    given = () if axes is None else known_or_refuse(axes, "axes")
    if not given:
        return [] if noop else list(range(len(shape)))
    found = [normalize_axis(int(a), len(shape)) for a in given]
    if len(set(found)) != len(found):
        raise refuse("axes name an axis twice", expected="each axis once")
    return found


def _reduced(data: Tensor, axes: Tensor | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Shape:
    drop = reduced_axes(data.shape, axes, noop_with_empty_axes)
    if keepdims:
        return tuple(1 if i in drop else d for i, d in enumerate(data.shape))
    return tuple(d for i, d in enumerate(data.shape) if i not in drop)


def _over(axes: Array | None, noop: int) -> tuple[int, ...] | None:
    """numpy's axis argument."""
    if axes is None or not axes.size:
        return () if noop else None
    return tuple(axes.reshape(-1).tolist())


def _total(data: Array, axes: Array | None, keepdims: int, noop: int) -> Array:
    """The sum, in the dtype of the data. Half precision is added up in float32, as ONNX Runtime does."""
    reduce: Any = np.add.reduce
    if data.dtype.itemsize <= 2 and is_float(data.dtype):
        return np.asarray(reduce(data, _over(axes, noop), np.float32, None, bool(keepdims)), data.dtype)
    return np.asarray(reduce(data, _over(axes, noop), data.dtype, None, bool(keepdims)))


def keep_axes(x: Tensor, shape: Shape, axes: Tensor | None, keepdims: int, noop: int) -> Tensor:
    """A reduced tensor with the reduced axes put back as size 1, to broadcast against a tensor of `shape`."""
    drop = reduced_axes(shape, axes, noop)
    if keepdims or not drop:
        return x
    return reshape(x, tuple(1 if i in drop else d for i, d in enumerate(shape)))


def _count(shape: Shape, axes: Tensor | None, noop: int) -> DimLike:
    return product([shape[i] for i in reduced_axes(shape, axes, noop)])


def _spread(g: Tensor, shape: Shape, axes: Tensor | None, keepdims: int, noop: int) -> Tensor:
    """The gradient of a sum: `g` at every element that was summed."""
    return Expand(keep_axes(g, shape, axes, keepdims, noop), shape_tensor(shape))


@op(shape=_reduced)
def ReduceSum(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The sum over the axes."""
    return _total(data, axes, keepdims, noop_with_empty_axes)


@ReduceSum.gradient
def _(g: Tensor, data_shape: Shape, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    return _spread(g, data_shape, axes, keepdims, noop_with_empty_axes), None


@op(shape=_reduced)
def ReduceMean(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The mean over the axes; of integers rounded towards zero."""
    wide = data
    if data.dtype.itemsize < 4:  # the sum of many would lose bits, or overflow
        wide = data.astype(np.float32 if is_float(data.dtype) else np.int64)
    total = _total(wide, axes, keepdims, noop_with_empty_axes)
    count = data.size // total.size if total.size else 0
    if is_float(data.dtype):
        return np.asarray(total / np.asarray(count, total.dtype), data.dtype)
    return np.asarray(np.sign(total) * (abs(total) // max(1, count)), data.dtype)


@ReduceMean.gradient
def _(g: Tensor, data_shape: Shape, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    count = scalar_of(_count(data_shape, axes, noop_with_empty_axes), g.dtype)
    return _spread(g / count, data_shape, axes, keepdims, noop_with_empty_axes), None


def _by_extreme(
    g: Tensor, data: Tensor, axes: Tensor | None, reduced: Tensor, keepdims: int, noop_with_empty_axes: int
) -> Grads:
    """The gradient of a maximum or minimum: shared equally by the elements that attain it."""
    at = Equal(data, keep_axes(reduced, data.shape, axes, keepdims, noop_with_empty_axes)).astype(g.dtype)
    over = reduced_axes(data.shape, axes, noop_with_empty_axes)
    count = ReduceSum(at, over, keepdims=1) if over else at
    return at * (keep_axes(g, data.shape, axes, keepdims, noop_with_empty_axes) / count), None


@op(shape=_reduced)
def ReduceMax(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The largest element over the axes; NaN if one is. Of nothing: the smallest value of the dtype."""
    return _extreme(np.maximum, data, axes, keepdims, noop_with_empty_axes)


@op(shape=_reduced)
def ReduceMin(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The smallest element over the axes; NaN if one is. Of nothing: the largest value of the dtype."""
    return _extreme(np.minimum, data, axes, keepdims, noop_with_empty_axes)


ReduceMax.gradient(_by_extreme)
ReduceMin.gradient(_by_extreme)


def _extreme(ufunc: Any, data: Array, axes: Array | None, keepdims: int, noop: int) -> Array:
    rest = {"axis": _over(axes, noop), "keepdims": bool(keepdims)}
    if data.size:
        return np.asarray(ufunc.reduce(data, **rest))
    low = ufunc is np.minimum
    limit: Any = np.inf if low else -np.inf
    if data.dtype.kind == "b":
        limit = low
    elif data.dtype.kind in "iu":
        limit = np.iinfo(data.dtype).max if low else np.iinfo(data.dtype).min
    return np.asarray(ufunc.reduce(data, initial=limit, **rest))


@op(shape=_reduced)
def ReduceProd(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The product over the axes."""
    multiply: Any = np.multiply.reduce
    return np.asarray(multiply(data, _over(axes, noop_with_empty_axes), data.dtype, None, bool(keepdims)))


@ReduceProd.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    # the product of the others: exclusive products from both ends, right also where elements are 0
    from interchange.ops.scan import CumProdExclusive

    drop = reduced_axes(data.shape, axes, noop_with_empty_axes)
    kept = [i for i in range(len(data.shape)) if i not in drop]
    order = kept + drop
    moved = Transpose(data, perm=tuple(order))
    flat = reshape(moved, (*(data.shape[i] for i in kept), product([data.shape[i] for i in drop])))
    others = CumProdExclusive(flat, reverse=False) * CumProdExclusive(flat, reverse=True)
    others = Transpose(reshape(others, moved.shape), perm=tuple(np.argsort(order).tolist()))
    return keep_axes(g, data.shape, axes, keepdims, noop_with_empty_axes) * others, None


@op(shape=_reduced)
def ReduceLogSumExp(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """log(sum(exp(x))), computed around the maximum."""
    over = _over(axes, noop_with_empty_axes)
    top = np.max(data, axis=over, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, np.zeros((), data.dtype)).astype(data.dtype)
    total = _total(np.exp(data - top), axes, 1, noop_with_empty_axes)
    result = np.asarray(np.log(total) + top, data.dtype)
    return result if keepdims else result.squeeze(over)


@ReduceLogSumExp.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, reduced: Tensor, keepdims: int, noop_with_empty_axes: int) -> Grads:
    top = keep_axes(reduced, data.shape, axes, keepdims, noop_with_empty_axes)
    return keep_axes(g, data.shape, axes, keepdims, noop_with_empty_axes) * Exp(data - top), None


@op(shape=_reduced)
def ReduceLogSum(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """log(sum(x))."""
    return np.asarray(np.log(_total(data, axes, keepdims, noop_with_empty_axes)), data.dtype)


@ReduceLogSum.gradient
def _(
    g: Tensor, data_shape: Shape, axes: Tensor | None, reduced: Tensor, keepdims: int, noop_with_empty_axes: int
) -> Grads:
    return _spread(g / Exp(reduced), data_shape, axes, keepdims, noop_with_empty_axes), None


@op(shape=_reduced)
def ReduceL1(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The sum of absolute values."""
    return _total(abs(data), axes, keepdims, noop_with_empty_axes)


@ReduceL1.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    return keep_axes(g, data.shape, axes, keepdims, noop_with_empty_axes) * Sign(data), None


@op(shape=_reduced)
def ReduceL2(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The square root of the sum of squares. Its gradient at 0 is 0."""
    total = _total(data * data, axes, keepdims, noop_with_empty_axes)
    return np.asarray(np.sqrt(total)).astype(data.dtype, copy=False)


@ReduceL2.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, reduced: Tensor, keepdims: int, noop_with_empty_axes: int) -> Grads:
    norm = keep_axes(reduced, data.shape, axes, keepdims, noop_with_empty_axes)
    zero = (norm == 0).astype(g.dtype)
    return keep_axes(g, data.shape, axes, keepdims, noop_with_empty_axes) * data / (norm + zero), None


@op(shape=_reduced)
def ReduceSumSquare(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The sum of squares."""
    return _total(data * data, axes, keepdims, noop_with_empty_axes)


@ReduceSumSquare.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    return keep_axes(g, data.shape, axes, keepdims, noop_with_empty_axes) * data * 2, None


# -- positions of extremes: no gradient -------------------------------------------------------------------------------
def _arg_shape(data: Tensor, *, axis: int, keepdims: int, select_last_index: int) -> Shape:
    axis = normalize_axis(axis, len(data.shape))
    if isinstance(data.shape[axis], int) and data.shape[axis] == 0:
        raise refuse(f"axis {axis} is empty", expected="at least one element along it")
    return tuple(1 if i == axis else d for i, d in enumerate(data.shape) if keepdims or i != axis)


def _position(find: Any, data: Array, axis: int, keepdims: int, last: int) -> Array:
    found = data.shape[axis] - 1 - find(np.flip(data, axis), axis=axis) if last else find(data, axis=axis)
    return np.asarray(np.expand_dims(found, axis) if keepdims else found, np.int64)


@op(shape=_arg_shape)
def ArgMax(data: Array, *, axis: int, keepdims: int, select_last_index: int) -> Array:
    """The position of the largest element along an axis, int64; the first (or last) of several."""
    return _position(np.argmax, data, axis, keepdims, select_last_index)


@op(shape=_arg_shape)
def ArgMin(data: Array, *, axis: int, keepdims: int, select_last_index: int) -> Array:
    """The position of the smallest element along an axis, int64; the first (or last) of several."""
    return _position(np.argmin, data, axis, keepdims, select_last_index)
