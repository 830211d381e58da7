"""Pooling over windows, and to a given size.

ONNX Runtime's MaxPool passes over NaN, so that where NaN lies is pooled beside the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike, Shape, product, same_shape
from interchange.dtypes import is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.eager.traced import Traced
from interchange.errors import ConvertError
from interchange.frontends.torch.aten.conv import each, over_batch
from interchange.frontends.torch.aten.windows import (
    Window,
    first_and_last,
    gathered,
    gathered_positions,
    inside,
    many,
    parts,
    positions,
)
from interchange.frontends.torch.table import Out, lower
from interchange.ops.pad import pad_spatial
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import ones, shape_tensor, zeros


def _over(function: Callable[[Tensor], Any], x: Tensor, spatial: int) -> Any:
    """A function of [N, C, d...] with one result or several, on x, which may be without the axis N."""
    if len(x.shape) == spatial + 2:
        return function(x)
    result = function(ops.Unsqueeze(x, [0]))
    return tuple(ops.Squeeze(r, [0]) for r in result) if isinstance(result, tuple) else ops.Squeeze(result, [0])


def _window(rank: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> Window:
    """Arguments as lists, one number an axis; the kernel is its own default stride."""
    k = each(kernel, rank)
    return Window(k, each(stride, rank) if stride else k, each(padding, rank), each(dilation, rank), ceil)


def _attributes(w: Window, image: Sequence[DimLike], maps: Sequence[DimLike]) -> dict[str, Any]:
    """The attributes of a pooling operator. ceil_mode where sizes are symbolic: else pads say what it means.

    (ONNX's shape inference counts a window that begins behind the image; PyTorch and ONNX Runtime do not.)
    """
    given: dict[str, Any] = {"kernel_shape": w.kernel, "strides": w.strides}
    pads = w.padding * 2
    behind = w.behind(image, maps)
    if w.ceil and all(isinstance(b, int) for b in behind):
        pads = [*w.padding, *behind]  # type: ignore[list-item]
    elif w.ceil:
        given["ceil_mode"] = 1
    if any(pads):
        given["pads"] = pads
    if any(d != 1 for d in w.dilations):
        given["dilations"] = w.dilations
    return given


def _first(y: Tensor, maps: Sequence[DimLike], w: Window) -> Tensor:
    """Without a last window that begins in the padding: with ceil_mode PyTorch leaves that out."""
    if not w.ceil or same_shape(y.shape[2:], maps):
        return y
    axes = list(range(2, len(y.shape)))
    return ops.Slice(y, [0] * len(axes), shape_tensor(tuple(maps)), axes)


# -- maximum -----------------------------------------------------------------------------------------------------------
def _max_pool(x: Tensor, w: Window, maps: Sequence[DimLike]) -> Tensor:
    """The maximum of each window of x [N, C, d...], NaN where there is one."""
    if not is_float(x.dtype):
        return ops.ReduceMax(w.taps(x, maps, int(np.iinfo(x.dtype).min)), [2], keepdims=0)
    padded = w
    if any(p >= k for p, k in zip(w.padding, w.kernel, strict=True)):  # ONNX does not allow it of a dilated kernel
        x, padded = pad_spatial(x, w.padding, w.padding, -math.inf), replace(w, padding=[0] * len(maps))
    how = _attributes(padded, x.shape[2:], maps)
    y = ops.MaxPool(x, **how)
    lost = wrap(np.array(np.nan, x.dtype))
    if _positive(x):  # a mean of such is NaN where, and only where, one of them is
        return _first(ops.Where(ops.IsNaN(ops.AveragePool(x, **how)), lost, y), maps, w)
    # ONNX Runtime's maximum of minus infinities, too, is another: 2 where NaN is, 1 where a number or infinity is
    kinds = ops.Where(ops.IsNaN(x), 2.0, astype(ops.Greater(x, -math.inf), np.float32))
    kind = ops.MaxPool(kinds, **how)
    y = ops.Where(ops.Greater(kind, 1.0), lost, y)
    return _first(ops.Where(ops.Less(kind, 1.0), wrap(np.array(-np.inf, x.dtype)), y), maps, w)


_POSITIVE = frozenset(("Relu", "Sigmoid", "Softmax", "Softplus", "HardSigmoid"))


def _positive(x: Tensor) -> bool:
    """Whether x is what a Relu gives: nothing below 0."""
    producer = x._symbolic.value.producer if isinstance(x, Traced) else None
    return producer is not None and producer.op_type in _POSITIVE


def _flat(x: Tensor, w: Window, out: Shape) -> tuple[Tensor, Window, Sequence[DimLike]]:
    """One spatial axis as two, for which ONNX Runtime has the faster kernel."""
    flat = Window([1, *w.kernel], [1, *w.strides], [0, *w.padding], [1, *w.dilations], w.ceil)
    return ops.Unsqueeze(x, [2]), flat, (1, out[-1])


def _pooled(
    x: Tensor, rank: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, out: Shape
) -> Tensor:
    w = _window(rank, kernel, stride, padding, dilation, ceil)
    if rank > 1:
        return over_batch(lambda images: _max_pool(images, w, out[-rank:]), x, rank)
    return over_batch(lambda lines: ops.Squeeze(_max_pool(*_flat(lines, w, out)), [2]), x, 1)


def max_pool(
    rank: int,
    x: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    out: Out,
) -> Tensor:
    """The maximum of each window of [N, C, d...] or [C, d...]."""
    return _pooled(x, rank, kernel, stride, padding, dilation, ceil_mode, out.shape)


def max_pool_with_indices(
    rank: int,
    x: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    out: list[Out],
) -> tuple[Tensor, Tensor]:
    """The maximum of each window, and where it is in the flattened image of its channel."""
    w = _window(rank, kernel, stride, padding, dilation, ceil_mode)
    maps = out[0].shape[-rank:]

    def both(images: Tensor) -> tuple[Tensor, Tensor]:
        at = ops.Unsqueeze(positions(images.shape[2:]), [0, 1])
        low = -math.inf if is_float(x.dtype) else int(np.iinfo(x.dtype).min)
        places = w.taps(at, maps, -1)
        values = w.taps(images, maps, low)
        outside = ops.Less(places, wrap(np.array(0)))
        far = ops.Where(outside, wrap(np.array(np.iinfo(np.int64).max)), places)
        return first_and_last(values, far, [2])

    return _over(both, x, rank)


for _rank in (1, 2, 3):
    lower(f"aten.max_pool{_rank}d")(partial(max_pool, _rank))
    lower(f"aten.max_pool{_rank}d_with_indices")(partial(max_pool_with_indices, _rank))


@lower("aten.max_unpool2d", "aten.max_unpool3d")
def max_unpool(x: Tensor, indices: Tensor, output_size: Sequence[DimLike], *_: Any, out: Out) -> Tensor:
    """Zeros, but for the elements of x at their places in the flattened image."""
    rank = len(output_size)
    lead = out.shape[:-rank]
    flat = (*lead, product(x.shape[-rank:]))
    blank = zeros((*lead, product(output_size)), x.dtype)
    filled = ops.ScatterElements(blank, reshape(indices, flat), reshape(x, flat), axis=len(lead))
    return reshape(filled, out.shape)


# -- mean --------------------------------------------------------------------------------------------------------------
def _avg_pool(x: Tensor, w: Window, maps: Sequence[DimLike], include: bool, divisor: int | None) -> Tensor:
    """The sum of each window of x [N, C, d...] over a count.

    That is `divisor`, or how many elements lie in the image, or (include) in the padded one; never beyond that.
    """
    area = math.prod(w.kernel)
    if not is_float(x.dtype):
        total = ops.ReduceSum(w.taps(x, maps, 0), [2], keepdims=0)
        return ops.Div(total, wrap(np.array(divisor, x.dtype)) if divisor else _count(x, w, maps, include))
    if divisor:
        padded = pad_spatial(x, w.padding, w.behind(x.shape[2:], maps))
        mean = ops.AveragePool(padded, kernel_shape=w.kernel, strides=w.strides)
        return ops.Mul(mean, wrap(np.array(area / divisor, x.dtype)))
    bare, counted = w, {"count_include_pad": 1} if include and any(w.padding) else {}
    if w.ceil and counted:  # what lies behind the padding does not count
        x, bare, counted = pad_spatial(x, w.padding, w.padding), replace(w, padding=[0] * len(maps)), {}
    return _first(ops.AveragePool(x, **_attributes(bare, x.shape[2:], maps), **counted), maps, w)


def _count(x: Tensor, w: Window, maps: Sequence[DimLike], include: bool) -> Tensor:
    """How many elements the mean of each window of integers is over."""
    if not include:
        return ops.ReduceSum(w.taps(ones((1, 1, *x.shape[2:]), x.dtype), maps, 0), [2], keepdims=0)
    grown = tuple(n + 2 * p for n, p in zip(x.shape[2:], w.padding, strict=True))
    bare = Window(w.kernel, w.strides, [0] * len(grown), w.dilations, w.ceil)
    return ops.ReduceSum(bare.taps(ones((1, 1, *grown), x.dtype), maps, 0), [2], keepdims=0)


def avg_pool(
    rank: int,
    x: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Out,
) -> Tensor:
    """The mean of each window of [N, C, d...] or [C, d...]."""
    w = _window(rank, kernel, stride, padding, 1, ceil_mode)
    maps = out.shape[-rank:]
    return over_batch(lambda images: _avg_pool(images, w, maps, count_include_pad, divisor_override), x, rank)


for _rank in (1, 2, 3):
    lower(f"aten.avg_pool{_rank}d")(partial(avg_pool, _rank))


# -- to a given size ---------------------------------------------------------------------------------------------------
def _divided(image: Sequence[DimLike], sizes: Sequence[DimLike]) -> list[int] | None:
    """The kernel, where all windows are of one static size; [] for one window over all."""
    if all(isinstance(s, int) and s == 1 for s in sizes):
        return []
    pairs = list(zip(image, sizes, strict=True))
    if all(isinstance(n, int) and isinstance(s, int) and s and n and n % s == 0 for n, s in pairs):
        return [n // s for n, s in pairs]  # type: ignore[misc]
    return None


@lower(
    "aten.adaptive_avg_pool1d",
    "aten.adaptive_avg_pool2d",
    "aten.adaptive_avg_pool3d",
    "aten._adaptive_avg_pool2d",
    "aten._adaptive_avg_pool3d",
)
def adaptive_avg_pool(x: Tensor, output_size: Sequence[DimLike]) -> Tensor:
    """The means of windows that cover the image, right for every size."""
    return over_batch(lambda images: _adaptive_mean(images, output_size), x, len(output_size))


def _adaptive_mean(x: Tensor, sizes: Sequence[DimLike]) -> Tensor:
    rank, image = len(sizes), x.shape[2:]
    kernel = _divided(image, sizes) if is_float(x.dtype) else None
    if kernel == []:
        return ops.GlobalAveragePool(x)
    if kernel:
        return ops.AveragePool(x, kernel_shape=kernel, strides=kernel)
    windows = [parts(n, s) for n, s in zip(image, sizes, strict=True)]
    kept = ops.Where(inside(windows), gathered(x, windows), zeros((), x.dtype))
    total = ops.ReduceSum(kept, [3 + 2 * i for i in range(rank)], keepdims=0)
    return ops.Div(total, many(windows, x))


@lower("aten.adaptive_max_pool1d", "aten.adaptive_max_pool2d", "aten.adaptive_max_pool3d")
def adaptive_max_pool(x: Tensor, output_size: Sequence[DimLike]) -> tuple[Tensor, Tensor]:
    """The maxima of windows that cover the image, and where they are in the flattened image."""
    rank = len(output_size)

    def both(images: Tensor) -> tuple[Tensor, Tensor]:
        image = images.shape[2:]
        windows = [parts(n, s) for n, s in zip(image, output_size, strict=True)]
        at = gathered_positions(image, windows)
        return first_and_last(gathered(images, windows), at, [3 + 2 * i for i in range(rank)])

    return _over(both, x, rank)


@lower("aten.fractional_max_pool2d", "aten.fractional_max_pool3d")
def fractional_max_pool(*_: Any, **__: Any) -> Tensor:
    """Refused: its windows are drawn at random."""
    raise ConvertError(
        "IX928",
        "fractional max pooling draws its windows at random",
        found="fractional_max_pool",
        expected="windows that are the same at every run",
        fix="use max_pool or adaptive_max_pool",
    )
