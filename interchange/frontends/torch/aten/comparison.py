"""Comparisons, logic, tests of what a number is, bounds and choices, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from interchange import ops
from interchange.dtypes import bool_, float32, is_float
from interchange.eager.array_api import elementwise as api
from interchange.eager.array_api.dtypes import finfo
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.creation import filled
from interchange.frontends.torch.aten.kernels import ALL, BOUNDS, is_bool, kernel_dtype, number, where, widened
from interchange.frontends.torch.table import Operand, Out, lower, promote
from interchange.ops.arithmetic import Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Not


# -- comparisons ------------------------------------------------------------------------------------------------------
def _compared(name: str, *aliases: str, function: Callable[[Tensor, Tensor], Tensor], of_bools: bool = False) -> None:
    def handler(a: Operand, b: Operand) -> Tensor:
        x, y = promote(a, b)
        if not of_bools:
            wide = kernel_dtype(x.dtype, ALL)
            x, y = astype(x, wide), astype(y, wide)
        return function(x, y)

    handler.__doc__ = f"torch.{name} of the operands as they are promoted."
    lower(*(f"aten.{n}" for n in (name, *aliases)))(handler)


_compared("eq", function=Equal, of_bools=True)
_compared("ne", "not_equal", function=lambda x, y: Not(Equal(x, y)), of_bools=True)
_compared("lt", "less", function=Less)
_compared("le", "less_equal", function=LessOrEqual)
_compared("gt", "greater", function=Greater)
_compared("ge", "greater_equal", function=GreaterOrEqual)


@lower("aten.isclose")
def isclose(a: Tensor, b: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """a == b, or the difference is finite and |a - b| <= atol + rtol * |b|."""
    x, y = promote(a, b)
    close = ops.Equal(x, y)
    if equal_nan and is_float(x.dtype):
        close = ops.Or(close, ops.And(ops.IsNaN(x), ops.IsNaN(y)))
    if rtol == 0 and atol == 0:
        return close
    if not is_float(x.dtype):
        x, y = astype(x, float32), astype(y, float32)
    apart = ops.Abs(x - y)
    near = ops.LessOrEqual(apart, number(atol, x) + ops.Abs(number(rtol, x) * y))
    return ops.Or(close, ops.And(near, apart < math.inf))


# -- logic ------------------------------------------------------------------------------------------------------------
def truth(x: Tensor) -> Tensor:
    """Whether an element is not zero (a NaN is not)."""
    return x if is_bool(x) else ops.Not(ops.Equal(x, number(0, x)))


@lower("aten.logical_and")
def logical_and(a: Tensor, b: Tensor) -> Tensor:
    """Both are not zero."""
    return ops.And(truth(a), truth(b))


@lower("aten.logical_or")
def logical_or(a: Tensor, b: Tensor) -> Tensor:
    """One is not zero."""
    return ops.Or(truth(a), truth(b))


@lower("aten.logical_xor")
def logical_xor(a: Tensor, b: Tensor) -> Tensor:
    """One of both is not zero, not the other."""
    return ops.Xor(truth(a), truth(b))


@lower("aten.logical_not")
def logical_not(x: Tensor) -> Tensor:
    """It is zero."""
    return ops.Not(x) if is_bool(x) else ops.Equal(x, number(0, x))


# -- what a number is -------------------------------------------------------------------------------------------------
@lower("aten.isnan")
def isnan(x: Tensor) -> Tensor:
    """Whether it is NaN; no integer is."""
    return ops.IsNaN(x) if is_float(x.dtype) else filled(x.shape, False, bool_)


@lower("aten.isinf")
def isinf(x: Tensor) -> Tensor:
    """Whether it is inf or -inf; no integer is."""
    return ops.Equal(ops.Abs(x), number(math.inf, x)) if is_float(x.dtype) else filled(x.shape, False, bool_)


@lower("aten.isfinite")
def isfinite(x: Tensor) -> Tensor:
    """Whether it is neither infinite nor NaN."""
    return ops.Abs(x) < math.inf if is_float(x.dtype) else filled(x.shape, True, bool_)


@lower("aten.isposinf")
def isposinf(x: Tensor) -> Tensor:
    """Whether it is inf."""
    return ops.Equal(x, number(math.inf, x)) if is_float(x.dtype) else filled(x.shape, False, bool_)


@lower("aten.isneginf")
def isneginf(x: Tensor) -> Tensor:
    """Whether it is -inf."""
    return ops.Equal(x, number(-math.inf, x)) if is_float(x.dtype) else filled(x.shape, False, bool_)


@lower("aten.isreal")
def isreal(x: Tensor) -> Tensor:
    """True: no tensor here is complex."""
    return filled(x.shape, True, bool_)


@lower("aten.signbit")
def signbit(x: Tensor) -> Tensor:
    """Whether the sign is negative, also of -0.0."""
    if is_float(x.dtype):
        return api.signbit(x)
    return ops.Less(x, number(0, x)) if x.dtype.kind == "i" else filled(x.shape, False, bool_)


@lower("aten.nan_to_num")
def nan_to_num(x: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """NaN becomes 0, an infinity the largest number of the dtype, or what is given for them."""
    if not is_float(x.dtype):
        return x
    limit = finfo(x).max
    top, bottom = limit if posinf is None else posinf, -limit if neginf is None else neginf
    x = ops.Where(ops.Equal(x, number(math.inf, x)), number(top, x), x)
    x = ops.Where(ops.Equal(x, number(-math.inf, x)), number(bottom, x), x)
    return ops.Where(ops.IsNaN(x), number(0.0 if nan is None else nan, x), x)


# -- bounds -----------------------------------------------------------------------------------------------------------
@lower("aten.maximum")
def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger one; NaN if one is."""
    x, y = promote(a, b)
    return ops.Or(x, y) if is_bool(x) else widened(BOUNDS, ops.Max, x, y)


@lower("aten.minimum")
def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller one; NaN if one is."""
    x, y = promote(a, b)
    return ops.And(x, y) if is_bool(x) else widened(BOUNDS, ops.Min, x, y)


@lower("aten.fmax")
def fmax(a: Operand, b: Operand) -> Tensor:
    """The larger one; of a NaN and a number the number."""
    return _but_nan(maximum, *promote(a, b))


@lower("aten.fmin")
def fmin(a: Operand, b: Operand) -> Tensor:
    """The smaller one; of a NaN and a number the number."""
    return _but_nan(minimum, *promote(a, b))


def _but_nan(function: Callable[[Operand, Operand], Tensor], x: Tensor, y: Tensor) -> Tensor:
    if not is_float(x.dtype):
        return function(x, y)
    return ops.Where(ops.IsNaN(x), y, ops.Where(ops.IsNaN(y), x, function(x, y)))


@lower("aten.clamp", "aten.clip")
def clamp(x: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """Between the bounds, which are numbers or tensors; the upper one wins. NaN stays, and a NaN bound gives NaN."""
    given = [b for b in (min, max) if b is not None]
    x, *bounds = promote(x, *given)
    low, high = (bounds.pop(0) if b is not None else None for b in (min, max))
    if low is not None and high is not None and all(isinstance(b, (int, float)) and b == b for b in given):
        return widened(BOUNDS, ops.Clip, x, low, high)  # of one bound the runtime's makes an infinity finite
    if low is not None:
        x = maximum(x, low)
    return x if high is None else minimum(x, high)


@lower("aten.clamp_min")
def clamp_min(x: Tensor, min: Operand) -> Tensor:
    """Not below `min`."""
    return clamp(x, min, None)


@lower("aten.clamp_max")
def clamp_max(x: Tensor, max: Operand) -> Tensor:
    """Not above `max`."""
    return clamp(x, None, max)


# -- choices ----------------------------------------------------------------------------------------------------------
@lower("aten.where.self", "aten.where.ScalarSelf", "aten.where.ScalarOther", "aten.where.Scalar")
def choose(condition: Tensor, x: Operand, y: Operand, *, out: Out) -> Tensor:
    """x where the condition holds, else y."""
    return where(truth(condition), *promote(x, y, to=out.dtype))


@lower("aten.heaviside")
def heaviside(x: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above, at 0 the value given."""
    x, values = promote(x, values)
    zero = number(0, x)
    above = astype(ops.Greater(*(astype(v, kernel_dtype(x.dtype, ALL)) for v in (x, zero))), x.dtype)
    return where(ops.Equal(x, zero), values, above)


@lower("aten.threshold")
def threshold(x: Tensor, threshold: Any, value: Any) -> Tensor:
    """x above the threshold, elsewhere the value; NaN stays."""
    low = ops.LessOrEqual(x, number(threshold, x))
    return where(low, number(value, x), x)
