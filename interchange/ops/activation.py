"""Activations and other functions of one element."""

from __future__ import annotations

import math

import numpy as np

from interchange.dims import Shape, same_shape
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor, shape_text
from interchange.ops.arithmetic import Abs, Max, Min
from interchange.ops.frame import Grads, op
from interchange.ops.shape_rules import along, same
from interchange.ops.shape_tools import broadcast_shapes, refuse, sum_to


def _step(condition: Tensor, like: Tensor) -> Tensor:
    """1 where the condition holds, in a float dtype. Multiplying by it is faster in ONNX Runtime than Where."""
    return condition.astype(like.dtype)


@op(shape=same, runtime=1 << 16)
def Exp(input: Array) -> Array:
    """e to the power x."""
    return np.exp(input)


@Exp.gradient
def _(g: Tensor, output: Tensor) -> Grads:
    return g * output


@op(shape=same)
def Log(input: Array) -> Array:
    """The natural logarithm; -inf at 0, NaN below."""
    return np.log(input)


@Log.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g / input


@op(shape=same)
def Sin(input: Array) -> Array:
    """sin(x), x in radians."""
    return np.sin(input)


@Sin.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g * Cos(input)


@op(shape=same)
def Cos(input: Array) -> Array:
    """cos(x), x in radians."""
    return np.cos(input)


@Cos.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return -g * Sin(input)


@op(shape=same)
def Tanh(input: Array) -> Array:
    """The hyperbolic tangent."""
    return np.tanh(input)


@Tanh.gradient
def _(g: Tensor, output: Tensor) -> Grads:
    return g * (1 - output * output)


@op(shape=same, runtime=1 << 12)
def Sigmoid(X: Array) -> Array:
    """1 / (1 + e^-x), without overflow."""
    small = np.exp(-np.abs(X))
    return np.where(X >= 0, 1 / (1 + small), small / (1 + small)).astype(X.dtype, copy=False)


@Sigmoid.gradient
def _(g: Tensor, Y: Tensor) -> Grads:
    return g * Y * (1 - Y)


@op(shape=same, runtime=0)
def Erf(input: Array) -> Array:
    """The error function 2/sqrt(pi) * integral of e^(-t^2) from 0 to x."""
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(input), input.dtype)


@Erf.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    return g * Exp(-input * input) * (2 / math.sqrt(math.pi))


@op(shape=same)
def Relu(X: Array) -> Array:
    """max(x, 0). Its gradient at 0 is 0."""
    return np.maximum(X, np.zeros((), X.dtype))


@Relu.gradient
def _(g: Tensor, Y: Tensor) -> Grads:
    return g * _step(Y > 0, g)


@op(shape=same)
def LeakyRelu(X: Array, *, alpha: float) -> Array:
    """x where x >= 0, else alpha * x."""
    return np.where(X >= 0, X, X.dtype.type(alpha) * X)


@LeakyRelu.gradient
def _(g: Tensor, X: Tensor, alpha: float) -> Grads:
    return g * (_step(X < 0, g) * (alpha - 1) + 1)


@op(shape=same)
def Elu(X: Array, *, alpha: float) -> Array:
    """x where x >= 0, else alpha * (e^x - 1)."""
    return np.where(X >= 0, X, X.dtype.type(alpha) * np.expm1(np.minimum(X, 0)))


@Elu.gradient
def _(g: Tensor, X: Tensor, alpha: float) -> Grads:
    below = _step(X < 0, g)
    return g * (1 - below + below * (alpha * Exp(Min(X, X * 0))))


@op(shape=same)
def Selu(X: Array, *, alpha: float, gamma: float) -> Array:
    """gamma * (x where x > 0, else alpha * (e^x - 1))."""
    below = X.dtype.type(alpha) * np.expm1(np.minimum(X, 0))
    return np.asarray(X.dtype.type(gamma) * np.where(X > 0, X, below), X.dtype)


@Selu.gradient
def _(g: Tensor, X: Tensor, alpha: float, gamma: float) -> Grads:
    above = _step(X > 0, g)
    return g * gamma * (above + (1 - above) * (alpha * Exp(Min(X, X * 0))))


@op(shape=same)
def Celu(X: Array, *, alpha: float) -> Array:
    """max(0, x) + min(0, alpha * (e^(x/alpha) - 1))."""
    a = X.dtype.type(alpha)
    return np.asarray(np.maximum(X, 0) + np.minimum(0, a * np.expm1(np.minimum(X, 0) / a)), X.dtype)


@Celu.gradient
def _(g: Tensor, X: Tensor, alpha: float) -> Grads:
    below = _step(X < 0, g)
    return g * (1 - below + below * Exp(Min(X, X * 0) / alpha))


@op(shape=same)
def ThresholdedRelu(X: Array, *, alpha: float) -> Array:
    """x where x > alpha, else 0."""
    return np.where(alpha < X, X, np.zeros((), X.dtype))


@ThresholdedRelu.gradient
def _(g: Tensor, X: Tensor, alpha: float) -> Grads:
    return g * _step(X > alpha, g)


@op(shape=same, since=20, runtime=0)
def Gelu(X: Array, *, approximate: str) -> Array:
    """x * Phi(x), Phi the normal distribution; with "tanh" 0.5x(1 + tanh(sqrt(2/pi)(x + 0.044715x^3)))."""
    if approximate == "tanh":
        return np.asarray(0.5 * X * (1 + np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X * X * X))), X.dtype)
    return np.asarray(0.5 * X * (1 + Erf.kernel(X / math.sqrt(2))), X.dtype)


@Gelu.gradient
def _(g: Tensor, X: Tensor, approximate: str) -> Grads:
    if approximate == "tanh":
        c = math.sqrt(2 / math.pi)
        t = Tanh((X + X * X * X * 0.044715) * c)
        return g * ((1 + t) * 0.5 + X * 0.5 * (1 - t * t) * ((X * X * (3 * 0.044715) + 1) * c))
    cumulative = (Erf(X * math.sqrt(0.5)) + 1) * 0.5
    return g * (cumulative + X * Exp(X * X * -0.5) * (1 / math.sqrt(2 * math.pi)))


@Gelu.decompose
def _(X: Tensor, *, approximate: str) -> Tensor:
    if approximate == "tanh":
        return X * 0.5 * (Tanh((X + X * X * X * 0.044715) * math.sqrt(2 / math.pi)) + 1)
    return X * 0.5 * (Erf(X * math.sqrt(0.5)) + 1)


@op(shape=same)
def Softplus(X: Array) -> Array:
    """log(1 + e^x), without overflow."""
    return np.logaddexp(X, np.zeros((), X.dtype))


@Softplus.gradient
def _(g: Tensor, X: Tensor) -> Grads:
    return g * Sigmoid(X)


@op(shape=same)
def Softsign(input: Array) -> Array:
    """x / (1 + |x|)."""
    return np.asarray(input / (1 + np.abs(input)), input.dtype)


@Softsign.gradient
def _(g: Tensor, input: Tensor) -> Grads:
    scale = Abs(input) + 1
    return g / (scale * scale)


@op(shape=same)
def HardSigmoid(X: Array, *, alpha: float, beta: float) -> Array:
    """max(0, min(1, alpha * x + beta))."""
    return np.asarray(np.clip(X.dtype.type(alpha) * X + X.dtype.type(beta), 0, 1), X.dtype)


@HardSigmoid.gradient
def _(g: Tensor, Y: Tensor, alpha: float) -> Grads:
    return g * alpha * _step((Y > 0) & (Y < 1), g)


@op(shape=same)
def HardSwish(X: Array) -> Array:
    """x * max(0, min(1, x/6 + 1/2))."""
    return (X * np.clip(X / 6 + 0.5, 0, 1)).astype(X.dtype, copy=False)


@HardSwish.gradient
def _(g: Tensor, X: Tensor) -> Grads:
    inside = _step((X > -3) & (X < 3), g)
    return g * (inside * (X * (1 / 3) + 0.5) + _step(X >= 3, g))


@op(shape=same, since=18)
def Mish(X: Array) -> Array:
    """x * tanh(softplus(x))."""
    return (X * np.tanh(np.logaddexp(X, np.zeros((), X.dtype)))).astype(X.dtype, copy=False)


@Mish.gradient
def _(g: Tensor, X: Tensor) -> Grads:
    t = Tanh(Softplus(X))
    return g * (t + X * (1 - t * t) * Sigmoid(X))


@Mish.decompose
def _(X: Tensor) -> Tensor:
    return X * Tanh(Softplus(X))


@op()
def PRelu(X: Array, slope: Array) -> Array:
    """x where x >= 0, else slope * x; the slope broadcasts to x."""
    if np.broadcast_shapes(X.shape, slope.shape) != X.shape:
        raise ValueError("the slope is larger than X")
    return np.where(X >= 0, X, slope * X)


@PRelu.shape
def _(X: Tensor, slope: Tensor) -> Shape:
    both = broadcast_shapes(X.shape, slope.shape)
    if not same_shape(both, X.shape):
        raise refuse(f"the slope is larger than X in {shape_text(both)}", expected="a slope that broadcasts to X")
    return X.shape


@PRelu.gradient
def _(g: Tensor, X: Tensor, slope: Tensor) -> Grads:
    below = _step(X < 0, g)
    return lambda: g * (1 + below * (slope - 1)), lambda: sum_to(g * below * X, slope.shape)


@op()
def Clip(input: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """Elements below min become min, above max become max (max wins where min > max)."""
    if (min is not None and min.ndim) or (max is not None and max.ndim):
        raise ValueError("a bound has axes")
    low = input if min is None else np.maximum(input, min)
    return low if max is None else np.minimum(low, max)


@Clip.shape
def _(input: Tensor, min: Tensor | None = None, max: Tensor | None = None) -> Shape:
    for name, bound in (("min", min), ("max", max)):
        if bound is not None and bound.shape:
            raise refuse(
                f"{name} has {len(bound.shape)} axes", expected="a scalar", fix="use Max and Min, which broadcast"
            )
    return input.shape


@Clip.gradient
def _(g: Tensor, input: Tensor, min: Tensor | None, max: Tensor | None) -> Grads:
    def by_input() -> Tensor:  # passes where the element is kept, the bounds included
        result = g
        if min is not None:
            result = result * _step(input >= min, g)
        if max is not None:
            result = result * _step(input <= max, g)
        return result

    def by_min() -> Tensor:
        assert min is not None
        cut = _step(input < min, g)
        return sum_to(g * (cut if max is None else cut * _step(min <= max, g)), min.shape)

    def by_max() -> Tensor:
        assert max is not None
        kept = input if min is None else Max(input, min)
        return sum_to(g * _step(kept > max, g), max.shape)

    return by_input, by_min, by_max


# -- normalised over an axis ------------------------------------------------------------------------------------------
@op(shape=along, runtime=1 << 7)
def Softmax(input: Array, *, axis: int) -> Array:
    """e^x / sum(e^x) along an axis, computed around the maximum."""
    e = np.exp(input - input.max(axis=axis, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(axis=axis, keepdims=True), input.dtype)


@Softmax.gradient
def _(g: Tensor, output: Tensor, axis: int) -> Grads:
    from interchange.ops.reduce import ReduceSum

    return output * (g - ReduceSum(g * output, [axis]))


@op(shape=along, runtime=1 << 7)
def LogSoftmax(input: Array, *, axis: int) -> Array:
    """log(softmax(x)) along an axis, without the loss of a small softmax."""
    moved = input - input.max(axis=axis, keepdims=True, initial=-np.inf)
    return np.asarray(moved - np.log(np.exp(moved).sum(axis=axis, keepdims=True)), input.dtype)


@LogSoftmax.gradient
def _(g: Tensor, output: Tensor, axis: int) -> Grads:
    from interchange.ops.reduce import ReduceSum

    return g - Exp(output) * ReduceSum(g, [axis])
