"""Which values there are and how often: histc, bincount, unique, isin, searchsorted, bucketize."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import Dim, DimLike, product
from interchange.dtypes import bool_, int64, is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.eager.trace import require_trace
from interchange.frontends.torch.aten.creation import filled
from interchange.frontends.torch.aten.kernels import number
from interchange.frontends.torch.aten.reduce import any_, extreme
from interchange.frontends.torch.aten.sorting import ordered
from interchange.frontends.torch.table import Operand, Out, axis_of, lower, promote
from interchange.ops.shape import reshape, slice_axis
from interchange.ops.shape_tools import scalar_of, shape_tensor

_FEW = 128  # elements that each of others is compared with; beyond, both are sorted together


# -- counts -----------------------------------------------------------------------------------------------------------
@lower("aten.histc")
def histc(x: Tensor, bins: int = 100, min: Any = 0, max: Any = 0) -> Tensor:
    """How many elements are in each of `bins` equal parts of [min, max], in the dtype of x; beyond, and NaN, in none.
    Where both are the same they are the extremes of the elements, widened by 1 where those are the same.
    """
    flat = reshape(x, (product(x.shape),))
    if min == max and min == 0:
        low, high = _extremes(flat)
        alone = ops.Equal(low, high)
        low, high = ops.Where(alone, low - 1, low), ops.Where(alone, high + 1, high)
    elif min == max:
        low, high = number(min - 1, x), number(max + 1, x)
    else:
        low, high = number(min, x), number(max, x)
    place = ops.Floor((flat - low) * number(bins, x) / (high - low))
    inside = ops.And(ops.GreaterOrEqual(flat, low), ops.LessOrEqual(flat, high))
    place = ops.Min(place, number(bins - 1, x))  # the last part is closed
    return _counts(ops.Where(inside, place, number(bins, x)), bins, x.dtype)


def _extremes(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Of nothing both are 0."""
    if isinstance(flat.shape[0], int) and flat.shape[0] == 0:
        return number(0, flat), number(0, flat)
    return extreme(ops.ReduceMin, flat, None, False), extreme(ops.ReduceMax, flat, None, False)


def _counts(places: Tensor, bins: DimLike, dtype: Any, weights: Tensor | None = None) -> Tensor:
    """How often each of 0, 1, ... bins - 1 is among the places; `bins` itself is not counted."""
    places = astype(places, int64)
    added = ops.Expand(number(1, wrap(np.zeros((), dtype))), ops.Shape(places)) if weights is None else weights
    found = ops.ScatterElements(filled((bins + 1,), 0, dtype), places, added, axis=0, reduction="add")
    return slice_axis(found, 0, 0, bins)


@lower("aten.bincount")
def bincount(x: Tensor, weights: Tensor | None = None, minlength: DimLike = 0, *, out: Out) -> Tensor:
    """How often each whole number up to the largest element is there, or the sum of its weights."""
    places = astype(x, int64)
    last = ops.Concat(places, shape_tensor((minlength - 1,)), axis=0)  # also where there are no elements
    size = _size_of(ops.ReduceMax(last, keepdims=0) + 1, "bins")
    return _counts(places, size, out.dtype, None if weights is None else astype(weights, out.dtype))


def _size_of(number: Tensor, name: str) -> DimLike:
    """A number that is computed from data as a size."""
    known = number._known()
    return require_trace().size_from(number, name) if known is None else int(known.item())


# -- sets -------------------------------------------------------------------------------------------------------------
@lower("aten._unique2")
def unique(
    x: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct elements in order, which one each element is, and how often it is. Each NaN is one of its own."""
    size = product(x.shape)
    values, order = ordered(reshape(x, (size,)), 0, size, False)
    found, which, counts = _runs(values, 0, return_inverse, return_counts)
    if return_inverse:
        which = reshape(ops.ScatterElements(which, order, which, axis=0), x.shape)
    return found, which, counts


@lower("aten.unique_consecutive")
def unique_consecutive(
    x: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """One of each run of equal elements (or slices of an axis), which run each is in, and how long it is."""
    if dim is None:
        values, inverse, counts = _runs(reshape(x, (product(x.shape),)), 0, return_inverse, return_counts)
        return values, reshape(inverse, x.shape) if return_inverse else inverse, counts
    return _runs(x, axis_of(dim, len(x.shape)), True, True)


def _runs(x: Tensor, axis: int, inverse: bool, counts: bool) -> tuple[Tensor, Tensor, Tensor]:
    size = x.shape[axis]
    nothing = wrap(np.zeros(0, np.int64))
    if isinstance(size, int) and size == 0:
        return x, nothing, nothing
    before, after = slice_axis(x, axis, 0, size - 1), slice_axis(x, axis, 1, size)
    differs = ops.Not(ops.Equal(before, after))
    others = [i for i in range(len(x.shape)) if i != axis]
    if others:
        differs = any_(differs, others)
    starts = ops.Concat(wrap(np.ones(1, np.bool_)), differs, axis=0)
    if isinstance(size, Dim):  # where it is 0 there is no first element
        starts = slice_axis(starts, 0, 0, size)
    values = ops.Compress(x, starts, axis=axis)
    which = ops.CumSum(astype(starts, int64), wrap(np.array(0))) - 1 if inverse else nothing
    if not counts:
        return values, which, nothing
    at = reshape(ops.NonZero(starts), (values.shape[axis],))
    ends = ops.Concat(slice_axis(at, 0, 1, np.iinfo(np.int64).max), shape_tensor((size,)), axis=0)
    if isinstance(size, Dim):
        ends = slice_axis(ends, 0, 0, values.shape[axis])
    return values, which, ends - at


@lower("aten.unique_dim")
def unique_dim(
    x: Tensor, dim: int, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct slices of an axis in order, which one each slice is, and how often it is. A NaN equals no other, for
    which the runtime's Unique is given the ranks of the elements.
    """
    axis = axis_of(dim, len(x.shape))
    ranks = unique(x, return_inverse=True)[1] if is_float(x.dtype) else astype(x, int64)
    _, first, inverse, counts = ops.Unique(ranks, axis=axis, sorted=1, outputs=4)
    return ops.Gather(x, first, axis=axis), inverse, counts


@lower("aten.isin")
def isin(elements: Operand, test: Operand, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among others."""
    x, others = promote(elements, test)
    flat = reshape(others, (product(others.shape),))
    if isinstance(flat.shape[0], int) and flat.shape[0] == 0:
        found = filled(x.shape, False, bool_)
    else:
        found = any_(ops.Equal(ops.Unsqueeze(x, [len(x.shape)]), flat), len(x.shape))
    return ops.Not(found) if invert else found


# -- places in an order -----------------------------------------------------------------------------------------------
@lower("aten.searchsorted")
def searchsorted(
    sequence: Tensor,
    values: Operand,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value goes in an ascending sequence (the last axis): before its equals, or after them."""
    if sorter is not None:
        sequence = ops.GatherElements(sequence, astype(sorter, int64), axis=len(sequence.shape) - 1)
    sequence, wanted = promote(sequence, values)
    return _place(sequence, wanted, right or side == "right")


@lower("aten.bucketize")
def bucketize(values: Operand, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Which two of ascending boundaries each value is between: the number of boundaries below it (right: or equal)."""
    wanted, boundaries = promote(values, boundaries)
    return _place(boundaries, wanted, right)


def _place(sequence: Tensor, values: Tensor, right: bool) -> Tensor:
    size = sequence.shape[-1]
    shape = values.shape
    if isinstance(size, int) and size == 0:
        return filled(shape, 0, int64)
    if len(sequence.shape) == 1:
        values = reshape(values, (product(shape),))
    if isinstance(size, int) and size <= _FEW:
        own, other = ops.Unsqueeze(values, [-1]), ops.Unsqueeze(sequence, [-2])
        after = ops.Greater(other, own) if right else ops.GreaterOrEqual(other, own)
        return reshape(ops.ReduceSum(astype(ops.Not(after), int64), [-1], keepdims=0), shape)
    # of equals the first stays first, so the order of both together tells how many of the sequence are before each
    axis = len(sequence.shape) - 1
    count = values.shape[-1]
    first, second, start = (sequence, values, size) if right else (values, sequence, 0)
    order = ordered(ops.Concat(first, second, axis=axis), axis, size + count, False)[1]
    border = scalar_of(size if right else count, int64)
    of_sequence = order < border if right else ops.GreaterOrEqual(order, border)
    before = ops.CumSum(astype(of_sequence, int64), wrap(np.array(axis)))
    placed = ops.ScatterElements(before, order, before, axis=axis)  # back to where each element came from
    return reshape(slice_axis(placed, axis, start, start + count), shape)


# -- histograms -------------------------------------------------------------------------------------------------------
@lower("aten.histogram.bins_tensor")
def histogram(
    x: Tensor, edges: Tensor, *, weight: Tensor | None = None, density: bool = False
) -> tuple[Tensor, Tensor]:
    """How many elements (or the sum of their weights) are between each two of ascending edges, the last one included;
    as a density divided by their sum and the widths. And the edges.
    """
    flat = reshape(x, (product(x.shape),))
    bins = edges.shape[0] - 1
    last = slice_axis(edges, 0, bins, bins + 1)
    place = _place(edges, flat, True) - 1
    place = ops.Where(ops.Equal(flat, last), scalar_of(bins - 1, int64), place)
    outside = ops.Or(place < 0, ops.GreaterOrEqual(place, scalar_of(bins, int64)))
    place = ops.Where(outside, scalar_of(bins, int64), place)
    found = _counts(place, bins, x.dtype, None if weight is None else reshape(weight, flat.shape))
    if density:
        widths = slice_axis(edges, 0, 1, bins + 1) - slice_axis(edges, 0, 0, bins)
        found = found / (ops.ReduceSum(found, [0], keepdims=1) * widths)
    return found, edges


@lower("aten.histogram.bin_ct")
def histogram_of_range(
    x: Tensor, bins: int = 100, *, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> tuple[Tensor, Tensor]:
    """`histogram` with `bins` equal parts of a range, by default of that of the elements."""
    if range is None:
        low, high = _extremes(reshape(x, (product(x.shape),)))
    else:
        low, high = number(range[0], x), number(range[1], x)
    alone = ops.Equal(low, high)
    low, high = ops.Where(alone, low - 0.5, low), ops.Where(alone, high + 0.5, high)
    step = wrap((np.arange(bins + 1) / bins).astype(x.dtype))
    edges = ops.Concat(low + (high - low) * step[:-1], reshape(high, (1,)), axis=0)
    return histogram(x, edges, weight=weight, density=density)
