"""Orders: sort, topk, order statistics, quantiles. As in PyTorch a NaN is larger than all numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike, product
from interchange.dtypes import int64, is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.elementwise import lerp
from interchange.frontends.torch.aten.kernels import ORDERS, kernel_dtype, number
from interchange.frontends.torch.table import Out, axis_of, lower
from interchange.ops.shape import reshape, slice_axis
from interchange.ops.shape_tools import scalar_of, shape_tensor

_ZERO = np.array(0, np.int64)


def ordered(x: Tensor, dim: int, count: DimLike, largest: bool) -> tuple[Tensor, Tensor]:
    """The first `count` of the elements along an axis in order, and where they were. Equals keep their order."""
    if not x.shape:
        return x, wrap(_ZERO)
    values, indices = ops.TopK(
        astype(x, kernel_dtype(x.dtype, ORDERS)),
        shape_tensor((count,)),
        axis=axis_of(dim, len(x.shape)),
        largest=int(largest),
        sorted=1,
    )
    return astype(values, x.dtype), indices


def _size(x: Tensor, dim: int) -> DimLike:
    return x.shape[axis_of(dim, len(x.shape))] if x.shape else 1


@lower("aten.sort.default")
def sort(x: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """The elements along an axis in order, and where they were; always stable."""
    return ordered(x, dim, _size(x, dim), descending)


@lower("aten.sort.stable")
def sort_stable(
    x: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    """The elements along an axis in order, and where they were."""
    return sort(x, dim, descending)


@lower("aten.argsort.default")
def argsort(x: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """Where the elements in order are."""
    return sort(x, dim, descending)[1]


@lower("aten.argsort.stable")
def argsort_stable(x: Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> Tensor:
    """Where the elements in order are."""
    return sort(x, dim, descending)[1]


@lower("aten.msort")
def msort(x: Tensor) -> Tensor:
    """The elements along the first axis in order."""
    return sort(x, 0)[0]


@lower("aten.topk")
def topk(x: Tensor, k: DimLike, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) elements along an axis in order, and where they are."""
    return ordered(x, dim, k, largest)


# -- order statistics -------------------------------------------------------------------------------------------------
def _taken(x: Tensor, axis: int, keepdim: bool) -> Tensor:
    return x if keepdim else ops.Squeeze(x, [axis])


@lower("aten.kthvalue")
def kthvalue(x: Tensor, k: DimLike, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The k-th smallest element along an axis and where it is; of equals any may be named."""
    if not x.shape:
        return x, wrap(_ZERO)
    axis = axis_of(dim, len(x.shape))
    found = ordered(x, axis, k, False)
    values, indices = (_taken(slice_axis(t, axis, k - 1, k), axis, keepdim) for t in found)
    return values, indices


@lower("aten.median.default")
def median(x: Tensor) -> Tensor:
    """The middle one of all elements in order, of two the lower; NaN where one is."""
    return _flat(x, median_along)


@lower("aten.nanmedian.default")
def nanmedian(x: Tensor) -> Tensor:
    """The middle one of all that are not NaN, of two the lower."""
    return _flat(x, nanmedian_along)


def _flat(x: Tensor, function: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> Tensor:
    size = product(x.shape)
    if isinstance(size, int) and size == 0:
        return number(np.nan, x)
    return function(reshape(x, (size,)), 0)[0]


@lower("aten.median.dim")
def median_along(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The middle one along an axis, of two the lower, and where it is; the first NaN where one is."""
    if not x.shape:
        return x, wrap(_ZERO)
    axis = axis_of(dim, len(x.shape))
    size = x.shape[axis]
    middle = scalar_of((size - 1) // 2, int64)
    if is_float(x.dtype):
        numbers = _numbers(x, axis)
        middle = ops.Where(ops.Less(numbers, scalar_of(size, int64)), numbers, middle)  # NaN are last in the order
    return _at(x, axis, middle, keepdim)


@lower("aten.nanmedian.dim")
def nanmedian_along(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The middle one along an axis of what is not NaN, of two the lower, and where it is."""
    if not x.shape or not is_float(x.dtype):
        return median_along(x, dim, keepdim)
    axis = axis_of(dim, len(x.shape))
    last = _numbers(x, axis) - 1
    return _at(x, axis, ops.Div(ops.Max(last, number(0, last)), number(2, last)), keepdim)


def _numbers(x: Tensor, axis: int) -> Tensor:
    """How many elements along an axis are not NaN; it stays as an axis of size 1."""
    return ops.ReduceSum(astype(ops.Not(ops.IsNaN(x)), int64), [axis], keepdims=1)


def _at(x: Tensor, axis: int, place: Tensor, keepdim: bool) -> tuple[Tensor, Tensor]:
    """What is at a place of the order along an axis (for all lines one, or one each), and where."""
    values, indices = ordered(x, axis, x.shape[axis], False)
    if not place.shape:
        found = [
            ops.Gather(t, place if not keepdim else ops.Unsqueeze(place, [0]), axis=axis) for t in (values, indices)
        ]
    else:
        found = [_taken(ops.GatherElements(t, place, axis=axis), axis, keepdim) for t in (values, indices)]
    return found[0], found[1]


@lower("aten.mode")
def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The most frequent element along an axis, of several the smallest, and where it is last."""
    if not x.shape:
        return x, wrap(_ZERO)
    axis = axis_of(dim, len(x.shape))
    values, indices = ordered(x, axis, x.shape[axis], False)
    equal = ops.Equal(ops.Unsqueeze(values, [axis]), ops.Unsqueeze(values, [axis + 1]))
    counts = ops.ReduceSum(astype(equal, np.int32), [axis + 1], keepdims=0)
    first = ops.ArgMax(counts, axis=axis, keepdims=1)
    length = astype(ops.GatherElements(counts, first, axis=axis), int64)
    last = first + ops.Max(length, number(1, length)) - 1  # a NaN equals nothing, and is there once
    found = [_taken(ops.GatherElements(t, last, axis=axis), axis, keepdim) for t in (values, indices)]
    return found[0], found[1]


# -- quantiles --------------------------------------------------------------------------------------------------------
@lower("aten.quantile")
def quantile(
    x: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear", out: Out
) -> Tensor:
    """The values below which the parts q of the elements are, between two by `interpolation`; NaN where one is."""
    return _quantile(x, q, dim, keepdim, interpolation, out, skip_nan=False)


@lower("aten.nanquantile")
def nanquantile(
    x: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear", out: Out
) -> Tensor:
    """`quantile` of what is not NaN."""
    return _quantile(x, q, dim, keepdim, interpolation, out, skip_nan=True)


def _quantile(
    x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, out: Out, skip_nan: bool
) -> Tensor:
    """With the axis moved last: at the places q * (n - 1) of the order; q is its own first axis in the result."""
    parts = q if isinstance(q, Tensor) else number(q, x)
    if dim is None:
        x = reshape(x, (product(x.shape),))
        axis, rank = 0, 1
    else:
        rank = max(1, len(x.shape))
        x = x if x.shape else reshape(x, (1,))
        axis = axis_of(dim, rank)
        x = ops.Transpose(x, perm=[i for i in range(rank) if i != axis] + [axis])
    size = x.shape[-1]
    values = ordered(x, -1, size, False)[0]
    numbers = _numbers(x, rank - 1)
    last = astype(numbers, x.dtype) - 1
    if skip_nan:
        last = ops.Max(last, number(0, last))
    else:
        whole = ops.Equal(numbers, scalar_of(size, int64))
        last = ops.Where(whole, last, scalar_of(size - 1, x.dtype))
    flat = reshape(parts, (product(parts.shape),))
    rank_of = last * flat  # [..., 1] * [q]
    if not skip_nan:  # the last one in the order is NaN where any is
        rank_of = ops.Where(whole, rank_of, last)
    found = _between(values, rank_of, interpolation, rank - 1)
    found = ops.Transpose(found, perm=[rank - 1, *range(rank - 1)])  # q first
    return reshape(found, out.shape)


def _between(values: Tensor, rank_of: Tensor, interpolation: str, axis: int) -> Tensor:
    below = ops.Floor(rank_of)
    if interpolation in ("lower", "higher", "nearest"):
        rounded = {"lower": ops.Floor, "higher": ops.Ceil, "nearest": ops.Round}[interpolation](rank_of)
        return ops.GatherElements(values, astype(rounded, int64), axis=axis)
    low = ops.GatherElements(values, astype(below, int64), axis=axis)
    high = ops.GatherElements(values, astype(ops.Ceil(rank_of), int64), axis=axis)
    weight = number(0.5, rank_of) if interpolation == "midpoint" else rank_of - below
    return lerp(low, high, weight)
