"""Operators with chance in them: dropout and its kin, and random numbers. The runtime draws from its own generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike
from interchange.dtypes import DType, bool_, float32, float64, is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.creation import filled, recorded
from interchange.frontends.torch.aten.kernels import number
from interchange.frontends.torch.aten.sorting import ordered
from interchange.frontends.torch.table import Operand, Out, lower, tensor


# -- dropout ----------------------------------------------------------------------------------------------------------
def _training(x: Tensor, p: float = 0.5, train: bool | None = True, **_: Any) -> bool:
    return train is not False and 0 < p < 1


def _dropped(x: Tensor, p: float, outputs: int = 1) -> Any:
    """x where a coin of probability p does not fall on 0, divided by 1 - p. ONNX has no ratio of 1.

    By the mask: ONNX Runtime takes a Dropout out of the graph, in training too, when only its first output is read.
    """
    _, mask = ops.Dropout(x, wrap(np.array(p, np.float32)), wrap(np.array(True)), outputs=2)
    y = ops.Mul(x, ops.Mul(astype(mask, x.dtype), number(1 / (1 - p), x)))
    return y if outputs == 1 else (y, mask)


@lower("aten.dropout", random=_training)
def dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """The elements themselves; in train mode some are zero."""
    if _training(x, p, train):
        return _dropped(x, p)
    return x * 0 if train and p == 1 else x


@lower("aten.native_dropout", random=_training)
def native_dropout(x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """`dropout`, and where an element is kept."""
    if _training(x, p, train):
        return _dropped(x, p, outputs=2)
    drops = train is not False and p == 1
    return x * 0 if drops else x, filled(x.shape, not drops, bool_)


@lower("aten.native_dropout_backward")
def native_dropout_backward(grad: Tensor, mask: Tensor, scale: float) -> Tensor:
    """grad * scale where the mask kept an element."""
    return grad * astype(mask, grad.dtype) * scale


@lower("aten.feature_dropout", random=_training)
def feature_dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` of whole channels."""
    return x * dropout(_channels(x), p, train) if train else x


@lower("aten.alpha_dropout", random=_training)
def alpha_dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` to selu's lower end, scaled and shifted so that mean and variance stay."""
    return _alpha(x, recorded(filled(x.shape, 1, x.dtype)), p) if train else x


@lower("aten.feature_alpha_dropout", random=_training)
def feature_alpha_dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout` of whole channels."""
    return _alpha(x, _channels(x), p) if train else x


def _alpha(x: Tensor, of: Tensor, p: float) -> Tensor:
    if p in (0, 1):
        return x * (1 - p)
    alpha = 1.7580993408473766
    scale = 1 / math.sqrt((alpha * alpha * p + 1) * (1 - p))
    kept = _dropped(of, p) * (1 - p)  # 1 or 0
    return x * (kept * scale) + (kept - 1) * (alpha * scale) + (alpha * scale * p)


def _channels(x: Tensor) -> Tensor:
    """Ones, a number for each sample and channel."""
    return recorded(filled((*x.shape[:2], *([1] * (len(x.shape) - 2))), 1, x.dtype))


# -- random numbers ---------------------------------------------------------------------------------------------------
def _uniform(shape: Sequence[DimLike | None], dtype: DType = float32) -> Tensor:
    """Uniform in [0, 1)."""
    return ops.RandomUniformLike(_blank(shape, dtype))


def _normal(shape: Sequence[DimLike | None], dtype: DType = float32) -> Tensor:
    """Normal with mean 0 and variance 1."""
    return ops.RandomNormalLike(_blank(shape, dtype))


def _blank(shape: Sequence[DimLike | None], dtype: DType) -> Tensor:
    """A tensor of this shape in the graph: of a constant the numbers would be drawn once, at the export."""
    return recorded(filled([d for d in shape if d is not None], 0, dtype))


def _drawn(out: Out) -> DType:
    """The dtype to draw in."""
    return out.dtype if out.dtype in (float32, float64) else float32


@lower("aten.rand", "aten.rand_like", random=True)
def rand(*_: Any, out: Out, **__: Any) -> Tensor:
    """Uniform in [0, 1)."""
    return _uniform(out.shape, _drawn(out))


@lower("aten.randn", "aten.randn_like", random=True)
def randn(*_: Any, out: Out, **__: Any) -> Tensor:
    """Normal with mean 0 and variance 1."""
    return _normal(out.shape, _drawn(out))


@lower("aten.randint.default", "aten.randint.generator", random=True)
def randint(high: DimLike, *_: Any, out: Out, **__: Any) -> Tensor:
    """Whole numbers in [0, high)."""
    return _whole(0, high, out)


@lower("aten.randint.low", "aten.randint.low_generator", random=True)
def randint_low(low: DimLike, high: DimLike, *_: Any, out: Out, **__: Any) -> Tensor:
    """Whole numbers in [low, high)."""
    return _whole(low, high, out)


@lower("aten.randint_like", random=True)
def randint_like(x: Tensor, high: Operand, *_: Any, out: Out, **__: Any) -> Tensor:
    """Whole numbers in [0, high)."""
    return _whole(0, high, out)


@lower("aten.randint_like.low_dtype", "aten.randint_like.low_generator_dtype", random=True)
def randint_like_low(x: Tensor, low: DimLike, high: DimLike, *_: Any, out: Out, **__: Any) -> Tensor:
    """Whole numbers in [low, high)."""
    return _whole(low, high, out)


def _whole(low: Operand, high: Operand, out: Out) -> Tensor:
    """In float64, which has every whole number up to 2 ** 53."""
    first, last = (tensor(v, float64) for v in (low, high))
    return ops.Floor(_uniform(out.shape, float64) * (last - first)) + first


@lower("aten.randperm", random=True)
def randperm(n: DimLike, *_: Any, **__: Any) -> Tensor:
    """The whole numbers below n in a random order: the order of n random numbers."""
    return ordered(_uniform([n]), 0, n, False)[1]


@lower("aten.uniform", random=True)
def uniform(x: Tensor, low: float = 0.0, high: float = 1.0, *, out: Out, **_: Any) -> Tensor:
    """Uniform in [low, high)."""
    return _uniform(out.shape, _drawn(out)) * (high - low) + low


@lower("aten.normal_functional", "aten.normal_", random=True)
def normal_like(x: Tensor, mean: float = 0.0, std: float = 1.0, *, out: Out, **_: Any) -> Tensor:
    """Normal, in the shape of a tensor."""
    return _normal(out.shape, _drawn(out)) * std + mean


@lower(
    "aten.normal.Tensor_Tensor",
    "aten.normal.Tensor_float",
    "aten.normal.float_Tensor",
    "aten.normal.float_float",
    random=True,
)
def normal(mean: Operand, std: Operand = 1.0, *_: Any, out: Out, **__: Any) -> Tensor:
    """Normal with this mean and standard deviation, numbers or tensors."""
    dtype = _drawn(out)
    return _normal(out.shape, dtype) * tensor(std, dtype) + tensor(mean, dtype)


@lower("aten.bernoulli", random=True)
def bernoulli(x: Tensor, p: Operand | None = None, *, out: Out, **_: Any) -> Tensor:
    """1 with this probability (by default the elements themselves), else 0."""
    chance = x if p is None else p
    drawn = _uniform(out.shape)
    return ops.Less(drawn, tensor(chance, float32))


@lower("aten.exponential", random=True)
def exponential(x: Tensor, lambd: float = 1.0, *, out: Out, **_: Any) -> Tensor:
    """Exponential with this rate: -log(1 - u) / rate."""
    return ops.Log(1 - _uniform(out.shape, _drawn(out))) * (-1 / lambd)


@lower("aten.geometric", random=True)
def geometric(x: Tensor, p: float, *, out: Out, **_: Any) -> Tensor:
    """How often a coin of probability p is thrown until it succeeds, from 1 on."""
    return ops.Floor(ops.Log(1 - _uniform(out.shape)) * (1 / math.log1p(-p))) + 1


@lower("aten.cauchy", random=True)
def cauchy(x: Tensor, median: float = 0.0, sigma: float = 1.0, *, out: Out, **_: Any) -> Tensor:
    """Cauchy: median + sigma * tan(pi (u - 1/2))."""
    angle = (_uniform(out.shape, _drawn(out)) - 0.5) * math.pi
    return ops.Sin(angle) / ops.Cos(angle) * sigma + median


@lower("aten.log_normal", random=True)
def log_normal(x: Tensor, mean: float = 1.0, std: float = 2.0, *, out: Out, **_: Any) -> Tensor:
    """e to the power of normal numbers."""
    return ops.Exp(normal_like(x, mean, std, out=out))


@lower("aten.multinomial", random=True)
def multinomial(x: Tensor, num_samples: DimLike, replacement: bool = False, **_: Any) -> Tensor:
    """Positions drawn with these weights, along the last axis: the largest of log(weight) plus Gumbel noise."""
    weights = astype(x, float32) if not is_float(x.dtype) else x
    if not replacement:
        return ordered(_gumbel(weights, weights.shape), -1, num_samples, True)[1]
    shape = (*weights.shape[:-1], num_samples, weights.shape[-1])
    return ops.ArgMax(_gumbel(ops.Unsqueeze(weights, [-2]), shape), axis=-1, keepdims=0)


def _gumbel(weights: Tensor, shape: Sequence[DimLike]) -> Tensor:
    least = number(np.finfo(np.float32).tiny, wrap(np.zeros((), np.float32)))
    noise = -ops.Log(-ops.Log(ops.Max(_uniform(shape), least)))
    return ops.Log(weights) + astype(noise, weights.dtype)
