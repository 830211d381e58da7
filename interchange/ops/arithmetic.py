"""Arithmetic, comparison, logic and bits: elementwise, with NumPy broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import Shape, bounds, dim_max, dim_min
from interchange.dtypes import Array, is_float
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.frame import Grads, op
from interchange.ops.shape_rules import broadcast, same
from interchange.ops.shape_tools import refuse, sum_to


@op(shape=broadcast, folds=True)
def Add(A: Array, B: Array) -> Array:
    """A + B."""
    return A + B


@Add.gradient
def _(g: Tensor, A_shape: Shape, B_shape: Shape) -> Grads:
    return lambda: sum_to(g, A_shape), lambda: sum_to(g, B_shape)


@op(shape=broadcast, folds=True)
def Sub(A: Array, B: Array) -> Array:
    """A - B."""
    return A - B


@Sub.gradient
def _(g: Tensor, A_shape: Shape, B_shape: Shape) -> Grads:
    return lambda: sum_to(g, A_shape), lambda: sum_to(-g, B_shape)


@op(shape=broadcast, folds=True)
def Mul(A: Array, B: Array) -> Array:
    """A * B."""
    return A * B


@Mul.gradient
def _(g: Tensor, A: Tensor, B: Tensor) -> Grads:
    return lambda: sum_to(g * B, A.shape), lambda: sum_to(g * A, B.shape)


@op(shape=broadcast, folds=True)
def Div(A: Array, B: Array) -> Array:
    """A / B; integers are divided towards zero, as in C."""
    if "O" in (A.dtype.kind, B.dtype.kind):  # of sizes that are not negative floor is the same
        return _sizes(A) // _sizes(B)
    if A.dtype.kind in "iu":
        if not B.all():
            raise ZeroDivisionError("an integer was divided by 0")
        quotient = A // B
        return quotient if A.dtype.kind == "u" else quotient + ((A % B != 0) & ((A < 0) != (B < 0))).astype(A.dtype)
    return A / B


def _sizes(x: Array) -> Array:
    """Sizes of a trace, none of which can be negative: else `_fold` leaves the result unknown."""
    if any(bounds(d)[0] < 0 for d in x.reshape(-1).tolist()):
        raise ArithmeticError("a size that may be negative")
    return x


@Div.gradient
def _(g: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Grads:
    return lambda: sum_to(g / B, A.shape), lambda: sum_to(-g * C / B, B.shape)


@op(shape=broadcast, folds=True)
def Mod(A: Array, B: Array, *, fmod: int) -> Array:
    """The remainder: with the sign of B (fmod=0, integers) or of A (fmod=1, as C's fmod)."""
    if "O" in (A.dtype.kind, B.dtype.kind):
        return _sizes(A) % _sizes(B) if fmod else A % B
    if not fmod and A.dtype.kind not in "iu":
        raise TypeError("fmod=0 is for integers")
    return np.fmod(A, B) if fmod else np.mod(A, B)


@Mod.shape
def _(A: Tensor, B: Tensor, *, fmod: int) -> Shape:
    if not fmod and is_float(A.dtype):
        raise refuse("fmod=0 is for integers", expected="integer inputs, or fmod=1", fix="pass fmod=1, or use %")
    return broadcast(A, B)


@Mod.gradient
def _(g: Tensor, A: Tensor, B: Tensor) -> Grads:  # A - B*trunc(A/B), and trunc has no slope
    return lambda: sum_to(g, A.shape), lambda: sum_to(-g * _truncated(A / B), B.shape)


def _truncated(x: Tensor) -> Tensor:
    """Rounded towards zero: ONNX has no operator for it."""
    return Sign(x) * Floor(Abs(x))


@op(shape=broadcast)
def Pow(X: Array, Y: Array) -> Array:
    """X to the power Y, in the dtype of X."""
    if X.dtype.kind in "iu" and Y.dtype.kind in "iu":
        return np.asarray(np.power(X, np.maximum(Y, 0).astype(X.dtype)) * (Y >= 0).astype(X.dtype))
    return np.asarray(np.power(X, Y), X.dtype)


@Pow.gradient
def _(g: Tensor, X: Tensor, Y: Tensor, Z: Tensor) -> Grads:
    from interchange.ops.activation import Log
    from interchange.ops.select import Where

    def by_base() -> Tensor:  # y * x^(y-1), and 0 where y is 0, even at x = 0
        exponent = Y.astype(X.dtype)
        slope = exponent * Pow(X, exponent - 1)
        known = exponent._known()
        if known is None or not np.all(known):
            slope = Where(exponent == 0, wrap(np.zeros((), X.dtype)), slope)
        return sum_to(g * slope, X.shape)

    def by_exponent() -> Tensor:  # x^y * log(x), and 0 where x is 0 (the limit for y > 0)
        safe = Where(X > 0, X, wrap(np.ones((), X.dtype)))
        return sum_to((g * Z * Log(safe)).astype(Y.dtype), Y.shape)

    return by_base, by_exponent


@op(shape=same)
def Neg(X: Array) -> Array:
    """-X."""
    return -X


@Neg.gradient
def _(g: Tensor) -> Grads:
    return -g


@op(shape=same, folds=True)
def Abs(X: Array) -> Array:
    """The absolute value. Its gradient at 0 is 0."""
    return abs(X)


@Abs.gradient
def _(g: Tensor, X: Tensor) -> Grads:
    return g * Sign(X)


@op(shape=same)
def Sign(input: Array) -> Array:
    """-1, 0 or 1."""
    return np.sign(input)


@op(shape=same)
def Floor(X: Array) -> Array:
    """The largest integer not above X."""
    return np.floor(X)


@op(shape=same)
def Ceil(X: Array) -> Array:
    """The smallest integer not below X."""
    return np.ceil(X)


@op(shape=same)
def Round(X: Array) -> Array:
    """The nearest integer, halves to even."""
    return np.rint(X)


@op(shape=same)
def Reciprocal(X: Array) -> Array:
    """1 / X."""
    return np.reciprocal(X)


@Reciprocal.gradient
def _(g: Tensor, Y: Tensor) -> Grads:
    return -g * Y * Y


@op(shape=same)
def Sqrt(X: Array) -> Array:
    """The square root; NaN below 0."""
    return np.sqrt(X)


@Sqrt.gradient
def _(g: Tensor, Y: Tensor) -> Grads:
    return g * 0.5 / Y


def _ties(g: Tensor, chosen: Tensor, x: Tensor, inputs: list[Tensor]) -> Tensor:
    """The gradient of max/min by one input: shared equally where several are the extreme."""
    count = (inputs[0] == chosen).astype(g.dtype)
    for other in inputs[1:]:
        count = count + (other == chosen).astype(g.dtype)
    return sum_to(g * (x == chosen).astype(g.dtype) / count, x.shape)


_max_of_sizes: Any
_min_of_sizes: Any
_max_of_sizes, _min_of_sizes = np.frompyfunc(dim_max, 2, 1), np.frompyfunc(dim_min, 2, 1)


@op(shape=broadcast, folds=True)
def Max(*data_0: Array) -> Array:
    """The elementwise maximum; NaN if any is. Ties share the gradient."""
    sizes = any(x.dtype.kind == "O" for x in data_0)
    result = data_0[0]
    for x in data_0[1:]:
        result = _max_of_sizes(result, x) if sizes else np.maximum(result, x)
    return result


@Max.gradient
def _(g: Tensor, data_0: list[Tensor], max: Tensor) -> Grads:
    return tuple((lambda x=x: _ties(g, max, x, data_0)) for x in data_0)


@op(shape=broadcast, folds=True)
def Min(*data_0: Array) -> Array:
    """The elementwise minimum; NaN if any is. Ties share the gradient."""
    sizes = any(x.dtype.kind == "O" for x in data_0)
    result = data_0[0]
    for x in data_0[1:]:
        result = _min_of_sizes(result, x) if sizes else np.minimum(result, x)
    return result


@Min.gradient
def _(g: Tensor, data_0: list[Tensor], min: Tensor) -> Grads:
    return tuple((lambda x=x: _ties(g, min, x, data_0)) for x in data_0)


@op(shape=broadcast)
def Sum(*data_0: Array) -> Array:
    """The elementwise sum of all inputs."""
    result = data_0[0]
    for x in data_0[1:]:
        result = result + x
    return result


@Sum.gradient
def _(g: Tensor, data_0_shapes: list[Shape]) -> Grads:
    return tuple((lambda s=s: sum_to(g, s)) for s in data_0_shapes)


@op(shape=broadcast)
def Mean(*data_0: Array) -> Array:
    """The elementwise mean of all inputs."""
    return np.asarray(Sum.kernel(*data_0) / np.array(len(data_0), data_0[0].dtype))


@Mean.gradient
def _(g: Tensor, data_0_shapes: list[Shape]) -> Grads:
    return tuple((lambda s=s: sum_to(g * (1 / len(data_0_shapes)), s)) for s in data_0_shapes)


# -- comparison and logic: no gradient --------------------------------------------------------------------------------
@op(shape=broadcast)
def Equal(A: Array, B: Array) -> Array:
    """A == B."""
    return np.equal(A, B).astype(bool, copy=False)


@op(shape=broadcast)
def Less(A: Array, B: Array) -> Array:
    """A < B."""
    return np.less(A, B)


@op(shape=broadcast)
def LessOrEqual(A: Array, B: Array) -> Array:
    """A <= B."""
    return np.less_equal(A, B)


@op(shape=broadcast)
def Greater(A: Array, B: Array) -> Array:
    """A > B."""
    return np.greater(A, B)


@op(shape=broadcast)
def GreaterOrEqual(A: Array, B: Array) -> Array:
    """A >= B."""
    return np.greater_equal(A, B)


@op(shape=broadcast)
def And(A: Array, B: Array) -> Array:
    """A and B."""
    return np.logical_and(A, B)


@op(shape=broadcast)
def Or(A: Array, B: Array) -> Array:
    """A or B."""
    return np.logical_or(A, B)


@op(shape=broadcast)
def Xor(A: Array, B: Array) -> Array:
    """Either A or B, not both."""
    return np.logical_xor(A, B)


@op(shape=same)
def Not(X: Array) -> Array:
    """not X."""
    return np.logical_not(X)


@op(shape=same)
def IsNaN(X: Array) -> Array:
    """Whether an element is NaN."""
    return np.isnan(X)


@op(shape=same)
def IsInf(X: Array, *, detect_negative: int, detect_positive: int) -> Array:
    """Whether an element is infinite, of the signs asked for."""
    return np.isinf(X) & (((X < 0) & bool(detect_negative)) | ((X > 0) & bool(detect_positive)))


# -- bits -------------------------------------------------------------------------------------------------------------
@op(shape=broadcast)
def BitShift(X: Array, Y: Array, *, direction: str) -> Array:
    """X << Y or X >> Y, which fills with the sign; a shift by the width or more leaves only the fill."""
    width = X.dtype.itemsize * 8
    beyond = (Y < 0) | (width <= Y)
    by = np.where(beyond, np.zeros((), Y.dtype), Y)
    fill = np.where(X < 0, -1, 0).astype(X.dtype) if direction == "RIGHT" else np.zeros((), X.dtype)
    return np.where(beyond, fill, X << by if direction == "LEFT" else X >> by)


@op(shape=broadcast, since=18)
def BitwiseAnd(A: Array, B: Array) -> Array:
    """A & B."""
    return A & B


@op(shape=broadcast, since=18)
def BitwiseOr(A: Array, B: Array) -> Array:
    """A | B."""
    return A | B


@op(shape=broadcast, since=18)
def BitwiseXor(A: Array, B: Array) -> Array:
    """A ^ B."""
    return A ^ B


@op(shape=same, since=18)
def BitwiseNot(X: Array) -> Array:
    """~X."""
    return ~X
