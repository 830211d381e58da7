"""Convolutions and transposed convolutions of one, two and three axes.

With padding p, dilation d, kernel k and stride s an axis of n becomes (n + 2p - d (k - 1) - 1) // s + 1, and in a
transposed convolution (n - 1) s - 2p + d (k - 1) + 1 + output_padding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from interchange.dims import same
from interchange.dtypes import float32
from interchange.eager.nn import init
from interchange.eager.nn.module import Module
from interchange.eager.nn.sizes import Sizes, choice, ints, one, over_images, rank_error
from interchange.eager.tensor import Parameter, Tensor
from interchange.errors import OperatorError, user_line
from interchange.ops.conv import Conv, ConvTranspose
from interchange.ops.pad import Pad

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pads(padding: Any, spatial: int, kernel: tuple[int, ...], stride: Any, dilation: tuple[int, ...]) -> list[int]:
    """ONNX's pads (before each axis, after each axis) of a padding as PyTorch takes it."""
    if padding == "valid":
        return [0] * (2 * spatial)
    if padding == "same":
        if any(s != 1 for s in ints("stride", stride, spatial, 1)):
            raise OperatorError(
                "IX124",
                "padding='same' keeps the size, which a stride does not",
                where=user_line(),
                found=f"stride={stride}",
                expected="stride=1",
                fix="give the padding in numbers",
            )
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return [t // 2 for t in total] + [t - t // 2 for t in total]
    if isinstance(padding, str):
        choice("padding", padding, ("same", "valid"))
    return [*ints("padding", padding, spatial)] * 2


def _conv(
    spatial: int, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    kernel = tuple(int(k) for k in weight.shape[2:])
    spread = ints("dilation", dilation, spatial, 1)
    attributes = {
        "strides": ints("stride", stride, spatial, 1),
        "pads": _pads(padding, spatial, kernel, stride, spread),
        "dilations": spread,
        "group": groups,
        "kernel_shape": kernel,
    }
    inputs = [weight] if bias is None else [weight, bias]
    return over_images(x, spatial, lambda images: Conv(images, *inputs, **attributes))


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """x [N, C, L] or [C, L], weight [out, C/groups, k], bias [out] -> [N, out, L']."""
    return _conv(1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """x [N, C, H, W] or [C, H, W], weight [out, C/groups, kh, kw], bias [out] -> [N, out, H', W']."""
    return _conv(2, x, weight, bias, stride, padding, dilation, groups)


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """x [N, C, D, H, W] or [C, D, H, W], weight [out, C/groups, kd, kh, kw], bias [out] -> [N, out, D', H', W']."""
    return _conv(3, x, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    spatial: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    attributes = {
        "strides": ints("stride", stride, spatial, 1),
        "pads": [*ints("padding", padding, spatial)] * 2,
        "dilations": ints("dilation", dilation, spatial, 1),
        "output_padding": ints("output_padding", output_padding, spatial),
        "group": groups,
        "kernel_shape": tuple(int(k) for k in weight.shape[2:]),
    }
    inputs = [weight] if bias is None else [weight, bias]
    return over_images(x, spatial, lambda images: ConvTranspose(images, *inputs, **attributes))


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """x [N, C, L] or [C, L], weight [C, out/groups, k], bias [out] -> [N, out, L']."""
    return _conv_transpose(1, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """x [N, C, H, W] or [C, H, W], weight [C, out/groups, kh, kw], bias [out] -> [N, out, H', W']."""
    return _conv_transpose(2, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """x [N, C, D, H, W] or [C, D, H, W], weight [C, out/groups, kd, kh, kw], bias [out] -> [N, out, D', H', W']."""
    return _conv_transpose(3, x, weight, bias, stride, padding, output_padding, groups, dilation)


class _Convolution(Module):
    """What all of them share: sizes, weight and bias."""

    spatial = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        dilation: Sizes,
        groups: int,
        bias: bool,
        dtype: Any,
        transposed: bool,
    ) -> None:
        n = self.spatial
        self.in_channels, self.out_channels = one("in_channels", in_channels), one("out_channels", out_channels)
        self.kernel_size, self.stride = ints("kernel_size", kernel_size, n, 1), ints("stride", stride, n, 1)
        self.dilation, self.groups = ints("dilation", dilation, n, 1), one("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise OperatorError(
                "IX124",
                "groups divides the channels evenly",
                where=user_line(),
                found=f"in_channels={in_channels}, out_channels={out_channels}, groups={groups}",
                expected="in_channels and out_channels that are multiples of groups",
                fix="change the groups or the channels",
            )
        a, b = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        self.weight = Parameter(np.empty((a, b // groups, *self.kernel_size), dtype))
        self.bias = Parameter(np.empty(out_channels, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """New initial values: uniform in +- 1 / sqrt(fan_in), where fan_in = weight.shape[1] * kernel size."""
        bound = 1 / math.sqrt(math.prod(self.weight._data.shape[1:]))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def _check(self, x: Tensor) -> None:
        axis = len(x.shape) - self.spatial - 1
        if axis in (0, 1) and same(x.shape[axis], self.in_channels) is False:
            sizes = "DHW"[-self.spatial :] if self.spatial > 1 else "L"
            raise rank_error(x, f"[N, {self.in_channels}, {', '.join(sizes)}]: axis {axis} counts the channels")


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: Any = float32,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups, bias, dtype, False)
        self.padding = padding if isinstance(padding, str) else ints("padding", padding, self.spatial)
        self.padding_mode = choice("padding_mode", padding_mode, ("zeros", *_MODES))
        self._pads = _pads(self.padding, self.spatial, self.kernel_size, self.stride, self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        if self.padding_mode == "zeros":
            return _conv(self.spatial, x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        rest = [0] * (len(x.shape) - self.spatial)
        pads = [*rest, *self._pads[: self.spatial], *rest, *self._pads[self.spatial :]]
        wide = Pad(x, np.array(pads, np.int64), mode=_MODES[self.padding_mode])
        return _conv(self.spatial, wide, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def extra_repr(self) -> str:
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        shown += [f"padding={self.padding}"] if self.padding not in ((0,) * self.spatial, 0) else []
        shown += [f"dilation={self.dilation}"] if self.dilation != (1,) * self.spatial else []
        shown += [f"groups={self.groups}"] if self.groups != 1 else []
        shown += ["bias=False"] if self.bias is None else []
        shown += [f"padding_mode={self.padding_mode}"] if self.padding_mode != "zeros" else []
        return ", ".join(shown)


class Conv1d(_Conv):
    """y[o] = bias[o] + sum over c of the cross-correlation of x[c] with weight[o, c].

    x: [N, C, L] or [C, L] -> [N, out, L']. padding: a number of elements at each end, "same" (stride 1) or "valid".
    padding_mode: zeros, reflect, replicate or circular. groups: the channels in groups that do not mix.
    weight: [out_channels, in_channels/groups, k], bias: [out_channels], uniform in +- 1 / sqrt(in/groups k).
    """

    spatial = 1


class Conv2d(_Conv):
    """As Conv1d over x [N, C, H, W] or [C, H, W] -> [N, out, H', W']; weight [out, in/groups, kh, kw]."""

    spatial = 2


class Conv3d(_Conv):
    """As Conv1d over x [N, C, D, H, W] or [C, D, H, W] -> [N, out, D', H', W']; weight [out, in/groups, kd, kh, kw]."""

    spatial = 3


class _ConvTranspose(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        *,
        dtype: Any = float32,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups, bias, dtype, True)
        self.padding = ints("padding", padding, self.spatial)
        self.output_padding = ints("output_padding", output_padding, self.spatial)
        if any(o >= max(s, d) for o, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True)):
            raise OperatorError(
                "IX124",
                "output_padding is smaller than the stride or the dilation",
                where=user_line(),
                found=f"output_padding={self.output_padding}, stride={self.stride}, dilation={self.dilation}",
                expected="output_padding < max(stride, dilation) on each axis",
                fix="use a smaller one: it only chooses between sizes that a convolution maps to the same",
            )

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        return _conv_transpose(
            self.spatial,
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )

    def extra_repr(self) -> str:
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        for name, plain in (("padding", 0), ("output_padding", 0), ("dilation", 1)):
            shown += [f"{name}={getattr(self, name)}"] if getattr(self, name) != (plain,) * self.spatial else []
        shown += [f"groups={self.groups}"] if self.groups != 1 else []
        return ", ".join(shown + (["bias=False"] if self.bias is None else []))


class ConvTranspose1d(_ConvTranspose):
    """The gradient of Conv1d by its input, as a layer: x [N, C, L] or [C, L] -> [N, out, L'].

    output_padding: more elements at the end, to choose between the sizes that a stride maps to one.
    weight: [in_channels, out_channels/groups, k], bias: [out_channels], uniform in +- 1 / sqrt(out/groups k).
    """

    spatial = 1


class ConvTranspose2d(_ConvTranspose):
    """As ConvTranspose1d over x [N, C, H, W] or [C, H, W]; weight [in, out/groups, kh, kw]."""

    spatial = 2


class ConvTranspose3d(_ConvTranspose):
    """As ConvTranspose1d over x [N, C, D, H, W] or [C, D, H, W]; weight [in, out/groups, kd, kh, kw]."""

    spatial = 3
