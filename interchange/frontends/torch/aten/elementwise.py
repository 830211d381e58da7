"""Arithmetic, element by element, with PyTorch's promotion. Integers wrap, divide and round as PyTorch's do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from interchange import ops
from interchange.dtypes import is_float
from interchange.eager import composed
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.creation import filled
from interchange.frontends.torch.aten.kernels import ALL, is_bool, number, where, widened
from interchange.frontends.torch.table import Operand, lower, promote, promote_float, tensor
from interchange.ops.arithmetic import Mul, Reciprocal, Sqrt


def scaled(x: Operand, alpha: Any, like: Operand) -> Operand:
    """alpha * x in the dtype that x meets `like` in."""
    if isinstance(alpha, (int, float)) and alpha == 1:
        return x
    a, b = promote(x, like)
    return mul(a, tensor(alpha, b.dtype))


@lower("aten.add")
def add(a: Operand, b: Operand, *, alpha: Any = 1) -> Tensor:
    """a + alpha * b; of bools, or."""
    x, y = promote(a, scaled(b, alpha, a))
    return ops.Or(x, y) if is_bool(x) else ops.Add(x, y)


@lower("aten.sub", "aten.subtract")
def sub(a: Operand, b: Operand, *, alpha: Any = 1) -> Tensor:
    """a - alpha * b."""
    x, y = promote(a, scaled(b, alpha, a))
    return ops.Sub(x, y)


@lower("aten.rsub")
def rsub(a: Operand, b: Operand, alpha: Any = 1) -> Tensor:
    """b - alpha * a."""
    return sub(b, a, alpha=alpha)


@lower("aten.mul", "aten.multiply")
def mul(a: Operand, b: Operand) -> Tensor:
    """a * b; of bools, and."""
    x, y = promote(a, b)
    return ops.And(x, y) if is_bool(x) else ops.Mul(x, y)


@lower("aten.neg", "aten.negative")
def neg(x: Tensor) -> Tensor:
    """-x; of unsigned integers modulo 2 to the number of bits."""
    return composed.negative(x)


@lower("aten.positive", "aten.real", "aten.conj", "aten.resolve_conj", "aten.resolve_neg", "aten.conj_physical")
def positive(x: Tensor) -> Tensor:
    """+x, and what else of real numbers is the number itself."""
    return x


@lower("aten.abs", "aten.absolute")
def abs_(x: Tensor) -> Tensor:
    """|x|."""
    return x if is_bool(x) else ops.Abs(x)


@lower("aten.square")
def square(x: Tensor) -> Tensor:
    """x * x."""
    return widened(ALL, lambda a: ops.Mul(a, a), x)


@lower("aten.sign", "aten.sgn")
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1; of a NaN, as in PyTorch, 0."""
    if is_bool(x):
        return x
    signs = ops.Sign(x)
    return ops.Where(ops.IsNaN(x), number(0, x), signs) if is_float(x.dtype) else signs


# -- division ---------------------------------------------------------------------------------------------------------
@lower("aten.div", "aten.divide", "aten.true_divide")
def div(a: Operand, b: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """a / b, a float; with a rounding mode of the operands' dtype."""
    if rounding_mode is None:
        x, y = promote_float(a, b)
        return ops.Div(x, y)
    if rounding_mode == "floor":
        return floor_divide(a, b)
    x, y = promote(a, b)
    quotient = widened(ALL, ops.Div, x, y)
    return trunc(quotient)


@lower("aten.floor_divide")
def floor_divide(a: Operand, b: Operand) -> Tensor:
    """The largest whole number not above a / b: the exact one, not the floor of a rounded quotient (PyTorch's c10
    div_floor_floating); with infinities as that has it.
    """
    x, y = promote(a, b)
    if not is_float(x.dtype):
        return widened(ALL, composed.floor_divide, x, y)
    rest = ops.Mod(x, y, fmod=1)
    whole = (x - rest) / y  # but for its rounding
    below = _signs_differ(rest, y)
    whole = ops.Where(below, whole - 1, whole)
    floor = ops.Floor(whole)
    floor = ops.Where(whole - floor > 0.5, floor + 1, floor)
    quotient = x / y
    signed = ops.Where(ops.Equal(whole, number(0, x)), quotient * 0, floor)
    return ops.Where(ops.Equal(y, number(0, y)), quotient, signed)


@lower("aten.remainder")
def remainder(a: Operand, b: Operand) -> Tensor:
    """a - floor(a / b) * b, with the sign of b; a zero has the sign of a."""
    x, y = promote(a, b)
    if not is_float(x.dtype):
        return widened(ALL, ops.Mod, x, y)
    rest = ops.Mod(x, y, fmod=1)
    return ops.Where(_signs_differ(rest, y), rest + y, rest)


def _signs_differ(rest: Tensor, divisor: Tensor) -> Tensor:
    zero = number(0, rest)
    return ops.And(ops.Not(ops.Equal(rest, zero)), ops.Xor(rest < zero, divisor < zero))


@lower("aten.fmod")
def fmod(a: Operand, b: Operand) -> Tensor:
    """a - trunc(a / b) * b, with the sign of a."""
    x, y = promote(a, b)
    return widened(ALL, lambda p, q: ops.Mod(p, q, fmod=1), x, y)


@lower("aten.reciprocal")
def reciprocal(x: Tensor) -> Tensor:
    """1 / x."""
    return ops.Reciprocal(promote_float(x)[0])


# -- powers -----------------------------------------------------------------------------------------------------------
@lower("aten.pow")
def pow_(a: Operand, b: Operand) -> Tensor:
    """a to the power b; the powers that PyTorch computes otherwise than by pow are computed as there."""
    x, y = promote(a, b)
    exponent = b if isinstance(b, (bool, int, float)) else None
    if is_float(x.dtype):
        simple = _SIMPLE_POWERS.get(exponent) if isinstance(a, Tensor) and exponent is not None else None
        return simple(x) if simple is not None else ops.Pow(x, y)
    if is_bool(x):  # false to the power true is false, all else true
        return ops.Or(x, ops.Not(y))
    if isinstance(exponent, int) and 0 <= exponent:
        return _whole_power(x, exponent)
    bits = 8 * x.dtype.itemsize - (x.dtype.kind == "i")
    return widened(frozenset(("int64",)), lambda p, q: _integer_power(p, q, bits), x, y)


def _one(x: Tensor) -> Tensor:
    return filled(x.shape, 1, x.dtype)


_SIMPLE_POWERS: dict[float, Any] = {
    0: _one,
    1: lambda x: x,
    2: lambda x: Mul(x, x),
    0.5: Sqrt,
    -0.5: lambda x: Reciprocal(Sqrt(x)),
    -1: Reciprocal,
    -2: lambda x: Reciprocal(Mul(x, x)),
}


def _whole_power(x: Tensor, exponent: int) -> Tensor:
    """By squaring, modulo 2 to the number of bits: ONNX Runtime's Pow of integers goes through float64."""
    result: Tensor | None = None
    while exponent:
        if exponent & 1:
            result = x if result is None else ops.Mul(result, x)
        exponent >>= 1
        if exponent:
            x = ops.Mul(x, x)
    return _one(x) if result is None else result


def _integer_power(x: Tensor, y: Tensor, bits: int) -> Tensor:
    """By squaring, a step for each bit that an exponent can have. To negative exponents 1 and -1 have powers, the rest
    is 0.
    """
    zero, one, two = number(0, x), number(1, x), number(2, y)
    left, base, result = ops.Abs(y), x, one
    for _ in range(bits):
        odd = ops.Equal(ops.Mod(left, two), number(1, y))
        result = ops.Mul(result, ops.Where(odd, base, one))
        left, base = ops.Div(left, two), ops.Mul(base, base)
    unit = ops.Equal(ops.Abs(x), one)
    return ops.Where(ops.And(y < 0, ops.Not(unit)), zero, result)


@lower("aten.float_power")
def float_power(a: Operand, b: Operand) -> Tensor:
    """a to the power b in float64."""
    x, y = promote(a, b, to=np.dtype(np.float64))
    return pow_(x, b if isinstance(b, (int, float)) else y)


@lower("aten.ldexp")
def ldexp(x: Operand, exponent: Operand) -> Tensor:
    """x * 2 ** exponent."""
    (power,) = promote_float(exponent)
    a, b = promote_float(x, ops.Pow(number(2, power), power))
    return ops.Mul(a, b)


@lower("aten.frexp")
def frexp(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mantissa in [0.5, 1) and the exponent (int32) to base 2; 0, infinities and NaN with the exponent 0."""
    size = ops.Abs(x)
    usual = ops.And(size > 0, size < math.inf)
    safe = ops.Where(usual, x, number(1, x))
    exponent = ops.Floor(ops.Log(ops.Abs(safe)) * (1 / math.log(2))) + 1  # right but for one up or down
    half = ops.Floor(exponent * 0.5)  # 2 ** -exponent may overflow, the two halves do not
    two = number(2, x)
    mantissa = safe * ops.Pow(two, -half) * ops.Pow(two, half - exponent)
    large, small = ops.Abs(mantissa) >= 1, ops.Abs(mantissa) < 0.5
    mantissa = ops.Where(large, mantissa * 0.5, ops.Where(small, mantissa * 2, mantissa))
    shift = astype(large, x.dtype) - astype(small, x.dtype)
    zero = wrap(np.array(0, np.int32))
    return ops.Where(usual, mantissa, x), ops.Where(usual, astype(exponent + shift, np.int32), zero)


# -- rounding ---------------------------------------------------------------------------------------------------------
@lower("aten.floor")
def floor(x: Tensor) -> Tensor:
    """The largest whole number not above x."""
    return ops.Floor(x) if is_float(x.dtype) else x


@lower("aten.ceil")
def ceil(x: Tensor) -> Tensor:
    """The smallest whole number not below x."""
    return ops.Ceil(x) if is_float(x.dtype) else x


@lower("aten.round")
def round_(x: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest whole number, or number of so many decimals; halves to even."""
    if not is_float(x.dtype):
        return x
    power = number(10.0 ** abs(decimals), x)
    if decimals > 0:
        return ops.Round(x * power) / power
    return ops.Round(x / power) * power if decimals else ops.Round(x)


@lower("aten.trunc", "aten.fix")
def trunc(x: Tensor) -> Tensor:
    """The whole number next to x towards zero; of (-1, 0) it is -0.0."""
    return ops.Where(x < 0, ops.Ceil(x), ops.Floor(x)) if is_float(x.dtype) else x


@lower("aten.frac")
def frac(x: Tensor) -> Tensor:
    """x - trunc(x)."""
    return x - trunc(x)


# -- several steps ----------------------------------------------------------------------------------------------------
@lower("aten.lerp")
def lerp(start: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """start + weight * (end - start), from the nearer end, so that it is exact at both."""
    start, end = promote(start, end)
    w = tensor(weight, start.dtype)
    apart = end - start
    if isinstance(weight, (int, float)):
        return start + w * apart if abs(weight) < 0.5 else end - apart * (1 - w)
    return ops.Where(ops.Abs(w) < 0.5, start + w * apart, end - apart * (1 - w))


@lower("aten.addcmul")
def addcmul(x: Tensor, a: Tensor, b: Tensor, *, value: Any = 1) -> Tensor:
    """x + value * a * b."""
    x, a, b = promote(x, a, b)
    return add(x, mul(mul(tensor(value, a.dtype), a) if value != 1 else a, b))


@lower("aten.addcdiv")
def addcdiv(x: Tensor, a: Tensor, b: Tensor, *, value: Any = 1) -> Tensor:
    """x + value * a / b."""
    x, a, b = promote_float(x, a, b)
    return x + (a * tensor(value, a.dtype) if value != 1 else a) / b


@lower("aten.gcd")
def gcd(a: Operand, b: Operand) -> Tensor:
    """The greatest common divisor, not negative, by as many of Euclid's steps as numbers of so many bits can need."""
    x, y = promote(a, b)
    bits = 8 * x.dtype.itemsize
    return widened(ALL, lambda p, q: _euclid(p, q, math.ceil(bits / math.log2((1 + math.sqrt(5)) / 2))), x, y)


def _euclid(x: Tensor, y: Tensor, steps: int) -> Tensor:
    x, y = (v if v.dtype.kind == "u" else ops.Abs(v) for v in (x, y))
    zero, one = number(0, x), number(1, x)
    for _ in range(steps):
        done = ops.Equal(y, zero)
        rest = ops.Mod(x, where(done, one, y))
        x, y = where(done, x, y), where(done, zero, rest)
    return x


@lower("aten.lcm")
def lcm(a: Operand, b: Operand) -> Tensor:
    """The least common multiple, not negative; of 0 it is 0."""
    x, y = promote(a, b)
    divisor = gcd(x, y)
    divisor = where(ops.Equal(divisor, number(0, x)), number(1, x), divisor)
    product = ops.Mul(ops.Div(x, divisor), y)
    return product if x.dtype.kind == "u" else ops.Abs(product)
