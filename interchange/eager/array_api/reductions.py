"""Sums, extremes and other statistics over axes. axis: an int, a tuple of ints, or None for all."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import DimLike
from interchange.eager import operators
from interchange.eager.array_api.arguments import as_tensor, is_real, located, need
from interchange.eager.array_api.manipulation import axes_of
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.scan import CumProd, CumSum
from interchange.ops.shape import Concat, slice_axis
from interchange.ops.shape_tools import full, normalize_axis, refuse


@located
def sum(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum; of integers and bools in int64 or uint64 unless `dtype` says otherwise."""
    return operators.sum_(as_tensor(x), axis, keepdims=keepdims, dtype=dtype)


@located
def prod(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product; of integers and bools in int64 or uint64 unless `dtype` says otherwise."""
    return operators.prod(as_tensor(x), axis, keepdims=keepdims, dtype=dtype)


@located
def max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The largest element; NaN if one is."""
    return operators.max_(as_tensor(x), axis, keepdims=keepdims)


@located
def min(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The smallest element; NaN if one is."""
    return operators.min_(as_tensor(x), axis, keepdims=keepdims)


@located
def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean of floats."""
    return operators.mean(as_tensor(x), axis, keepdims=keepdims)


@located
def var(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance: the sum of the squared distances from the mean, divided by n - correction."""
    return operators.var(as_tensor(x), axis, correction=correction, keepdims=keepdims)


@located
def std(x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation: the square root of the variance."""
    return operators.std(as_tensor(x), axis, correction=correction, keepdims=keepdims)


@located
def all(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether all elements are true (not zero)."""
    return operators.all_(as_tensor(x), axis, keepdims=keepdims)


@located
def any(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether any element is true (not zero)."""
    return operators.any_(as_tensor(x), axis, keepdims=keepdims)


@located
def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the (first) largest element along an axis, or in the flattened tensor; int64."""
    return operators.argmax(as_tensor(x), axis, keepdims=keepdims)


@located
def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The position of the (first) smallest element along an axis, or in the flattened tensor; int64."""
    return operators.argmin(as_tensor(x), axis, keepdims=keepdims)


@located
def count_nonzero(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Tensor:
    """How many elements are not zero; int64."""
    x = as_tensor(x)
    return operators.sum_(x if x.dtype.kind == "b" else x != 0, axis, keepdims=keepdims)


# -- running ----------------------------------------------------------------------------------------------------------
@located
def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """The sum of the elements up to each one; with include_initial a 0 comes first."""
    return _running(CumSum, x, axis, dtype, 0 if include_initial else None)


@located
def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """The product of the elements up to each one; with include_initial a 1 comes first."""
    return _running(CumProd, x, axis, dtype, 1 if include_initial else None)


def _running(scan: Any, x: Any, axis: int | None, dtype: Any, initial: int | None) -> Tensor:
    x = need(as_tensor(x), is_real, "floats or integers", scan.name)
    if axis is None and len(x.shape) != 1:
        raise refuse(f"without an axis, of {len(x.shape)} axes", expected="1 axis, or the axis to run along")
    at = normalize_axis(0 if axis is None else axis, len(x.shape))

    def run(x: Tensor) -> Tensor:
        result: Tensor = scan(x, wrap(np.array(at)))
        if initial is None:
            return result
        return Concat(full((*x.shape[:at], 1, *x.shape[at + 1 :]), initial, x.dtype), result, axis=at)

    return operators.accumulated(x, dtype, run)


@located
def diff(
    x: Any, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The difference of neighbours along an axis, n times over; prepend and append are joined to `x` first."""
    x = as_tensor(x)
    (at,) = axes_of(axis, len(x.shape))
    if n < 0:
        raise refuse(f"n={n}", expected="how often to take the difference, from 0 on")
    parts = [as_tensor(p) for p in (prepend, x, append) if p is not None]
    result: Tensor = parts[0] if len(parts) == 1 else Concat(*parts, axis=at)
    for _ in range(n):
        size: DimLike = result.shape[at]
        if isinstance(size, int) and size == 0:
            break
        late, early = slice_axis(result, at, 1, size), slice_axis(result, at, 0, size - 1)
        result = late ^ early if result.dtype.kind == "b" else late - early
    return result


__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]
