"""Writing elements at positions that are data: scatter, index_add, index_copy, index_fill, index_reduce, index_put."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import product, same
from interchange.dtypes import DType, float32, is_float
from interchange.eager.composed import astype, floor_divide
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.creation import filled
from interchange.frontends.torch.aten.indexing import is_mask, points_of, positions_of
from interchange.frontends.torch.aten.kernels import is_bool, number, where
from interchange.frontends.torch.aten.views import expanded, permuted, reshaped
from interchange.frontends.torch.table import Operand, Out, axis_of, is_one, lower, tensor
from interchange.ops.shape import reshape, slice_axis
from interchange.ops.shape_tools import broadcast_shapes

_REDUCTIONS = {
    "add": "add",
    "sum": "add",
    "mean": "add",
    "multiply": "mul",
    "prod": "mul",
    "amax": "max",
    "amin": "min",
}
Scatter = Callable[[Tensor, Tensor, str], Tensor]  # (data, updates, reduction) -> data with the updates


# -- combining --------------------------------------------------------------------------------------------------------
def _carrier(dtype: DType) -> DType:
    """A dtype that elements are combined in: ONNX Runtime combines neither bools nor float16."""
    if is_float(dtype):
        return float32 if dtype == np.float16 else dtype
    return np.dtype(np.int32) if dtype.itemsize < 4 else dtype


def _neutral(how: str, dtype: DType) -> Any:
    """What changes nothing when it is combined with something."""
    if how in ("add", "mul"):
        return 0 if how == "add" else 1
    if is_float(dtype):
        return -np.inf if how == "max" else np.inf
    return np.iinfo(dtype).min if how == "max" else np.iinfo(dtype).max


def combined(x: Tensor, updates: Tensor, reduce: str, include_self: bool, scatter: Scatter) -> Tensor:
    """Updates combined with each other and, if include_self, with what x has in their place.

    A mean of integers is rounded down. NaN wins over every number, which ONNX Runtime's max and min pass over.
    """
    wide, how = _carrier(x.dtype), _REDUCTIONS[reduce]
    data, new = astype(x, wide), astype(updates, wide)
    if not include_self:
        data = scatter(data, filled(new.shape, _neutral(how, wide), wide), "none")
    result = scatter(data, new, how)
    if reduce == "mean":
        count = scatter(filled(x.shape, int(include_self), wide), filled(new.shape, 1, wide), "add")
        count = count if include_self else where(count == 0, number(1, count), count)
        # sums of small integers wrap before they are divided
        result = (
            ops.Div(result, count) if is_float(wide) else floor_divide(astype(astype(result, x.dtype), wide), count)
        )
    if how in ("max", "min") and is_float(wide):
        nans = scatter(astype(ops.IsNaN(data), np.int32), astype(ops.IsNaN(new), np.int32), "max")
        result = ops.Where(nans > 0, number(np.nan, result), result)
    return astype(result, x.dtype)


# -- one position for each element ------------------------------------------------------------------------------------
def _elements(x: Tensor, dim: int, positions: Tensor, updates: Tensor | None) -> tuple[Tensor, Tensor, Scatter]:
    """x and the updates with at least one axis, the updates cut to the positions, and how to scatter them."""
    axis = axis_of(dim, len(x.shape))
    x, at = (t if t.shape else ops.Unsqueeze(t, [0]) for t in (x, positions_of(positions)))
    new = at if updates is None else updates if updates.shape else ops.Unsqueeze(updates, [0])
    for i, (have, need) in enumerate(zip(new.shape, at.shape, strict=True)):
        if not same(have, need):
            new = slice_axis(new, i, 0, need)

    def scatter(data: Tensor, updates: Tensor, reduction: str) -> Tensor:
        return ops.ScatterElements(data, at, updates, axis=axis, reduction=reduction)

    return x, new, scatter


@lower("aten.scatter")
def scatter(x: Tensor, dim: int, index: Tensor, src: Operand, *, reduce: str | None = None, out: Out) -> Tensor:
    """x with src (of which only index's shape counts) or one value at positions along an axis, or combined with it."""
    data, new, place = _elements(x, dim, index, src if isinstance(src, Tensor) and src.shape else None)
    if not isinstance(src, Tensor) or not src.shape:
        new = filled(new.shape, src, x.dtype)
    new = astype(new, x.dtype)
    return reshaped(place(data, new, "none") if reduce is None else combined(data, new, reduce, True, place), out.shape)


@lower("aten.scatter_add")
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Out) -> Tensor:
    """x with src added at positions along an axis."""
    return scatter_reduce(x, dim, index, src, "sum", out=out)


@lower("aten.scatter_reduce")
def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True, out: Out
) -> Tensor:
    """x with src combined into it at positions along an axis."""
    data, new, place = _elements(x, dim, index, src)
    return reshaped(combined(data, new, reduce, include_self, place), out.shape)


# -- one position for each entry of an axis ---------------------------------------------------------------------------
def entries(axis: int, positions: Tensor) -> Scatter:
    """How to scatter whole entries of an axis, at positions of shape [n]."""
    at = positions_of(positions)

    def place(data: Tensor, updates: Tensor, reduction: str) -> Tensor:
        if axis == 0:  # rows at once
            rows = ops.Unsqueeze(astype(at, np.int64), [1])
            return ops.ScatterND(data, rows, updates, reduction=reduction)
        others = [i for i in range(len(data.shape)) if i != axis]
        every = expanded(ops.Unsqueeze(at, others), updates.shape)
        return ops.ScatterElements(data, every, updates, axis=axis, reduction=reduction)

    return place


def _entries(x: Tensor, dim: int, index: Tensor, source: Operand) -> tuple[Tensor, Tensor, Scatter]:
    """x with at least one axis, the source in the shape of the entries, and how to scatter them."""
    axis = axis_of(dim, len(x.shape))
    x, at = (t if t.shape else ops.Unsqueeze(t, [0]) for t in (x, index))
    shape = (*x.shape[:axis], at.shape[0], *x.shape[axis + 1 :])
    if isinstance(source, Tensor) and (source.shape or len(shape) == 1):
        new = reshaped(astype(source, x.dtype), shape)
    else:
        new = filled(shape, source, x.dtype)
    return x, new, entries(axis, at)


@lower("aten.index_copy")
def index_copy(x: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Out) -> Tensor:
    """x with entries of an axis replaced."""
    data, new, place = _entries(x, dim, index, source)
    return reshaped(place(data, new, "none"), out.shape)


@lower("aten.index_fill")
def index_fill(x: Tensor, dim: int, index: Tensor, value: Operand, *, out: Out) -> Tensor:
    """x with one value in entries of an axis."""
    data, new, place = _entries(x, dim, index, reshaped(value, ()) if isinstance(value, Tensor) else value)
    return reshaped(place(data, new, "none"), out.shape)


@lower("aten.index_add")
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Out) -> Tensor:
    """x with alpha * source added to entries of an axis; of bools, or."""
    data, new, place = _entries(x, dim, index, source)
    if alpha != 1:
        new = where(new, tensor(alpha, new.dtype), number(0, new)) if is_bool(new) else new * tensor(alpha, new.dtype)
    return reshaped(combined(data, new, "sum", True, place), out.shape)


@lower("aten.index_reduce")
def index_reduce(
    x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True, out: Out
) -> Tensor:
    """x with a source combined into entries of an axis."""
    data, new, place = _entries(x, dim, index, source)
    return reshaped(combined(data, new, reduce, include_self, place), out.shape)


# -- points -----------------------------------------------------------------------------------------------------------
@lower("aten.put")
def put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """x with elements replaced, or added to, at positions in the flattened tensor."""
    flat, at, new = (reshape(t, (product(t.shape),)) for t in (x, index, astype(source, x.dtype)))
    place = entries(0, at)
    return reshaped(combined(flat, new, "sum", True, place) if accumulate else place(flat, new, "none"), x.shape)


@lower("aten.index_put", "aten._unsafe_index_put", "aten._index_put_impl")
def index_put(x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False, *_: Any) -> Tensor:
    """x with x[indices] replaced by the values, or these added to it. One value where a mask holds: a Where."""
    values, how = astype(values, x.dtype), "sum" if accumulate else None
    given = [(i, t) for i, t in enumerate(indices) if t is not None]
    axis, first = given[0]
    if len(given) == 1 and is_mask(first) and all(is_one(d) for d in values.shape):
        behind = len(x.shape) - axis - len(first.shape)
        mask = ops.Unsqueeze(astype(first, np.bool_), list(range(len(first.shape), len(first.shape) + behind)))
        value = reshaped(values, ())
        return where(mask, combined_sum(x, value) if accumulate else value, x)
    points, axes, together = points_of(indices)
    others = [i for i in range(len(x.shape)) if i not in axes]
    shape = broadcast_shapes(*(p.shape for p in points))
    at = axes[0] if together else 0  # where the axes of the indices stand in x[indices]
    rest = tuple(x.shape[i] for i in others)
    new = expanded(values, (*rest[:at], *shape, *rest[at:]))
    if len(points) == 1 and len(shape) == 1:
        place = entries(axes[0], points[0])
        return combined(x, new, how, True, place) if how else place(x, new, "none")
    n = len(shape)
    new = permuted(new, [*range(at, at + n), *range(at), *range(at + n, n + len(rest))])
    columns = [expanded(ops.Unsqueeze(p, [len(p.shape)]), (*shape, 1)) for p in points]
    rows = columns[0] if len(columns) == 1 else ops.Concat(*columns, axis=-1)

    def place_points(data: Tensor, updates: Tensor, reduction: str) -> Tensor:
        return ops.ScatterND(data, rows, updates, reduction=reduction)

    order = [*axes, *others]
    front = permuted(x, order)
    done = combined(front, new, how, True, place_points) if how else place_points(front, new, "none")
    return permuted(done, [order.index(i) for i in range(len(order))])


def combined_sum(x: Tensor, y: Tensor) -> Tensor:
    """x + y; of bools, or."""
    return ops.Or(x, y) if is_bool(x) else ops.Add(x, y)
