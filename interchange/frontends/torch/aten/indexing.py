"""Reading elements at positions that are data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interchange import ops
from interchange.eager import indexing
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import Out, axis_of, lower
from interchange.ops.shape import reshape


def positions_of(indices: Tensor) -> Tensor:
    """Positions as int32 or int64, which is what the operators of ONNX take."""
    return indices if indices.dtype in (np.int32, np.int64) else astype(indices, np.int64)


def keys(indices: Sequence[Tensor | None]) -> tuple[Tensor | slice, ...]:
    """The indices of PyTorch as NumPy has them: a whole axis for None, masks of bools."""
    return tuple(slice(None) if i is None else astype(i, np.bool_) if i.dtype == np.uint8 else i for i in indices)


@lower("aten.index", "aten._unsafe_index")
def index(x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """x[indices], with the axes that the indices make where NumPy puts them."""
    return indexing.getitem(x, keys(indices))


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
    if not x.shape or not positions.shape:
        return reshape(ops.Gather(reshape(x, (-1,)), positions, axis=0), out.shape)
    return ops.GatherElements(x, positions, axis=axis_of(dim, len(x.shape)))
