"""Padding and cropping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interchange import ops
from interchange.dims import DimLike
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import Operand, lower, tensor
from interchange.ops.shape_tools import shape_tensor

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def padded(x: Tensor, amounts: Sequence[DimLike], mode: str, value: Operand | None = None) -> Tensor:
    """x with more elements around: PyTorch's list, which begins with (before, after) of the last axis."""
    rank, count = len(x.shape), len(amounts) // 2
    before: list[DimLike] = [0] * (rank - count) + [amounts[2 * i] for i in reversed(range(count))]
    after: list[DimLike] = [0] * (rank - count) + [amounts[2 * i + 1] for i in reversed(range(count))]
    if all(isinstance(a, int) and a == 0 for a in amounts):
        return x
    narrow = x.dtype.kind in "b" or (x.dtype.kind in "iu" and x.dtype.itemsize == 2)
    wide = astype(x, np.int32) if narrow else x  # which ONNX Runtime pads
    pads = shape_tensor([*before, *after])
    if mode != "constant":
        return ops.Pad(wide, pads, mode=_MODES[mode])
    return ops.Pad(wide, pads, tensor(value, wide.dtype) if value is not None and value != 0 else None)


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
