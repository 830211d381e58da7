"""Running sums, products, extremes along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange import ops
from interchange.eager.array_api import reductions
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.kernels import SUMS, widened
from interchange.frontends.torch.table import Out, axis_of, lower


def _axis(dim: int, x: Tensor) -> Tensor:
    return wrap(np.array(axis_of(dim, len(x.shape)), np.int64))


@lower("aten.cumsum")
def cumsum(x: Tensor, dim: int, *, out: Out, **_: Any) -> Tensor:
    """The sum of the elements up to each one, in the dtype of the result: of integers and bools int64."""
    x = astype(x, out.dtype)
    return widened(SUMS, lambda t: ops.CumSum(t, _axis(dim, t)), x) if x.shape else x


@lower("aten.cumprod")
def cumprod(x: Tensor, dim: int, *, out: Out, **_: Any) -> Tensor:
    """The product of the elements up to each one, in the dtype of the result: of integers and bools int64."""
    x = astype(x, out.dtype)
    return widened(SUMS, lambda t: ops.CumProd(t, _axis(dim, t)), x) if x.shape else x


@lower("aten.diff")
def diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    """The differences of neighbours, n times over; of bools whether they differ."""
    return reductions.diff(x, axis=dim, n=n, prepend=prepend, append=append)
