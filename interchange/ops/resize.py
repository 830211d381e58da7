"""Resizing of images, and the rearrangements between channels and space.

Every mode of Resize is a linear map along each axis; its matrix is the kernel for the dtypes that ONNX Runtime has none
for, and its transpose is the gradient. Formulas: the ONNX operator Resize.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from interchange.dims import DimLike, Shape, must_be_number, product, same
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.frame import Grads, op
from interchange.ops.linear import MatMul, transpose_last
from interchange.ops.pad import apply_along, eye
from interchange.ops.shape import Reshape, Transpose
from interchange.ops.shape_tools import (
    at_least,
    divisible,
    known_or_refuse,
    must_equal,
    normalize_axis,
    refuse,
    reshape_target,
    shape_tensor,
)
from interchange.ops.windows import Ints, Windows, add_back, windows

_SAMPLE = 3  # integer nearest upsampling is the same repetition at every size: it is recognised at this one


class Axis(NamedTuple):
    """How one axis is resized. scale: None where it follows from the sizes. roi: the part of the axis that is taken."""

    axis: int
    size: DimLike
    out: DimLike
    scale: float | None
    roi: tuple[float, float]

    def matrix(self, how: dict[str, Any]) -> Array:
        """The weights [out, size], float64."""
        assert isinstance(self.size, int)
        assert isinstance(self.out, int)
        scale = self.out / max(self.size, 1) if self.scale is None else self.scale
        return interpolation(self.size, self.out, scale, self.roi, **how)


# -- the weights along one axis --------------------------------------------------------------------------------------
def interpolation(
    size: int,
    out: int,
    scale: float,
    roi: tuple[float, float] = (0.0, 1.0),
    *,
    mode: str,
    coordinate_transformation_mode: str,
    nearest_mode: str,
    antialias: int,
    cubic_coeff_a: float,
    exclude_outside: int,
) -> Array:
    """The matrix [out, size] of a resize along one axis, float64. Rows that lie outside of it are NaN."""
    matrix: Array
    at, outside = _positions(size, out, scale, roi, coordinate_transformation_mode)
    if mode == "nearest":
        index = np.clip(_nearest(at, nearest_mode), 0, size - 1)
        matrix = (index[:, None] == np.arange(size)).astype(np.float64)
    else:
        matrix = _filtered(size, at.astype(np.float64), scale, mode, antialias, cubic_coeff_a, exclude_outside)
    matrix[outside] = np.nan
    return matrix


def _positions(size: int, out: int, scale: float, roi: tuple[float, float], how: str) -> tuple[Array, Array]:
    """Where each output element lies on the input's axis; in float32, as ONNX Runtime has it, for ties of "nearest"."""
    x, s, one = np.arange(out, dtype=np.float32), np.float32(scale), np.float32(1)
    half = np.float32(0.5)
    outside = np.zeros(out, bool)
    if how == "align_corners":
        at = x * np.float32(size - 1) / np.float32(out - 1) if out > 1 else x
    elif how == "asymmetric":
        at = x / s if s == scale else x / np.float64(scale)  # a ratio of sizes is not rounded first
    elif how == "tf_crop_and_resize":
        start, end, last = np.float32(roi[0]), np.float32(roi[1]), np.float32(size - 1)
        step = (end - start) * last / np.float32(out - 1) if out > 1 else np.float32(0)
        at = start * last + x * step if out > 1 else half * (start + end) * last + x
        outside = (at < 0) | (at > last)
    elif how == "pytorch_half_pixel" and out == 1:
        at = x
    elif how == "half_pixel_symmetric":
        adjusted = np.float32(out) / (s * np.float32(size))
        at = np.float32(size) / 2 * (one - adjusted) + (x + half) / s - half
    else:
        at = (x + half) / s - half
    return np.asarray(at), np.asarray(outside)


def _nearest(at: Array, how: str) -> Array:
    if how == "round_prefer_floor":
        found = np.ceil(at - np.float32(0.5))
    elif how == "round_prefer_ceil":
        found = np.floor(at + np.float32(0.5))
    else:
        found = np.floor(at) if how == "floor" else np.ceil(at)
    return found.astype(np.int64)


def _filtered(size: int, at: Array, scale: float, mode: str, antialias: int, a: float, exclude_outside: int) -> Array:
    """Weights of a filter around each position; what lies outside the axis counts for its border, or not at all."""
    shrink = min(scale, 1.0) if antialias else 1.0
    reach = (1 if mode == "linear" else 2) / shrink
    low = np.floor(at - reach).astype(np.int64)
    index = low[:, None] + np.arange(math.ceil(2 * reach) + 2)
    distance = np.abs(index - at[:, None]) * shrink
    weights = np.maximum(1 - distance, 0) if mode == "linear" else _cubic(distance, a)
    if exclude_outside:
        weights = np.where((index < 0) | (index >= size), 0, weights)
    if exclude_outside or antialias:
        total = weights.sum(1, keepdims=True)
        weights = weights / np.where(total == 0, 1, total)
    matrix = np.zeros((len(at), size))
    np.add.at(matrix, (np.arange(len(at))[:, None], np.clip(index, 0, size - 1)), weights)
    return matrix


def _cubic(x: Array, a: float) -> Array:
    """Keys' cubic convolution kernel."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


# -- which axes, to what size ----------------------------------------------------------------------------------------
def _plan(shape: Shape, given_inputs: Sequence[Sequence[Any] | None], axes: Ints, policy: str) -> list[Axis]:
    roi, scales, sizes = given_inputs
    where = list(range(len(shape))) if axes is None else [normalize_axis(a, len(shape)) for a in axes]
    if bool(scales) == bool(sizes):
        raise refuse("scales and sizes are both given, or neither", expected="one of them")
    given = scales or sizes or ()
    must_equal(len(given), len(where), "the number of scales or sizes is the number of axes")
    parts = [(0.0, 1.0)] * len(where)
    if roi:
        must_equal(len(roi), 2 * len(where), "roi has a start and an end for each axis")
        parts = [(float(a), float(b)) for a, b in zip(roi[: len(where)], roi[len(where) :], strict=True)]
    if scales:
        outs = [_scaled(shape[axis], float(s)) for axis, s in zip(where, scales, strict=True)]
        return [Axis(a, shape[a], o, float(s), r) for a, o, s, r in zip(where, outs, scales, parts, strict=True)]
    assert sizes is not None
    if policy == "stretch":
        return [Axis(a, shape[a], o, None, r) for a, o, r in zip(where, sizes, parts, strict=True)]
    if not all(isinstance(d, int) for d in (*sizes, *(shape[a] for a in where))):
        raise refuse(
            f"keep_aspect_ratio_policy={policy} of symbolic sizes",
            expected='static sizes, or the policy "stretch"',
            fix="compute the sizes from .shape",
        )
    ratios = [s / shape[a] for a, s in zip(where, sizes, strict=True)]
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    return [Axis(a, shape[a], int(ratio * shape[a] + 0.5), ratio, r) for a, r in zip(where, parts, strict=True)]


def _scaled(size: DimLike, scale: float) -> DimLike:
    """floor(size * scale); of a symbolic size where that is exact in float32 too."""
    if scale <= 0:
        raise refuse(f"a scale of {scale}", expected="scales above 0")
    if isinstance(size, int):
        return int(np.floor(np.float32(size) * np.float32(scale)))
    exact = Fraction(scale)
    if exact.denominator > 1024:
        must_be_number(size)
        raise refuse(
            f"the size {size} * {scale} is rounded differently at different sizes",
            expected="a scale with an exact binary fraction (2, 1.5, 0.25) for a symbolic size",
            fix="pass sizes computed from .shape, or make that dimension static",
        )
    return size * exact.numerator // exact.denominator


def _changed(plan: list[Axis]) -> list[Axis]:
    """The axes along which something happens. As in ONNX Runtime, nothing does where the scale is 1, also with a roi,
    and nothing at all where every size stays.
    """
    if all(same(a.size, a.out) for a in plan):
        return []
    return [a for a in plan if (a.scale != 1.0 if a.scale is not None else not same(a.size, a.out))]


def _misread(*, axes: Ints = None, keep_aspect_ratio_policy: str, **_: Any) -> bool:
    """Whether ONNX Runtime computes other sizes: it does not keep the ratio of axes counted from the end."""
    return keep_aspect_ratio_policy != "stretch" and any(a < 0 for a in axes or ())


@op(runtime=lambda **how: None if _misread(**how) else 0)
def Resize(
    X: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    *,
    antialias: int,
    axes: Ints = None,
    coordinate_transformation_mode: str,
    cubic_coeff_a: float,
    exclude_outside: int,
    extrapolation_value: float,
    keep_aspect_ratio_policy: str,
    mode: str,
    nearest_mode: str,
) -> Array:
    """X resized to `sizes`, or by `scales`, along the axes: the nearest element, or interpolated."""
    how = {
        "mode": mode,
        "coordinate_transformation_mode": coordinate_transformation_mode,
        "nearest_mode": nearest_mode,
        "antialias": antialias,
        "cubic_coeff_a": cubic_coeff_a,
        "exclude_outside": exclude_outside,
    }
    given = [None if a is None else a.tolist() for a in (roi, scales, sizes)]
    y = X if mode == "nearest" else X.astype(np.float64)
    for a in _changed(_plan(X.shape, given, axes, keep_aspect_ratio_policy)):
        y = _along(y, a.matrix(how), a.axis, mode, extrapolation_value)
    if X.dtype.kind in "iu" and mode != "nearest":
        limits = np.iinfo(X.dtype)
        y = np.clip(np.rint(y), limits.min, limits.max)
    return y.astype(X.dtype, copy=False)


def _along(x: Array, matrix: Array, axis: int, mode: str, outside_value: float) -> Array:
    outside = np.isnan(matrix).any(1)
    matrix = np.nan_to_num(matrix)
    y: Array
    if mode == "nearest":
        y = x.take(matrix.argmax(1), axis)
    else:
        y = np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
    if outside.any():
        y[(slice(None),) * axis + (outside,)] = outside_value
    return y


@Resize.shape
def _(
    X: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
    *,
    axes: Ints = None,
    keep_aspect_ratio_policy: str,
    mode: str,
    antialias: int,
    **_: Any,
) -> Shape:
    if antialias and mode == "nearest":
        raise refuse("antialias=1 with mode=nearest", expected="mode linear or cubic")
    result = list(X.shape)
    for a in _plan(X.shape, _given(roi, scales, sizes), axes, keep_aspect_ratio_policy):
        if not same(a.size, a.out):
            at_least(a.size, 1, f"the size of axis {a.axis}")
        result[a.axis] = a.out
    return tuple(result)


def _given(roi: Tensor | None, scales: Tensor | None, sizes: Tensor | None) -> list[Sequence[Any] | None]:
    named = (("roi", roi), ("scales", scales), ("sizes", sizes))
    return [None if x is None else known_or_refuse(x, name) for name, x in named]


@Resize.gradient
def _(
    g: Tensor,
    X_shape: Shape,
    roi: Tensor | None,
    scales: Tensor | None,
    sizes: Tensor | None,
    antialias: int,
    axes: Ints,
    coordinate_transformation_mode: str,
    cubic_coeff_a: float,
    exclude_outside: int,
    keep_aspect_ratio_policy: str,
    mode: str,
    nearest_mode: str,
) -> Grads:
    how = {
        "mode": mode,
        "coordinate_transformation_mode": coordinate_transformation_mode,
        "nearest_mode": nearest_mode,
        "antialias": antialias,
        "cubic_coeff_a": cubic_coeff_a,
        "exclude_outside": exclude_outside,
    }
    plan = _plan(X_shape, _given(roi, scales, sizes), axes, keep_aspect_ratio_policy)
    plan = _changed(plan)
    factors = _repeats(plan, len(X_shape), how)
    if factors is not None:
        return block_sum(g, factors), None, None, None
    for a in plan:
        g = apply_along(g, _matrix(a, how, g), a.axis)
    return g, None, None, None


def _matrix(a: Axis, how: dict[str, Any], like: Tensor) -> Tensor:
    """The weights [out, size] as a tensor; where sizes are symbolic the identity, resized in the graph."""
    if isinstance(a.size, int) and isinstance(a.out, int):
        return wrap(np.nan_to_num(a.matrix(how)).astype(like.dtype))
    columns = Reshape(eye(a.size, like.dtype), reshape_target((a.size, a.size), (1, 1, a.size, a.size)))
    roi = np.array([0, 0, a.roi[0], 0, 1, 1, a.roi[1], 1], like.dtype)
    if a.scale is None:
        resized = Resize(columns, roi, None, shape_tensor((1, 1, a.out, a.size)), **how)
    else:
        resized = Resize(columns, roi, np.array([1, 1, a.scale, 1], np.float32), **how)
    return Reshape(resized, reshape_target(resized.shape, (a.out, a.size)))


def _repeats(plan: list[Axis], rank: int, how: dict[str, Any]) -> tuple[int, ...] | None:
    """How often each element is repeated along the axes from the third on, if that is all the resize does."""
    if how["mode"] != "nearest" or rank < 3 or any(a.axis < 2 for a in plan):
        return None
    factors = [1] * (rank - 2)
    for a in plan:
        times = _times(a)
        if times is None or how["coordinate_transformation_mode"] == "tf_crop_and_resize":
            return None
        sample = interpolation(_SAMPLE, _SAMPLE * times, a.scale or float(times), **how).argmax(1)
        if not np.array_equal(sample, np.arange(_SAMPLE * times) // times):
            return None
        factors[a.axis - 2] = times
    return tuple(factors)


def _times(a: Axis) -> int | None:
    """By which whole number the axis grows."""
    if a.scale is not None:
        return int(a.scale) if a.scale.is_integer() else None
    if isinstance(a.size, int) and a.size == 0:
        return None
    times, rest = a.out // a.size, a.out % a.size
    return times if isinstance(times, int) and isinstance(rest, int) and rest == 0 and times else None


Resize.composed = _misread


@Resize.decompose
def _(
    X: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
    *,
    axes: Ints = None,
    keep_aspect_ratio_policy: str,
    extrapolation_value: float,
    **how: Any,
) -> Tensor:
    """Without axes, antialias, keep_aspect_ratio_policy (since opset 18), half_pixel_symmetric (since opset 19)."""
    plan = _plan(X.shape, _given(roi, scales, sizes), axes, keep_aspect_ratio_policy)
    plain = not how["antialias"] and how["coordinate_transformation_mode"] != "half_pixel_symmetric"
    if plain and keep_aspect_ratio_policy == "stretch":
        rank = len(X.shape)
        ends = [(0.0, 1.0)] * rank
        factors, wanted = [1.0] * rank, list(X.shape)
        for a in plan:
            ends[a.axis], factors[a.axis], wanted[a.axis] = a.roi, a.scale or 1.0, a.out
        full = None if roi is None else np.array([e[0] for e in ends] + [e[1] for e in ends], roi.dtype)
        if sizes is None:
            return Resize(X, full, np.array(factors, np.float32), extrapolation_value=extrapolation_value, **how)
        return Resize(X, full, None, shape_tensor(wanted), extrapolation_value=extrapolation_value, **how)
    if how["coordinate_transformation_mode"] == "tf_crop_and_resize":
        raise refuse("tf_crop_and_resize with antialias or an aspect-ratio policy", expected="one of them alone")
    for a in _changed(plan):
        X = apply_along(X, transpose_last(_matrix(a, how, X)), a.axis)
    return X


# -- whole blocks ----------------------------------------------------------------------------------------------------
def upsample(x: Tensor, factors: Sequence[int]) -> Tensor:
    """Each element of x [N, C, ...] repeated `factors` times along the spatial axes."""
    if all(f == 1 for f in factors):
        return x
    scales = np.array([1, 1, *factors], np.float32)
    return Resize(x, None, scales, coordinate_transformation_mode="asymmetric", nearest_mode="floor")


_NARROW = 48  # up to this many blocks in a row, one matrix product sums them faster than AveragePool


def block_sum(x: Tensor, factors: Sequence[int]) -> Tensor:
    """The sum over blocks that lie side by side: the transpose of `upsample`. Sizes are multiples of the factors."""
    if all(f == 1 for f in factors):
        return x
    *lead, width = x.shape
    maps = (*x.shape[:2], *(divisible(d, f, "the size") for d, f in zip(x.shape[2:], factors, strict=True)))
    down, across = factors[-2:] if len(factors) > 1 else (1, factors[0])
    if all(f == 1 for f in factors[:-2]) and isinstance(width, int) and width // across <= _NARROW:
        # rows of one block stand together in memory: [rows of blocks, down * width] @ [down * width, blocks in a row]
        rows = product(lead[:-1]) * maps[-2] if len(factors) > 1 else product(lead)
        once = np.repeat(np.eye(width // across, dtype=x.dtype), across, 0)
        lined = Reshape(x, reshape_target(x.shape, (rows, down * width)))
        return Reshape(MatMul(lined, wrap(np.tile(once, (down, 1)))), reshape_target((rows, width // across), maps))
    from interchange.ops.pool import AveragePool

    return AveragePool(x, kernel_shape=tuple(factors), strides=tuple(factors)) * math.prod(factors)


# -- between columns, channels and space -----------------------------------------------------------------------------
def _col2im_windows(image: Shape, block: Shape, strides: Ints, dilations: Ints, pads: Ints) -> Windows:
    return windows(image, block, strides=strides, dilations=dilations, pads=pads)


@op(since=18, runtime=0)
def Col2Im(
    input: Array,
    image_shape: Array,
    block_shape: Array,
    *,
    dilations: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Array:
    """Columns [N, C * block, L] added up at their places in images [N, C, *image_shape]."""
    block = tuple(block_shape.tolist())
    w = _col2im_windows(tuple(image_shape.tolist()), block, strides, dilations, pads)
    cols = input.reshape(input.shape[0], input.shape[1] // math.prod(block), *block, *w.maps)
    return add_back(cols, w)


@Col2Im.shape
def _(
    input: Tensor,
    image_shape: Tensor,
    block_shape: Tensor,
    *,
    dilations: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Shape:
    if len(input.shape) != 3:
        raise refuse(f"the columns have {len(input.shape)} axes", expected="[batch, channels * block, places]")
    image, block = known_or_refuse(image_shape, "image_shape"), known_or_refuse(block_shape, "block_shape")
    w = _col2im_windows(image, block, strides, dilations, pads)
    must_equal(input.shape[2], product(w.maps), "the number of columns is the number of places of the block")
    return input.shape[0], divisible(input.shape[1], product(block), "the number of rows"), *image


@Col2Im.gradient
def _(
    g: Tensor,
    input_shape: Shape,
    image_shape: Tensor,
    block_shape: Tensor,
    dilations: Ints,
    pads: Ints,
    strides: Ints,
) -> Grads:
    from interchange.ops.conv import channelwise, reshape, to_maps

    block = known_or_refuse(block_shape, "block_shape")
    w = _col2im_windows(g.shape[2:], block, strides, dilations, pads)
    cols = channelwise(lambda x, c: to_maps(x, _one_hot(w, c, g), w, c), g, w.maps)
    return reshape(cols, input_shape), None, None


def _one_hot(w: Windows, channels: int, like: Tensor) -> Tensor:
    """A convolution's weight that takes each position of a window to a channel of its own, for each channel."""
    taps = math.prod(int(k) for k in w.kernel)
    one = np.eye(taps, dtype=like.dtype)
    return wrap(np.tile(one, (channels, 1)).reshape(channels * taps, 1, *w.kernel))


@Col2Im.decompose
def _(
    input: Tensor,
    image_shape: Tensor,
    block_shape: Tensor,
    *,
    dilations: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Tensor:
    from interchange.ops.conv import reshape, to_image

    image, block = known_or_refuse(image_shape, "image_shape"), known_or_refuse(block_shape, "block_shape")
    w = _col2im_windows(image, block, strides, dilations, pads)
    n, taps = input.shape[0], product(block)
    c = input.shape[1] // taps
    if isinstance(c, int):
        return to_image(reshape(input, (n, c * taps, *w.maps)), _one_hot(w, c, input), w, c)
    planes = reshape(input, (n * c, taps, *w.maps))
    return reshape(to_image(planes, _one_hot(w, 1, input), w, 1), (n, c, *image))


def _depth_shape(shape: Shape, b: int) -> tuple[DimLike, DimLike, DimLike, DimLike]:
    if len(shape) != 4:
        raise refuse(f"the input has {len(shape)} axes", expected="[batch, channels, height, width]")
    if b < 1:
        raise refuse(f"blocksize={b}", expected="at least 1")
    return shape


# the axes of [N, b, b, C, H, W] (DCR) or [N, C, b, b, H, W] (CRD) in the order [N, C, H, b, W, b]
_TO_SPACE = {"DCR": (0, 3, 4, 1, 5, 2), "CRD": (0, 1, 4, 2, 5, 3)}


def _split_depth(shape: Shape, b: int, mode: str) -> Shape:
    n, c, h, w = shape
    each = c // (b * b)
    return (n, b, b, each, h, w) if mode == "DCR" else (n, each, b, b, h, w)


@op()
def DepthToSpace(input: Array, *, blocksize: int, mode: str) -> Array:
    """Channels to blocks in space: [N, C, H, W] to [N, C/b^2, H*b, W*b]; "DCR" the block's axes before the channels."""
    n, c, h, w = input.shape
    parts = input.reshape(_split_depth(input.shape, blocksize, mode)).transpose(_TO_SPACE[mode])
    return parts.reshape(n, c // blocksize**2, h * blocksize, w * blocksize)


@DepthToSpace.shape
def _(input: Tensor, *, blocksize: int, mode: str) -> Shape:
    n, c, h, w = _depth_shape(input.shape, blocksize)
    return n, divisible(c, blocksize**2, "the number of channels"), h * blocksize, w * blocksize


@DepthToSpace.gradient
def _(g: Tensor, blocksize: int, mode: str) -> Grads:
    return SpaceToDepth(g, blocksize=blocksize) if mode == "DCR" else _to_depth(g, blocksize, mode)


@op()
def SpaceToDepth(input: Array, *, blocksize: int, mode: str) -> Array:
    """Blocks in space to channels: [N, C, H, W] to [N, C*b^2, H/b, W/b]; "DCR" the block's axes before the channels."""
    n, c, h, w = input.shape
    b = blocksize
    parts = input.reshape(n, c, h // b, b, w // b, b).transpose(np.argsort(_TO_SPACE[mode]))
    return parts.reshape(n, c * b * b, h // b, w // b)


@SpaceToDepth.shape
def _(input: Tensor, *, blocksize: int, mode: str) -> Shape:
    n, c, h, w = _depth_shape(input.shape, blocksize)
    return n, c * blocksize**2, divisible(h, blocksize, "the height"), divisible(w, blocksize, "the width")


@SpaceToDepth.gradient
def _(g: Tensor, blocksize: int, mode: str) -> Grads:
    return DepthToSpace(g, blocksize=blocksize, mode=mode)


@SpaceToDepth.decompose
def _to_depth(input: Tensor, blocksize: int, mode: str) -> Tensor:
    """With mode="CRD" before opset 28."""
    n, c, h, w = input.shape
    b = blocksize
    split = Reshape(input, reshape_target(input.shape, (n, c, h // b, b, w // b, b)))
    parts = Transpose(split, perm=tuple(np.argsort(_TO_SPACE[mode]).tolist()))
    return Reshape(parts, reshape_target(parts.shape, (n, c * b * b, h // b, w // b)))
