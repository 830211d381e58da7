"""Padding and cropping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interchange import ops
from interchange.dims import DimLike, dim_max, dim_min
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import Operand, lower, tensor
from interchange.ops.pad import pad_axes
from interchange.ops.shape_tools import shape_tensor

_MODES = {"reflect": "reflect", "replicate": "edge"}


def padded(x: Tensor, amounts: Sequence[DimLike], mode: str, value: Operand | None = None) -> Tensor:
    """x with more elements around: PyTorch's list, which begins with (before, after) of the last axis."""
    rank, count = len(x.shape), len(amounts) // 2
    whole: list[DimLike] = [0] * (rank - count)
    before = whole + [amounts[2 * i] for i in reversed(range(count))]
    after = whole + [amounts[2 * i + 1] for i in reversed(range(count))]
    if all(isinstance(a, int) and a == 0 for a in amounts):
        return x
    narrow = x.dtype.kind == "b" or (x.dtype.kind in "iu" and x.dtype.itemsize == 2)
    wide = astype(x, np.int32) if narrow else x  # which ONNX Runtime pads
    if mode == "circular":
        return _circular(wide, before, after)
    if mode == "constant":
        fill = tensor(value, wide.dtype) if value is not None and value != 0 else None
        return ops.Pad(wide, shape_tensor([*before, *after]), fill)
    if any(isinstance(a, int) and a < 0 for a in amounts):  # ONNX crops first, PyTorch last
        grow = [dim_max(a, 0) for a in (*before, *after)]
        wide = ops.Pad(wide, shape_tensor(grow), mode=_MODES[mode])
        return ops.Pad(wide, shape_tensor([dim_min(a, 0) for a in (*before, *after)]))
    return ops.Pad(wide, shape_tensor([*before, *after]), mode=_MODES[mode])


def _circular(x: Tensor, before: Sequence[DimLike], after: Sequence[DimLike]) -> Tensor:
    """Each axis with its end put before it and its beginning behind; ONNX Runtime's own mode fails on small axes."""
    x = pad_axes(x, [(dim_min(b, 0), dim_min(a, 0)) for b, a in zip(before, after, strict=True)])
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        size, parts = x.shape[axis], [x]
        if not (isinstance(b, int) and b <= 0):
            parts.insert(0, ops.Slice(x, shape_tensor([size - b]), shape_tensor([size]), [axis]))
        if not (isinstance(a, int) and a <= 0):
            parts.append(ops.Slice(x, [0], shape_tensor([a]), [axis]))
        x = ops.Concat(*parts, axis=axis) if len(parts) > 1 else x
    return x


@lower("aten.pad")
def pad(x: Tensor, pad: Sequence[DimLike], mode: str = "constant", value: Operand | None = None) -> Tensor:
    """Elements added around the last axes: a constant, or mirrored, repeated or continued from the other end."""
    return padded(x, pad, mode, value)


@lower("aten.constant_pad_nd")
def constant_pad(x: Tensor, pad: Sequence[DimLike], value: Operand = 0) -> Tensor:
    """A constant around the last axes; negative amounts crop."""
    return padded(x, pad, "constant", value)


@lower("aten.reflection_pad1d", "aten.reflection_pad2d", "aten.reflection_pad3d")
def reflection_pad(x: Tensor, padding: Sequence[DimLike]) -> Tensor:
    """Mirrored at the border, which is not repeated."""
    return padded(x, padding, "reflect")


@lower("aten.replication_pad1d", "aten.replication_pad2d", "aten.replication_pad3d")
def replication_pad(x: Tensor, padding: Sequence[DimLike]) -> Tensor:
    """The border repeated."""
    return padded(x, padding, "replicate")


@lower("aten._pad_circular")
def circular_pad(x: Tensor, pad: Sequence[DimLike]) -> Tensor:
    """Continued from the other end."""
    return padded(x, pad, "circular")
