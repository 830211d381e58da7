"""Elements chosen or replaced where a mask says so, triangles among them."""

from __future__ import annotations

import numpy as np

from interchange import ops
from interchange.dims import DimLike, bounds, product
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.creation import filled
from interchange.frontends.torch.aten.kernels import where
from interchange.frontends.torch.aten.views import expanded, reshaped
from interchange.frontends.torch.table import Operand, Out, lower, tensor
from interchange.ops.shape_tools import shape_tensor


def mask_of(condition: Tensor) -> Tensor:
    """A mask as bools."""
    return astype(condition, np.bool_)


@lower("aten.masked_fill")
def masked_fill(x: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """The value where the mask holds, else x, whose dtype counts."""
    return where(mask_of(mask), tensor(value, x.dtype), x)


@lower("aten.copy")
def copy(x: Tensor, source: Tensor, non_blocking: bool = False, *, out: Out) -> Tensor:
    """The source in the shape and dtype of x."""
    return expanded(astype(source, x.dtype), out.shape)


@lower("aten.masked_scatter")
def masked_scatter(x: Tensor, mask: Tensor, source: Tensor, *, out: Out) -> Tensor:
    """x with the elements of the source, in their order, where the mask holds."""
    x = expanded(x, out.shape)
    chosen = reshaped(expanded(mask_of(mask), x.shape), [product(x.shape)])
    place = ops.Max(ops.CumSum(astype(chosen, np.int64), np.int64(0)) - 1, np.int64(0))
    values = reshaped(astype(source, x.dtype), [product(source.shape)])
    if bounds(values.shape[0])[0] < 1:  # there may be nothing to read at place 0
        values = ops.Concat(values, filled((1,), 0, x.dtype), axis=0)
    return where(reshaped(chosen, x.shape), reshaped(ops.Gather(values, place, axis=0), x.shape), x)


# -- triangles --------------------------------------------------------------------------------------------------------
def _triangle(x: Tensor, diagonal: DimLike, upper: int) -> Tensor:
    """Trilu, through int64 for the integers that runtimes have no kernel of."""
    whole = x.dtype.kind in "iu" and x.dtype != np.int64
    return ops.Trilu(astype(x, np.int64) if whole else x, shape_tensor(diagonal), upper=upper)


@lower("aten.tril")
def tril(x: Tensor, diagonal: DimLike = 0) -> Tensor:
    """The lower triangle, zero above the diagonal."""
    return _triangle(x, diagonal, 0)


@lower("aten.triu")
def triu(x: Tensor, diagonal: DimLike = 0) -> Tensor:
    """The upper triangle, zero below the diagonal."""
    return _triangle(x, diagonal, 1)
