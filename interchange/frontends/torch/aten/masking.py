"""Elements chosen or replaced where a mask says so, triangles among them."""

from __future__ import annotations

import numpy as np

from interchange import ops
from interchange.dims import DimLike
from interchange.dtypes import BY_NAME, DType
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.views import expanded
from interchange.frontends.torch.table import Operand, Out, lower, tensor
from interchange.ops.shape_tools import shape_tensor

# dtypes that a runtime has no kernel for -> one that holds their values exactly
_CARRIER = {"bool": "uint8", "int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64", "uint64": "int64"}


def carrier(dtype: DType) -> DType:
    """A dtype that Where has a kernel for, and that holds the values (of uint64 the bits) of this one."""
    return BY_NAME.get(_CARRIER.get(dtype.name, ""), dtype)


def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """x where the condition holds, else y, of any dtype that both have."""
    wide = carrier(x.dtype)
    return astype(ops.Where(condition, astype(x, wide), astype(y, wide)), x.dtype)


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
