"""Reductions over axes. axes is an input (int64); left out it means all axes, or none with noop_with_empty_axes=1."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import DimLike, Shape, product
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor
from interchange.ops.activation import Exp
from interchange.ops.arithmetic import Equal, Sign
from interchange.ops.frame import Grads, op
from interchange.ops.shape import Reshape
from interchange.ops.shape_tools import (

    known_or_refuse,
    normalize_axis,
    refuse,
    reshape_target,
    scalar_of,
)


def reduced_axes(data: Tensor, axes: Tensor | None, noop: int) -> list[int]:
    """The axes a reduction goes over, counted from the front."""
    rank = len(data.shape)
    if axes is None or not len(known_or_refuse(axes, "axes")):
        return [] if noop else list(range(rank))
    found = [normalize_axis(int(a), rank) for a in known_or_refuse(axes, "axes")]
    if len(set(found)) != len(found):
        raise refuse("axes name an axis twice", expected="each axis once")
    return found


def _reduced(data: Tensor, axes: Tensor | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Shape:
    drop = reduced_axes(data, axes, noop_with_empty_axes)
    if keepdims:
        return tuple(1 if i in drop else d for i, d in enumerate(data.shape))
    return tuple(d for i, d in enumerate(data.shape) if i not in drop)


def _over(axes: Array | None, noop: int) -> tuple[int, ...] | None:
    """numpy's axis argument."""
    if axes is None or not axes.size:
        return () if noop else None
    return tuple(axes.reshape(-1).tolist())


def keep_axes(x: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop: int) -> Tensor:
    """A reduced tensor with the reduced axes put back as size 1, to broadcast against `data`."""
    if keepdims or not x.shape:  # a scalar broadcasts as it is
        return x
    drop = reduced_axes(data, axes, noop)
    if not drop:
        return x
    shape = tuple(1 if i in drop else d for i, d in enumerate(data.shape))
    return Reshape(x, reshape_target(x.shape, shape))


def _count(data: Tensor, axes: Tensor | None, noop: int) -> DimLike:
    return product([data.shape[i] for i in reduced_axes(data, axes, noop)])


def _spread(g: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop: int) -> Tensor:
    """The gradient of a sum: `g` at every element that was summed."""
    from interchange.ops.shape import Expand
    from interchange.ops.shape_tools import shape_tensor

    return Expand(keep_axes(g, data, axes, keepdims, noop), shape_tensor(data.shape))


@op(shape=_reduced)
def ReduceSum(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The sum over the axes."""
    return np.add.reduce(data, _over(axes, noop_with_empty_axes), data.dtype, None, bool(keepdims))


@ReduceSum.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    return _spread(g, data, axes, keepdims, noop_with_empty_axes), None


@op(shape=_reduced)
def ReduceMean(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The mean over the axes."""
    over = _over(axes, noop_with_empty_axes)
    if data.dtype.kind in "iu":  # the mean of integers is the sum divided towards zero
        total = np.add.reduce(data, over, data.dtype, None, bool(keepdims))
        return np.trunc(total / max(1, data.size // max(1, total.size))).astype(data.dtype)
    return np.mean(data, over, None, None, bool(keepdims)).astype(data.dtype, copy=False)


@ReduceMean.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    count = scalar_of(_count(data, axes, noop_with_empty_axes), data.dtype)
    return _spread(g / count, data, axes, keepdims, noop_with_empty_axes), None


def _by_extreme(g: Tensor, data: Tensor, axes: Tensor | None, reduced: Tensor, keepdims: int, noop: int) -> Tensor:
    """The gradient of a maximum or minimum: shared equally by the elements that attain it."""
    at = Equal(data, keep_axes(reduced, data, axes, keepdims, noop)).astype(g.dtype)
    over = reduced_axes(data, axes, noop)
    count = ReduceSum(at, over, keepdims=1, noop_with_empty_axes=1)
    return at * (keep_axes(g, data, axes, keepdims, noop) / count)


@op(shape=_reduced)
def ReduceMax(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The largest element over the axes; NaN if one is. Of nothing: the smallest value of the dtype."""
    return _extreme(np.maximum, data, axes, keepdims, noop_with_empty_axes)


@op(shape=_reduced)
def ReduceMin(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The smallest element over the axes; NaN if one is. Of nothing: the largest value of the dtype."""
    return _extreme(np.minimum, data, axes, keepdims, noop_with_empty_axes)


def _extreme(ufunc: np.ufunc, data: Array, axes: Array | None, keepdims: int, noop: int) -> Array:
    limit: Any = None
    if not data.size:
        low = ufunc is np.minimum
        if data.dtype.kind == "b":
            limit = low
        elif data.dtype.kind in "iu":
            limit = np.iinfo(data.dtype).max if low else np.iinfo(data.dtype).min
        else:
            limit = np.inf if low else -np.inf
    kwargs = {} if limit is None else {"initial": limit}
    return np.asarray(ufunc.reduce(data, _over(axes, noop), None, None, bool(keepdims), **kwargs))


for _operator in (ReduceMax, ReduceMin):

    @_operator.gradient  # type: ignore[untyped-decorator]
    def _(g: Tensor, data: Tensor, axes: Tensor | None, reduced: Tensor, keepdims: int, noop_with_empty_axes: int) -> Grads:
        return _by_extreme(g, data, axes, reduced, keepdims, noop_with_empty_axes), None


@op(shape=_reduced)
def ReduceProd(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The product over the axes."""
    return np.multiply.reduce(data, _over(axes, noop_with_empty_axes), data.dtype, None, bool(keepdims))


@ReduceProd.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    # the product of the others: exclusive products from both ends, right also where elements are 0
    from interchange.ops.scan import CumProdExclusive
    from interchange.ops.shape import Transpose

    drop = reduced_axes(data, axes, noop_with_empty_axes)
    kept = [i for i in range(len(data.shape)) if i not in drop]
    order = kept + drop
    moved = Transpose(data, perm=tuple(order))
    flat = Reshape(moved, reshape_target(moved.shape, (*(data.shape[i] for i in kept), _count(data, axes, noop_with_empty_axes))))
    others = CumProdExclusive(flat, reverse=False) * CumProdExclusive(flat, reverse=True)
    back = Reshape(others, reshape_target(others.shape, moved.shape))
    others = Transpose(back, perm=tuple(np.argsort(order).tolist()))
    return keep_axes(g, data, axes, keepdims, noop_with_empty_axes) * others, None


@op(shape=_reduced)
def ReduceLogSumExp(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """log(sum(exp(x))), computed around the maximum."""
    over = _over(axes, noop_with_empty_axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.max(data, axis=over, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, np.zeros((), data.dtype)).astype(data.dtype)
        summed = np.log(np.exp(data - top).sum(axis=over, keepdims=True)) + top
    return (summed if keepdims else summed.reshape(data.sum(axis=over).shape)).astype(data.dtype, copy=False)


@ReduceLogSumExp.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, reduced: Tensor, keepdims: int, noop_with_empty_axes: int) -> Grads:
    top = keep_axes(reduced, data, axes, keepdims, noop_with_empty_axes)
    return keep_axes(g, data, axes, keepdims, noop_with_empty_axes) * Exp(data - top), None


@op(shape=_reduced)
def ReduceLogSum(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """log(sum(x))."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.sum(data, axis=_over(axes, noop_with_empty_axes), keepdims=bool(keepdims)))


@ReduceLogSum.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, reduced: Tensor, keepdims: int, noop_with_empty_axes: int) -> Grads:
    return _spread(g / Exp(reduced), data, axes, keepdims, noop_with_empty_axes), None


@op(shape=_reduced)
def ReduceL1(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The sum of absolute values."""
    return np.add.reduce(abs(data), _over(axes, noop_with_empty_axes), data.dtype, None, bool(keepdims))


@ReduceL1.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    return keep_axes(g, data, axes, keepdims, noop_with_empty_axes) * Sign(data), None


@op(shape=_reduced)
def ReduceL2(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The square root of the sum of squares. Its gradient at 0 is 0."""
    total = np.add.reduce(data * data, _over(axes, noop_with_empty_axes), data.dtype, None, bool(keepdims))
    return np.sqrt(total).astype(data.dtype, copy=False)


@ReduceL2.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, reduced: Tensor, keepdims: int, noop_with_empty_axes: int) -> Grads:
    norm = keep_axes(reduced, data, axes, keepdims, noop_with_empty_axes)
    zero = (norm == 0).astype(g.dtype)
    return keep_axes(g, data, axes, keepdims, noop_with_empty_axes) * data / (norm + zero), None


@op(shape=_reduced)
def ReduceSumSquare(data: Array, axes: Array | None = None, *, keepdims: int, noop_with_empty_axes: int) -> Array:
    """The sum of squares."""
    return np.add.reduce(data * data, _over(axes, noop_with_empty_axes), data.dtype, None, bool(keepdims))


@ReduceSumSquare.gradient
def _(g: Tensor, data: Tensor, axes: Tensor | None, keepdims: int, noop_with_empty_axes: int) -> Grads:
    return keep_axes(g, data, axes, keepdims, noop_with_empty_axes) * data * 2, None


# -- positions of extremes: no gradient -----------------------------------------------------------------------------------
def _arg_shape(data: Tensor, *, axis: int, keepdims: int, select_last_index: int) -> Shape:
    axis = normalize_axis(axis, len(data.shape))
    if isinstance(data.shape[axis], int) and data.shape[axis] == 0:
        raise refuse(f"axis {axis} is empty", expected="at least one element along it")
    return tuple(1 if i == axis else d for i, d in enumerate(data.shape) if keepdims or i != axis)


def _position(find: Any, data: Array, axis: int, keepdims: int, last: int) -> Array:
    if last:
        found = data.shape[axis] - 1 - find(np.flip(data, axis), axis=axis)
    else:
        found = find(data, axis=axis)
    return np.asarray(np.expand_dims(found, axis) if keepdims else found, np.int64)


@op(shape=_arg_shape)
def ArgMax(data: Array, *, axis: int, keepdims: int, select_last_index: int) -> Array:
    """The position of the largest element along an axis, int64; the first (or last) of several."""
    return _position(np.argmax, data, axis, keepdims, select_last_index)


@op(shape=_arg_shape)
def ArgMin(data: Array, *, axis: int, keepdims: int, select_last_index: int) -> Array:
    """The position of the smallest element along an axis, int64; the first (or last) of several."""
    return _position(np.argmin, data, axis, keepdims, select_last_index)


