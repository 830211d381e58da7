"""Normalisation: over the batch, the last axes, groups of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from interchange import ops
from interchange.dims import DimLike, product
from interchange.dtypes import DType
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import axis_of, lower, promote_float, tensor
from interchange.ops.norm import normalize_batch
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import full, ones, scalar_of

finfo: Any = ml_dtypes.finfo


def _or(given: Tensor | None, value: float, shape: Sequence[DimLike], dtype: DType) -> Tensor:
    """A weight or bias, or the constant that it is left out for."""
    return full(shape, value, dtype) if given is None else astype(given, dtype)


# -- over the batch ----------------------------------------------------------------------------------------------------
@lower("aten.batch_norm")
def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel; in training with the batch's own mean and var."""
    return _batch_norm(x, weight, bias, None if training else mean, None if training else var, eps)[0]


def _batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised x, and the mean and variance (divided by the count) that it was normalised by."""
    if len(x.shape) < 2:  # PyTorch takes it where there is nothing in it
        return x, x, x
    channels = x.shape[1]
    scale, shift = _or(weight, 1, (channels,), x.dtype), _or(bias, 0, (channels,), x.dtype)
    if mean is None or var is None:
        return normalize_batch(x, scale, shift, eps)
    mean, var = astype(mean, x.dtype), astype(var, x.dtype)
    return ops.BatchNormalization(x, scale, shift, mean, var, epsilon=eps), mean, var


def _saved(mean: Tensor, var: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """What PyTorch keeps for the gradient: the mean, and 1 / sqrt(var + eps)."""
    return mean, ops.Reciprocal(ops.Sqrt(ops.Add(var, np.array(eps, var.dtype))))


def _moved(before: Tensor, now: Tensor, momentum: float) -> Tensor:
    """before * (1 - momentum) + now * momentum."""
    wide = astype(before, now.dtype)
    old = ops.Mul(wide, np.array(1 - momentum, wide.dtype))
    return astype(ops.Add(old, ops.Mul(now, np.array(momentum, now.dtype))), before.dtype)


def _unbiased(x: Tensor, var: Tensor) -> Tensor:
    """A variance over the batch divided by the count less 1."""
    count = scalar_of(product([d for i, d in enumerate(x.shape) if i != 1]), var.dtype)
    return ops.Div(ops.Mul(var, count), ops.Sub(count, np.ones((), var.dtype)))


@lower("aten._native_batch_norm_legit_functional")
def batch_norm_functional(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, ...]:
    """The normalised x, what is saved for the gradient, and the new running mean and (unbiased) variance."""
    if not training:
        y = _batch_norm(x, weight, bias, mean, var, eps)[0]
        nothing = ones((0,), mean.dtype)
        return y, nothing, nothing, mean, var
    y, now, spread = _batch_norm(x, weight, bias, None, None, eps)
    moved = _moved(mean, now, momentum), _moved(var, _unbiased(x, spread), momentum)
    return y, *_saved(now, spread, eps), *moved


@lower("aten._batch_norm_with_update_functional")
def batch_norm_with_update(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, momentum: float, eps: float
) -> tuple[Tensor, ...]:
    """`batch_norm_functional` in training, with the (empty) memory of other devices' kernels among the results."""
    *first, new_mean, new_var = batch_norm_functional(x, weight, bias, mean, var, True, momentum, eps)
    return *first, ones((0,), np.dtype(np.uint8)), new_mean, new_var


@lower("aten._native_batch_norm_legit", "aten.native_batch_norm")
def native_batch_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:
    """The normalised x, and what is saved for the gradient: nothing outside of training."""
    *statistics, training, _, eps = rest
    mean, var = statistics if statistics and not training else (None, None)
    y, now, spread = _batch_norm(x, weight, bias, mean, var, eps)
    if mean is not None:
        nothing = ones((0,), now.dtype)
        return y, nothing, nothing
    return y, *_saved(now, spread, eps)


@lower("aten._native_batch_norm_legit_no_training")
def batch_norm_no_training(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, momentum: float, eps: float
) -> tuple[Tensor, ...]:
    """The normalised x by the running statistics; nothing is saved."""
    nothing = ones((0,), mean.dtype)
    return _batch_norm(x, weight, bias, mean, var, eps)[0], nothing, nothing


# -- over the last axes ------------------------------------------------------------------------------------------------
@lower("aten.layer_norm")
def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[DimLike],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes."""
    scale = _or(weight, 1, normalized_shape, x.dtype)
    shift = None if bias is None else astype(bias, x.dtype)
    inputs = (x, scale) if shift is None else (x, scale, shift)
    result: Tensor = ops.LayerNormalization(*inputs, axis=-len(normalized_shape), epsilon=eps)
    return result


# -- over groups of channels -------------------------------------------------------------------------------------------
@lower("aten.group_norm")
def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Each group of channels normalised, times weight, plus bias; by InstanceNormalization, a group as one channel."""
    unit, nothing = ones((groups,), x.dtype), full((groups,), 0, x.dtype)
    parts = reshape(x, (x.shape[0], groups, product(x.shape[1:]) // groups))
    y = reshape(ops.InstanceNormalization(parts, unit, nothing, epsilon=eps), x.shape)
    return _per_channel(y, weight, bias)


def _per_channel(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """y [N, C, ...] * weight [C] + bias [C]."""
    axes = list(range(1, len(y.shape) - 1))

    def column(v: Tensor) -> Tensor:
        v = astype(v, y.dtype)
        return ops.Unsqueeze(v, axes) if axes else v

    y = y if weight is None else ops.Mul(y, column(weight))
    return y if bias is None else ops.Add(y, column(bias))


# -- with what is saved for the gradient -------------------------------------------------------------------------------
def _moments(x: Tensor, axes: list[int], eps: float) -> tuple[Tensor, Tensor]:
    """The mean over axes, which stay with size 1, and 1 / sqrt(variance + eps)."""
    mean = ops.ReduceMean(x, axes, keepdims=1)
    away = ops.Sub(x, mean)
    return _saved(mean, ops.ReduceMean(ops.Mul(away, away), axes, keepdims=1), eps)


@lower("aten.native_layer_norm")
def native_layer_norm(
    x: Tensor, normalized_shape: Sequence[DimLike], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, ...]:
    """`layer_norm`, and the mean and 1 / sqrt(variance + eps) over the last axes."""
    axes = [-1 - i for i in range(len(normalized_shape))]
    return layer_norm(x, normalized_shape, weight, bias, eps), *_moments(x, axes, eps)


@lower("aten.native_group_norm")
def native_group_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    n: DimLike,
    channels: DimLike,
    area: DimLike,
    groups: int,
    eps: float,
) -> tuple[Tensor, ...]:
    """`group_norm`, and the mean and 1 / sqrt(variance + eps) of each group."""
    parts = reshape(x, (n, groups, product(x.shape[1:]) // groups))
    saved = [ops.Squeeze(m, [2]) for m in _moments(parts, [2], eps)]
    return group_norm(x, groups, weight, bias, eps), *saved


@lower("aten.instance_norm")
def instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Tensor:
    """Each channel of each sample normalised by its own mean and variance, or by running ones."""
    if not use_input_stats:
        return _batch_norm(x, weight, bias, mean, var, eps)[0]
    channels = (x.shape[1],)
    return ops.InstanceNormalization(x, _or(weight, 1, channels, x.dtype), _or(bias, 0, channels, x.dtype), epsilon=eps)


@lower("aten.rms_norm")
def rms_norm(
    x: Tensor, normalized_shape: Sequence[DimLike], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axes; eps is by default that of the dtype."""
    if eps is None:
        eps = float(finfo(x.dtype).eps)
    scale = _or(weight, 1, normalized_shape, x.dtype)
    return ops.RMSNormalization(x, scale, axis=-len(normalized_shape), epsilon=eps)


@lower("aten._fused_rms_norm")
def fused_rms_norm(
    x: Tensor, normalized_shape: Sequence[DimLike], weight: Tensor | None, eps: float | None
) -> tuple[Tensor, Tensor]:
    """`rms_norm`, and 1 / sqrt(mean(x^2) + eps)."""
    tiny = np.array(finfo(x.dtype).eps if eps is None else eps, x.dtype)
    mean = ops.ReduceMean(ops.Mul(x, x), [-1 - i for i in range(len(normalized_shape))], keepdims=1)
    return rms_norm(x, normalized_shape, weight, eps), ops.Reciprocal(ops.Sqrt(ops.Add(mean, tiny)))


# -- of vectors --------------------------------------------------------------------------------------------------------
def _norm_but(v: Tensor, dim: int) -> Tensor:
    """The 2-norm over all axes but one (all for -1), which stay with size 1."""
    rank = len(v.shape)
    axes = [a for a in range(rank) if dim == -1 or a != dim % rank]
    return ops.ReduceL2(v, axes, keepdims=1) if axes else ops.Abs(v)


@lower("aten._weight_norm")
def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """v * g / |v|."""
    return ops.Mul(v, ops.Div(g, _norm_but(v, dim)))


@lower("aten._weight_norm_interface")
def weight_norm_interface(v: Tensor, g: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    """`weight_norm`, and |v|."""
    return weight_norm(v, g, dim), _norm_but(v, dim)


@lower("aten.cosine_similarity")
def cosine_similarity(x: Tensor, y: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x y / (max(|x|, eps) max(|y|, eps)) along an axis."""
    x, y = promote_float(x, y)
    rank = max(len(x.shape), len(y.shape))
    if not rank:
        return ops.Squeeze(cosine_similarity(*[ops.Unsqueeze(v, [0, 1]) for v in (x, y)], 0, eps), [0])
    axis = [axis_of(dim, rank) - rank]
    units = [ops.Div(v, ops.Max(ops.ReduceL2(v, axis, keepdims=1), tensor(eps, v.dtype))) for v in (x, y)]
    return ops.ReduceSum(ops.Mul(*units), axis, keepdims=0)


_COSINE_EPSILON = 1e-12  # of the loss: added to the squares


def cosine(x: Tensor, y: Tensor, axis: int) -> Tensor:
    """x y / sqrt((|x|^2 + 1e-12) (|y|^2 + 1e-12)) along an axis."""
    eps = tensor(_COSINE_EPSILON, x.dtype)
    squares = [ops.Add(ops.ReduceSum(ops.Mul(v, v), [axis], keepdims=0), eps) for v in (x, y)]
    return ops.Div(ops.ReduceSum(ops.Mul(x, y), [axis], keepdims=0), ops.Sqrt(ops.Mul(*squares)))


def norm_of(x: Tensor, p: float, keepdim: bool = False) -> Tensor:
    """The p-norm along the last axis."""
    keep, size = int(keepdim), ops.Abs(x)
    if p == 2:
        return ops.Sqrt(ops.ReduceSum(ops.Mul(x, x), [-1], keepdims=keep))
    if p == 1:
        return ops.ReduceSum(size, [-1], keepdims=keep)
    if p == 0:
        return ops.ReduceSum(astype(ops.Not(ops.Equal(x, tensor(0, x.dtype))), x.dtype), [-1], keepdims=keep)
    if math.isinf(p):
        return ops.ReduceMax(size, [-1], keepdims=keep)
    total = ops.ReduceSum(ops.Pow(size, tensor(p, x.dtype)), [-1], keepdims=keep)
    return ops.Pow(total, tensor(1 / p, x.dtype))


def distance(x: Tensor, y: Tensor, p: float, eps: float, keepdim: bool = False) -> Tensor:
    """The p-norm of x - y + eps along the last axis."""
    x, y = promote_float(x, y)
    return norm_of(ops.Add(ops.Sub(x, y), tensor(eps, x.dtype)), p, keepdim)


@lower("aten.pairwise_distance")
def pairwise_distance(x: Tensor, y: Tensor, p: float = 2, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x - y + eps along the last axis."""
    return distance(x, y, p, eps, keepdim)
