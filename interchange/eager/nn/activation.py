"""Activations, as functions and as modules. Each acts on every element; shapes stay what they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dtypes import float32
from interchange.eager.nn.module import Module
from interchange.eager.tensor import Parameter, Tensor
from interchange.errors import OperatorError, user_line
from interchange.ops import activation as _ops
from interchange.ops.select import Where
from interchange.ops.shape import Reshape


def relu(x: Tensor) -> Tensor:
    """max(x, 0)"""
    return _ops.Relu(x)


def relu6(x: Tensor) -> Tensor:
    """min(max(x, 0), 6)"""
    return x.clip(0.0, 6.0)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x >= 0, else negative_slope * x"""
    return _ops.LeakyRelu(x, alpha=float(negative_slope))


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x where x >= 0, else weight * x; weight [1], or [C] for x [N, C, ...]"""
    count, rank = weight.shape[0], len(x.shape)
    slope = Reshape(weight, [count] + [1] * (rank - 2)) if count != 1 and rank > 2 else weight
    return _ops.PRelu(x, slope)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (e^x - 1)"""
    return _ops.Elu(x, alpha=float(alpha))


def selu(x: Tensor) -> Tensor:
    """1.0507 (x where x > 0, else 1.6733 (e^x - 1))"""
    return _ops.Selu(x, alpha=1.6732632423543772, gamma=1.0507009873554805)


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """max(0, x) + min(0, alpha (e^(x/alpha) - 1))"""
    return _ops.Celu(x, alpha=float(alpha))


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x), Phi the normal distribution function; approximate="tanh" for its approximation"""
    return _ops.Gelu(x, approximate=approximate)


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), also called swish"""
    return x * _ops.Sigmoid(x)


def mish(x: Tensor) -> Tensor:
    """x tanh(log(1 + e^x))"""
    return _ops.Mish(x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)"""
    return _ops.Sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent"""
    return _ops.Tanh(x)


def hardsigmoid(x: Tensor) -> Tensor:
    """max(0, min(1, x/6 + 1/2))"""
    return _ops.HardSigmoid(x, alpha=1 / 6, beta=0.5)


def hardswish(x: Tensor) -> Tensor:
    """x max(0, min(1, x/6 + 1/2))"""
    return _ops.HardSwish(x)


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """min(max(x, min_val), max_val)"""
    return x.clip(float(min_val), float(max_val))


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta, without overflow: PyTorch's threshold, beyond which it is x, is not needed."""
    if not beta > 0 or not threshold > 0:
        raise _wrong("softplus takes a positive beta and threshold", f"beta={beta}, threshold={threshold}", "above 0")
    return _ops.Softplus(x) if beta == 1 else _ops.Softplus(x * float(beta)) * (1 / beta)


def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)"""
    return _ops.Softsign(x)


def tanhshrink(x: Tensor) -> Tensor:
    """x - tanh(x)"""
    return x - _ops.Tanh(x)


def threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value"""
    return Where(x > float(threshold), x, np.array(value, x.dtype))


def logsigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x)) = -log(1 + e^-x)"""
    return -_ops.Softplus(-x)


def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """e^x / sum(e^x) along an axis"""
    return _ops.Softmax(x, axis=dim)


def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """log(softmax(x)) along an axis"""
    return _ops.LogSoftmax(x, axis=dim)


def _wrong(message: str, found: str, expected: str) -> OperatorError:
    return OperatorError(
        "IX124", message, where=user_line(), found=found, expected=expected, fix="correct the argument"
    )


class ReLU(Module):
    """max(x, 0)"""

    def __init__(self, inplace: bool = False) -> None:
        """inplace is accepted for code written for PyTorch; tensors are immutable here, so it changes nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return _ops.Relu(x)


class ReLU6(ReLU):
    """min(max(x, 0), 6)"""

    def forward(self, x: Tensor) -> Tensor:
        return relu6(x)


class LeakyReLU(Module):
    """x where x >= 0, else negative_slope * x"""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class PReLU(Module):
    """x where x >= 0, else weight * x, with a learned weight: one, or one per channel (x [N, C, ...])."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = float32) -> None:
        self.num_parameters = num_parameters
        self.weight = Parameter(np.full(num_parameters, init, dtype))

    def forward(self, x: Tensor) -> Tensor:
        return prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class _Alpha(Module):
    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class ELU(_Alpha):
    """x where x > 0, else alpha (e^x - 1)"""

    def forward(self, x: Tensor) -> Tensor:
        return elu(x, self.alpha)


class CELU(_Alpha):
    """max(0, x) + min(0, alpha (e^(x/alpha) - 1))"""

    def forward(self, x: Tensor) -> Tensor:
        return celu(x, self.alpha)


class SELU(Module):
    """1.0507 (x where x > 0, else 1.6733 (e^x - 1)): keeps mean 0 and variance 1 through deep networks."""

    def forward(self, x: Tensor) -> Tensor:
        return selu(x)


class GELU(Module):
    """x Phi(x), Phi the normal distribution function; approximate="tanh" for its approximation."""

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x sigmoid(x), also called swish"""

    def forward(self, x: Tensor) -> Tensor:
        return silu(x)


class Mish(Module):
    """x tanh(log(1 + e^x))"""

    def forward(self, x: Tensor) -> Tensor:
        return mish(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)"""

    def forward(self, x: Tensor) -> Tensor:
        return sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent"""

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x)


class Hardsigmoid(Module):
    """max(0, min(1, x/6 + 1/2))"""

    def forward(self, x: Tensor) -> Tensor:
        return hardsigmoid(x)


class Hardswish(Module):
    """x max(0, min(1, x/6 + 1/2))"""

    def forward(self, x: Tensor) -> Tensor:
        return hardswish(x)


class Hardtanh(Module):
    """min(max(x, min_val), max_val)"""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        if not min_val < max_val:
            raise _wrong("min_val is not below max_val", f"min_val={min_val}, max_val={max_val}", "min_val < max_val")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Tensor) -> Tensor:
        return hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Softplus(Module):
    """log(1 + e^(beta x)) / beta"""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Tensor) -> Tensor:
        return softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Module):
    """x / (1 + |x|)"""

    def forward(self, x: Tensor) -> Tensor:
        return softsign(x)


class Tanhshrink(Module):
    """x - tanh(x)"""

    def forward(self, x: Tensor) -> Tensor:
        return tanhshrink(x)


class Threshold(Module):
    """x where x > threshold, else value"""

    def __init__(self, threshold: float, value: float) -> None:
        self.threshold, self.value = threshold, value

    def forward(self, x: Tensor) -> Tensor:
        return threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


class LogSigmoid(Module):
    """log(sigmoid(x))"""

    def forward(self, x: Tensor) -> Tensor:
        return logsigmoid(x)


class _Along(Module):
    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Along):
    """e^x / sum(e^x) along the axis `dim` (the last one, where PyTorch without a dim would guess)."""

    def forward(self, x: Tensor) -> Tensor:
        return softmax(x, self.dim)


class LogSoftmax(_Along):
    """log(softmax(x)) along the axis `dim` (the last one, where PyTorch without a dim would guess)."""

    def forward(self, x: Tensor) -> Tensor:
        return log_softmax(x, self.dim)
