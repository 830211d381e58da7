"""Diagonals read and written."""

from __future__ import annotations

from interchange import ops
from interchange.dims import DimLike
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.creation import counted, filled
from interchange.frontends.torch.aten.kernels import where
from interchange.frontends.torch.aten.views import permuted, reshaped
from interchange.frontends.torch.table import Out, axis_of, lower


def _last(rank: int, dim1: int, dim2: int) -> list[int]:
    """The axes with two of them at the end."""
    pair = [axis_of(dim1, rank), axis_of(dim2, rank)]
    return [i for i in range(rank) if i not in pair] + pair


def _spread(x: Tensor, rows: DimLike, columns: DimLike, offset: int, base: Tensor) -> Tensor:
    """Matrices [..., rows, columns] that have x [..., n] on a diagonal, and are `base` elsewhere."""
    above, below = max(0, -offset), rows - x.shape[-1] - max(0, -offset)
    pads = [filled((*x.shape[:-1], n), 0, x.dtype) for n in (above, below)]
    by_row = ops.Unsqueeze(ops.Concat(pads[0], x, pads[1], axis=-1), [-1])
    on = ops.Equal(ops.Unsqueeze(counted(rows) + offset, [1]), ops.Unsqueeze(counted(columns), [0]))
    return where(on, by_row, base)


@lower("aten.diagonal", "aten.diagonal_copy", "aten.linalg_diagonal")
def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1, *, out: Out) -> Tensor:
    """A diagonal of the matrices in two axes, which go away; it becomes the last axis."""
    matrices = permuted(x, _last(len(x.shape), dim1, dim2))
    *front, rows, columns = matrices.shape
    start = offset if offset >= 0 else -offset * columns
    places = counted(out.shape[-1]) * (columns + 1) + start
    return ops.Gather(reshaped(matrices, [*front, rows * columns]), places, axis=-1)


@lower("aten.diag_embed")
def diag_embed(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices, in two new axes, with the last axis of x on a diagonal and zeros elsewhere."""
    size, rank = x.shape[-1] + abs(offset), len(x.shape) + 1
    matrices = _spread(x, size, size, offset, filled((), 0, x.dtype))
    order = _last(rank, dim1, dim2)
    return permuted(matrices, [order.index(i) for i in range(rank)])


@lower("aten.diag")
def diag(x: Tensor, offset: int = 0, *, out: Out) -> Tensor:
    """The matrix with this diagonal, or the diagonal of a matrix."""
    return diag_embed(x, offset) if len(x.shape) == 1 else diagonal(x, offset, out=out)


@lower("aten.diagflat")
def diagflat(x: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements on a diagonal."""
    return diag_embed(ops.Reshape(x, [-1]), offset)


@lower("aten.diagonal_scatter")
def diagonal_scatter(x: Tensor, source: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """x with other elements on a diagonal of the matrices in two axes."""
    order = _last(len(x.shape), dim1, dim2)
    matrices = permuted(x, order)
    *_, rows, columns = matrices.shape
    return permuted(_spread(source, rows, columns, offset, matrices), [order.index(i) for i in range(len(order))])
