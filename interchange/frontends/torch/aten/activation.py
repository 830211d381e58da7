"""Activations. Formulas: torch.nn.functional."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange import ops
from interchange.dtypes import DType, is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import Out, axis_of, lower, promote_float, tensor


@lower("aten.relu")
def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return ops.Relu(x) if is_float(x.dtype) else ops.Max(x, np.zeros((), x.dtype))


@lower("aten.relu6")
def relu6(x: Tensor) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(x, 0, 6)


@lower("aten.hardtanh")
def hardtanh(x: Tensor, min_val: float = -1, max_val: float = 1) -> Tensor:
    """min(max(x, min_val), max_val)."""
    return ops.Clip(x, tensor(min_val, x.dtype), tensor(max_val, x.dtype))


@lower("aten.gelu")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """x Phi(x), or its approximation with tanh."""
    return ops.Gelu(x, approximate=approximate)


@lower("aten.silu")
def silu(x: Tensor) -> Tensor:
    """x sigmoid(x)."""
    return ops.Mul(x, ops.Sigmoid(x))


@lower("aten.sigmoid", "aten.special_expit")
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return ops.Sigmoid(promote_float(x)[0])


@lower("aten.tanh")
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return ops.Tanh(promote_float(x)[0])


@lower("aten.mish")
def mish(x: Tensor) -> Tensor:
    """x tanh(log(1 + e^x))."""
    return ops.Mish(x)


@lower("aten.elu")
def elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    """scale * (x where x > 0, else alpha * (e^(input_scale x) - 1))."""
    if scale == 1 and input_scale == 1:
        return ops.Elu(x, alpha=float(alpha))
    low = ops.Elu(ops.Mul(x, tensor(input_scale, x.dtype)), alpha=float(alpha))
    chosen = ops.Where(ops.Greater(x, tensor(0, x.dtype)), x, low)
    return ops.Mul(chosen, tensor(scale, x.dtype))


@lower("aten.celu")
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (e^(x/alpha) - 1)."""
    return elu(x, alpha, 1, 1 / alpha)


@lower("aten.selu")
def selu(x: Tensor) -> Tensor:
    """1.0507 (x where x > 0, else 1.6733 (e^x - 1)); ONNX Runtime's Selu loses the sign of -0."""
    return ops.Mul(elu(x, 1.6732632423543772), tensor(1.0507009873554805, x.dtype))


@lower("aten.leaky_relu")
def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x >= 0, else negative_slope * x."""
    return ops.LeakyRelu(x, alpha=float(negative_slope))


@lower("aten.prelu", "aten._prelu_kernel")
def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x where x >= 0, else weight * x; a weight [C] belongs to the second axis."""
    if len(weight.shape) == 1 and len(x.shape) > 2:
        weight = ops.Unsqueeze(weight, list(range(1, len(x.shape) - 1)))
    return ops.PRelu(x, weight)


@lower("aten.rrelu")
def rrelu(
    x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> Tensor:
    """LeakyRelu with the mean of the two slopes."""
    return leaky_relu(x, (lower + upper) / 2)


@lower("aten.hardsigmoid")
def hardsigmoid(x: Tensor) -> Tensor:
    """max(0, min(1, x/6 + 1/2))."""
    return ops.HardSigmoid(x, alpha=1 / 6, beta=0.5)


@lower("aten.hardswish")
def hardswish(x: Tensor) -> Tensor:
    """x max(0, min(1, x/6 + 1/2))."""
    return ops.HardSwish(x)


@lower("aten.softplus")
def softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + e^(beta x)) / beta, and x itself where beta x > threshold."""
    scaled = x if beta == 1 else ops.Mul(x, tensor(beta, x.dtype))
    soft = ops.Softplus(scaled)
    if beta != 1:
        soft = ops.Div(soft, tensor(beta, x.dtype))
    return ops.Where(ops.Greater(scaled, tensor(threshold, x.dtype)), x, soft)


@lower("aten.log_sigmoid")
def log_sigmoid(x: Tensor) -> Tensor:
    """-log(1 + e^-x)."""
    return ops.Neg(ops.Softplus(ops.Neg(x)))


@lower("aten.softshrink")
def softshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x - lambd above lambd, x + lambd below -lambd, 0 between."""
    at = tensor(lambd, x.dtype)
    inner = ops.Clip(x, tensor(-lambd, x.dtype), at)
    return ops.Sub(x, inner)


@lower("aten.hardshrink")
def hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x outside of [-lambd, lambd], 0 within."""
    within = ops.LessOrEqual(ops.Abs(x), tensor(lambd, x.dtype))
    return ops.Where(within, tensor(0, x.dtype), x)


@lower("aten.threshold")
def threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value; NaN stays."""
    return ops.Where(ops.LessOrEqual(x, tensor(threshold, x.dtype)), tensor(value, x.dtype), x)


@lower("aten.glu")
def glu(x: Tensor, dim: int = -1) -> Tensor:
    """The first half times the sigmoid of the second."""
    first, second = ops.Split(x, axis=axis_of(dim, len(x.shape)), num_outputs=2)
    return ops.Mul(first, ops.Sigmoid(second))


@lower("aten.softmax", "aten._softmax")
def softmax(x: Tensor, dim: int, *_: Any, out: Out, **__: Any) -> Tensor:
    """e^x / sum(e^x) along an axis, in the dtype of the result."""
    return _along(ops.Softmax, x, dim, out.dtype)


@lower("aten.log_softmax", "aten._log_softmax")
def log_softmax(x: Tensor, dim: int, *_: Any, out: Out, **__: Any) -> Tensor:
    """log(softmax(x)) along an axis, in the dtype of the result."""
    return log_softmax_of(astype(x, out.dtype), dim)


def log_softmax_of(x: Tensor, dim: int) -> Tensor:
    """log(softmax(x)) along an axis."""
    return _along(ops.LogSoftmax, x, dim, x.dtype)


def _along(op: Any, x: Tensor, dim: int, dtype: DType) -> Tensor:
    wide = astype(x, dtype)
    if not x.shape:  # one element
        return ops.Squeeze(op(ops.Unsqueeze(wide, [0]), axis=0), [0])
    return op(wide, axis=axis_of(dim, len(x.shape)))
