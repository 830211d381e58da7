"""Functions of one variable that ONNX does not have, as polynomials fitted to PyTorch's own double-precision values.

A polynomial through Chebyshev nodes is within a small factor of the best one of its degree, and for an analytic
function the error falls geometrically with the degree (Trefethen, Approximation Theory and Approximation Practice,
chapter 8). So no tables of coefficients are kept: they are made once, as long as the dtype at hand needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.polynomial import chebyshev

from interchange import ops
from interchange.dtypes import Array
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.table import lower, promote_float

_DEGREE = 40  # at which every piece below has converged in double precision


def by_torch(function: Callable[..., Any], *values: Array | float) -> Array:
    """PyTorch's values of a function, in double precision."""
    tensors = [torch.as_tensor(np.asarray(v, np.float64)) for v in values]
    return np.asarray(function(*tensors).numpy())


@cache
def _coefficients(function: Callable[[Array], Array], low: float, high: float, dtype: str) -> tuple[float, ...]:
    """Of the polynomial in t, -1 at `low` and 1 at `high`, from the highest power on."""
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = chebyshev.chebpts1(_DEGREE + 1)
    series = chebyshev.chebfit(nodes, function(middle + half * nodes), _DEGREE)
    size = np.abs(series)
    noise = 2 * size[-8:].max()  # of the values: a few of PyTorch's functions are no better than single precision
    needed = size > max(np.finfo(dtype).eps / 8 * size.max(), noise)
    return tuple(chebyshev.cheb2poly(series[: int(np.nonzero(needed)[0][-1]) + 1])[::-1].tolist())


def horner(coefficients: tuple[float, ...], t: Tensor) -> Tensor:
    """The polynomial with these coefficients, from the highest power on."""
    result = t * coefficients[0] if len(coefficients) > 1 else t * 0 + coefficients[0]
    for c in coefficients[1:-1]:
        result = (result + c) * t
    return result + coefficients[-1] if len(coefficients) > 1 else result


def fitted(function: Callable[[Array], Array], low: float, high: float, x: Tensor) -> Tensor:
    """function(x) on [low, high], beyond it the value at the nearer end. The function is given arrays of float64."""
    t = ops.Clip((x - (low + high) / 2) * (2 / (high - low)), number(-1, x), number(1, x))
    return horner(_coefficients(function, low, high, x.dtype.name), t)


def number(value: float, like: Tensor) -> Tensor:
    """A 0-d tensor of the dtype of another."""
    return wrap(np.array(value, like.dtype))


def choose(condition: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
    """x where the condition holds, else y; a number takes the dtype of the other, which is a tensor."""
    like = x if isinstance(x, Tensor) else y
    assert isinstance(like, Tensor)
    return ops.Where(condition, *(v if isinstance(v, Tensor) else number(v, like) for v in (x, y)))


def lower_float(*names: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register the lowering of a function of tensors that meet in float32 or float64: integers become float32, half
    precision is computed in float32, as PyTorch does. What is no tensor is passed on.
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def handler(*args: Any, **kwargs: Any) -> Tensor:
            places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
            tensors = promote_float(*(args[i] for i in places))
            dtype = tensors[0].dtype
            given = list(args)
            for i, t in zip(places, tensors, strict=True):
                given[i] = astype(t, np.float32) if dtype.itemsize < 4 else t
            return astype(function(*given, **kwargs), dtype)

        lower(*names)(handler)
        return function

    return register
