"""Reading elements at positions that are data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike, product, same
from interchange.dtypes import int64
from interchange.eager import indexing
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.eager.trace import require_trace
from interchange.eager.traced import Traced
from interchange.frontends.torch.aten.creation import filled
from interchange.frontends.torch.aten.views import expanded, reshaped
from interchange.frontends.torch.table import Out, axis_of, lower
from interchange.ops.shape import reshape, slice_axis
from interchange.ops.shape_tools import broadcast_shapes


def positions_of(indices: Tensor) -> Tensor:
    """Positions as int32 or int64, which is what the operators of ONNX take."""
    return indices if indices.dtype in (np.int32, np.int64) else astype(indices, np.int64)


def is_mask(indices: Tensor) -> bool:
    """Whether an index says yes or no of each element: PyTorch reads bytes so, too."""
    return indices.dtype in (np.bool_, np.uint8)


def points_of(indices: Sequence[Tensor | None]) -> tuple[list[Tensor], list[int], bool]:
    """The indices as int64 positions, the axes they are on, and whether the axes are neighbours.

    A mask becomes the positions of its elements that hold, a tensor of shape [count] for each of its axes.
    """
    points: list[Tensor] = []
    axes: list[int] = []
    axis = 0
    for t in indices:
        if t is None:
            axis += 1
            continue
        if is_mask(t):
            rank = len(t.shape)
            rows = ops.NonZero(astype(t, np.bool_))
            found = (
                [ops.Squeeze(rows, [0])] if rank == 1 else [ops.Gather(rows, np.int64(i), axis=0) for i in range(rank)]
            )
        else:
            found = [astype(t, np.int64)]
        points += found
        axes += range(axis, axis + len(found))
        axis += len(found)
    return points, axes, axes == list(range(axes[0], axes[0] + len(axes)))


@lower("aten.index", "aten._unsafe_index")
def index(x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """x[indices], with the axes that the indices make where NumPy puts them."""
    found = [slice(None) if i is None else astype(i, np.bool_) if is_mask(i) else i for i in indices]
    return indexing.getitem(x, tuple(found))


@lower("aten.index_select", "aten.index_select_copy")
def index_select(x: Tensor, dim: int, positions: Tensor) -> Tensor:
    """The entries of an axis at these positions."""
    if not x.shape:
        return x
    positions = positions_of(positions)
    at = positions if positions.shape else ops.Unsqueeze(positions, [0])
    return ops.Gather(x, at, axis=axis_of(dim, len(x.shape)))


@lower("aten.gather")
def gather(x: Tensor, dim: int, positions: Tensor, *, sparse_grad: bool = False, out: Out) -> Tensor:
    """x[i][positions[i][j][k]][k] for axis 1 of 3."""
    positions = positions_of(positions)
    if any(d is not None and same(d, 0) for d in out.shape):  # of any rank
        return filled(out.shape, 0, x.dtype)
    if not x.shape or not positions.shape:
        return reshape(ops.Gather(reshape(x, (-1,)), positions, axis=0), out.shape)
    return ops.GatherElements(x, positions, axis=axis_of(dim, len(x.shape)))


@lower("aten.take")
def take(x: Tensor, positions: Tensor) -> Tensor:
    """The elements at positions in the flattened tensor."""
    return ops.Gather(reshaped(x, [product(x.shape)]), positions_of(positions), axis=0)


@lower("aten.take_along_dim")
def take_along_dim(x: Tensor, positions: Tensor, dim: int | None = None) -> Tensor:
    """Like gather, with the other axes broadcast; without an axis of the flattened tensors."""
    positions = positions_of(positions)
    if dim is None:
        return ops.Gather(reshaped(x, [product(x.shape)]), reshaped(positions, [product(positions.shape)]), axis=0)
    axis = axis_of(dim, len(x.shape))
    data_shape, shape = ([1 if i == axis else d for i, d in enumerate(t.shape)] for t in (x, positions))
    common = list(broadcast_shapes(tuple(data_shape), tuple(shape)))
    data_shape, shape = ([t.shape[axis] if i == axis else d for i, d in enumerate(common)] for t in (x, positions))
    return ops.GatherElements(expanded(x, data_shape), expanded(positions, shape), axis=axis)


# -- how many depends on the data -------------------------------------------------------------------------------------
@lower("aten.nonzero", "aten.argwhere")
def nonzero(x: Tensor) -> Tensor:
    """The positions of the elements that are not 0, a row for each."""
    if not x.shape:  # a row without columns
        return ops.Slice(nonzero(ops.Unsqueeze(x, [0])), [0], [0], [1])
    return ops.Transpose(ops.NonZero(astype(x, np.bool_)), perm=(1, 0))


@lower("aten.nonzero_numpy", "aten.where.default")
def nonzero_numpy(x: Tensor) -> list[Tensor]:
    """The positions of the elements that are not 0, a tensor for each axis."""
    whole = x if x.shape else ops.Unsqueeze(x, [0])
    return points_of([astype(whole, np.bool_)])[0]


@lower("aten.nonzero_static")
def nonzero_static(x: Tensor, *, size: DimLike, fill_value: int = -1) -> Tensor:
    """The first `size` positions of elements that are not 0, with rows of fill_value where there are fewer."""
    rows = nonzero(x)
    return slice_axis(ops.Concat(rows, filled((size, len(x.shape)), fill_value, int64), axis=0), 0, 0, size)


@lower("aten.masked_select")
def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, both broadcast."""
    shape = broadcast_shapes(x.shape, mask.shape)
    flat, chosen = (reshaped(expanded(t, shape), [product(shape)]) for t in (x, astype(mask, np.bool_)))
    return ops.Compress(flat, chosen)


@lower("aten.repeat_interleave.self_int")
def repeat_each(x: Tensor, repeats: DimLike, dim: int | None = None, *, out: Out, **_: Any) -> Tensor:
    """Each entry of an axis (of the flattened tensor without one) so often, one after the other."""
    if dim is None or not x.shape:
        x, dim = reshaped(x, [product(x.shape)]), 0
    axis = axis_of(dim, len(x.shape))
    new = ops.Unsqueeze(x, [axis + 1])
    return reshaped(expanded(new, (*new.shape[: axis + 1], repeats, *new.shape[axis + 2 :])), out.shape)


@lower("aten.repeat_interleave.self_Tensor")
def repeat_by(x: Tensor, repeats: Tensor, dim: int | None = None, **_: Any) -> Tensor:
    """Each entry of an axis (of the flattened tensor without one) as often as its number says."""
    if dim is None or not x.shape:
        x, dim = reshaped(x, [product(x.shape)]), 0
    axis = axis_of(dim, len(x.shape))
    return ops.Gather(x, repeated_places(expanded(repeats, [x.shape[axis]])), axis=axis)


@lower("aten.repeat_interleave.Tensor")
def repeated_places(repeats: Tensor, **_: Any) -> Tensor:
    """0 as often as repeats[0] says, 1 as often as repeats[1], ...: the number of runs that have ended."""
    runs = astype(repeats, np.int64)
    ends = ops.CumSum(runs, np.int64(0))
    count = size_from(ops.ReduceSum(runs, keepdims=0), "repeated")
    ones = filled(ends.shape, 1, int64)
    ended = ops.ScatterElements(filled((count + 1,), 0, int64), ends, ones, axis=0, reduction="add")
    return slice_axis(ops.CumSum(ended, np.int64(0)), 0, 0, count)


def size_from(x: Tensor, name: str) -> DimLike:
    """A 0-d integer tensor as a size: while a model is traced a new one."""
    return require_trace().size_from(x, name) if isinstance(x, Traced) else int(x)
