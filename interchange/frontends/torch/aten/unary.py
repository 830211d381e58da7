"""Functions of one or two numbers from analysis: exponentials, logarithms, angles. Integers become float32 first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from interchange import ops
from interchange.eager.array_api import elementwise as api
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.kernels import number
from interchange.frontends.torch.table import Operand, lower, promote_float
from interchange.ops.activation import Cos, Erf, Exp, Log, Sigmoid, Sin, Tanh
from interchange.ops.arithmetic import Pow, Reciprocal, Sqrt
from interchange.ops.trigonometry import Acos, Acosh, Asin, Asinh, Atan, Atanh, Cosh, Sinh, Tan


def _unary(name: str, function: Callable[[Tensor], Tensor]) -> None:
    def handler(x: Tensor) -> Tensor:
        return function(promote_float(x)[0])

    handler.__doc__ = f"ONNX's {name}."
    lower(f"aten.{name}", f"aten.arc{name[1:]}" if name.startswith("a") else f"aten.special_{name}")(handler)


def _composed_in_double(single: Any, composed: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """ONNX's operator, or in float64, for which the runtime has no kernel, what it is composed of."""
    return lambda x: composed(x) if x.dtype == np.float64 else single(x)


def _sinh(x: Tensor) -> Tensor:
    """(e^x - e^-x) / 2, from expm1 so that nothing cancels near 0."""
    e = api.expm1(ops.Abs(x))
    size = ops.Where(e < math.inf, (e + e / (e + 1)) * 0.5, e)
    return api.copysign(size, x)


def _asinh(x: Tensor) -> Tensor:
    """log(|x| + sqrt(x^2 + 1)) with the sign of x, from log1p; of large x log(2 |x|)."""
    size = ops.Abs(x)
    square = size * size
    small = api.log1p(size + square / (1 + ops.Sqrt(square + 1)))
    return api.copysign(ops.Where(size > 1e8, ops.Log(size) + math.log(2), small), x)


def _acosh(x: Tensor) -> Tensor:
    """log(x + sqrt(x^2 - 1)), from log1p near 1."""
    above = x - 1
    small = api.log1p(above + ops.Sqrt(above * (x + 1)))
    return ops.Where(x > 1e8, ops.Log(x) + math.log(2), small)


def _atanh(x: Tensor) -> Tensor:
    """log((1 + x) / (1 - x)) / 2."""
    return api.copysign(api.log1p(2 * ops.Abs(x) / (1 - ops.Abs(x))) * 0.5, x)


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": Exp,
    "log": Log,
    "sqrt": Sqrt,
    "sin": Sin,
    "cos": Cos,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "asin": Asin,
    "acos": Acos,
    "atan": Atan,
    "tan": _composed_in_double(Tan, lambda x: Sin(x) / Cos(x)),
    "sinh": _composed_in_double(Sinh, _sinh),
    "cosh": _composed_in_double(Cosh, lambda x: (Exp(x) + Exp(-x)) * 0.5),
    "asinh": _composed_in_double(Asinh, _asinh),
    "acosh": _composed_in_double(Acosh, _acosh),
    "atanh": _composed_in_double(Atanh, _atanh),
    "expm1": lambda x: api.expm1(x),
    "log1p": lambda x: api.log1p(x),
    "exp2": lambda x: Pow(number(2, x), x),
    "log2": lambda x: Log(x) * (1 / math.log(2)),
    "log10": lambda x: Log(x) * (1 / math.log(10)),
    "rsqrt": lambda x: Reciprocal(Sqrt(x)),
    "erf": Erf,
    "deg2rad": lambda x: x * (math.pi / 180),
    "rad2deg": lambda x: x * (180 / math.pi),
}
for _name, _function in _FUNCTIONS.items():
    _unary(_name, _function)


@lower("aten.special_expit")
def expit(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return ops.Sigmoid(promote_float(x)[0])


@lower("aten.logit", "aten.special_logit")
def logit(x: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)); with eps of x between eps and 1 - eps."""
    (x,) = promote_float(x)
    if eps is not None:
        x = ops.Clip(x, number(eps, x), number(1 - eps, x))
    return ops.Log(x / (1 - x))


@lower("aten.sinc", "aten.special_sinc")
def sinc(x: Tensor) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0."""
    (x,) = promote_float(x)
    angle = x * math.pi
    zero = ops.Equal(x, number(0, x))
    return ops.Where(zero, number(1, x), ops.Sin(angle) / ops.Where(zero, number(1, x), angle))


@lower("aten.atan2", "aten.arctan2")
def atan2(y: Operand, x: Operand) -> Tensor:
    """The angle of the point (x, y) in (-pi, pi], with the signs of zeros and infinities as in C."""
    return api.atan2(*promote_float(y, x))


@lower("aten.hypot")
def hypot(a: Operand, b: Operand) -> Tensor:
    """sqrt(a^2 + b^2) without overflow."""
    return api.hypot(*promote_float(a, b))


@lower("aten.logaddexp")
def logaddexp(a: Operand, b: Operand) -> Tensor:
    """log(e^a + e^b) without overflow."""
    return api.logaddexp(*promote_float(a, b))


@lower("aten.logaddexp2")
def logaddexp2(a: Operand, b: Operand) -> Tensor:
    """log2(2^a + 2^b) without overflow."""
    x, y = promote_float(a, b)
    return api.logaddexp(x * math.log(2), y * math.log(2)) * (1 / math.log(2))


@lower("aten.nextafter")
def nextafter(a: Operand, b: Operand) -> Tensor:
    """The number next to a in the direction of b."""
    return api.nextafter(*promote_float(a, b))


@lower("aten.copysign")
def copysign(a: Operand, b: Operand) -> Tensor:
    """|a| with the sign of b, also of -0.0 (of a NaN: positive)."""
    return api.copysign(*promote_float(a, b))


@lower("aten.angle")
def angle(x: Tensor) -> Tensor:
    """The angle of a real number in the complex plane: pi below 0, else 0; NaN stays."""
    (x,) = promote_float(x)
    flat = ops.Where(x < 0, number(math.pi, x), number(0, x))
    return ops.Where(ops.IsNaN(x), x, flat)
