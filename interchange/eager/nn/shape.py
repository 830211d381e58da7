"""Layers that move elements: flattening, padding, resizing, shuffling of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange.dims import DimLike
from interchange.eager.nn.module import Module
from interchange.eager.nn.sizes import choice, ints, one, rank_error
from interchange.eager.tensor import Tensor
from interchange.errors import OperatorError, user_line
from interchange.ops.pad import Pad
from interchange.ops.resize import DepthToSpace, Resize
from interchange.ops.shape import Flatten as _Flatten
from interchange.ops.shape import Squeeze, Unsqueeze
from interchange.ops.shape_tools import divisible, normalize_axis, shape_tensor


# -- flatten -----------------------------------------------------------------------------------------------------------
class Flatten(Module):
    """The axes start_dim to end_dim joined into one: [N, C, H, W] -> [N, C H W] by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        if self.start_dim == 1 and self.end_dim in (-1, len(x.shape) - 1) and len(x.shape) > 2:
            return _Flatten(x, axis=1)
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis split into several: unflattened_size, of which one may be -1."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        axis = normalize_axis(self.dim, len(x.shape))
        return x.reshape(*x.shape[:axis], *self.unflattened_size, *x.shape[axis + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


# -- padding -----------------------------------------------------------------------------------------------------------
_PAD = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """More elements at both ends: pad = (before, after) of the last axis, then of the one before it, ...

    mode: constant (value), reflect (without the border), replicate (the border) or circular. Negative numbers crop.
    """
    amounts, rank = list(pad), len(x.shape)
    if len(amounts) % 2 or len(amounts) > 2 * rank or not all(isinstance(a, (int, np.integer)) for a in amounts):
        raise OperatorError(
            "IX124",
            "pad is two whole numbers for each axis, the last axis first",
            where=user_line(),
            found=f"pad={pad!r} for {rank} axes",
            expected=f"an even count of whole numbers, at most {2 * rank}",
            fix="write (left, right, top, bottom) for the last two axes",
        )
    before, after = [0] * rank, [0] * rank
    for i in range(len(amounts) // 2):
        before[rank - 1 - i], after[rank - 1 - i] = int(amounts[2 * i]), int(amounts[2 * i + 1])
    pads = np.array([*before, *after], np.int64)
    onnx_mode = _PAD[choice("mode", mode, tuple(_PAD))]
    if onnx_mode == "constant" and value:
        return Pad(x, pads, np.array(value, x.dtype))
    return Pad(x, pads, mode=onnx_mode)


class _Pad(Module):
    spatial, mode = 0, "constant"

    def __init__(self, padding: Any, value: float = 0.0) -> None:
        self.padding = ints("padding", padding, 2 * self.spatial, low=-(2**31))
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        if len(x.shape) not in (self.spatial + 1, self.spatial + 2):
            raise rank_error(x, f"{self.spatial + 2} axes, or {self.spatial + 1} for one item")
        return pad(x, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}" + (f", value={self.value}" if self.value else "")


class ConstantPad1d(_Pad):
    """One value around x [N, C, L] or [C, L]. padding: a number, or (left, right)."""

    spatial = 1


class ConstantPad2d(_Pad):
    """One value around x [N, C, H, W] or [C, H, W]. padding: a number, or (left, right, top, bottom)."""

    spatial = 2


class ConstantPad3d(_Pad):
    """One value around x [N, C, D, H, W]. padding: a number, or (left, right, top, bottom, front, back)."""

    spatial = 3


class _PlainPad(_Pad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding)


class ZeroPad1d(_PlainPad):
    """Zeros around x [N, C, L] or [C, L]."""

    spatial = 1


class ZeroPad2d(_PlainPad):
    """Zeros around x [N, C, H, W] or [C, H, W]."""

    spatial = 2


class ZeroPad3d(_PlainPad):
    """Zeros around x [N, C, D, H, W] or [C, D, H, W]."""

    spatial = 3


class ReflectionPad1d(_PlainPad):
    """x [N, C, L] or [C, L] mirrored at its ends, the border not repeated."""

    spatial, mode = 1, "reflect"


class ReflectionPad2d(_PlainPad):
    """x [N, C, H, W] or [C, H, W] mirrored at its edges, the border not repeated."""

    spatial, mode = 2, "reflect"


class ReflectionPad3d(_PlainPad):
    """x [N, C, D, H, W] mirrored at its faces, the border not repeated."""

    spatial, mode = 3, "reflect"


class ReplicationPad1d(_PlainPad):
    """x [N, C, L] or [C, L] with its ends repeated."""

    spatial, mode = 1, "replicate"


class ReplicationPad2d(_PlainPad):
    """x [N, C, H, W] or [C, H, W] with its edges repeated."""

    spatial, mode = 2, "replicate"


class ReplicationPad3d(_PlainPad):
    """x [N, C, D, H, W] with its faces repeated."""

    spatial, mode = 3, "replicate"


class CircularPad1d(_PlainPad):
    """x [N, C, L] or [C, L] continued from its other end."""

    spatial, mode = 1, "circular"


class CircularPad2d(_PlainPad):
    """x [N, C, H, W] or [C, H, W] continued from its other side."""

    spatial, mode = 2, "circular"


class CircularPad3d(_PlainPad):
    """x [N, C, D, H, W] continued from its other side."""

    spatial, mode = 3, "circular"


# -- resizing ----------------------------------------------------------------------------------------------------------
_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}


def interpolate(
    x: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """x [N, C, d...] resized to size, or by scale_factor (one number, or one for each spatial axis).

    mode: nearest, nearest-exact, linear (3 axes), bilinear or bicubic (4), trilinear (5). align_corners: the corner
    elements keep their place. antialias: smooth when it gets smaller (bilinear, bicubic).
    """
    n = len(x.shape) - 2
    choice("mode", mode, ("nearest", "nearest-exact", *_LINEAR))
    if n < 1 or _LINEAR.get(mode, n) != n:
        raise rank_error(x, f"[N, C, ...] with {_LINEAR.get(mode, 1) + 2} axes for mode {mode!r}")
    if (size is None) == (scale_factor is None):
        raise OperatorError(
            "IX124",
            "interpolate takes a size or a scale_factor, one of the two",
            where=user_line(),
            found=f"size={size}, scale_factor={scale_factor}",
            expected="one of them",
            fix="leave one out",
        )
    attributes: dict[str, Any] = {"mode": "nearest"}
    if mode == "nearest":
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    elif mode == "nearest-exact":
        attributes |= {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
    else:
        attributes["mode"] = "cubic" if mode == "bicubic" else "linear"
        attributes["coordinate_transformation_mode"] = "align_corners" if align_corners else "half_pixel"
        if antialias:
            attributes |= {"antialias": 1, "exclude_outside": 1}
    if size is not None:
        sizes: tuple[DimLike, ...] = tuple(size) if isinstance(size, (tuple, list)) else (size,) * n
        return Resize(x, None, None, shape_tensor((*x.shape[:2], *sizes)), **attributes)
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * n
    return Resize(x, None, np.array([1, 1, *factors], np.float32), **attributes)


class Upsample(Module):
    """x [N, C, d...] resized, see `functional.interpolate`."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
    ) -> None:
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        how = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{how}, mode={self.mode!r}"


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """Channels become pixels: [N, C r^2, H, W] -> [N, C, H r, W r] (or without N)."""
    if len(x.shape) == 3:
        return Squeeze(pixel_shuffle(Unsqueeze(x, [0]), upscale_factor), [0])
    return DepthToSpace(x, blocksize=one("upscale_factor", upscale_factor), mode="CRD")


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """Pixels become channels: [N, C, H r, W r] -> [N, C r^2, H, W] (or without N)."""
    r = one("downscale_factor", downscale_factor)
    if len(x.shape) == 3:
        return Squeeze(pixel_unshuffle(Unsqueeze(x, [0]), r), [0])
    if len(x.shape) != 4:
        raise rank_error(x, "[N, C, H, W] or [C, H, W]")
    n, c, h, w = x.shape
    h, w = divisible(h, r, "the height"), divisible(w, r, "the width")
    return x.reshape(n, c, h, r, w, r).transpose(0, 1, 3, 5, 2, 4).reshape(n, c * r * r, h, w)


class PixelShuffle(Module):
    """Channels become pixels: [N, C r^2, H, W] -> [N, C, H r, W r]."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = one("upscale_factor", upscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels become channels: [N, C, H r, W r] -> [N, C r^2, H, W]."""

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = one("downscale_factor", downscale_factor)

    def forward(self, x: Tensor) -> Tensor:
        return pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"
