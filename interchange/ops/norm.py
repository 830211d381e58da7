"""Normalisation: x less its mean, divided by its standard deviation, scaled and moved.

The gradients are in the form that reads the input least often: with s the standardised input and m the mean over the
normalised axes, d/dx = (g - m(g) - s m(g s)) / std. float16 and bfloat16 are computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from interchange.dims import DimLike, Shape, product
from interchange.dtypes import Array, DType, float32, from_onnx
from interchange.eager.tensor import Tensor, mode, no_grad
from interchange.ops.arithmetic import Equal, Reciprocal, Sign, Sqrt
from interchange.ops.conv import channel_sum, reshape
from interchange.ops.frame import Grads, op, record
from interchange.ops.reduce import ReduceL1, ReduceL2, ReduceMean, ReduceSum
from interchange.ops.shape import Unsqueeze
from interchange.ops.shape_rules import along, same
from interchange.ops.shape_tools import (
    broadcast_shapes,
    divisible,
    must_equal,
    normalize_axis,
    ones,
    refuse,
    scalar_of,
    sum_to,
    zeros,
)


def _wide(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype.itemsize < 4 else x


def _precise(x: Tensor) -> Tensor:
    return x.astype(np.float32) if x.dtype.itemsize < 4 else x


def _moments(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array]:
    """Mean and 1/sqrt(variance + epsilon) over the axes, which stay with size 1."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    return mean, 1 / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + x.dtype.type(epsilon))


def _standardise(x: Tensor, axes: Sequence[int], epsilon: float) -> tuple[Tensor, Tensor]:
    """(x - mean) / std and 1 / std, over the axes."""
    centred = x - ReduceMean(x, axes)
    inverse = Reciprocal(Sqrt(ReduceMean(centred * centred, axes) + epsilon))
    return centred * inverse, inverse


def _through(g: Tensor, s: Tensor, inverse: Tensor, axes: Sequence[int]) -> Tensor:
    """The gradient of standardising by its input."""
    return (g - ReduceMean(g, axes) - s * ReduceMean(g * s, axes)) * inverse


def _per_channel(t: Tensor, rank: int) -> Tensor:
    """[C] as [C, 1, ...], to broadcast against [N, C, ...]."""
    return Unsqueeze(t, list(range(1, rank - 1))) if rank > 2 else t


def _channel_mean(x: Tensor) -> Tensor:
    """The mean over all axes but the second, shape [C]; in two steps, for which ONNX Runtime has the faster loops."""
    over_space = ReduceMean(x, list(range(2, len(x.shape))), keepdims=0) if len(x.shape) > 2 else x
    return ReduceMean(over_space, [0], keepdims=0)


def _check_channels(X: Tensor, least: int, *vectors: tuple[str, Tensor]) -> None:
    if len(X.shape) < least:
        raise refuse(f"the input has {len(X.shape)} axes", expected=f"at least {least}: [batch, channels, ...]")
    for name, v in vectors:
        must_equal(len(v.shape), 1, f"the number of axes of {name}")
        must_equal(v.shape[0], X.shape[1], f"the size of {name} and the number of channels")


# -- over the batch --------------------------------------------------------------------------------------------------
@op()
def BatchNormalization(
    X: Array,
    scale: Array,
    B: Array,
    input_mean: Array,
    input_var: Array,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
    outputs: int,
) -> Array | tuple[Array, ...]:
    """(X - mean) / sqrt(var + epsilon) * scale + B for each channel of X [N, C, ...]; the others are [C].

    training_mode=1 takes mean and variance (divided by the count) of the batch. Its further outputs are the running
    ones, momentum * input + (1 - momentum) * batch's.
    """
    if outputs > 1 and not training_mode:
        raise ValueError("running statistics outside of training")
    y: Array
    x, channels = _wide(X), X.shape[1]
    column = (channels, *(1,) * (X.ndim - 2))
    mean, var = (v.reshape(column).astype(x.dtype, copy=False) for v in (input_mean, input_var))
    if training_mode:
        axes = (0, *range(2, X.ndim))
        mean = x.mean(axis=axes, keepdims=True)
        centred = x - mean
        var = (centred * centred).mean(axis=axes, keepdims=True)
    else:
        centred = x - mean
    factor = scale.reshape(column).astype(x.dtype, copy=False) / np.sqrt(var + x.dtype.type(epsilon))
    y = (centred * factor + B.reshape(column).astype(x.dtype, copy=False)).astype(X.dtype, copy=False)
    if outputs == 1:
        return y
    old, dtype = x.dtype.type(momentum), input_mean.dtype
    moved = [
        (before * old + now.reshape(-1) * (1 - old)).astype(dtype, copy=False)
        for before, now in ((input_mean, mean), (input_var, var))
    ]
    return (y, *moved[: outputs - 1])


@BatchNormalization.shape
def _(
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    input_mean: Tensor,
    input_var: Tensor,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
    outputs: int,
) -> list[Shape]:
    _check_channels(X, 2, ("scale", scale), ("B", B), ("input_mean", input_mean), ("input_var", input_var))
    if outputs > 1 and not training_mode:
        raise refuse("running statistics outside of training", expected="training_mode=1 for more than one output")
    return [X.shape, scale.shape, scale.shape][:outputs]


@BatchNormalization.gradient
def _(
    g_Y: Tensor | None,
    g_running_mean: Tensor | None,
    g_running_var: Tensor | None,
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    input_mean: Tensor,
    input_var: Tensor,
    epsilon: float,
    momentum: float,
    training_mode: int,
) -> Grads:
    rank, x = len(X.shape), _precise(X)
    axes = [0, *range(2, rank)]
    g = zeros(X.shape, x.dtype) if g_Y is None else _precise(g_Y)
    if training_mode:
        centred = x - _per_channel(_channel_mean(x), rank)
        var = _channel_mean(centred * centred)
    else:
        centred = x - _per_channel(input_mean.astype(x.dtype), rank)
        var = input_var.astype(x.dtype)
    inverse = Reciprocal(Sqrt(var + epsilon))
    factor = scale.astype(x.dtype) * inverse
    g_sum, gx_sum = channel_sum(g), channel_sum(g * centred)
    by_scale, by_bias = (gx_sum * inverse).astype(scale.dtype), g_sum.astype(B.dtype)
    if not training_mode:
        return (
            lambda: (g * _per_channel(factor, rank)).astype(X.dtype),
            by_scale,
            by_bias,
            lambda: (-g_sum * factor).astype(input_mean.dtype),
            lambda: (gx_sum * factor * (inverse * inverse * -0.5)).astype(input_var.dtype),
        )
    count = scalar_of(product([X.shape[a] for a in axes]), x.dtype)
    slope, level = factor * inverse * inverse * gx_sum / -count, factor * g_sum / -count
    if g_running_var is not None:
        slope = slope + g_running_var.astype(x.dtype) * (2 * (1 - momentum)) / count
    if g_running_mean is not None:
        level = level + g_running_mean.astype(x.dtype) * (1 - momentum) / count
    by_x = g * _per_channel(factor, rank) + centred * _per_channel(slope, rank) + _per_channel(level, rank)
    return (
        by_x.astype(X.dtype),
        by_scale,
        by_bias,
        None if g_running_mean is None else g_running_mean * momentum,
        None if g_running_var is None else g_running_var * momentum,
    )


def normalize_batch(x: Tensor, scale: Tensor, shift: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """x normalised by the batch's own statistics, with its mean [C] and variance [C] (divided by the count), detached.

    BatchNormalization with training_mode=1, but of operators that ONNX Runtime runs right: its own training mode writes
    into its inputs (onnxruntime issue 29790). The gradient is that of the one operator, not of the parts; in a traced
    step both compute the same statistics, which are merged.
    """
    from interchange.eager.trace import active_trace

    trace = active_trace()
    inputs = [x, scale, shift] if trace is None else [trace.lift(t) for t in (x, scale, shift)]
    with no_grad():
        wide = _precise(inputs[0])
        mean = _channel_mean(wide)
        centred = wide - _per_channel(mean, len(x.shape))
        var = _channel_mean(centred * centred)
        y = BatchNormalization(*inputs, mean.astype(x.dtype), var.astype(x.dtype), epsilon=epsilon)
    if mode.grad:
        record(BatchNormalization.bind({"training_mode": 1, "epsilon": epsilon}), [*inputs, mean, var], [y])
    return y, mean, var


BatchNormalization.composed = lambda training_mode, **_: bool(training_mode)


@BatchNormalization.decompose
def _(
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    input_mean: Tensor,
    input_var: Tensor,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
    outputs: int,
) -> Tensor | tuple[Tensor, ...]:
    """The training mode."""
    y, mean, var = normalize_batch(X, scale, B, epsilon)
    old = ((input_mean, mean), (input_var, var))
    moved = [before * momentum + now.astype(before.dtype) * (1 - momentum) for before, now in old]
    return y if outputs == 1 else (y, *moved[: outputs - 1])


# -- over the last axes ----------------------------------------------------------------------------------------------
def _last(rank: int, axis: int) -> list[int]:
    return list(range(normalize_axis(axis, rank), rank))


def _stash(X: Tensor, *rest: Tensor | None, stash_type: int, **_: object) -> tuple[DType | None, ...]:
    return X.dtype, from_onnx(stash_type), from_onnx(stash_type)


@op(runtime=0, dtype=_stash)
def LayerNormalization(
    X: Array, Scale: Array, B: Array | None = None, *, axis: int, epsilon: float, stash_type: int, outputs: int
) -> Array | tuple[Array, ...]:
    """X standardised over the axes from `axis` on, times Scale, plus B; Mean and InvStdDev (1 / std) on request.

    Computed in float32, or in float64 for float64.
    """
    x = _wide(X)
    mean, inverse = _moments(x, tuple(range(axis % X.ndim, X.ndim)), epsilon)
    y = ((x - mean) * inverse).astype(X.dtype, copy=False) * Scale
    y = y if B is None else y + B
    if y.shape != X.shape:
        raise ValueError("Scale and B do not broadcast to X")
    stash = from_onnx(stash_type)
    return y if outputs == 1 else (y, mean.astype(stash), inverse.astype(stash))[:outputs]


@LayerNormalization.shape
def _(
    X: Tensor, Scale: Tensor, B: Tensor | None = None, *, axis: int, epsilon: float, stash_type: int, outputs: int
) -> list[Shape]:
    over = _last(len(X.shape), axis)
    _check_broadcast(X, Scale=Scale, B=B)
    reduced = tuple(1 if i in over else d for i, d in enumerate(X.shape))
    return [X.shape, reduced, reduced][:outputs]


def _check_broadcast(X: Tensor, **others: Tensor | None) -> None:
    for name, t in others.items():
        if t is not None:
            must_equal(len(broadcast_shapes(X.shape, t.shape)), len(X.shape), f"the axes of X and of X with {name}")
            for a, b in zip(broadcast_shapes(X.shape, t.shape), X.shape, strict=True):
                must_equal(a, b, f"{name} is broadcast to X, not X to {name}")


@LayerNormalization.gradient
def _(
    g_Y: Tensor | None,
    g_Mean: Tensor | None,
    g_InvStdDev: Tensor | None,
    X: Tensor,
    Scale: Tensor,
    B_shape: Shape | None,
    Mean: Tensor | None,
    InvStdDev: Tensor | None,
    axis: int,
    epsilon: float,
) -> Grads:
    over, x = _last(len(X.shape), axis), _precise(X)
    g = zeros(X.shape, x.dtype) if g_Y is None else _precise(g_Y)
    if Mean is not None and InvStdDev is not None and Mean.dtype == x.dtype == float32:
        inverse = InvStdDev
        s = (x - Mean) * inverse
    else:
        s, inverse = _standardise(x, over, epsilon)

    def by_x() -> Tensor:
        result = _through(g * Scale.astype(x.dtype), s, inverse, over)
        count = scalar_of(product([X.shape[a] for a in over]), x.dtype)
        if g_Mean is not None:
            result = result + g_Mean.astype(x.dtype) / count
        if g_InvStdDev is not None:
            result = result - s * (g_InvStdDev.astype(x.dtype) * inverse * inverse / count)
        return result.astype(X.dtype)

    return (
        by_x,
        lambda: sum_to(g * s, Scale.shape).astype(Scale.dtype),
        lambda: sum_to(g, B_shape).astype(X.dtype) if B_shape is not None else None,
    )


@op(since=23, runtime=0)
def RMSNormalization(X: Array, scale: Array, *, axis: int, epsilon: float, stash_type: int) -> Array:
    """X / sqrt(mean(X^2) + epsilon) over the axes from `axis` on, times scale."""
    x, over = _wide(X), tuple(range(axis % X.ndim, X.ndim))
    inverse = 1 / np.sqrt((x * x).mean(axis=over, keepdims=True) + x.dtype.type(epsilon))
    y: Array = (x * inverse).astype(X.dtype, copy=False) * scale
    if y.shape != X.shape:
        raise ValueError("scale does not broadcast to X")
    return y.astype(scale.dtype, copy=False)


@RMSNormalization.shape
def _(X: Tensor, scale: Tensor, *, axis: int, epsilon: float, stash_type: int) -> Shape:
    _last(len(X.shape), axis)
    _check_broadcast(X, scale=scale)
    return X.shape


@RMSNormalization.gradient
def _(g: Tensor, X: Tensor, scale: Tensor, axis: int, epsilon: float) -> Grads:
    over, x, g = _last(len(X.shape), axis), _precise(X), _precise(g)
    inverse = Reciprocal(Sqrt(ReduceMean(x * x, over) + epsilon))
    s, gs = x * inverse, g * scale.astype(x.dtype)
    return (
        lambda: ((gs - s * ReduceMean(gs * s, over)) * inverse).astype(X.dtype),
        lambda: sum_to(g * s, scale.shape).astype(scale.dtype),
    )


@RMSNormalization.decompose
def _(X: Tensor, scale: Tensor, *, axis: int, epsilon: float, stash_type: int) -> Tensor:
    x = _precise(X)
    inverse = Reciprocal(Sqrt(ReduceMean(x * x, _last(len(X.shape), axis)) + epsilon))
    return (x * inverse).astype(X.dtype).astype(scale.dtype) * scale


# -- over groups of channels, and over each channel ------------------------------------------------------------------
def _grouped(shape: Shape, groups: int) -> tuple[DimLike, int, DimLike]:
    """[N, groups, elements of a group]."""
    return shape[0], groups, divisible(product(shape[1:]), groups, "the number of channels")


@op(since=21)
def GroupNormalization(
    X: Array, scale: Array, bias: Array, *, epsilon: float, num_groups: int, stash_type: int
) -> Array:
    """X [N, C, ...] standardised over each group of C / num_groups channels, times scale [C], plus bias [C]."""
    x, column = _wide(X), (X.shape[1], *(1,) * (X.ndim - 2))
    parts = x.reshape(X.shape[0], num_groups, X.shape[1] // num_groups * math.prod(X.shape[2:]))
    mean, inverse = _moments(parts, (2,), epsilon)
    y = ((parts - mean) * inverse).reshape(X.shape).astype(X.dtype, copy=False)
    return y * scale.reshape(column) + bias.reshape(column)


@GroupNormalization.shape
def _(X: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float, num_groups: int, stash_type: int) -> Shape:
    _check_channels(X, 2, ("scale", scale), ("bias", bias))
    divisible(X.shape[1], num_groups, "the number of channels")
    return X.shape


@GroupNormalization.gradient
def _(g: Tensor, X: Tensor, scale: Tensor, bias: Tensor, epsilon: float, num_groups: int) -> Grads:
    rank, groups, g = len(X.shape), _grouped(X.shape, num_groups), _precise(g)
    s, inverse = _standardise(reshape(_precise(X), groups), [2], epsilon)

    def by_x() -> Tensor:
        scaled = reshape(g * _per_channel(_precise(scale), rank), groups)
        return reshape(_through(scaled, s, inverse, [2]), X.shape).astype(X.dtype)

    return (
        by_x,
        lambda: channel_sum(g * reshape(s, X.shape)).astype(scale.dtype),
        lambda: channel_sum(g).astype(bias.dtype),
    )


@GroupNormalization.decompose
def _(X: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float, num_groups: int, stash_type: int) -> Tensor:
    """By InstanceNormalization, a group as one channel (before opset 21 scale and bias were per group)."""
    rank, x = len(X.shape), reshape(X, _grouped(X.shape, num_groups))
    unit, nothing = ones((num_groups,), X.dtype), zeros((num_groups,), X.dtype)
    y = reshape(InstanceNormalization(x, unit, nothing, epsilon=epsilon), X.shape)
    return y * _per_channel(scale, rank) + _per_channel(bias, rank)


@op(runtime=0)
def InstanceNormalization(input: Array, scale: Array, B: Array, *, epsilon: float) -> Array:
    """input [N, C, ...] standardised over the spatial axes of each channel and sample, times scale [C], plus B [C]."""
    x, column = _wide(input), (input.shape[1], *(1,) * (input.ndim - 2))
    mean, inverse = _moments(x, tuple(range(2, input.ndim)), epsilon)
    return ((x - mean) * inverse).astype(input.dtype, copy=False) * scale.reshape(column) + B.reshape(column)


@InstanceNormalization.shape
def _(input: Tensor, scale: Tensor, B: Tensor, *, epsilon: float) -> Shape:
    _check_channels(input, 3, ("scale", scale), ("B", B))
    return input.shape


@InstanceNormalization.gradient
def _(g: Tensor, input: Tensor, scale: Tensor, B: Tensor, epsilon: float) -> Grads:
    rank, g = len(input.shape), _precise(g)
    over = list(range(2, rank))
    s, inverse = _standardise(_precise(input), over, epsilon)
    return (
        lambda: _through(g * _per_channel(_precise(scale), rank), s, inverse, over).astype(input.dtype),
        lambda: channel_sum(g * s).astype(scale.dtype),
        lambda: channel_sum(g).astype(B.dtype),
    )


# -- without parameters ----------------------------------------------------------------------------------------------
@op(shape=along)
def LpNormalization(input: Array, *, axis: int, p: int) -> Array:
    """input / its p-norm along an axis; 0 where the norm is."""
    norm = np.linalg.norm(_wide(input), ord=p, axis=axis, keepdims=True)
    return (input / np.where(norm == 0, 1, norm)).astype(input.dtype, copy=False)


@LpNormalization.gradient
def _(g: Tensor, input: Tensor, output: Tensor, axis: int, p: int) -> Grads:
    norm = ReduceL1(input, [axis]) if p == 1 else ReduceL2(input, [axis])
    zero = Equal(norm, 0).astype(g.dtype)
    direction = Sign(input) if p == 1 else output
    return (g - direction * ReduceSum(g * output, [axis])) * ((1 - zero) / (norm + zero))


_TINY = 1e-9  # ONNX's own: added to the standard deviation


def _axes_exist(X: Tensor, *, axes: tuple[int, ...]) -> Shape:
    for a in axes:
        normalize_axis(a, len(X.shape))
    return same(X)


@op(shape=_axes_exist)
def MeanVarianceNormalization(X: Array, *, axes: tuple[int, ...]) -> Array:
    """(X - mean) / (std + 1e-9) over the axes."""
    x = _wide(X)
    centred = x - x.mean(axis=axes, keepdims=True)
    std: Array = np.sqrt((centred * centred).mean(axis=axes, keepdims=True))
    y: Array = centred / (std + x.dtype.type(_TINY))
    return y.astype(X.dtype, copy=False)


@MeanVarianceNormalization.gradient
def _(g: Tensor, X: Tensor, axes: tuple[int, ...]) -> Grads:
    x, g = _precise(X), _precise(g)
    centred = x - ReduceMean(x, list(axes))
    std = Sqrt(ReduceMean(centred * centred, list(axes)))
    divisor, zero = std + _TINY, Equal(std, 0).astype(x.dtype)
    along_it = centred * (ReduceMean(g * centred, list(axes)) / ((std + zero) * divisor * divisor))
    return ((g - ReduceMean(g, list(axes))) / divisor - along_it).astype(X.dtype)
