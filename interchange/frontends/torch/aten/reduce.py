"""Sums, extremes and other statistics over axes. A NaN among the elements makes an extreme NaN, which the runtime's
reductions pass over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import Dim, DimLike, bounds, product
from interchange.dtypes import int64, is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.comparison import maximum, minimum, truth
from interchange.frontends.torch.aten.creation import filled
from interchange.frontends.torch.aten.kernels import EXTREMES, SUMS, kernel_dtype, number, widened
from interchange.frontends.torch.aten.scans import running_product
from interchange.frontends.torch.table import Out, axes_of, axis_of, lower, promote_float
from interchange.ops.shape import reshape, slice_axis
from interchange.ops.shape_tools import scalar_of

Dims = int | Sequence[int] | None


def _axes(dim: Dims, x: Tensor) -> list[int]:
    """The axes of a reduction; for an empty list all of them, as PyTorch has it."""
    return axes_of(None if isinstance(dim, list) and not dim else dim, len(x.shape))


def reduced(op: Any, x: Tensor, dim: Dims, keepdim: bool, integers: frozenset[str] = SUMS) -> Tensor:
    """A reduction by an operator that has kernels for floats and for some integers."""
    axes = _axes(dim, x)
    if not axes:
        return x
    return widened(integers, lambda t: op(t, axes, keepdims=int(keepdim)), x)


def count(x: Tensor, dim: Dims) -> DimLike:
    """How many elements a reduction takes together."""
    return product([x.shape[a] for a in _axes(dim, x)])


# -- sums -------------------------------------------------------------------------------------------------------------
@lower("aten.sum")
def sum_(x: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Out, **_: Any) -> Tensor:
    """The sum, in the dtype of the result: of integers and bools int64."""
    return reduced(ops.ReduceSum, astype(x, out.dtype), dim, keepdim)


@lower("aten.prod")
def prod(x: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Out, **_: Any) -> Tensor:
    """The product, in the dtype of the result: of integers and bools int64."""
    x = astype(x, out.dtype)
    axes = _axes(dim, x)
    if is_float(x.dtype) or not axes:
        return reduced(ops.ReduceProd, x, dim, keepdim)
    kept = [i for i in range(len(x.shape)) if i not in axes]  # as the last of the running products, which are exact
    x = ops.Transpose(x, perm=kept + axes)
    size = product([x.shape[i] for i in range(len(kept), len(x.shape))])
    lines = reshape(x, (*x.shape[: len(kept)], size))
    one = filled((*x.shape[: len(kept)], 1), 1, x.dtype)  # also where there is no element
    products = running_product(ops.Concat(one, lines, axis=-1), len(kept))
    return reshape(slice_axis(products, len(kept), size, size + 1), out.shape)


@lower("aten.mean")
def mean(x: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Out, **_: Any) -> Tensor:
    """The mean of floats; of nothing NaN, where the runtime's is 0."""
    return _mean(astype(x, out.dtype), dim, keepdim)


def _mean(x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    size = count(x, dim)
    if (bounds(size)[0] if isinstance(size, Dim) else size) >= 1:
        return reduced(ops.ReduceMean, x, dim, keepdim)
    return reduced(ops.ReduceSum, x, dim, keepdim) / scalar_of(size, x.dtype)


@lower("aten.nansum")
def nansum(x: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Out, **_: Any) -> Tensor:
    """The sum of what is not NaN."""
    return reduced(ops.ReduceSum, _without_nan(astype(x, out.dtype)), dim, keepdim)


@lower("aten.nanmean")
def nanmean(x: Tensor, dim: Dims = None, keepdim: bool = False, *, out: Out, **_: Any) -> Tensor:
    """The mean of what is not NaN."""
    x = astype(x, out.dtype)
    numbers = astype(ops.Not(ops.IsNaN(x)), x.dtype)
    total = reduced(ops.ReduceSum, _without_nan(x), dim, keepdim)
    return total / reduced(ops.ReduceSum, numbers, dim, keepdim)


def _without_nan(x: Tensor) -> Tensor:
    return ops.Where(ops.IsNaN(x), number(0, x), x) if is_float(x.dtype) else x


@lower("aten.count_nonzero")
def count_nonzero(x: Tensor, dim: Dims = None) -> Tensor:
    """How many elements are not zero."""
    return reduced(ops.ReduceSum, astype(truth(x), int64), dim, False)


@lower("aten.all")
def all_(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether no element is zero."""
    return _truth(ops.ReduceMin, x, dim, keepdim)


@lower("aten.any")
def any_(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether an element is not zero."""
    return _truth(ops.ReduceMax, x, dim, keepdim)


def _truth(op: Any, x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    bits = astype(truth(x), np.dtype(np.uint8))  # of bools there are kernels only from opset 20 on
    return reduced(op, bits, dim, keepdim, EXTREMES) > 0


# -- variance ---------------------------------------------------------------------------------------------------------
def var_mean(x: Tensor, dim: Dims, correction: Any, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The sum of the squared distances from the mean, divided by n - correction; and the mean."""
    middle = _mean(x, dim, True)
    apart = x - middle
    total = reduced(ops.ReduceSum, apart * apart, dim, keepdim)
    size = count(x, dim)
    if isinstance(size, Dim):  # of no more elements than are corrected for: NaN or inf
        n = scalar_of(size, x.dtype)
        divisor = ops.Max(n - correction, number(0, n)) if correction else n
    else:
        divisor = number(max(0.0, size - correction), x)
    return total / divisor, middle if keepdim else reshape(middle, total.shape)


def _variants(name: str, function: Callable[[Tensor, Dims, Any, bool], Any]) -> None:
    """The overloads of var and its kin: by `unbiased`, by axes and `unbiased`, by axes and `correction`."""

    def whole(x: Tensor, unbiased: bool = True) -> Any:
        return function(x, None, int(unbiased), False)

    def over(x: Tensor, dim: Dims, unbiased: bool = True, keepdim: bool = False) -> Any:
        return function(x, dim, int(unbiased), keepdim)

    def corrected(x: Tensor, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Any:
        return function(x, dim, 1 if correction is None else correction, keepdim)

    for overload, handler in (("default", whole), ("dim", over), ("correction", corrected)):
        handler.__doc__ = f"torch.{name} from the mean square distance from the mean."
        lower(f"aten.{name}.{overload}")(handler)


def _std_mean(x: Tensor, dim: Dims, correction: Any, keepdim: bool) -> tuple[Tensor, Tensor]:
    variance, middle = var_mean(x, dim, correction, keepdim)
    return ops.Sqrt(variance), middle


_variants("var", lambda *args: var_mean(*args)[0])
_variants("std", lambda *args: _std_mean(*args)[0])
_variants("var_mean", var_mean)
_variants("std_mean", _std_mean)


# -- extremes ---------------------------------------------------------------------------------------------------------
def _nan(x: Tensor) -> Tensor:
    """Where an element is NaN, as 0 and 1."""
    return astype(ops.IsNaN(x), np.dtype(np.uint8))


def extreme(op: Any, x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    """ReduceMax or ReduceMin, NaN where an element is."""
    found = reduced(op, x, dim, keepdim, EXTREMES)
    if not is_float(x.dtype) or not _axes(dim, x):
        return found
    return ops.Where(reduced(ops.ReduceMax, _nan(x), dim, keepdim, EXTREMES) > 0, number(np.nan, x), found)


@lower("aten.amax")
def amax(x: Tensor, dim: Dims = None, keepdim: bool = False, **_: Any) -> Tensor:
    """The largest element over axes."""
    return extreme(ops.ReduceMax, x, dim, keepdim)


@lower("aten.amin")
def amin(x: Tensor, dim: Dims = None, keepdim: bool = False, **_: Any) -> Tensor:
    """The smallest element over axes."""
    return extreme(ops.ReduceMin, x, dim, keepdim)


@lower("aten.max.default")
def max_of_all(x: Tensor) -> Tensor:
    """The largest element."""
    return extreme(ops.ReduceMax, x, None, False)


@lower("aten.min.default")
def min_of_all(x: Tensor) -> Tensor:
    """The smallest element."""
    return extreme(ops.ReduceMin, x, None, False)


@lower("aten.aminmax")
def aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The smallest and the largest element."""
    return extreme(ops.ReduceMin, x, dim, keepdim), extreme(ops.ReduceMax, x, dim, keepdim)


lower("aten.max.other")(maximum)
lower("aten.min.other")(minimum)


def position(op: Any, x: Tensor, dim: int, keepdim: bool, last: bool = False) -> Tensor:
    """ArgMax or ArgMin: the first (or last) of several, and the first NaN before all numbers."""
    if not x.shape:
        return wrap(np.array(0, np.int64))
    at = {"axis": axis_of(dim, len(x.shape)), "keepdims": int(keepdim), "select_last_index": int(last)}
    found: Tensor = op(astype(x, kernel_dtype(x.dtype, EXTREMES)), **at)
    if not is_float(x.dtype):
        return found
    nan = _nan(x)
    some = ops.ReduceMax(nan, [at["axis"]], keepdims=at["keepdims"]) > 0
    return ops.Where(some, ops.ArgMax(nan, **at), found)


def _extreme_and_position(op: Any, x: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    if not x.shape:
        return x, wrap(np.array(0, np.int64))
    axis = axis_of(dim, len(x.shape))
    index = position(op, x, dim, True)
    values = ops.GatherElements(x, index, axis=axis)
    if keepdim:
        return values, index
    return ops.Squeeze(values, [axis]), ops.Squeeze(index, [axis])


@lower("aten.max.dim")
def max_along(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The largest element along an axis and where it is first."""
    return _extreme_and_position(ops.ArgMax, x, dim, keepdim)


@lower("aten.min.dim")
def min_along(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The smallest element along an axis and where it is first."""
    return _extreme_and_position(ops.ArgMin, x, dim, keepdim)


@lower("aten.argmax")
def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Out) -> Tensor:
    """Where the largest element is first, along an axis or among all."""
    return _position_of(ops.ArgMax, x, dim, keepdim, out)


@lower("aten.argmin")
def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Out) -> Tensor:
    """Where the smallest element is first, along an axis or among all."""
    return _position_of(ops.ArgMin, x, dim, keepdim, out)


def _position_of(op: Any, x: Tensor, dim: int | None, keepdim: bool, out: Out) -> Tensor:
    if dim is not None:
        return position(op, x, dim, keepdim)
    return reshape(position(op, reshape(x, (product(x.shape),)), 0, False), out.shape)


@lower("aten.logsumexp", "aten.special_logsumexp")
def logsumexp(x: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x)))."""
    return reduced(ops.ReduceLogSumExp, promote_float(x)[0], dim, keepdim)


@lower("aten.equal")
def equal(a: Tensor, b: Tensor) -> Tensor:
    """Whether all elements are the same."""
    return all_(ops.Equal(a, b))
