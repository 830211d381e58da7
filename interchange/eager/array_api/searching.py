"""Choosing, searching, sorting, and the set of a tensor's elements."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from interchange.dims import DimLike, same_shape
from interchange.dtypes import is_integer
from interchange.eager import composed, operators
from interchange.eager.array_api.arguments import as_tensor, invalid, is_real, located, need, pair
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.indexing import Gather, GatherElements, NonZero, ScatterElements, TopK
from interchange.ops.scan import CumSum
from interchange.ops.select import Where
from interchange.ops.sets import Unique
from interchange.ops.shape import Concat, Expand, Split, Squeeze, slice_axis
from interchange.ops.shape_tools import broadcast_shapes, normalize_axis, refuse, shape_tensor


# -- choosing ---------------------------------------------------------------------------------------------------------
@located
def where(condition: Any, x1: Any, x2: Any, /) -> Tensor:
    """x1 where the condition (of bools) holds, else x2. No gradient reaches the side that was not chosen."""
    chosen, (a, b) = as_tensor(condition), pair(x1, x2)
    if a.dtype.kind == "b" and chosen.dtype.kind == "b":  # the runtime has no kernel that chooses between bools
        return (chosen & a) | (~chosen & b)
    return Where(chosen, a, b)


@located
def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Tensor:
    """The entries of an axis (without one, of a 1-d tensor) at these positions; negative ones count from the end."""
    x, indices = as_tensor(x), _positions(indices)
    if axis is None and len(x.shape) != 1:
        raise refuse(f"without an axis, of {len(x.shape)} axes", expected="1 axis, or the axis to take along")
    return Gather(x, indices, axis=0 if axis is None else axis)


@located
def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Tensor:
    """For each line along an axis, its entries at that line's positions; the other axes broadcast."""
    x, indices = as_tensor(x), _positions(indices)
    at = normalize_axis(axis, len(x.shape))
    if len(indices.shape) != len(x.shape):
        raise refuse(f"indices of {len(indices.shape)} axes", expected=f"{len(x.shape)} axes, as the tensor")
    others = broadcast_shapes(_without(x, at), _without(indices, at))
    return GatherElements(_with(x, others, at), _with(indices, others, at), axis=at)


def _positions(indices: Any) -> Tensor:
    found = need(as_tensor(indices), lambda i: is_integer(i.dtype), "integers", "an index")
    return composed.astype(found, np.int64)


def _without(x: Tensor, axis: int) -> tuple[DimLike, ...]:
    return (*x.shape[:axis], *x.shape[axis + 1 :])


def _with(x: Tensor, others: tuple[DimLike, ...], axis: int) -> Tensor:
    shape = (*others[:axis], x.shape[axis], *others[axis:])
    return x if same_shape(x.shape, shape) else Expand(x, shape_tensor(shape))


# -- searching --------------------------------------------------------------------------------------------------------
@located
def nonzero(x: Any, /) -> tuple[Tensor, ...]:
    """The positions of the elements that are not zero, one int64 tensor an axis; how many depends on the data."""
    x = as_tensor(x)
    if not x.shape:
        raise refuse("a tensor without axes has no positions", expected="at least one axis")
    found = NonZero(x if x.dtype.kind == "b" else x != 0)  # of bools the runtime has a kernel
    rank = len(x.shape)
    return tuple(Squeeze(row, [0]) for row in (Split(found, axis=0, num_outputs=rank) if rank > 1 else (found,)))


@located
def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Tensor:
    """Where each element of x2 goes in the ascending 1-d tensor x1: before its equals, or ("right") after them; int64.

    The sorted order of both together says how many of x1 stand before each of x2.
    """
    if side not in ("left", "right"):
        raise invalid("unknown side", found=repr(side), expected="'left' or 'right'", fix="pass one of them")
    a, b = pair(x1, x2)
    if len(a.shape) != 1:
        raise refuse(f"x1 has {len(a.shape)} axes", expected="1 axis")
    if sorter is not None:
        a = Gather(a, _positions(sorter), axis=0)
    wanted = operators.reshape(b, -1)
    n, m = a.shape[0], wanted.shape[0]
    first, second, start = (wanted, a, 0) if side == "left" else (a, wanted, n)  # of equals the first stays first
    order = argsort(Concat(first, second, axis=0))
    of_x1 = order >= m if side == "left" else order < n
    before = CumSum(composed.astype(of_x1, np.int64), wrap(np.array(0)))
    placed = ScatterElements(before, order, before, axis=0)  # back at the place where each element came from
    return operators.reshape(slice_axis(placed, 0, start, start + m), *b.shape)


# -- sorting ----------------------------------------------------------------------------------------------------------
@located
def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The positions that sort an axis, int64. Always stable: equals keep their order."""
    return _sorted(x, axis, descending)[1]


@located
def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The elements along an axis in ascending (or descending) order."""
    return _sorted(x, axis, descending)[0]


def _sorted(x: Any, axis: int, descending: bool) -> tuple[Tensor, Tensor]:
    x = need(as_tensor(x), is_real, "floats or integers", "sort")
    at = normalize_axis(axis, len(x.shape))
    values, positions = TopK(x, shape_tensor((x.shape[at],)), axis=at, largest=int(descending), sorted=1)
    return values, positions


# -- sets -------------------------------------------------------------------------------------------------------------
class UniqueAll(NamedTuple):
    """`unique_all`."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """`unique_counts`."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """`unique_inverse`."""

    values: Tensor
    inverse_indices: Tensor


@located
def unique_all(x: Any, /) -> UniqueAll:
    """The distinct elements in ascending order, where each is first, which one each element is, and how often it is."""
    x = as_tensor(x)
    values, indices, inverse, counts = Unique(x, outputs=4)
    return UniqueAll(values, indices, operators.reshape(inverse, *x.shape), counts)


@located
def unique_counts(x: Any, /) -> UniqueCounts:
    """The distinct elements in ascending order and how often each is."""
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


@located
def unique_inverse(x: Any, /) -> UniqueInverse:
    """The distinct elements in ascending order, and which of them each element is."""
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


@located
def unique_values(x: Any, /) -> Tensor:
    """The distinct elements in ascending order."""
    return unique_all(x).values


__all__ = [
    "argsort",
    "nonzero",
    "searchsorted",
    "sort",
    "take",
    "take_along_axis",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "where",
]
