"""Operators with chance in them. Layers use the counter-based generator of `interchange.eager.random` instead."""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import Shape
from interchange.dtypes import Array, from_onnx
from interchange.eager.tensor import Tensor
from interchange.ops.frame import Grads, op
from interchange.ops.shape_rules import same
from interchange.ops.shape_tools import known, refuse

_unseeded = np.random.default_rng()


def _generator(seed: float | None) -> np.random.Generator:
    return _unseeded if seed is None else np.random.default_rng(abs(int(seed)))


def _like(input: Tensor, *, dtype: int | None = None, **_: Any) -> Any:
    return input.dtype if dtype is None else from_onnx(dtype)


@op()
def Dropout(
    data: Array, ratio: Array | None = None, training_mode: Array | None = None, *, seed: int | None = None
) -> tuple[Array, Array]:
    """With training_mode=True: zero with probability `ratio` (0.5 when left out), else data / (1 - ratio).

    mask (outputs=2): True where an element is kept. seed: the same mask at every call.
    """
    p = 0.5 if ratio is None else float(ratio.reshape(-1)[0])
    if not 0 <= p < 1:
        raise ValueError(f"a ratio of {p}")
    if training_mode is None or not training_mode.reshape(-1)[0] or p == 0:
        return data, np.ones(data.shape, bool)
    mask = _generator(seed).random(data.shape) >= p
    return data * (mask / (1 - p)).astype(data.dtype), mask


@Dropout.shape
def _(
    data: Tensor, ratio: Tensor | None = None, training_mode: Tensor | None = None, *, seed: int | None = None
) -> list[Shape]:
    p = known(ratio)
    if p is not None and not 0 <= float(p[0]) < 1:
        raise refuse(f"ratio {p[0]} is no probability below 1", expected="a ratio in [0, 1)")
    return [data.shape, data.shape]


@Dropout.gradient
def _(g: Tensor | None, ratio: Tensor | None, training_mode: Tensor | None, mask: Tensor | None) -> Grads:
    if g is None or training_mode is None or known(training_mode) == (0,):
        return g
    if mask is None:
        raise refuse("the gradient needs the mask", expected="Dropout(..., outputs=2) in a traced step")
    p = 0.5 if ratio is None else ratio.astype(g.dtype)
    scale = 1 / (1 - training_mode.astype(g.dtype) * p)
    return g * mask.detach().astype(g.dtype) * scale, None, None


@op(shape=same, dtype=_like)
def RandomUniformLike(
    input: Array, *, dtype: int | None = None, high: float, low: float, seed: float | None = None
) -> Array:
    """Uniform random numbers in [low, high), as many as the input has elements."""
    drawn = _generator(seed).uniform(low, high, input.shape)
    return np.asarray(drawn, input.dtype if dtype is None else from_onnx(dtype))


@op(shape=same, dtype=_like)
def RandomNormalLike(
    input: Array, *, dtype: int | None = None, mean: float, scale: float, seed: float | None = None
) -> Array:
    """Normal random numbers with this mean and standard deviation, as many as the input has elements."""
    drawn = _generator(seed).normal(mean, scale, input.shape)
    return np.asarray(drawn, input.dtype if dtype is None else from_onnx(dtype))
