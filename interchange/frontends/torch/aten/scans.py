"""Running sums, products and extremes along an axis.

Where ONNX has no operator, neighbours 1, 2, 4, ... apart are combined until each element has all before it; where the
size is symbolic, so that these steps cannot be counted, each element is reduced with a row of a triangular mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import bounds
from interchange.dtypes import is_float
from interchange.eager.array_api import elementwise as api
from interchange.eager.array_api import reductions
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.creation import counted
from interchange.frontends.torch.aten.kernels import ALL, EXTREMES, SUMS, kernel_dtype, number, where, widened
from interchange.frontends.torch.table import Out, axis_of, lower, promote_float
from interchange.ops.shape import slice_axis
from interchange.ops.shape_tools import shape_tensor

State = tuple[Tensor, ...]


def _axis(dim: int, x: Tensor) -> Tensor:
    return wrap(np.array(axis_of(dim, len(x.shape)), np.int64))


@lower("aten.cumsum")
def cumsum(x: Tensor, dim: int, *, out: Out, **_: Any) -> Tensor:
    """The sum of the elements up to each one, in the dtype of the result: of integers and bools int64."""
    x = astype(x, out.dtype)
    return widened(SUMS, lambda t: ops.CumSum(t, _axis(dim, t)), x) if x.shape else x


@lower("aten.cumprod")
def cumprod(x: Tensor, dim: int, *, out: Out, **_: Any) -> Tensor:
    """The product of the elements up to each one, in the dtype of the result: of integers and bools int64."""
    x = astype(x, out.dtype)
    if not x.shape or is_float(x.dtype):
        return ops.CumProd(x, _axis(dim, x)) if x.shape else x
    return widened(ALL, lambda t: running_product(t, axis_of(dim, len(t.shape))), x)


def running_product(x: Tensor, axis: int) -> Tensor:
    """Of integers, modulo 2 to the number of bits: the runtime's own products of integers go through float64."""
    size = x.shape[axis]
    if isinstance(size, int):
        return _in_steps(lambda a, b: (ops.Mul(a[0], b[0]),), (x,), axis, size)[0]
    positions = counted(size)
    largest = bounds(size)[1]
    for k in range(31 if math.isinf(largest) else int(largest).bit_length()):
        before = positions - 2**k
        there = ops.Reshape(before >= 0, np.array([-1] + [1] * (len(x.shape) - axis - 1)))
        factor = ops.Gather(x, ops.Max(before, number(0, before)), axis=axis)
        x = ops.Mul(x, where(there, factor, number(1, x)))
    return x


@lower("aten.diff")
def diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """The differences of neighbours, n times over; of bools whether they differ."""
    return reductions.diff(x, axis=dim, n=n, prepend=prepend, append=append)


# -- extremes ---------------------------------------------------------------------------------------------------------
@lower("aten.cummax")
def cummax(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The largest element up to each one and where it is last; from the first NaN on NaN."""
    return _running_extreme(x, dim, ops.GreaterOrEqual, ops.ArgMax)


@lower("aten.cummin")
def cummin(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The smallest element up to each one and where it is last; from the first NaN on NaN."""
    return _running_extreme(x, dim, ops.LessOrEqual, ops.ArgMin)


def _running_extreme(x: Tensor, dim: int, not_after: Any, find: Any) -> tuple[Tensor, Tensor]:
    if not x.shape:
        return x, wrap(np.array(0, np.int64))
    axis, dtype = axis_of(dim, len(x.shape)), x.dtype
    x = astype(x, kernel_dtype(dtype, EXTREMES))
    size = x.shape[axis]
    if not isinstance(size, int):
        index = _masked_extreme(x, axis, find)
        return astype(ops.GatherElements(x, index, axis=axis), dtype), index

    def later(before: State, after: State) -> State:
        wins = not_after(after[0], before[0])
        if is_float(x.dtype):
            wins = ops.Or(ops.IsNaN(after[0]), ops.And(wins, ops.Not(ops.IsNaN(before[0]))))
        return tuple(where(wins, b, a) for a, b in zip(before, after, strict=True))

    shape = [size if i == axis else 1 for i in range(len(x.shape))]
    positions = ops.Expand(ops.Reshape(counted(size), np.array(shape)), shape_tensor(x.shape))
    values, index = _in_steps(later, (x, positions), axis, size)
    return astype(values, dtype), index


def _in_steps(combine: Callable[[State, State], State], state: State, axis: int, size: int) -> State:
    """`combine` of all elements up to each one: it is associative."""
    step = 1
    while step < size:
        before = tuple(slice_axis(t, axis, 0, size - step) for t in state)
        after = tuple(slice_axis(t, axis, step, size) for t in state)
        joined = combine(before, after)
        state = tuple(
            ops.Concat(slice_axis(t, axis, 0, step), j, axis=axis) for t, j in zip(state, joined, strict=True)
        )
        step *= 2
    return state


def _masked(x: Tensor, axis: int, fill: float) -> Tensor:
    """x with a new axis after `axis`: the elements up to each one, `fill` in place of those after it."""
    size = x.shape[axis]
    rest = len(x.shape) - axis - 1
    shown = ops.LessOrEqual(ops.Unsqueeze(counted(size), [0]), ops.Unsqueeze(counted(size), [1]))
    if rest:
        shown = ops.Unsqueeze(shown, list(range(2, 2 + rest)))
    return where(shown, ops.Unsqueeze(x, [axis]), number(fill, x))


def _masked_extreme(x: Tensor, axis: int, find: Any) -> Tensor:
    """Where the extreme up to each element is last."""
    largest = find is ops.ArgMax
    if is_float(x.dtype):
        least = -np.inf if largest else np.inf
    else:
        limits = np.iinfo(x.dtype)
        least = limits.min if largest else limits.max
    at: dict[str, Any] = {"axis": axis + 1, "keepdims": 0, "select_last_index": 1}
    size = x.shape[axis]
    own = ops.Reshape(counted(size), np.array([-1] + [1] * (len(x.shape) - axis - 1)))
    # of elements as extreme as what hides the later ones, none after its own place may be found
    index = ops.Min(find(_masked(x, axis, least), **at), own)
    if not is_float(x.dtype):
        return index
    nan = astype(ops.IsNaN(x), np.dtype(np.int32))
    hidden = _masked(nan, axis, 0)
    return ops.Where(ops.ReduceMax(hidden, [axis + 1], keepdims=0) > 0, ops.ArgMax(hidden, **at), index)


@lower("aten.logcumsumexp")
def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """log(cumsum(exp(x))) without overflow."""
    (x,) = promote_float(x)
    if not x.shape:
        return x
    axis = axis_of(dim, len(x.shape))
    size = x.shape[axis]
    if isinstance(size, int):
        return _in_steps(lambda a, b: (api.logaddexp(a[0], b[0]),), (x,), axis, size)[0]
    return ops.ReduceLogSumExp(_masked(x, axis, -np.inf), [axis + 1], keepdims=0)
