"""Orders: sort, topk, quantiles, ranks, counts and sets. As in PyTorch a NaN is larger than all numbers."""

from __future__ import annotations

import numpy as np

from interchange import ops
from interchange.dims import DimLike
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.kernels import ORDERS, kernel_dtype
from interchange.frontends.torch.table import axis_of, lower
from interchange.ops.shape_tools import shape_tensor

_ZERO = np.array(0, np.int64)


def ordered(x: Tensor, dim: int, count: DimLike, largest: bool) -> tuple[Tensor, Tensor]:
    """The first `count` of the elements along an axis in order, and where they were. Equals keep their order."""
    if not x.shape:
        return x, wrap(_ZERO)
    values, indices = ops.TopK(
        astype(x, kernel_dtype(x.dtype, ORDERS)),
        shape_tensor((count,)),
        axis=axis_of(dim, len(x.shape)),
        largest=int(largest),
        sorted=1,
    )
    return astype(values, x.dtype), indices


def _size(x: Tensor, dim: int) -> DimLike:
    return x.shape[axis_of(dim, len(x.shape))] if x.shape else 1


@lower("aten.sort.default")
def sort(x: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """The elements along an axis in order, and where they were; always stable."""
    return ordered(x, dim, _size(x, dim), descending)


@lower("aten.sort.stable")
def sort_stable(
    x: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    """The elements along an axis in order, and where they were."""
    return sort(x, dim, descending)


@lower("aten.argsort.default")
def argsort(x: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """Where the elements in order are."""
    return sort(x, dim, descending)[1]


@lower("aten.argsort.stable")
def argsort_stable(x: Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> Tensor:
    """Where the elements in order are."""
    return sort(x, dim, descending)[1]


@lower("aten.msort")
def msort(x: Tensor) -> Tensor:
    """The elements along the first axis in order."""
    return sort(x, 0)[0]


@lower("aten.topk")
def topk(x: Tensor, k: DimLike, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) elements along an axis in order, and where they are."""
    return ordered(x, dim, k, largest)
