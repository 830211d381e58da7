"""Convolution, its transpose, and the columns that both are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.aten.creation import counted
from interchange.frontends.torch.table import lower
from interchange.ops.pad import pad_spatial
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import shape_tensor


def over_batch(function: Callable[[Tensor], Tensor], x: Tensor, spatial: int) -> Tensor:
    """A function of [N, C, d...] on x, which may be without the axis N."""
    if len(x.shape) == spatial + 1:
        return ops.Squeeze(function(ops.Unsqueeze(x, [0])), [0])
    return function(x)


def each(values: Any, rank: int) -> list[int]:
    """One number for all spatial axes, or one for each."""
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    return given * rank if len(given) == 1 else given


def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int] | str,
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    rank = len(weight.shape) - 2
    strides, dilations = each(stride, rank), each(dilation, rank)
    before = after = [0] * rank
    if padding == "same":  # an odd rest goes to the end
        total = [d * (k - 1) for d, k in zip(dilations, _kernel(weight), strict=True)]
        before = [t // 2 for t in total]
        after = [t - b for t, b in zip(total, before, strict=True)]
    elif padding != "valid":
        before = after = each(padding, rank)
    inputs = (weight,) if bias is None else (weight, bias)
    how: dict[str, Any] = {"pads": before + after, "strides": strides, "dilations": dilations, "group": groups}
    return over_batch(lambda images: ops.Conv(images, *inputs, **how), x, rank)


def _kernel(weight: Tensor) -> list[Any]:
    return list(weight.shape[2:])


@lower("aten.conv1d", "aten.conv2d", "aten.conv3d")
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] | str = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of x [N, C, d...] or [C, d...]; padding "same" and "valid" by name."""
    return _conv(x, weight, bias, stride, padding, dilation, groups)


@lower("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d")
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Tensor:
    """The transpose of `conv` as a map of images."""
    rank = len(weight.shape) - 2
    strides, pads, extra = each(stride, rank), each(padding, rank), each(output_padding, rank)
    how: dict[str, Any] = {"strides": strides, "dilations": each(dilation, rank), "group": groups}
    inputs = (weight,) if bias is None else (weight, bias)
    if all(e < s for e, s in zip(extra, strides, strict=True)):
        if any(extra):
            how["output_padding"] = extra
        return over_batch(lambda images: ops.ConvTranspose(images, *inputs, pads=pads * 2, **how), x, rank)
    # ONNX Runtime takes no more: less is cut off at the end, and behind that there is the bias alone
    cut = [max(p - e, 0) for p, e in zip(pads, extra, strict=True)]
    behind = [max(e - p, 0) for p, e in zip(pads, extra, strict=True)]

    def longer(images: Tensor) -> Tensor:
        y = pad_spatial(ops.ConvTranspose(images, weight, pads=pads + cut, **how), [0] * rank, behind)
        return y if bias is None else ops.Add(y, ops.Unsqueeze(bias, list(range(1, rank + 1))))

    return over_batch(longer, x, rank)


@lower("aten.convolution", "aten._convolution")
def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    *_: bool,
) -> Tensor:
    """`conv` or `conv_transpose`."""
    if transposed:
        return conv_transpose(x, weight, bias, stride, padding, output_padding, groups, dilation)
    return _conv(x, weight, bias, stride, padding, dilation, groups)


# -- columns -----------------------------------------------------------------------------------------------------------
@lower("aten.im2col")
def im2col(
    x: Tensor, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Tensor:
    """The windows of x [N, C, H, W] or [C, H, W] as columns [N, C * kernel, windows]."""
    return over_batch(lambda images: _columns(images, kernel, dilation, padding, stride), x, 2)


def _columns(
    x: Tensor, kernel: Sequence[int], dilation: Sequence[int], padding: Sequence[int], stride: Sequence[int]
) -> Tensor:
    n, c = x.shape[:2]
    x = pad_spatial(x, padding, padding)
    for i, (size, k, d, s) in enumerate(zip(x.shape[2:], kernel, dilation, stride, strict=True)):
        windows = ops.Mul(counted((size - (k - 1) * d - 1) // s + 1), s)
        places = ops.Add(ops.Unsqueeze(windows, [0]), np.arange(k)[:, None] * d)  # [kernel, windows]
        x = ops.Gather(x, places, axis=2 + 2 * i)
    kh, h, kw, w = x.shape[2:]
    return reshape(ops.Transpose(x, perm=(0, 1, 2, 4, 3, 5)), (n, c * kh * kw, h * w))


@lower("aten.col2im")
def col2im(
    x: Tensor,
    output_size: Sequence[DimLike],
    kernel: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    """Columns [N, C * kernel, windows] added up at their places in images [N, C, H, W]."""
    sizes, block = shape_tensor(tuple(output_size)), shape_tensor(tuple(kernel))
    how: dict[str, Any] = {"dilations": dilation, "pads": [*padding, *padding], "strides": stride}
    return over_batch(lambda columns: ops.Col2Im(columns, sizes, block, **how), x, 1)
