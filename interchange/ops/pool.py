"""Pooling over the spatial axes.

Where several elements of a window are its maximum they share the gradient. To send it whole to each would be wrong
where they move together: the derivative of max(b, b) by b is 1, and flat regions of an image do give such windows.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from interchange.dims import Shape, product
from interchange.dtypes import Array, DType
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.arithmetic import Abs, Equal, Max, Pow, Sign
from interchange.ops.conv import channelwise, reshape, tap_slice, taps_of, to_image, to_maps
from interchange.ops.frame import Grads, op
from interchange.ops.pad import pad_spatial
from interchange.ops.reduce import ReduceSum
from interchange.ops.resize import Col2Im, block_sum, upsample
from interchange.ops.shape import Concat, Unsqueeze
from interchange.ops.shape_tools import full, ones, refuse, scalar_of, shape_tensor
from interchange.ops.windows import SAME, Ints, Windows, counts, view, windows


def _runs(auto_pad: str, dilations: Ints = None, **_: Any) -> int | None:
    """ONNX Runtime ignores dilations in the sizes of auto_pad=SAME_*, which the shape rule refuses."""
    return None if auto_pad in SAME and any(d != 1 for d in dilations or ()) else 0


def _pool_windows(x: Shape, kernel_shape: tuple[int, ...], pads: Ints = None, **where: Any) -> Windows:
    if len(x) < 3:
        raise refuse(f"X has {len(x)} axes", expected="[batch, channels, ...] and at least one spatial axis")
    for i, p in enumerate(pads or ()):
        if p >= kernel_shape[i % len(kernel_shape)]:
            raise refuse(f"pads {list(pads or ())} are as wide as the kernel", expected="pads smaller than the kernel")
    return windows(x[2:], kernel_shape, pads=pads, **where)


def _pooled(X: Tensor, **attributes: Any) -> Shape:
    for other in ("count_include_pad", "p"):
        attributes.pop(other, None)
    return *X.shape[:2], *_pool_windows(X.shape, **attributes).maps


def _spatial(w: Windows) -> tuple[int, ...]:
    """The axes of the positions within a window, in a `view`."""
    return tuple(range(-len(w.kernel), 0))


# -- maximum ---------------------------------------------------------------------------------------------------------
@op(runtime=_runs)
def MaxPool(
    X: Array,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Ints = None,
    kernel_shape: tuple[int, ...],
    pads: Ints = None,
    storage_order: int,
    strides: Ints = None,
    outputs: int,
) -> Array | tuple[Array, Array]:
    """The maximum of each window. Indices (outputs=2): where it is in the flattened X, the first of several."""
    w = _pool_windows(
        X.shape, kernel_shape, pads, strides=strides, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    seen = view(X, w, _lowest(X.dtype))
    y = seen.max(axis=_spatial(w))
    return y if outputs == 1 else (y, _indices(X, seen, w, storage_order))


def _lowest(dtype: DType) -> Any:
    return np.iinfo(dtype).min if dtype.kind in "iu" else dtype.type(-np.inf)


def _indices(X: Array, seen: Array, w: Windows, storage_order: int) -> Array:
    rank = len(w.kernel)
    tap = np.unravel_index(seen.reshape(*seen.shape[:-rank], -1).argmax(-1), w.kernel)
    places = []
    for i in range(rank):
        window = np.arange(w.maps[i]).reshape(-1, *(1,) * (rank - 1 - i))  # type: ignore[arg-type]
        places.append(window * w.strides[i] + tap[i] * w.dilations[i] - w.before[i])
    image = X.shape[2:]
    flat = np.ravel_multi_index(places, image, mode="clip", order="F" if storage_order else "C")
    plane = np.arange(X.shape[0] * X.shape[1]).reshape(*X.shape[:2], *(1,) * rank) * math.prod(image)
    return np.asarray(flat + plane, np.int64)


@MaxPool.shape
def _(X: Tensor, *, storage_order: int, outputs: int, **attributes: Any) -> list[Shape]:
    return [_pooled(X, **attributes)] * outputs


@MaxPool.gradient
def _(
    g: Tensor,
    X: Tensor,
    Y: Tensor,
    auto_pad: str,
    ceil_mode: int,
    dilations: Ints,
    kernel_shape: tuple[int, ...],
    pads: Ints,
    strides: Ints,
) -> Grads:
    w = _pool_windows(
        X.shape, kernel_shape, pads, strides=strides, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    if not _blocks(w, ceil_mode):
        return _max_by_taps(g, X, Y, w)
    rest = [-d for d in w.beyond]  # of the image, that no window covers
    nothing: Shape = (0,) * len(rest)
    covered = pad_spatial(X, nothing, [-d for d in rest])
    at = Equal(covered, upsample(Y, kernel_shape)).astype(g.dtype)
    shared = g / _some(block_sum(at, kernel_shape))
    return pad_spatial(upsample(shared, kernel_shape) * at, nothing, rest)


def _some(count: Tensor) -> Tensor:
    """At least 1. ONNX Runtime's maximum of minus infinities is the lowest number, which none of them equals."""
    return Max(count, wrap(np.ones((), count.dtype)))


def _blocks(w: Windows, ceil_mode: int) -> bool:
    """Whether the windows lie side by side, none reaching beyond the image."""
    whole = not ceil_mode or all(isinstance(d, int) and d <= 0 for d in w.beyond)
    plain = all(d == 1 for d in w.dilations) and all(isinstance(b, int) and b == 0 for b in w.before)
    return whole and plain and w.kernel == w.strides and all(isinstance(d, int) and d == 0 for d in w.after)


def _max_by_taps(g: Tensor, X: Tensor, Y: Tensor, w: Windows) -> Tensor:
    """Windows of any form: for each position of a window a slice of the image, compared with the maximum."""
    exact = pad_spatial(X, w.before, w.beyond, -math.inf)
    pick = tap_slice if w.static else _tap_of_any_size
    slices = Concat(*[Unsqueeze(pick(exact, w, t), [2]) for t in taps_of(w)], axis=2)
    at = Equal(slices, Unsqueeze(Y, [2])).astype(g.dtype)  # [N, C, taps, *maps]
    shared = at * (Unsqueeze(g, [2]) / _some(ReduceSum(at, [2], keepdims=1)))
    return fold(shared, w)


def _tap_of_any_size(exact: Tensor, w: Windows, tap: tuple[int, ...]) -> Tensor:
    """`tap_slice` where sizes are symbolic: cropped, then every stride-th element by a MaxPool of single elements."""
    starts = [t * d for t, d in zip(tap, w.dilations, strict=True)]
    ends = [a + 1 - e for a, e in zip(starts, w.extent, strict=True)]
    inner = pad_spatial(exact, [-a for a in starts], ends)
    if all(s == 1 for s in w.strides):
        return inner
    return MaxPool(inner, kernel_shape=(1,) * len(tap), strides=w.strides)  # type: ignore[no-any-return]


def fold(cols: Tensor, w: Windows) -> Tensor:
    """cols [N, C, taps, *maps] added up at their places in the image [N, C, *image]."""
    n, c, taps = cols.shape[:3]
    columns = reshape(cols, (n, c * taps, product(w.maps)))
    known = [*zip(w.beyond, w.after, strict=True)]
    if all(isinstance(b, int) for b in w.before) and all(isinstance(d, int) and d <= a for d, a in known):
        pads = (*w.before, *w.after)
        return Col2Im(columns, w.image, w.kernel, strides=w.strides, dilations=w.dilations, pads=pads)
    image = Col2Im(columns, shape_tensor(w.covered), w.kernel, strides=w.strides, dilations=w.dilations)
    return pad_spatial(image, [-b for b in w.before], [-d for d in w.beyond])


@op()
def GlobalMaxPool(X: Array) -> Array:
    """The maximum over all spatial axes, which stay with size 1."""
    return np.asarray(X.max(axis=tuple(range(2, X.ndim)), keepdims=True))


def _global(X: Tensor, **_: Any) -> Shape:
    if len(X.shape) < 3:
        raise refuse(f"X has {len(X.shape)} axes", expected="[batch, channels, ...] and at least one spatial axis")
    return *X.shape[:2], *(1,) * (len(X.shape) - 2)


@GlobalMaxPool.gradient
def _(g: Tensor, X: Tensor, Y: Tensor) -> Grads:
    at = Equal(X, Y).astype(g.dtype)
    return g / ReduceSum(at, list(range(2, len(X.shape)))) * at


# -- mean ------------------------------------------------------------------------------------------------------------
@op(runtime=_runs)
def AveragePool(
    X: Array,
    *,
    auto_pad: str,
    ceil_mode: int,
    count_include_pad: int,
    dilations: Ints = None,
    kernel_shape: tuple[int, ...],
    pads: Ints = None,
    strides: Ints = None,
) -> Array:
    """The mean of each window, over what lies in the image, or with count_include_pad=1 in the padded image."""
    w = _pool_windows(
        X.shape, kernel_shape, pads, strides=strides, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    wide = X.astype(np.float32) if X.dtype.itemsize < 4 else X
    total: Array = view(wide, w).sum(axis=_spatial(w))
    return (total / counts(w, bool(count_include_pad))).astype(X.dtype, copy=False)


@AveragePool.gradient
def _(
    g: Tensor,
    X_shape: Shape,
    auto_pad: str,
    ceil_mode: int,
    count_include_pad: int,
    dilations: Ints,
    kernel_shape: tuple[int, ...],
    pads: Ints,
    strides: Ints,
) -> Grads:
    w = _pool_windows(
        X_shape, kernel_shape, pads, strides=strides, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    if _blocks(w, ceil_mode):
        up = upsample(g * (1 / math.prod(kernel_shape)), kernel_shape)
        return pad_spatial(up, (0,) * len(w.beyond), [-d for d in w.beyond])
    return spread(g / _counted(w, count_include_pad, ceil_mode, g.dtype), w)


def _counted(w: Windows, include_pad: int, ceil_mode: int, dtype: DType) -> Tensor:
    """How many positions the mean of each window is over; in the graph where sizes are symbolic."""
    if w.static:
        return wrap(counts(w, bool(include_pad)).astype(dtype))
    unpadded = all(isinstance(p, int) and p == 0 for p in (*w.before, *w.after))
    if not ceil_mode and (include_pad or unpadded):
        return scalar_of(product(w.kernel), dtype)
    if include_pad:
        image = tuple(b + n + a for b, n, a in zip(w.before, w.image, w.after, strict=True))
        w = replace(w, image=image, before=(0,) * len(image))
    return to_maps(ones((1, 1, *w.image), dtype), ones((1, 1, *w.kernel), dtype), w, 1)


def spread(maps: Tensor, w: Windows) -> Tensor:
    """The transpose of the sum over each window: maps [N, C, *maps] to [N, C, *image]."""
    return channelwise(lambda x, c: to_image(x, ones((c, 1, *w.kernel), x.dtype), w, c), maps, w.image)


def _sums(X: Tensor, w: Windows) -> Tensor:
    """The sum over each window."""
    return channelwise(lambda x, c: to_maps(x, ones((c, 1, *w.kernel), x.dtype), w, c), X, w.maps)


@AveragePool.decompose
def _(X: Tensor, *, kernel_shape: tuple[int, ...], count_include_pad: int, **where: Any) -> Tensor:
    """With dilations before opset 19."""
    w = _pool_windows(X.shape, kernel_shape, **where)
    return _sums(X, w) / _counted(w, count_include_pad, where["ceil_mode"], X.dtype)


@op()
def GlobalAveragePool(X: Array) -> Array:
    """The mean over all spatial axes, which stay with size 1."""
    mean: Array = X.mean(axis=tuple(range(2, X.ndim)), keepdims=True)
    return mean.astype(X.dtype, copy=False)


@GlobalAveragePool.gradient
def _(g: Tensor, X_shape: Shape) -> Grads:
    area = product(X_shape[2:])
    if isinstance(area, int):
        return g * full((1, 1, *X_shape[2:]), 1 / max(area, 1), g.dtype)
    return g / scalar_of(area, g.dtype) * ones((1, 1, *X_shape[2:]), g.dtype)


GlobalAveragePool.shape(_global)
GlobalMaxPool.shape(_global)


# -- p-norm ----------------------------------------------------------------------------------------------------------
@op(runtime=_runs)
def LpPool(
    X: Array,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Ints = None,
    kernel_shape: tuple[int, ...],
    p: int,
    pads: Ints = None,
    strides: Ints = None,
) -> Array:
    """(sum |x|^p)^(1/p) of each window."""
    w = _pool_windows(
        X.shape, kernel_shape, pads, strides=strides, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    total: Array = (np.abs(view(X, w)) ** p).sum(axis=_spatial(w))
    return (total ** (1 / p)).astype(X.dtype, copy=False)


@LpPool.gradient
def _(
    g: Tensor,
    X: Tensor,
    Y: Tensor,
    auto_pad: str,
    ceil_mode: int,
    dilations: Ints,
    kernel_shape: tuple[int, ...],
    p: int,
    pads: Ints,
    strides: Ints,
) -> Grads:
    w = _pool_windows(
        X.shape, kernel_shape, pads, strides=strides, dilations=dilations, auto_pad=auto_pad, ceil_mode=ceil_mode
    )
    if p == 1:
        return spread(g, w) * Sign(X)
    nothing = Equal(Y, 0).astype(g.dtype)  # a window of zeros has no slope
    scaled = g / (Pow(Y, float(p - 1)) + nothing)
    return spread(scaled, w) * (X if p == 2 else Sign(X) * Pow(Abs(X), float(p - 1)))


@LpPool.decompose
def _(X: Tensor, *, kernel_shape: tuple[int, ...], p: int, **where: Any) -> Tensor:
    """With dilations or ceil_mode before opset 18."""
    w = _pool_windows(X.shape, kernel_shape, **where)
    return Pow(_sums(Pow(Abs(X), float(p)), w), 1 / p)


for _operator in (AveragePool, LpPool):
    _operator.shape(_pooled)
