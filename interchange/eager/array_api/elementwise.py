"""Functions of each element. What ONNX has no operator for is composed of those it has, so that it exports everywhere.

A binary function broadcasts, promotes within a kind (float32 and float64, int32 and int64), and takes a Python number
on one side, which gets the dtype of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from interchange.dtypes import COMPLEX, is_float, is_integer
from interchange.eager import composed, operators
from interchange.eager.array_api.arguments import as_tensor, constant, is_real, need, pair
from interchange.eager.array_api.creation import zeros_like
from interchange.eager.array_api.dtypes import finfo
from interchange.eager.tensor import Tensor
from interchange.ops.activation import Cos, Exp, Log, Sin, Tanh
from interchange.ops.arithmetic import (
    Abs,
    Add,
    And,
    BitwiseAnd,
    BitwiseNot,
    BitwiseOr,
    BitwiseXor,
    Ceil,
    Equal,
    Floor,
    Greater,
    GreaterOrEqual,
    IsNaN,
    Less,
    LessOrEqual,
    Max,
    Min,
    Mul,
    Neg,
    Not,
    Or,
    Reciprocal,
    Round,
    Sign,
    Sqrt,
    Sub,
    Xor,
)
from interchange.ops.select import Where
from interchange.ops.shape import Identity
from interchange.ops.trigonometry import Acos, Acosh, Asin, Asinh, Atan, Atanh, Cosh, Sinh, Tan

Unary = Callable[[Tensor], Tensor]
Binary = Callable[[Tensor, Tensor], Tensor]
F = TypeVar("F", bound=Callable[..., Tensor])


def _unary(function: Unary, name: str | None = None, doc: str | None = None) -> Callable[[Any], Tensor]:
    def call(x: Any, /) -> Tensor:
        return function(x if isinstance(x, Tensor) else as_tensor(x))

    return _named(call, function, name, doc)


def _binary(function: Binary, name: str | None = None, doc: str | None = None) -> Callable[[Any, Any], Tensor]:
    def call(x1: Any, x2: Any, /) -> Tensor:
        return function(*pair(x1, x2))

    return _named(call, function, name, doc)


def _named(call: F, function: Any, name: str | None, doc: str | None) -> F:
    call.__name__ = call.__qualname__ = name or function.__name__
    call.__doc__ = doc or function.__doc__
    return call


def _is_bool(x: Tensor) -> bool:
    return x.dtype.kind == "b"


# -- ONNX's own operators ---------------------------------------------------------------------------------------------
exp, log, sqrt = _unary(Exp, "exp"), _unary(Log, "log"), _unary(Sqrt, "sqrt")
sin, cos, tan = _unary(Sin, "sin"), _unary(Cos, "cos"), _unary(Tan, "tan")
asin, acos, atan = _unary(Asin, "asin"), _unary(Acos, "acos"), _unary(Atan, "atan")
sinh, cosh, tanh = _unary(Sinh, "sinh"), _unary(Cosh, "cosh"), _unary(Tanh, "tanh")
asinh, acosh, atanh = _unary(Asinh, "asinh"), _unary(Acosh, "acosh"), _unary(Atanh, "atanh")
reciprocal, sign, logical_not = _unary(Reciprocal, "reciprocal"), _unary(Sign, "sign"), _unary(Not, "logical_not")

add, subtract, multiply = _binary(Add, "add"), _binary(Sub, "subtract"), _binary(Mul, "multiply")
divide = _binary(composed.divide, "divide")
floor_divide = _binary(composed.floor_divide, "floor_divide")
remainder = _binary(composed.remainder, "remainder")
pow = _binary(composed.power, "pow")
maximum, minimum = _binary(Max, "maximum"), _binary(Min, "minimum")
equal = _binary(Equal, "equal")
not_equal = _binary(lambda a, b: Not(Equal(a, b)), "not_equal", "A != B.")
less, less_equal = _binary(Less, "less"), _binary(LessOrEqual, "less_equal")
greater, greater_equal = _binary(Greater, "greater"), _binary(GreaterOrEqual, "greater_equal")
logical_and, logical_or, logical_xor = (
    _binary(And, "logical_and"),
    _binary(Or, "logical_or"),
    _binary(Xor, "logical_xor"),
)
bitwise_and = _binary(composed.bitwise(And, BitwiseAnd), "bitwise_and", "A & B, of integers or bools.")
bitwise_or = _binary(composed.bitwise(Or, BitwiseOr), "bitwise_or", "A | B, of integers or bools.")
bitwise_xor = _binary(composed.bitwise(Xor, BitwiseXor), "bitwise_xor", "A ^ B, of integers or bools.")
bitwise_left_shift = _binary(composed.shift_left, "bitwise_left_shift")
bitwise_right_shift = _binary(composed.shift_right, "bitwise_right_shift")


@_unary
def bitwise_invert(x: Tensor) -> Tensor:
    """~x, of integers or bools."""
    return Not(x) if _is_bool(x) else BitwiseNot(x)


# -- signs and whole numbers ------------------------------------------------------------------------------------------
@_unary
def abs(x: Tensor) -> Tensor:
    """The absolute value."""
    return Abs(x)


@_unary
def negative(x: Tensor) -> Tensor:
    """-x; of unsigned integers modulo 2 to the number of bits."""
    return composed.negative(x)


@_unary
def positive(x: Tensor) -> Tensor:
    """+x: the same values."""
    return Identity(need(x, is_real, "floats or integers", "positive"))


def _rounding(name: str, function: Unary, doc: str) -> Callable[[Any], Tensor]:
    """A function that leaves integers as they are, which ONNX's operators do not take."""
    return _unary(lambda x: Identity(x) if is_integer(x.dtype) else function(x), name, doc)


floor = _rounding("floor", Floor, "The largest whole number not above x, in the dtype of x.")
ceil = _rounding("ceil", Ceil, "The smallest whole number not below x, in the dtype of x.")
round = _rounding("round", Round, "The nearest whole number, halves to even, in the dtype of x.")
trunc = _rounding("trunc", lambda x: Where(x < 0, Ceil(x), Floor(x)), "The whole number next to x towards zero.")


@_unary
def signbit(x: Tensor) -> Tensor:
    """Whether the sign is negative: true of -0.0, which 1 / x tells from 0.0. Of NaN always false."""
    need(x, lambda x: is_float(x.dtype), "floats", "signbit")
    return Less(_signed(x), constant(0, x))


def _signed(x: Tensor) -> Tensor:
    """Numbers with the signs of x, and no zeros: what stands for -0.0 is less than 0."""
    return Where(x == 0, Reciprocal(x), x)


@_binary
def copysign(x1: Tensor, x2: Tensor) -> Tensor:
    """The magnitude of x1 with the sign of x2 (of a NaN: positive)."""
    magnitude = Abs(x1)
    return Where((_signed(x2) >= 0) | IsNaN(x2), magnitude, Neg(magnitude))  # see atan2 for the order


@_binary
def nextafter(x1: Tensor, x2: Tensor) -> Tensor:
    """The number next to x1 in the direction of x2.

    By arithmetic alone, after Rump, Zimmermann, Boldo and Melquiond, "Computing predecessor and successor in rounding
    to nearest" (BIT 49, 2009), algorithm 2. No gradient.
    """
    need(x1, lambda x: is_float(x.dtype), "floats", "nextafter")
    info, x1, x2 = finfo(x1), x1.detach(), x2.detach()
    unit, least = info.eps / 2, info.smallest_normal * info.eps  # the unit roundoff, the smallest subnormal
    m = Abs(x1)
    scaled = m / unit
    step = m * (unit * (1 + 2 * unit))
    wide, small = m >= least / unit / unit * 0.5, m < least / unit

    def neighbour(toward: int) -> Tensor:
        near = m + toward * least
        middle = (scaled + scaled * (toward * unit * (1 + 2 * unit))) * unit
        return Where(wide, m + toward * step, Where(small, near, middle))

    outward = ((x1 < 0) & (x2 < x1)) | ((x1 > 0) & (x2 > x1)) | (x1 == 0)
    largest = constant(info.max, x1)
    inward = Where(m == math.inf, largest, neighbour(-1))
    moved = copysign(Where(outward, neighbour(1), inward), Where(x1 == 0, x2, x1))
    return Where(x1 == x2, x2, Where(IsNaN(x1) | IsNaN(x2), x1 + x2, moved))


# -- what is special --------------------------------------------------------------------------------------------------
@_unary
def isnan(x: Tensor) -> Tensor:
    """Whether an element is NaN."""
    return IsNaN(x) if is_float(x.dtype) else _nowhere(x, "isnan")


@_unary
def isinf(x: Tensor) -> Tensor:
    """Whether an element is inf or -inf."""
    return Abs(x) == math.inf if is_float(x.dtype) else _nowhere(x, "isinf")


@_unary
def isfinite(x: Tensor) -> Tensor:
    """Whether an element is neither infinite nor NaN."""
    return Abs(x) < math.inf if is_float(x.dtype) else Not(_nowhere(x, "isfinite"))


def _nowhere(x: Tensor, function: str) -> Tensor:
    """False everywhere, for integers."""
    return Not(Equal(need(x, is_real, "floats or integers", function), x))


# -- exponentials and logarithms --------------------------------------------------------------------------------------
@_unary
def expm1(x: Tensor) -> Tensor:
    """e^x - 1 without cancellation: near 0 as 2t / (1 - t) with t = tanh(x / 2)."""
    t = Tanh(operators.clip(x, -1, 1) * 0.5)
    return Where(Abs(x) < 1, 2 * t / (1 - t), Exp(x) - 1)


@_unary
def log1p(x: Tensor) -> Tensor:
    """log(1 + x) without cancellation: the rounding error of u = 1 + x is put back as (x - (u - 1)) / u."""
    u = x + 1
    small = Where(Abs(x) < 0.5, x, constant(0, x))
    around = small + 1
    return Where(u == 1, x, Log(u) + (small - (around - 1)) / around)


log2 = _unary(lambda x: Log(x) / math.log(2), "log2", "The logarithm to base 2.")
log10 = _unary(lambda x: Log(x) / math.log(10), "log10", "The logarithm to base 10.")
square = _unary(lambda x: x * x, "square", "x * x.")


@_binary
def logaddexp(x1: Tensor, x2: Tensor) -> Tensor:
    """log(e^x1 + e^x2) without overflow: the larger one plus log1p(e^-|x1 - x2|)."""
    apart = Where(Equal(x1, x2), constant(0, x1), x1 - x2)  # inf - inf is NaN
    return Max(x1, x2) + log1p(Exp(-Abs(apart)))


@_binary
def hypot(x1: Tensor, x2: Tensor) -> Tensor:
    """sqrt(x1^2 + x2^2) without overflow: the larger one times sqrt(1 + ratio^2)."""
    a, b = Abs(x1), Abs(x2)
    large = Max(a, b)
    ratio = Min(a, b) / Where((large == 0) | (large == math.inf), constant(1, x1), large)
    finite = Where(large == math.inf, constant(0, x1), ratio)
    infinite = (a == math.inf) | (b == math.inf)  # also beside a NaN
    return Where(infinite, constant(math.inf, x1), large * Sqrt(finite * finite + 1))


@_binary
def atan2(x1: Tensor, x2: Tensor) -> Tensor:
    """The angle of the point (x2, x1) in (-pi, pi], with the signs of zeros and infinities as in C's atan2."""
    a, b = Abs(x1), Abs(x2)
    large, small = Max(a, b), Min(a, b)
    one = constant(1, x1)
    ratio = Where(small == math.inf, one, small / Where(large == 0, one, large))
    angle = Atan(ratio)
    angle = Where(a > b, constant(math.pi / 2, x1) - angle, angle)
    angle = Where(signbit(x2), constant(math.pi, x1) - angle, angle)
    # ONNX Runtime's Where keeps the sign of a zero in its last input only (and it takes a Not away from a condition)
    return Where(_signed(x1) >= 0, angle, Neg(angle))


# -- bounds -----------------------------------------------------------------------------------------------------------
def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor:
    """Elements below min become min, above max become max. The bounds are numbers, or tensors that broadcast."""
    return operators.clip(as_tensor(x), min, max)


# -- complex numbers: of real tensors only, ONNX has no operators on others -------------------------------------------
def _no_complex(x: Tensor, function: str) -> Tensor:
    return need(x, lambda x: x.dtype not in COMPLEX and is_real(x), "floats or integers", function)


conj = _unary(lambda x: Identity(_no_complex(x, "conj")), "conj", "The complex conjugate of real numbers: themselves.")
imag = _unary(lambda x: zeros_like(_no_complex(x, "imag")), "imag", "The imaginary part of real numbers: zeros.")
real = _unary(lambda x: Identity(_no_complex(x, "real")), "real", "The real part of real numbers: themselves.")


__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
]
