"""Convolution and its transpose over any number of spatial axes.

The gradients are written for ONNX Runtime's CPU kernels: by the image as one ConvTranspose, by the weight as matrix
products over slices of the image, chosen by size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from interchange.dims import DimLike, Shape, product, same_shape
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor
from interchange.ops.frame import Grads, op
from interchange.ops.linear import Gemm, MatMul, transpose_last
from interchange.ops.pad import pad_spatial
from interchange.ops.reduce import ReduceSum
from interchange.ops.shape import Concat, Reshape, Slice, Transpose
from interchange.ops.shape_tools import divisible, must_equal, refuse, reshape_target
from interchange.ops.windows import Ints, Windows, add_back, kernel_of, transposed_windows, view, windows

_FEW_TAPS = 64  # a kernel of more positions is not taken apart into one slice for each
_SMALL = 20_000  # below this many channels * taps * outputs one batched product beats a product for each tap


def _wide(x: Array) -> Array:
    """float16 and bfloat16 are added up in float32."""
    return x.astype(np.float32) if x.dtype.itemsize < 4 else x


def _with_bias(y: Array, B: Array | None, rank: int) -> Array:
    return y if B is None else y + B.reshape(y.shape[1], *(1,) * rank)


@op(runtime=0)
def Conv(
    X: Array,
    W: Array,
    B: Array | None = None,
    *,
    auto_pad: str,
    dilations: Ints = None,
    group: int,
    kernel_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Array:
    """Cross-correlation of X [N, C, *image] with W [O, C/group, *kernel], plus B [O]."""
    kernel = kernel_of(W.shape, kernel_shape)
    w = windows(X.shape[2:], kernel, strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad)
    rank, (n, c), o = len(kernel), X.shape[:2], W.shape[0]
    order = (0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    cols = view(_wide(X), w).transpose(order).reshape(n, group, c // group * math.prod(kernel), math.prod(w.maps))
    rows = _wide(W).reshape(group, o // group, math.prod(W.shape[1:]))
    y = np.matmul(rows, cols).reshape(n, o, *w.maps)
    return _with_bias(y, B, rank).astype(X.dtype, copy=False)


def _check(X: Tensor, W: Tensor) -> None:
    rank = len(X.shape)
    if rank < 3:
        raise refuse(f"X has {rank} axes", expected="[batch, channels, ...] and at least one spatial axis")
    must_equal(len(W.shape), rank, "the number of axes of X and W")


@Conv.shape
def _(X: Tensor, W: Tensor, B: Tensor | None = None, *, group: int, kernel_shape: Ints = None, **where: Any) -> Shape:
    _check(X, W)
    must_equal(X.shape[1], W.shape[1] * group, "the channels of X and of W times group")
    divisible(W.shape[0], group, "the number of filters")
    if B is not None:
        must_equal(len(B.shape), 1, "the number of axes of B")
        must_equal(B.shape[0], W.shape[0], "the size of B and the number of filters")
    return X.shape[0], W.shape[0], *windows(X.shape[2:], kernel_of(W.shape, kernel_shape), **where).maps


@Conv.gradient
def _(
    g: Tensor,
    X: Tensor,
    W: Tensor,
    auto_pad: str,
    dilations: Ints,
    group: int,
    pads: Ints,
    strides: Ints,
) -> Grads:
    w = windows(X.shape[2:], W.shape[2:], strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad)
    return (
        lambda: to_image(g, W, w, group),
        lambda: weight_gradient(X, g, w, group, W.shape),
        lambda: channel_sum(g),
    )


@op(runtime=lambda auto_pad, **_: 0 if auto_pad == "NOTSET" else None)
def ConvTranspose(
    X: Array,
    W: Array,
    B: Array | None = None,
    *,
    auto_pad: str,
    dilations: Ints = None,
    group: int,
    kernel_shape: Ints = None,
    output_padding: Ints = None,
    output_shape: Ints = None,
    pads: Ints = None,
    strides: Ints = None,
) -> Array:
    """The transpose of Conv as a map of images: X [N, C, *maps], W [C, O/group, *kernel], plus B [O]."""
    kernel = kernel_of(W.shape, kernel_shape)
    w = transposed_windows(
        X.shape[2:],
        kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        output_padding=output_padding,
        output_shape=output_shape,
    )
    n, c = X.shape[:2]
    rows = _wide(W).reshape(group, c // group, math.prod(W.shape[1:])).swapaxes(1, 2)
    cols = np.matmul(rows, _wide(X).reshape(n, group, c // group, math.prod(w.maps)))
    y = add_back(cols.reshape(n, group * W.shape[1], *kernel, *w.maps), w)
    return _with_bias(y, B, len(kernel)).astype(X.dtype, copy=False)


@ConvTranspose.shape
def _(X: Tensor, W: Tensor, B: Tensor | None = None, *, group: int, kernel_shape: Ints = None, **where: Any) -> Shape:
    _check(X, W)
    must_equal(X.shape[1], W.shape[0], "the channels of X and the first axis of W")
    divisible(W.shape[0], group, "the number of channels")
    filters = W.shape[1] * group
    if B is not None:
        must_equal(len(B.shape), 1, "the number of axes of B")
        must_equal(B.shape[0], filters, "the size of B and the number of filters")
    return X.shape[0], filters, *transposed_windows(X.shape[2:], kernel_of(W.shape, kernel_shape), **where).image


@ConvTranspose.gradient
def _(
    g: Tensor,
    X: Tensor,
    W: Tensor,
    auto_pad: str,
    dilations: Ints,
    group: int,
    output_padding: Ints,
    output_shape: Ints,
    pads: Ints,
    strides: Ints,
) -> Grads:
    w = transposed_windows(
        X.shape[2:],
        W.shape[2:],
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        output_padding=output_padding,
        output_shape=output_shape,
    )
    return (
        lambda: to_maps(g, W, w, group),
        lambda: weight_gradient(g, X, w, group, W.shape),
        lambda: channel_sum(g),
    )


# -- the two directions between an image and its maps, over given windows --------------------------------------------
def channel_sum(g: Tensor) -> Tensor:
    """The sum over all axes but the second, shape [C]; in two steps, for which ONNX Runtime has the faster loops."""
    over_space = ReduceSum(g, list(range(2, len(g.shape))), keepdims=0) if len(g.shape) > 2 else g
    return ReduceSum(over_space, [0], keepdims=0)


def _numbers(*sizes: DimLike, low: int = 0) -> bool:
    return all(isinstance(d, int) and d >= low for d in sizes)


def to_maps(image: Tensor, weight: Tensor, w: Windows, group: int) -> Tensor:
    """The convolution over exactly these windows: image [N, C, *image] to [N, O, *maps]."""
    if _numbers(*w.before, *w.beyond):
        return Conv(image, weight, pads=(*w.before, *w.beyond), strides=w.strides, dilations=w.dilations, group=group)
    exact = pad_spatial(image, w.before, w.beyond)
    return Conv(exact, weight, strides=w.strides, dilations=w.dilations, group=group)


def to_image(maps: Tensor, weight: Tensor, w: Windows, group: int) -> Tensor:
    """The transpose of `to_maps`: maps [N, O, *maps] to [N, C, *image]."""
    if _numbers(*w.before) and all(isinstance(d, int) for d in w.beyond):
        after = [max(d, 0) for d in w.beyond]
        rest = tuple(max(-d, 0) for d in w.beyond)
        return ConvTranspose(
            maps,
            weight,
            pads=(*w.before, *after),
            output_padding=rest if any(rest) else None,
            strides=w.strides,
            dilations=w.dilations,
            group=group,
        )
    covered = ConvTranspose(maps, weight, strides=w.strides, dilations=w.dilations, group=group)
    return pad_spatial(covered, [-b for b in w.before], [-d for d in w.beyond])


def channelwise(f: Callable[[Tensor, int], Tensor], x: Tensor, space: Shape) -> Tensor:
    """``f(x, channels)`` for a convolution f of each channel by itself, that gives spatial sizes `space`.

    A number of channels that is not known becomes part of the batch.
    """
    n, c = x.shape[:2]
    if isinstance(c, int):
        return f(x, c)
    y = f(reshape(x, (n * c, 1, *x.shape[2:])), 1)
    return reshape(y, (n, c * y.shape[1], *space))


# -- by the weight ---------------------------------------------------------------------------------------------------
def weight_gradient(image: Tensor, maps: Tensor, w: Windows, group: int, shape: Shape) -> Tensor:
    """The gradient of `to_maps` by its weight [O, C/group, *kernel], where `maps` is the gradient of its result.

    Which expression is fastest depends on the sizes; all are correct for any group, stride, dilation and pad.
    """
    taps, o, c = product(w.kernel), shape[0], shape[1]
    if not w.static or not isinstance(taps, int) or taps > _FEW_TAPS:
        return _weight_by_conv(image, maps, w, group, shape)
    exact = pad_spatial(image, w.before, [max(d, 0) for d in w.beyond])
    if group == 1 and isinstance(o, int) and isinstance(c, int) and o * c * taps >= _SMALL:
        return _weight_by_gemm(exact, maps, w, shape)
    return _weight_by_product(exact, maps, w, group, shape)


def tap_slice(exact: Tensor, w: Windows, tap: Sequence[int]) -> Tensor:
    """Position `tap` of every window: a strided slice of the padded image, shape [N, C, *maps]. Static sizes."""
    starts = [t * d for t, d in zip(tap, w.dilations, strict=True)]
    ends = [a + (m - 1) * s + 1 for a, m, s in zip(starts, w.maps, w.strides, strict=True)]
    axes = list(range(2, 2 + len(starts)))
    if all(s == 1 for s in w.strides):
        if not any(starts) and tuple(ends) == exact.shape[2:]:
            return exact
        return Slice(exact, starts, ends, axes)
    return Slice(exact, starts, ends, axes, w.strides)


def taps_of(w: Windows) -> list[tuple[int, ...]]:
    """The positions within one window, in row-major order. Static sizes."""
    return list(np.ndindex(*w.kernel))


def _weight_by_product(exact: Tensor, maps: Tensor, w: Windows, group: int, shape: Shape) -> Tensor:
    """One product of the gradient with all slices of the image for each sample and group, summed over samples."""
    n, o, c, area = maps.shape[0], shape[0], shape[1], product(w.maps)
    taps = taps_of(w)
    slices = [tap_slice(exact, w, t) for t in taps]
    lead: tuple[DimLike, ...] = (n,) if group == 1 else (n, group)
    if group > 1:
        slices = [reshape(s, (n, group, c, area)) for s in slices]
    cols = Concat(*slices, axis=len(lead)) if len(slices) > 1 else slices[0]
    cols = reshape(cols, (*lead, c * len(taps), area))
    rows = reshape(maps, (*lead, o // group, area))
    total = ReduceSum(MatMul(rows, transpose_last(cols)), [0], keepdims=0)  # [group, O/group, taps * C/group]
    if len(taps) == 1 or (isinstance(c, int) and c == 1):
        return reshape(total, shape)
    return reshape(Transpose(reshape(total, (o, len(taps), c)), perm=(0, 2, 1)), shape)


def _weight_by_gemm(exact: Tensor, maps: Tensor, w: Windows, shape: Shape) -> Tensor:
    """The image transposed once to channels first, then one Gemm over all samples and places for each tap."""
    swap = (1, 0, *range(2, len(maps.shape)))
    o, c, many = shape[0], shape[1], maps.shape[0] * product(w.maps)
    rows = reshape(Transpose(maps, perm=swap), (o, many))
    flipped = Transpose(exact, perm=swap)
    parts = [Gemm(rows, reshape(tap_slice(flipped, w, t), (c, many)), transB=1) for t in taps_of(w)]
    if len(parts) == 1:
        return reshape(parts[0], shape)
    return reshape(Concat(*[reshape(p, (o, c, 1)) for p in parts], axis=2), shape)


def _weight_by_conv(image: Tensor, maps: Tensor, w: Windows, group: int, shape: Shape) -> Tensor:
    """A convolution of the image with the gradient as kernel, samples and channels swapped: any size, few nodes."""
    exact = pad_spatial(image, w.before, w.beyond)
    swap = (1, 0, *range(2, len(maps.shape)))
    if group == 1:
        channels_first = Transpose(exact, perm=swap)
    else:  # [N, group, C/group, ...] -> [C/group, group * N, ...]
        n, space = exact.shape[0], exact.shape[2:]
        split = reshape(exact, (n, group, shape[1], *space))
        moved = Transpose(split, perm=(2, 1, 0, *range(3, 3 + len(space))))
        channels_first = reshape(moved, (shape[1], n * group, *space))
    kernels = Transpose(maps, perm=swap)
    y = Conv(channels_first, kernels, strides=w.dilations, dilations=w.strides, group=group)
    return Transpose(y, perm=swap)


def reshape(x: Tensor, shape: Sequence[DimLike]) -> Tensor:
    """`x` in another shape, whose sizes may be symbolic; itself where nothing changes."""
    return x if same_shape(x.shape, shape) else Reshape(x, reshape_target(x.shape, shape))
