"""Normalisation: x less its mean, divided by its standard deviation, scaled and moved by learned numbers.

y = (x - mean) / sqrt(var + eps) * weight + bias, where var divides by the count. The layers differ in what mean and
variance are taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange.dims import Condition, DimLike, product, require, same
from interchange.dtypes import float32
from interchange.eager.nn.module import Module
from interchange.eager.nn.sizes import ints, one, rank_error
from interchange.eager.tensor import Buffer, Parameter, Tensor, no_grad
from interchange.errors import OperatorError, user_line
from interchange.ops.norm import (
    BatchNormalization,
    GroupNormalization,
    InstanceNormalization,
    LayerNormalization,
    RMSNormalization,
    normalize_batch,
)
from interchange.ops.shape import Squeeze, Unsqueeze
from interchange.ops.shape_tools import full, scalar_of


# -- over the batch ----------------------------------------------------------------------------------------------------
def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of x [N, C, ...] by the batch's statistics (training) or the running ones, all [C].

    In training the running ones are assigned (1 - momentum) old + momentum new, new with the variance divided by
    count - 1: PyTorch's convention, where ONNX's momentum is 1 - momentum.
    """
    if len(x.shape) < 2:
        raise rank_error(x, "[N, C, ...]")
    channels = x.shape[1]
    scale = full((channels,), 1, x.dtype) if weight is None else weight
    shift = full((channels,), 0, x.dtype) if bias is None else bias
    if not training:
        if running_mean is None or running_var is None:
            raise OperatorError(
                "IX125",
                "batch_norm outside of training needs running statistics",
                where=user_line(),
                found="running_mean=None or running_var=None",
                expected="both, as tensors [C]",
                fix="pass training=True to use the batch's own",
            )
        y: Tensor = BatchNormalization(x, scale, shift, running_mean, running_var, epsilon=eps)
        return y
    axes = [0, *range(2, len(x.shape))]
    count = product([x.shape[a] for a in axes])
    if not require(Condition(count - 2, ">="), "batch normalisation has more than one value per channel"):
        raise OperatorError(
            "IX125",
            "one value per channel has no variance to normalise by",
            where=user_line(),
            found=f"{x.dtype}[{', '.join(map(str, x.shape))}] in training mode",
            expected="more than one value per channel",
            fix="use a larger batch, or .eval()",
        )
    y, mean, var = normalize_batch(x, scale, shift, eps)
    if isinstance(running_mean, Buffer) and isinstance(running_var, Buffer):
        with no_grad():
            n = scalar_of(count, var.dtype)
            _track(running_mean, mean, momentum)
            _track(running_var, var * (n / (n - 1.0)), momentum)
    return y


def _track(running: Buffer, new: Tensor, momentum: float | Tensor) -> None:
    rate = momentum.astype(running.dtype) if isinstance(momentum, Tensor) else momentum
    running.assign(running + (new.astype(running.dtype) - running) * rate)


class _Tracked(Module):
    """Statistics per channel: learned scale and shift, running mean and variance."""

    ranks: tuple[int, ...] = ()
    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        dtype: Any,
    ) -> None:
        self.num_features, self.eps, self.momentum = one("num_features", num_features), eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape = (num_features,)
        self.register_parameter("weight", Parameter(np.ones(shape, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(shape, dtype)) if affine else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", np.zeros(shape, dtype) if tracked else None)
        self.register_buffer("running_var", np.ones(shape, dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", np.array(0, np.int64) if tracked else None)

    def _check(self, x: Tensor, axis: int = 1) -> None:
        if len(x.shape) not in self.ranks or same(x.shape[axis], self.num_features) is False:
            raise rank_error(x, f"{' or '.join(map(str, self.ranks))} axes with {self.num_features} channels")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Tracked):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def _rate(self) -> float | Tensor:
        """How far the running statistics move; momentum=None: the mean over all batches so far. Counts the batch."""
        count = self.num_batches_tracked + 1
        self.num_batches_tracked.assign(count)
        return 1.0 / count.astype(np.float32) if self.momentum is None else self.momentum

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        tracked = self.track_running_stats
        rate = self._rate() if self.training and tracked else 0.0
        return batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not tracked,
            rate,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Each channel of x [N, C] or [N, C, L] normalised over N and L.

    In training by the batch's mean and variance, which also move the running ones by `momentum` (PyTorch's meaning:
    running = (1 - momentum) running + momentum batch, the variance divided by count - 1); in evaluation by the running
    ones. momentum=None: their plain mean. weight, bias, running_mean, running_var: [C].
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """As BatchNorm1d over x [N, C, H, W]: normalised over N, H and W."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """As BatchNorm1d over x [N, C, D, H, W]: normalised over N, D, H and W."""

    ranks = (5,)


# -- over each instance ------------------------------------------------------------------------------------------------
def instance_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Normalise each channel of each item of x [N, C, d...] over d...; weight, bias [C]."""
    if len(x.shape) < 3:
        raise rank_error(x, "[N, C, ...] with at least one axis more")
    if not require(Condition(product(x.shape[2:]) - 2, ">="), "instance normalisation has more than one value"):
        raise rank_error(x, "more than one value per channel and item")
    scale = full((x.shape[1],), 1, x.dtype) if weight is None else weight
    shift = full((x.shape[1],), 0, x.dtype) if bias is None else bias
    return InstanceNormalization(x, scale, shift, epsilon=eps)


class _InstanceNorm(_Tracked):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        dtype: Any = float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x, axis=0 if len(x.shape) == self.ranks[0] else 1)
        if len(x.shape) == self.ranks[0]:
            return Squeeze(self.forward(Unsqueeze(x, [0])), [0])
        if self.track_running_stats and not self.training:
            return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if self.track_running_stats:
            with no_grad():
                self._move(x.detach())
        return instance_norm(x, self.weight, self.bias, self.eps)

    def _move(self, x: Tensor) -> None:
        """The running statistics follow the mean over the items of each item's own."""
        rate, axes = self.momentum or 0.0, list(range(2, len(x.shape)))
        n = scalar_of(product(x.shape[2:]), x.dtype)
        _track(self.running_mean, x.mean(axes).mean(0), rate)
        _track(self.running_var, x.var(axes).mean(0) * (n / (n - 1.0)), rate)


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each item of x [N, C, L] or [C, L] normalised over L.

    affine: learned weight and bias [C]. track_running_stats: as BatchNorm1d keeps them, used in evaluation.
    """

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """As InstanceNorm1d over x [N, C, H, W] or [C, H, W]: normalised over H and W."""

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """As InstanceNorm1d over x [N, C, D, H, W] or [C, D, H, W]: normalised over D, H and W."""

    ranks = (4, 5)


# -- over groups of channels -------------------------------------------------------------------------------------------
def group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise each item of x [N, C, ...] over each of num_groups groups of channels; weight, bias [C]."""
    if len(x.shape) < 2:
        raise rank_error(x, "[N, C, ...]")
    scale = full((x.shape[1],), 1, x.dtype) if weight is None else weight
    shift = full((x.shape[1],), 0, x.dtype) if bias is None else bias
    if len(x.shape) == 2:  # the operator wants an axis behind the channels
        return Squeeze(group_norm(Unsqueeze(x, [2]), num_groups, scale, shift, eps), [2])
    return GroupNormalization(x, scale, shift, num_groups=num_groups, epsilon=eps)


class GroupNorm(Module):
    """Each item of x [N, C, ...] normalised over each of num_groups groups of channels. weight, bias: [C]."""

    weight: Any
    bias: Any

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = float32
    ) -> None:
        self.num_groups, self.num_channels = one("num_groups", num_groups), one("num_channels", num_channels)
        if num_channels % num_groups:
            raise OperatorError(
                "IX124",
                "num_groups divides the channels evenly",
                where=user_line(),
                found=f"num_channels={num_channels}, num_groups={num_groups}",
                expected="num_channels that is a multiple of num_groups",
                fix="change one of them",
            )
        self.eps, self.affine = eps, affine
        self.register_parameter("weight", Parameter(np.ones(num_channels, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_channels, dtype)) if affine else None)

    def forward(self, x: Tensor) -> Tensor:
        if len(x.shape) < 2 or same(x.shape[1], self.num_channels) is False:
            raise rank_error(x, f"[N, {self.num_channels}, ...]")
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


# -- over the last axes ------------------------------------------------------------------------------------------------
def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise x [..., *normalized_shape] over its last axes; weight, bias of normalized_shape."""
    shape = tuple(normalized_shape)
    _check_last(x, shape)
    scale = full(shape, 1, x.dtype) if weight is None else weight
    inputs = [x, scale] if bias is None else [x, scale, bias]
    y: Tensor = LayerNormalization(*inputs, axis=-len(shape), epsilon=eps)
    return y


def rms_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axes. eps=None: the machine epsilon of the dtype."""
    import ml_dtypes

    shape = tuple(normalized_shape)
    _check_last(x, shape)
    scale = full(shape, 1, x.dtype) if weight is None else weight
    small = float(ml_dtypes.finfo(x.dtype).eps) if eps is None else eps  # type: ignore[no-untyped-call]
    return RMSNormalization(x, scale, axis=-len(shape), epsilon=small)


def _check_last(x: Tensor, shape: tuple[DimLike, ...]) -> None:
    last = x.shape[len(x.shape) - len(shape) :] if len(shape) <= len(x.shape) else ()
    if len(last) != len(shape) or any(same(a, b) is False for a, b in zip(last, shape, strict=True)):
        raise rank_error(x, f"[..., {', '.join(map(str, shape))}]")


class LayerNorm(Module):
    """x [..., *normalized_shape] normalised over its last axes. weight, bias: of normalized_shape."""

    weight: Any
    bias: Any

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = float32,
    ) -> None:
        self.normalized_shape, self.eps, self.elementwise_affine = _last(normalized_shape), eps, elementwise_affine
        shape = self.normalized_shape
        self.register_parameter("weight", Parameter(np.ones(shape, dtype)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(np.zeros(shape, dtype)) if elementwise_affine and bias else None)

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class RMSNorm(Module):
    """x [..., *normalized_shape] / sqrt(mean(x^2) + eps) * weight, the mean over its last axes (Zhang & Sennrich 2019).

    eps=None: the machine epsilon of the dtype. weight: of normalized_shape.
    """

    weight: Any

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = float32,
    ) -> None:
        self.normalized_shape, self.eps, self.elementwise_affine = _last(normalized_shape), eps, elementwise_affine
        shape = self.normalized_shape
        self.register_parameter("weight", Parameter(np.ones(shape, dtype)) if elementwise_affine else None)

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


def _last(shape: Any) -> tuple[int, ...]:
    values = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    return ints("normalized_shape", values, max(len(values), 1), 1)
