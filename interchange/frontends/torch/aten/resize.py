"""Resizing of images, and the rearrangements between channels and space.

ONNX's Resize is used where it takes the same elements with the same weights as PyTorch; where "nearest" rounds
otherwise, the elements are gathered by PyTorch's own formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike, product
from interchange.dtypes import Array, float32, is_float, name_of
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import ConvertError
from interchange.frontends.torch.aten.creation import counted, filled
from interchange.frontends.torch.aten.kernels import number
from interchange.frontends.torch.table import Out, lower
from interchange.ops.pad import apply_along
from interchange.ops.resize import interpolation
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import scalar_of, shape_tensor

Factors = list[float | None]  # of each spatial axis; None: out / in
_HOW: dict[str, Any] = {"nearest_mode": "floor", "antialias": 0, "cubic_coeff_a": -0.75, "exclude_outside": 0}
_ENOUGH = 4096  # output elements for which a whole factor is tried


def _factors(given: Sequence[Any], rank: int) -> Factors:
    """The scale factors among the last arguments: one list (.vec), or a number an axis; None where they are not."""
    if given and isinstance(given[0], (list, tuple)):
        return [float(s) for s in given[0]]
    return [float(s) if isinstance(s, (int, float)) and s > 0 else None for s in (*given, *[None] * rank)][:rank]


# -- nearest -----------------------------------------------------------------------------------------------------------
def _source(out: int, size: int, factor: float | None, half: float) -> Array:
    """Which element each output element is: floor((i + half) * in / out) in float32, as PyTorch computes it."""
    step = np.float32(1 / factor) if factor else np.float32(size) / np.float32(out)
    places = (np.arange(out, dtype=np.float32) + np.float32(half)) * step
    return np.minimum(np.floor(places).astype(np.int64), size - 1)


def _repeats(size: DimLike, out: DimLike, factor: float | None, half: float) -> int | None:
    """How often each element is repeated, if that is all that happens to the axis."""
    if isinstance(size, int) and isinstance(out, int):
        times = out // size if size and out % size == 0 else 0
        known = times and np.array_equal(_source(out, size, factor, half), np.arange(out) // times)
        return times if known else None
    times = int(factor) if factor and factor.is_integer() else 0
    many = _ENOUGH * times
    known = times and np.array_equal(_source(many, _ENOUGH, factor, half), np.arange(many) // times)
    return times if known else None


def _nearest(x: Tensor, out: Out, given: Sequence[Any], half: float) -> Tensor:
    """Whole repetitions as one Resize, all else by gathering each axis."""
    rank = len(x.shape) - 2
    factors = _factors(given, rank)
    plan = list(zip(x.shape[2:], out.shape[2:], factors, strict=True))
    times = [_repeats(n, m, f, half) for n, m, f in plan]
    if is_float(x.dtype) and all(times):
        scales = np.array([1, 1, *times], np.float32)
        return ops.Resize(x, None, scales, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    for axis, (n, m, f) in enumerate(plan, 2):
        if isinstance(n, int) and isinstance(m, int):
            index = wrap(_source(m, n, f, half))
        else:
            index = _source_of_any_size(n, m, f, half)
        x = ops.Gather(x, index, axis=axis)
    return x


def _source_of_any_size(n: DimLike, m: DimLike, factor: float | None, half: float) -> Tensor:
    """`_source`, computed in the graph."""
    step = wrap(np.array(1 / factor, float32)) if factor else ops.Div(scalar_of(n, float32), scalar_of(m, float32))
    places = ops.Add(astype(counted(m), float32), np.array(half, float32))
    return ops.Min(astype(ops.Floor(ops.Mul(places, step)), np.int64), shape_tensor(n - 1))


@lower("aten.upsample_nearest1d", "aten.upsample_nearest2d", "aten.upsample_nearest3d")
def nearest(x: Tensor, size: Any, *scales: Any, out: Out) -> Tensor:
    """The element at floor(i * in / out)."""
    return _nearest(x, out, scales, 0.0)


@lower("aten._upsample_nearest_exact1d", "aten._upsample_nearest_exact2d", "aten._upsample_nearest_exact3d")
def nearest_exact(x: Tensor, size: Any, *scales: Any, out: Out) -> Tensor:
    """The element at floor((i + 1/2) * in / out)."""
    return _nearest(x, out, scales, 0.5)


# -- interpolated ------------------------------------------------------------------------------------------------------
def _interpolated(x: Tensor, out: Out, given: Sequence[Any], mode: str, align: bool, **more: Any) -> Tensor:
    if not is_float(x.dtype):
        raise ConvertError(
            "IX928",
            f"PyTorch interpolates {name_of(x.dtype)} in fixed-point arithmetic of its own",
            found=f"{mode} interpolation of {name_of(x.dtype)}",
            expected="a floating-point image",
            fix="convert the image to float before, and round after",
        )
    if align and more.get("antialias"):
        raise ConvertError(
            "IX928",
            "ONNX and PyTorch smooth by different windows where corners are aligned",
            found="antialias=True with align_corners=True",
            expected="one of the two",
            fix="use align_corners=False, which is what most image libraries do",
        )
    rank = len(x.shape) - 2
    how = {"mode": mode, "coordinate_transformation_mode": "align_corners" if align else "half_pixel", **more}
    factors: Factors = [None] * rank if align else _factors(given, rank)
    image, wanted = x.shape[2:], out.shape[2:]
    if all(n is m or (isinstance(n, int) and n == m) for n, m in zip(image, wanted, strict=True)) and not any(factors):
        return x
    if rank == 1:  # which ONNX Runtime resizes as an image
        x, image, wanted, factors = ops.Unsqueeze(x, [2]), (1, *image), (1, *wanted), [None, *factors]
    result = _resized(x, image, wanted, factors, how)
    return ops.Squeeze(result, [2]) if rank == 1 else result


def _resized(x: Tensor, image: Any, wanted: Any, factors: Factors, how: dict[str, Any]) -> Tensor:
    """By one Resize: to sizes, or where PyTorch counts by given factors, by these."""
    exact = [f is None or _ratio(n, m, f) for n, m, f in zip(image, wanted, factors, strict=True)]
    if all(exact) and not (any(factors) and any(not isinstance(n, int) for n in image)):
        return ops.Resize(x, None, None, shape_tensor((*x.shape[:2], *wanted)), **how)
    if all(f is not None or n is m or n == m for n, m, f in zip(image, wanted, factors, strict=True)):
        scales = np.array([1, 1, *[f or 1 for f in factors]], np.float32)
        same = [float(s) == (f or 1) for s, f in zip(scales[2:], factors, strict=True)]
        floors = [_floors(n, m, s) for n, m, s in zip(image, wanted, scales[2:], strict=True)]
        if all(floors) and (all(same) or all(isinstance(n, int) for n in image)):
            return ops.Resize(x, None, scales, **how)
    for axis, (n, m, f) in enumerate(zip(image, wanted, factors, strict=True), 2):
        if not isinstance(n, int) or not isinstance(m, int):
            raise ConvertError(
                "IX928",
                "a dynamic size is resized by a factor that ONNX rounds otherwise",
                found=f"an axis of {n} elements resized by {f}",
                expected="a factor with an exact binary fraction (2, 1.5, 0.25), or sizes",
                fix="pass recompute_scale_factor=True or size=, or make the dimension static",
            )
        full = _HOW | how
        x = apply_along(x, wrap(interpolation(n, m, f or m / n, **full).T.astype(x.dtype)), axis)
    return x


def _ratio(n: DimLike, m: DimLike, factor: float) -> bool:
    """Whether a factor is the ratio of the sizes, so that it need not be said."""
    return isinstance(n, int) and isinstance(m, int) and n * factor == m


def _floors(n: DimLike, m: DimLike, scale: np.float32) -> bool:
    """Whether ONNX gives the size that PyTorch gives."""
    return not isinstance(n, int) or int(np.floor(np.float32(n) * scale)) == m


@lower("aten.upsample_linear1d", "aten.upsample_bilinear2d", "aten.upsample_trilinear3d")
def linear(x: Tensor, size: Any, align_corners: bool, *scales: Any, out: Out) -> Tensor:
    """Between the nearest elements along each axis."""
    return _interpolated(x, out, scales, "linear", align_corners)


@lower("aten.upsample_bicubic2d")
def bicubic(x: Tensor, size: Any, align_corners: bool, *scales: Any, out: Out) -> Tensor:
    """By Keys' kernel with a = -3/4."""
    return _interpolated(x, out, scales, "cubic", align_corners, cubic_coeff_a=-0.75)


@lower("aten._upsample_bilinear2d_aa")
def linear_smooth(x: Tensor, size: Any, align_corners: bool, *scales: Any, out: Out) -> Tensor:
    """Linear, over as many elements as become one."""
    return _interpolated(x, out, scales, "linear", align_corners, antialias=1, exclude_outside=1)


@lower("aten._upsample_bicubic2d_aa")
def bicubic_smooth(x: Tensor, size: Any, align_corners: bool, *scales: Any, out: Out) -> Tensor:
    """By Keys' kernel with a = -1/2, over as many elements as become one."""
    return _interpolated(x, out, scales, "cubic", align_corners, antialias=1, exclude_outside=1, cubic_coeff_a=-0.5)


# -- between channels and space ----------------------------------------------------------------------------------------
def _rearranged(x: Tensor, split: Sequence[DimLike], order: Sequence[int], out: Out) -> Tensor:
    """The last axes of x split, and put into another order; the axes before them stay."""
    lead = len(x.shape) - 3
    parts = reshape(x, (*x.shape[:lead], *split))
    return reshape(ops.Transpose(parts, perm=[*range(lead), *[lead + a for a in order]]), out.shape)


@lower("aten.pixel_shuffle")
def pixel_shuffle(x: Tensor, factor: int, *, out: Out) -> Tensor:
    """[..., C * f^2, H, W] as [..., C, H * f, W * f]."""
    if len(x.shape) == 4 and x.dtype == float32:
        return ops.DepthToSpace(x, blocksize=factor, mode="CRD")
    c, h, w = x.shape[-3:]
    return _rearranged(x, (c // factor**2, factor, factor, h, w), (0, 3, 1, 4, 2), out)


@lower("aten.pixel_unshuffle")
def pixel_unshuffle(x: Tensor, factor: int, *, out: Out) -> Tensor:
    """[..., C, H * f, W * f] as [..., C * f^2, H, W]."""
    c, h, w = x.shape[-3:]
    lead = len(x.shape) - 3
    split = (c, h // factor, factor, w // factor, factor)
    parts = reshape(x, (*x.shape[:lead], *split))
    moved = ops.Transpose(parts, perm=[*range(lead), *[lead + a for a in (0, 2, 4, 1, 3)]])
    return reshape(moved, (*x.shape[:lead], c * factor**2, h // factor, w // factor))


@lower("aten.channel_shuffle", "aten.native_channel_shuffle")
def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """The channels of x [N, C, ...] counted through the groups in turn."""
    n, c, *space = x.shape
    parts = reshape(x, (n, groups, c // groups, product(space)))
    return reshape(ops.Transpose(parts, perm=(0, 2, 1, 3)), x.shape)


# -- at places that a tensor names -------------------------------------------------------------------------------------
_MODES = ("linear", "nearest", "cubic")
_OUTSIDE = ("zeros", "border", "reflection")


@lower("aten.grid_sampler", "aten.grid_sampler_2d", "aten.grid_sampler_3d")
def grid_sampler(x: Tensor, grid: Tensor, mode: int, padding: int, align_corners: bool) -> Tensor:
    """x [N, C, d...] at the places grid [N, out..., axes] names, -1 to 1 over each axis."""
    how = {"mode": _MODES[mode], "padding_mode": _OUTSIDE[padding], "align_corners": int(align_corners)}
    return ops.GridSample(x, grid, **how)


@lower("aten.affine_grid_generator")
def affine_grid(theta: Tensor, size: Sequence[DimLike], align_corners: bool) -> Tensor:
    """The places of an image of this size, -1 to 1 over each axis, through an affine map theta [N, axes, axes + 1]."""
    n, _, *image = size
    rank = len(image)
    columns = []
    for axis in reversed(range(rank)):
        line = _centres(image[axis], align_corners, theta)
        line = ops.Unsqueeze(line, [a for a in range(rank + 1) if a != axis])
        columns.append(ops.Expand(line, shape_tensor((*image, 1))))
    columns.append(filled((*image, 1), 1, theta.dtype))
    places = reshape(ops.Concat(*columns, axis=rank), (1, product(image), rank + 1))
    moved = ops.MatMul(places, ops.Transpose(theta, perm=(0, 2, 1)))
    return reshape(moved, (n, *image, rank))


def _centres(size: DimLike, align: bool, like: Tensor) -> Tensor:
    """The centres of `size` elements, -1 to 1 over them all or (align) from the first centre to the last."""
    numbers, count = astype(counted(size), like.dtype), scalar_of(size, like.dtype)
    if align:
        if isinstance(size, int) and size == 1:
            return wrap(np.zeros((1,), like.dtype))
        span = ops.Max(ops.Sub(count, number(1, like)), number(1, like))
        ends = ops.Sub(ops.Div(ops.Mul(numbers, number(2, like)), span), number(1, like))
        return ends if isinstance(size, int) else ops.Where(ops.Equal(count, number(1, like)), number(0, like), ends)
    doubled = ops.Add(ops.Mul(numbers, number(2, like)), number(1, like))
    return ops.Sub(ops.Div(doubled, count), number(1, like))
