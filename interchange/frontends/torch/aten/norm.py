"""Normalisation: over the batch, the last axes, groups of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike, product
from interchange.dtypes import DType
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import lower
from interchange.ops.norm import normalize_batch
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import full, ones, scalar_of


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


@lower("aten._native_batch_norm_legit", "aten.native_batch_norm")
def native_batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any, training: bool | None = None
) -> tuple[Tensor, ...]:
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
