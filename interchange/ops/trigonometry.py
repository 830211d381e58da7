"""Trigonometric and hyperbolic functions and their inverses. Sin, Cos and Tanh stand in `activation`."""

from __future__ import annotations

import numpy as np

from interchange.dtypes import Array
from interchange.eager.tensor import Tensor
from interchange.ops.arithmetic import Sqrt
from interchange.ops.frame import Grads, op
from interchange.ops.shape_rules import same


@op(shape=same)
def Tan(input: Array) -> Array:
    """tan(x), x in radians."""
    return np.tan(input)


@Tan.gradient
def _(g: Tensor, output: Tensor) -> Grads:
    return g * (1 + output * output)


@op(shape=same)
def Asin(input: Array) -> Array:
    """The angle in [-pi/2, pi/2] whose sine is x; NaN outside of [-1, 1]."""
    return np.arcsin(input)


@Asin.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g / Sqrt((1 - input) * (1 + input))


@op(shape=same)
def Acos(input: Array) -> Array:
    """The angle in [0, pi] whose cosine is x; NaN outside of [-1, 1]."""
    return np.arccos(input)


@Acos.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return -g / Sqrt((1 - input) * (1 + input))


@op(shape=same)
def Atan(input: Array) -> Array:
    """The angle in [-pi/2, pi/2] whose tangent is x."""
    return np.arctan(input)


@Atan.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g / (1 + input * input)


@op(shape=same)
def Sinh(input: Array) -> Array:
    """The hyperbolic sine."""
    return np.sinh(input)


@Sinh.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g * Cosh(input)


@op(shape=same)
def Cosh(input: Array) -> Array:
    """The hyperbolic cosine."""
    return np.cosh(input)


@Cosh.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g * Sinh(input)


@op(shape=same)
def Asinh(input: Array) -> Array:
    """The inverse of the hyperbolic sine."""
    return np.arcsinh(input)


@Asinh.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g / Sqrt(input * input + 1)


@op(shape=same)
def Acosh(input: Array) -> Array:
    """The inverse of the hyperbolic cosine; NaN below 1."""
    return np.arccosh(input)


@Acosh.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g / Sqrt((input - 1) * (input + 1))


@op(shape=same)
def Atanh(input: Array) -> Array:
    """The inverse of the hyperbolic tangent; NaN outside of [-1, 1]."""
    return np.arctanh(input)


@Atanh.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g / ((1 - input) * (1 + input))
