"""Parts of a tensor at positions that are no data: slices, single entries, splits, windows, reversed and rolled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import Dim, DimLike, dim_max, dim_min, product, same
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.creation import counted
from interchange.frontends.torch.aten.kernels import where
from interchange.frontends.torch.aten.views import permuted, reshaped, transpose
from interchange.frontends.torch.table import Out, axes_of, axis_of, lower
from interchange.ops.shape_tools import shape_tensor

_END = 2**63 - 1


def _cut(x: Tensor, axis: int, start: DimLike, end: DimLike, step: int = 1) -> Tensor:
    """x[start:end:step] along one axis."""
    if isinstance(start, Dim) or isinstance(end, Dim):
        return ops.Slice(x, shape_tensor([start]), shape_tensor([end]), [axis], [step])
    return ops.Slice(x, [start], [end], [axis], [step])


@lower("aten.slice", "aten.slice_copy")
def slice_entries(
    x: Tensor, dim: int = 0, start: DimLike | None = None, end: DimLike | None = None, step: int = 1, *, out: Out
) -> Tensor:
    """x[start:end:step] along one axis; ends beyond it are moved to it."""
    axis = axis_of(dim, len(x.shape))
    size = out.shape[axis]
    if size is not None and same(x.shape[axis], size):
        return x
    return _cut(x, axis, 0 if start is None else start, _END if end is None else end, step)


@lower("aten.narrow.default", "aten.narrow_copy")
def narrow(x: Tensor, dim: int, start: DimLike, length: DimLike) -> Tensor:
    """`length` entries of an axis from `start` on, which counts from the end if it is negative."""
    axis = axis_of(dim, len(x.shape))
    first = start + x.shape[axis] if isinstance(start, int) and start < 0 else start
    return _cut(x, axis, first, first + length)


@lower("aten.select", "aten.select_copy")
def select(x: Tensor, dim: int, index: DimLike) -> Tensor:
    """One entry of an axis, which goes away."""
    return ops.Gather(x, shape_tensor(index), axis=axis_of(dim, len(x.shape)))


@lower("aten.slice_scatter")
def slice_scatter(
    x: Tensor, source: Tensor, dim: int = 0, start: DimLike | None = None, end: DimLike | None = None, step: int = 1
) -> Tensor:
    """x with x[start:end:step] along one axis replaced."""
    axis = axis_of(dim, len(x.shape))
    size, count = x.shape[axis], source.shape[axis]
    if same(size, count):
        return source
    first = 0 if start is None else start
    first = dim_min(first + size if isinstance(first, int) and first < 0 else first, size)
    first = dim_max(first, 0)
    if step == 1:
        return _with_part(x, source, axis, first)
    after = counted(size) - shape_tensor(first)
    inside = (after >= 0) & (after < shape_tensor(count * step)) & (after % step == 0)
    places = ops.Min(ops.Max(after // step, np.int64(0)), ops.Max(shape_tensor(count), np.int64(1)) - 1)
    column = [i - axis for i in range(axis + 1, len(x.shape))]
    if same(count, 0):
        return x
    return where(ops.Unsqueeze(inside, column) if column else inside, ops.Gather(source, places, axis=axis), x)


def _with_part(x: Tensor, part: Tensor, axis: int, start: DimLike) -> Tensor:
    """x with a part of an axis replaced."""
    end = start + part.shape[axis]
    pieces = [] if same(start, 0) else [_cut(x, axis, 0, start)]
    pieces.append(part)
    if not same(end, x.shape[axis]):
        pieces.append(_cut(x, axis, end, _END))
    return ops.Concat(*pieces, axis=axis)


@lower("aten.select_scatter")
def select_scatter(x: Tensor, source: Tensor, dim: int, index: DimLike) -> Tensor:
    """x with one entry of an axis replaced."""
    axis = axis_of(dim, len(x.shape))
    start = index + x.shape[axis] if isinstance(index, int) and index < 0 else index
    return _with_part(x, ops.Unsqueeze(source, [axis]), axis, start)


# -- several parts ----------------------------------------------------------------------------------------------------
@lower(
    "aten.split",
    "aten.split_copy",
    "aten.split_with_sizes",
    "aten.split_with_sizes_copy",
    "aten.unsafe_split",
    "aten.unsafe_split_with_sizes",
    "aten.unsafe_chunk",
    "aten.chunk",
)
def split(x: Tensor, parts: Any, dim: int = 0, *, out: Sequence[Out]) -> Sequence[Tensor]:
    """Neighbouring parts along an axis, of the sizes that PyTorch says."""
    return _parts(x, axis_of(dim, len(x.shape)), out)


def _parts(x: Tensor, axis: int, out: Sequence[Out]) -> Sequence[Tensor]:
    if len(out) == 1:
        return [x]
    parts: Sequence[Tensor] = ops.Split(x, shape_tensor([o.shape[axis] for o in out]), axis=axis, outputs=len(out))
    return parts


@lower("aten.tensor_split.sections", "aten.tensor_split.indices")
def tensor_split(x: Tensor, parts: Any, dim: int = 0, *, out: Sequence[Out]) -> Sequence[Tensor]:
    """Parts along an axis: so many, or between these positions, which may be beyond its end or decrease."""
    axis = axis_of(dim, len(x.shape))
    if isinstance(parts, int):
        return _parts(x, axis, out)
    ends = [0, *parts, _END]
    return [_cut(x, axis, a, b) for a, b in pairwise(ends)]


@lower("aten.hsplit")
def hsplit(x: Tensor, parts: Any, *, out: Sequence[Out]) -> Sequence[Tensor]:
    """Parts along the second axis, of a vector along its only one."""
    return tensor_split(x, parts, min(1, len(x.shape) - 1), out=out)


@lower("aten.vsplit")
def vsplit(x: Tensor, parts: Any, *, out: Sequence[Out]) -> Sequence[Tensor]:
    """Parts along the first axis."""
    return tensor_split(x, parts, 0, out=out)


@lower("aten.dsplit")
def dsplit(x: Tensor, parts: Any, *, out: Sequence[Out]) -> Sequence[Tensor]:
    """Parts along the third axis."""
    return tensor_split(x, parts, 2, out=out)


@lower("aten.unbind", "aten.unbind_copy")
def unbind(x: Tensor, dim: int = 0, *, out: Sequence[Out]) -> Sequence[Tensor]:
    """The entries of an axis, which goes away."""
    axis = axis_of(dim, len(x.shape))
    if not out:
        return []
    one = [Out(o.dtype, (*o.shape[:axis], 1, *o.shape[axis:])) for o in out]
    return [ops.Squeeze(part, [axis]) for part in _parts(x, axis, one)]


# -- order ------------------------------------------------------------------------------------------------------------
@lower("aten.flip")
def flip(x: Tensor, dims: Sequence[int]) -> Tensor:
    """Some axes backwards."""
    axes = axes_of(dims, len(x.shape))
    n = len(axes)
    return ops.Slice(x, [-1] * n, [-_END] * n, axes, [-1] * n) if n else x


@lower("aten.fliplr")
def fliplr(x: Tensor) -> Tensor:
    """The second axis backwards."""
    return flip(x, [1])


@lower("aten.flipud")
def flipud(x: Tensor) -> Tensor:
    """The first axis backwards."""
    return flip(x, [0])


@lower("aten.rot90")
def rot90(x: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """k quarter turns from the first of two axes to the second."""
    a, b = dims
    if k % 4 == 1:
        return transpose(flip(x, [b]), a, b)
    if k % 4 == 2:
        return flip(x, [a, b])
    return flip(transpose(x, a, b), [b]) if k % 4 == 3 else x


@lower("aten.roll")
def roll(x: Tensor, shifts: Sequence[DimLike] | DimLike, dims: Sequence[int] | int = ()) -> Tensor:
    """Entries moved along axes; what leaves at an end comes in at the other. Without axes, of the flattened tensor."""
    places = [shifts] if isinstance(shifts, (int, Dim)) else list(shifts)
    axes = axes_of(dims, len(x.shape))
    if not axes:
        if not x.shape:
            return x
        return reshaped(roll(reshaped(x, [product(x.shape)]), places, [0]), x.shape)
    for axis, shift in zip(axes, places, strict=True):
        size = x.shape[axis]
        if isinstance(size, int) and (size == 0 or (isinstance(shift, int) and shift % size == 0)):
            continue
        at = -shift % size
        x = ops.Concat(_cut(x, axis, at, _END), _cut(x, axis, 0, at), axis=axis)
    return x


@lower("aten.unfold", "aten.unfold_copy")
def unfold(x: Tensor, dimension: int, size: int, step: int, *, out: Out) -> Tensor:
    """All windows along an axis; the places within them become the last axis."""
    if not x.shape:
        return reshaped(x, out.shape)
    axis = axis_of(dimension, len(x.shape))
    count = out.shape[axis]
    starts = ops.Unsqueeze(counted(count), [1]) * step
    windows = ops.Gather(x, starts + counted(size), axis=axis)
    return permuted(windows, [i for i in range(len(x.shape) + 1) if i != axis + 1] + [axis + 1])
