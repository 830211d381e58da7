"""Tensors joined into one: along an axis, along a new one, as blocks, as grids."""

from __future__ import annotations

from collections.abc import Sequence

from interchange import ops
from interchange.dims import product, same
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.creation import filled
from interchange.frontends.torch.aten.views import expanded, reshaped
from interchange.frontends.torch.table import Out, axis_of, lower, promote


def joined(xs: Sequence[Tensor], axis: int) -> Tensor:
    """One after the other along an axis, in the dtype they meet in."""
    parts = promote(*xs)
    return parts[0] if len(parts) == 1 else ops.Concat(*parts, axis=axis)


@lower("aten.cat", "aten.concat", "aten.concatenate")
def cat(xs: Sequence[Tensor], dim: int = 0) -> Tensor:
    """One after the other along an axis; an empty vector goes with everything."""
    parts = promote(*xs)
    whole = [p for p in parts if len(p.shape) != 1 or not same(p.shape[0], 0)] or parts[:1]
    return joined(whole, axis_of(dim, len(whole[0].shape)))


@lower("aten.stack")
def stack(xs: Sequence[Tensor], dim: int = 0) -> Tensor:
    """One after the other along a new axis."""
    axis = dim % (len(xs[0].shape) + 1)
    return joined([ops.Unsqueeze(x, [axis]) for x in xs], axis)


@lower("aten.hstack")
def hstack(xs: Sequence[Tensor]) -> Tensor:
    """Along the second axis, vectors along their only one."""
    parts = [_at_least(x, 1) for x in xs]
    return joined(parts, min(1, len(parts[0].shape) - 1))


@lower("aten.vstack", "aten.row_stack")
def vstack(xs: Sequence[Tensor]) -> Tensor:
    """Along the first axis, vectors as rows."""
    return joined([_at_least(x, 2) for x in xs], 0)


@lower("aten.dstack")
def dstack(xs: Sequence[Tensor]) -> Tensor:
    """Along the third axis."""
    return joined([_at_least(x, 3) for x in xs], 2)


@lower("aten.column_stack")
def column_stack(xs: Sequence[Tensor]) -> Tensor:
    """Along the second axis, vectors as columns."""
    return joined([x if len(x.shape) > 1 else ops.Reshape(x, [-1, 1]) for x in xs], 1)


def _at_least(x: Tensor, rank: int) -> Tensor:
    """With new axes of size 1, as torch.atleast_1d, _2d and _3d put them."""
    new = {(0, 1): [0], (0, 2): [0, 1], (0, 3): [0, 1, 2], (1, 2): [0], (1, 3): [0, 2], (2, 3): [2]}
    axes = new.get((len(x.shape), rank))
    return x if axes is None else ops.Unsqueeze(x, axes)


@lower("aten.block_diag")
def block_diag(xs: Sequence[Tensor]) -> Tensor:
    """Matrices along the diagonal of a larger one, zeros elsewhere."""
    blocks = [_at_least(x, 2) for x in promote(*xs)]
    columns = [b.shape[1] for b in blocks]
    rows = []
    for i, b in enumerate(blocks):
        left, right = (filled((b.shape[0], sum(part)), 0, b.dtype) for part in (columns[:i], columns[i + 1 :]))
        rows.append(ops.Concat(left, b, right, axis=1))
    return joined(rows, 0)


# -- grids ------------------------------------------------------------------------------------------------------------
@lower("aten.meshgrid")
def meshgrid(xs: Sequence[Tensor], *, indexing: str = "ij", out: Sequence[Out]) -> list[Tensor]:
    """The coordinates of a grid, one tensor an axis; "xy" exchanges the first two axes of the results."""
    places = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        places[:2] = [1, 0]
    axes = [[i for i in range(len(xs)) if i != place] for place in places]
    vectors = [x if x.shape else ops.Unsqueeze(x, [0]) for x in xs]
    return [expanded(ops.Unsqueeze(x, a) if a else x, o.shape) for x, a, o in zip(vectors, axes, out, strict=True)]


@lower("aten.cartesian_prod")
def cartesian_prod(xs: Sequence[Tensor]) -> Tensor:
    """A row for each choice of one element of each vector; the last one changes fastest."""
    if len(xs) == 1:
        return xs[0]
    shape = tuple(x.shape[0] for x in xs)
    columns = [Out(x.dtype, shape) for x in xs]
    return stack([reshaped(grid, [product(shape)]) for grid in meshgrid(xs, out=columns)], 1)
