"""Operators that read or write elements at positions which are data.

A negative index counts from the end of its axis. An index out of range raises OperatorError IX115.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from interchange.dims import Condition, DimLike, Shape, product, require
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import OperatorError, PositionError, user_line
from interchange.ops.frame import Grads, op
from interchange.ops.shape_tools import (
    known_or_refuse,
    must_equal,
    normalize_axis,
    refuse,
    scalar_of,
    shape_tensor,
    unknown_size,
    zeros,
)

_AT = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


# -- what the operators share -----------------------------------------------------------------------------------------
def check_range(indices: Array, size: int, axis: int, low: int | None = None) -> None:
    """OperatorError IX115 if an index is outside of [low, size); low is -size unless given."""
    low = -size if low is None else low
    outside = indices[(indices < low) | (indices >= size)]
    if outside.size:
        raise PositionError(
            "IX115",
            f"index {outside.flat[0]} is out of range for axis {axis} of size {size}",
            where=user_line(),
            found=f"{outside.flat[0]}" + (f" and {outside.size - 1} more" if outside.size > 1 else ""),
            expected=f"an index in [{low}, {size})" if size else "no index: the axis is empty",
            fix="check what the indices count, and the size of the table they point into",
        )


def _from_front(indices: Array, size: int, axis: int) -> Array:
    """The indices counted from the front of an axis."""
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        check_range(indices, size, axis)
        return np.where(indices < 0, indices + size, indices)
    return indices


def _along(indices: Array, axis: int, rank: int) -> tuple[Array, ...]:
    """numpy's index of ``data[i][indices[i][j][k]][k]``: the position itself on every axis but one."""
    if indices.ndim != rank:
        raise ValueError("the indices have another number of axes")
    return tuple(
        indices if i == axis else np.arange(n).reshape((1,) * i + (n,) + (1,) * (rank - 1 - i))
        for i, n in enumerate(indices.shape)
    )


def _fits(a: DimLike, b: DimLike, what: str) -> None:
    """Require ``a <= b``: a guard where it depends on the input."""
    if a is not b and not require(Condition(b - a, ">="), f"{what} is at most {b}"):
        raise refuse(f"{what} is {a}", expected=f"at most {b}")


def _no_gradient(name: str, reduction: str) -> NoReturn:
    raise OperatorError(
        "IX116",
        f"{name} with reduction={reduction!r} has no gradient rule",
        where=user_line(),
        found=f"reduction={reduction!r}",
        expected="reduction 'none' or 'add'",
        fix="write it with 'none' or 'add', or call .detach() on what is scattered",
    )


def count_to(size: DimLike) -> Tensor:
    """0, 1, ... size - 1, int64."""
    if isinstance(size, int):
        return wrap(np.arange(size))
    from interchange.ops.creation import Range

    int64 = np.dtype(np.int64)
    return Range(scalar_of(0, int64), scalar_of(size, int64), scalar_of(1, int64))


# -- along one axis ---------------------------------------------------------------------------------------------------
@op(folds=True)
def Gather(data: Array, indices: Array, *, axis: int) -> Array:
    """The entries of an axis at these positions: the axis is replaced by those of `indices`."""
    try:
        return np.asarray(data.take(indices.astype(np.int64, copy=False), axis), data.dtype)
    except IndexError:
        check_range(indices, data.shape[axis], axis % data.ndim)
        raise


@Gather.shape
def _(data: Tensor, indices: Tensor, *, axis: int) -> Shape:
    axis = normalize_axis(axis, len(data.shape))
    return data.shape[:axis] + indices.shape + data.shape[axis + 1 :]


@Gather.gradient
def _(g: Tensor, data_shape: Shape, indices: Tensor, axis: int) -> Grads:
    from interchange.ops.shape import Transpose, Unsqueeze

    # ScatterND adds whole rows: far faster than ScatterElements over indices that are expanded to every element
    axis, k = axis % len(data_shape), len(indices.shape)
    rows = Unsqueeze(indices.astype("int64"), [-1])
    if axis == 0:
        return ScatterND(zeros(data_shape, g.dtype), rows, g, reduction="add"), None
    first = Transpose(g, perm=(*range(axis, axis + k), *range(axis), *range(axis + k, len(g.shape))))
    into = zeros((data_shape[axis], *data_shape[:axis], *data_shape[axis + 1 :]), g.dtype)
    added = ScatterND(into, rows, first, reduction="add")
    return Transpose(added, perm=(*range(1, axis + 1), 0, *range(axis + 1, len(data_shape)))), None


@op()
def GatherElements(data: Array, indices: Array, *, axis: int) -> Array:
    """``data[i][indices[i][j][k]][k]`` for axis 1 of 3: the result has the shape of the indices."""
    try:
        return data[_along(indices, normalize_axis(axis, data.ndim), data.ndim)]
    except IndexError:
        check_range(indices, data.shape[axis], axis % data.ndim)
        raise


@GatherElements.shape
def _(data: Tensor, indices: Tensor, *, axis: int) -> Shape:
    _check_along(data, indices, axis)
    return indices.shape


def _check_along(data: Tensor, indices: Tensor, axis: int) -> None:
    rank = len(data.shape)
    axis = normalize_axis(axis, rank)
    if len(indices.shape) != rank:
        raise refuse(f"the indices have {len(indices.shape)} axes, the data {rank}", expected="the same number of axes")
    for i in range(rank):
        if i != axis:
            _fits(indices.shape[i], data.shape[i], f"axis {i} of the indices")


@GatherElements.gradient
def _(g: Tensor, data_shape: Shape, indices: Tensor, axis: int) -> Grads:
    return ScatterElements(zeros(data_shape, g.dtype), indices, g, axis=axis, reduction="add"), None


@op()
def ScatterElements(data: Array, indices: Array, updates: Array, *, axis: int, reduction: str) -> Array:
    """A copy of the data in which ``out[i][indices[i][j][k]][k]`` is updates[i][j][k], or is combined with it."""
    axis = normalize_axis(axis, data.ndim)
    if indices.shape != updates.shape:
        raise ValueError("not one update an index")
    out = np.array(data, order="C")
    index = list(_along(indices, axis, data.ndim))
    index[axis] = _from_front(indices, data.shape[axis], axis)
    if reduction == "none":
        out[tuple(index)] = updates
        return out
    flat = np.zeros(indices.shape, np.int64)
    for positions, size in zip(index, data.shape, strict=True):
        flat = flat * size + positions
    _AT[reduction].at(out.reshape(-1), flat.reshape(-1), updates.reshape(-1))  # ufunc.at is fast on one axis only
    return out


@ScatterElements.shape
def _(data: Tensor, indices: Tensor, updates: Tensor, *, axis: int, reduction: str) -> Shape:
    _check_along(data, indices, axis)
    if len(updates.shape) != len(indices.shape):
        raise refuse(f"the updates have {len(updates.shape)} axes", expected=f"the indices' {len(indices.shape)}")
    for i, (a, b) in enumerate(zip(indices.shape, updates.shape, strict=True)):
        must_equal(a, b, f"axis {i} of the indices and of the updates")
    return data.shape


@ScatterElements.gradient
def _(g: Tensor, indices: Tensor, axis: int, reduction: str) -> Grads:
    if reduction not in ("none", "add"):
        _no_gradient("ScatterElements", reduction)

    def by_data() -> Tensor:
        if reduction == "add":
            return g
        return ScatterElements(g, indices, zeros(indices.shape, g.dtype), axis=axis)

    return by_data, None, lambda: GatherElements(g, indices, axis=axis)


# -- at points --------------------------------------------------------------------------------------------------------
@op()
def GatherND(data: Array, indices: Array, *, batch_dims: int) -> Array:
    """The slices at the points in the last axis of the indices; the first `batch_dims` axes go together."""
    points = np.moveaxis(indices, -1, 0)
    batch = _along(points[0], -1, indices.ndim - 1)[:batch_dims]
    try:
        return np.asarray(data[(*batch, *points)], data.dtype)
    except IndexError:
        for j, positions in enumerate(points):
            check_range(positions, data.shape[batch_dims + j], batch_dims + j)
        raise


def _point_length(data: Tensor, indices: Tensor, batch_dims: int) -> int:
    """How many axes of the data a point names."""
    if not 0 <= batch_dims < min(len(data.shape), len(indices.shape)):
        raise refuse(
            f"batch_dims={batch_dims} with {len(data.shape)} axes of data and {len(indices.shape)} of indices",
            expected="fewer batch axes than the data and the indices have axes",
        )
    k = indices.shape[-1]
    if not isinstance(k, int) or not 1 <= k <= len(data.shape) - batch_dims:
        raise refuse(
            f"the last axis of the indices, {k}, is the length of a point in the data",
            expected=f"a fixed size from 1 to {len(data.shape) - batch_dims}",
        )
    return k


@GatherND.shape
def _(data: Tensor, indices: Tensor, *, batch_dims: int) -> Shape:
    k = _point_length(data, indices, batch_dims)
    for i in range(batch_dims):
        must_equal(data.shape[i], indices.shape[i], f"batch axis {i}")
    return indices.shape[:-1] + data.shape[batch_dims + k :]


@GatherND.gradient
def _(g: Tensor, data_shape: Shape, indices: Tensor, batch_dims: int) -> Grads:
    return ScatterND(zeros(data_shape, g.dtype), _full_points(indices, batch_dims), g, reduction="add"), None


def _full_points(indices: Tensor, batch_dims: int) -> Tensor:
    """Points that name the batch axes too, as ScatterND takes them."""
    from interchange.ops.shape import Concat, Expand, Reshape

    if not batch_dims:
        return indices
    column = (*indices.shape[:-1], 1)
    batch = []
    for i, size in enumerate(indices.shape[:batch_dims]):
        shape = [1] * len(column)
        shape[i] = -1
        batch.append(Expand(Reshape(count_to(size), shape), shape_tensor(column)))
    return Concat(*batch, indices, axis=-1)


@op()
def ScatterND(data: Array, indices: Array, updates: Array, *, reduction: str) -> Array:
    """A copy of the data with the updates at, or combined into, the slices which the points in `indices` name."""
    out = np.array(data, order="C")
    points = [_from_front(p, data.shape[j], j) for j, p in enumerate(np.moveaxis(indices, -1, 0))]
    if updates.shape != indices.shape[:-1] + data.shape[len(points) :]:
        raise ValueError("not one update a point")
    if reduction == "none":
        out[tuple(points)] = updates
        return out
    rows = np.zeros(indices.shape[:-1], np.int64)
    for positions, size in zip(points, data.shape, strict=False):
        rows = rows * size + positions
    width = int(np.prod(data.shape[len(points) :], dtype=np.int64))
    flat = rows.reshape(-1, 1) * width + np.arange(width)
    _AT[reduction].at(out.reshape(-1), flat.reshape(-1), updates.reshape(-1))  # ufunc.at is fast on one axis only
    return out


@ScatterND.shape
def _(data: Tensor, indices: Tensor, updates: Tensor, *, reduction: str) -> Shape:
    k = _point_length(data, indices, 0)
    wanted = indices.shape[:-1] + data.shape[k:]
    if len(updates.shape) != len(wanted):
        raise refuse(f"the updates have {len(updates.shape)} axes", expected=f"{len(wanted)}: a slice for each point")
    for i, (a, b) in enumerate(zip(wanted, updates.shape, strict=True)):
        must_equal(a, b, f"axis {i} of the updates")
    return data.shape


@ScatterND.gradient
def _(g: Tensor, indices: Tensor, updates_shape: Shape, reduction: str) -> Grads:
    if reduction not in ("none", "add"):
        _no_gradient("ScatterND", reduction)

    def by_data() -> Tensor:
        if reduction == "add":
            return g
        return ScatterND(g, indices, zeros(updates_shape, g.dtype))

    return by_data, None, lambda: GatherND(g, indices)


# -- how many depends on the data -------------------------------------------------------------------------------------
@op()
def NonZero(X: Array) -> Array:
    """The positions of the elements that are not 0, int64 of shape [rank, count], in row-major order."""
    if not X.ndim:  # ONNX: no axes, so no row; numpy refuses a scalar
        return np.zeros((0, int(bool(X))), np.int64)
    return np.array(np.nonzero(X), np.int64)


@NonZero.shape
def _(X: Tensor) -> Shape:
    value = X._known()
    return len(X.shape), unknown_size("nonzero") if value is None else int(np.count_nonzero(value))


@op()
def Compress(input: Array, condition: Array, *, axis: int | None = None) -> Array:
    """The entries of an axis (of the flattened input without one) at which the condition holds."""
    return np.compress(condition, input, axis)


@Compress.shape
def _(input: Tensor, condition: Tensor, *, axis: int | None = None) -> Shape:
    if len(condition.shape) != 1:
        raise refuse(f"the condition has {len(condition.shape)} axes", expected="1 axis")
    shape = (product(input.shape),) if axis is None else input.shape
    at = 0 if axis is None else normalize_axis(axis, len(shape))
    _fits(condition.shape[0], shape[at], "the length of the condition")
    value = condition._known()
    count = unknown_size("selected") if value is None else int(np.count_nonzero(value))
    return (*shape[:at], count, *shape[at + 1 :])


@Compress.gradient
def _(g: Tensor, input_shape: Shape, condition: Tensor, axis: int | None) -> Grads:
    from interchange.ops.scan import CumSum
    from interchange.ops.shape import Concat, reshape

    # entry n of g belongs to the n-th True; entries that were left out read the row of zeros put before g
    shape = (product(input_shape),) if axis is None else input_shape
    at = 0 if axis is None else axis % len(shape)
    chosen = condition.astype("int64")
    rest = shape[at] - condition.shape[0]
    if not isinstance(rest, int) or rest:
        chosen = Concat(chosen, zeros((rest,), chosen.dtype), axis=0)
    padded = Concat(zeros((*shape[:at], 1, *shape[at + 1 :]), g.dtype), g, axis=at)
    spread = Gather(padded, CumSum(chosen, 0) * chosen, axis=at)
    return reshape(spread, input_shape) if axis is None else spread, None


@op(runtime=1 << 10)
def TopK(X: Array, K: Array, *, axis: int, largest: int, sorted: int) -> tuple[Array, Array]:
    """The K largest (or smallest) elements along an axis and their positions, int64; of equals the first is first."""
    axis, count = normalize_axis(axis, X.ndim), int(K.reshape(-1)[0])
    if not 0 <= count <= X.shape[axis]:
        raise ValueError("there are not K elements")
    if largest:  # a stable sort of the reversed axis, read backwards
        order = X.shape[axis] - 1 - np.flip(np.argsort(np.flip(X, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(X, axis, kind="stable")
    indices = order[(slice(None),) * axis + (slice(count),)].astype(np.int64, copy=False)
    return np.take_along_axis(X, indices, axis), indices


@TopK.shape
def _(X: Tensor, K: Tensor, *, axis: int, largest: int, sorted: int) -> list[Shape]:
    axis = normalize_axis(axis, len(X.shape))
    if len(K.shape) != 1 or K.shape[0] != 1:
        raise refuse(f"K has the shape {list(K.shape)}", expected="shape [1]", fix="pass [k]")
    (count,) = known_or_refuse(K, "K")
    _fits(count, X.shape[axis], "K")
    _fits(0, count, "0, the least K,")
    return [(*X.shape[:axis], count, *X.shape[axis + 1 :])] * 2


@TopK.gradient
def _(g_Values: Tensor, X_shape: Shape, Indices: Tensor, axis: int) -> Grads:
    return ScatterElements(zeros(X_shape, g_Values.dtype), Indices, g_Values, axis=axis), None
