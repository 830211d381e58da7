"""Initial values of parameters: each function gives a Parameter or Buffer new values in place and returns it.

fan_in and fan_out are the numbers of inputs and outputs of one unit: shape[1] and shape[0], times the size of the
kernel. Sources: Glorot & Bengio 2010 (xavier), He et al. 2015 (kaiming), Saxe et al. 2013 (orthogonal).
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from interchange.eager import random
from interchange.eager.random import Generator
from interchange.eager.tensor import Variable, shape_text
from interchange.errors import OperatorError, user_line

V = TypeVar("V", bound=Variable)

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much to scale weights before a nonlinearity; param: the negative slope of "leaky_relu" (0.01)."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise OperatorError(
            "IX124",
            f"no gain is known for {nonlinearity!r}",
            where=user_line(),
            found=repr(nonlinearity),
            expected=", ".join([*_GAINS, "leaky_relu"]),
            fix="name one of them",
        )
    return _GAINS[nonlinearity]


def _fans(tensor: Variable) -> tuple[int, int]:
    shape = tensor._data.shape
    if len(shape) < 2:
        raise OperatorError(
            "IX124",
            "fan in and fan out need a weight with at least 2 axes",
            where=user_line(),
            found=f"shape {shape_text(shape)}",
            expected="[out, in, ...]",
            fix="initialise a bias with zeros_ or uniform_",
        )
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _fan(tensor: Variable, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise OperatorError(
            "IX124",
            f"mode is {mode!r}",
            where=user_line(),
            found=repr(mode),
            expected="'fan_in' or 'fan_out'",
            fix="name one of them",
        )
    return _fans(tensor)[mode == "fan_out"]


def _set(tensor: V, values: Any) -> V:
    tensor.assign(values)
    return tensor


def uniform_(tensor: V, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> V:
    """Uniform in [a, b)."""
    return _set(tensor, random.uniform(tensor.shape, a, b, dtype=tensor.dtype, generator=generator))


def normal_(tensor: V, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> V:
    """Normal with this mean and standard deviation."""
    return _set(tensor, random.normal(tensor.shape, mean, std, dtype=tensor.dtype, generator=generator))


def trunc_normal_(
    tensor: V,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    generator: Generator | None = None,
) -> V:
    """Normal, but within [a, b]: the quantiles of a uniform number between the two, by bisection of erf."""
    low, high = (0.5 * (1 + math.erf((x - mean) / std / math.sqrt(2))) for x in (a, b))
    u = random.uniform(tensor.shape, low, high, dtype=np.float64, generator=generator).numpy()
    return _set(tensor, np.clip(mean + std * _quantile(u), a, b).astype(tensor.dtype))


def _quantile(p: Any) -> Any:
    """The inverse of the normal distribution function: Acklam's rational approximation, relative error below 1.2e-9."""
    a = (
        -39.69683028665376,
        220.9460984245205,
        -275.9285104469687,
        138.357751867269,
        -30.66479806614716,
        2.506628277459239,
    )
    b = (-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1.0)
    c = (
        -0.007784894002430293,
        -0.322396458041137,
        -2.40075827716184,
        -2.54973253934373,
        4.37466414146497,
        2.93816398269878,
    )
    d = (0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1.0)
    tail = np.minimum(p, 1 - p)
    with np.errstate(divide="ignore"):
        q = np.sqrt(-2 * np.log(tail))
    outer = np.polyval(c, q) / np.polyval(d, q)
    r = p - 0.5
    inner = r * np.polyval(a, r * r) / np.polyval(b, r * r)
    return np.where(tail < 0.02425, np.where(p < 0.5, outer, -outer), inner)


def constant_(tensor: V, value: float) -> V:
    """One value everywhere."""
    return _set(tensor, np.full(tensor._data.shape, value, tensor.dtype))


def zeros_(tensor: V) -> V:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: V) -> V:
    """Ones."""
    return constant_(tensor, 1.0)


def eye_(tensor: V) -> V:
    """Ones on the diagonal of a matrix."""
    return _set(tensor, np.eye(*tensor._data.shape, dtype=tensor.dtype))


def xavier_uniform_(tensor: V, gain: float = 1.0, *, generator: Generator | None = None) -> V:
    """Uniform in +- gain sqrt(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator=generator)


def xavier_normal_(tensor: V, gain: float = 1.0, *, generator: Generator | None = None) -> V:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor))), generator=generator)


def kaiming_uniform_(
    tensor: V,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: Generator | None = None,
) -> V:
    """Uniform in +- gain sqrt(3 / fan). a: the negative slope after the layer."""
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / _fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator=generator)


def kaiming_normal_(
    tensor: V,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: Generator | None = None,
) -> V:
    """Normal with standard deviation gain / sqrt(fan). a: the negative slope after the layer."""
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return normal_(tensor, 0.0, std, generator=generator)


def orthogonal_(tensor: V, gain: float = 1.0, *, generator: Generator | None = None) -> V:
    """Rows (or columns, if there are fewer) that are orthonormal, times gain; further axes are joined to the second."""
    _fans(tensor)
    shape = tensor._data.shape
    rows, columns = shape[0], math.prod(shape[1:])
    draws = random.normal((max(rows, columns), min(rows, columns)), dtype=np.float64, generator=generator)
    q, r = np.linalg.qr(draws.numpy())
    q = q * np.sign(np.diag(r))  # uniform over all rotations
    return _set(tensor, (gain * (q if rows >= columns else q.T)).reshape(shape).astype(tensor.dtype))


def default_bound(weight: Variable) -> float:
    """1 / sqrt(fan_in): PyTorch's initial weights and biases of linear and convolution layers lie in +- this."""
    fan_in, _ = _fans(weight)
    return 1 / math.sqrt(fan_in) if fan_in else 0.0


__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]
