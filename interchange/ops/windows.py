"""Windows over the spatial axes: the geometry that convolution and pooling share.

A window of `kernel` positions, `dilations` apart, moves by `strides` over an image that is `before` and `after` longer.
Sizes may be symbolic. Formulas: the ONNX operators Conv, ConvTranspose and MaxPool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from interchange.dims import DimLike, Shape, dim_max, dim_min
from interchange.dtypes import Array
from interchange.ops.shape_tools import at_least, must_equal, refuse

Ints = tuple[int, ...] | None
SAME = ("SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True, slots=True)
class Windows:
    """image: the sizes that the windows move over. maps: how many windows there are along each axis."""

    image: Shape
    maps: Shape
    kernel: Shape
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: Shape
    after: Shape

    @property
    def extent(self) -> Shape:
        """How far one window reaches."""
        return tuple(_extent(k, d) for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def covered(self) -> Shape:
        """How far all windows reach, from the first position of the first to the last position of the last."""
        parts = zip(self.maps, self.strides, self.extent, strict=True)
        return tuple((m - 1) * s + e for m, s, e in parts)

    @property
    def beyond(self) -> Shape:
        """How far the last window reaches beyond the image; negative where a rest of the image is in no window."""
        return tuple(c - n - b for c, n, b in zip(self.covered, self.image, self.before, strict=True))

    @property
    def static(self) -> bool:
        """Whether every size is a number."""
        return all(isinstance(d, int) for d in (*self.image, *self.maps, *self.kernel))


def _extent(kernel: DimLike, dilation: int) -> DimLike:
    return (kernel - 1) * dilation + 1


def _each(values: Ints, default: int, rank: int, name: str, low: int, per_axis: int = 1) -> tuple[int, ...]:
    """An attribute with an entry for each spatial axis."""
    if values is None:
        return (default,) * (rank * per_axis)
    if len(values) != rank * per_axis or any(v < low for v in values):
        raise refuse(
            f"{name}={list(values)} does not fit {rank} spatial axes",
            expected=f"{rank * per_axis} numbers, each at least {low}",
        )
    return values


def kernel_of(weight: Shape, kernel_shape: Ints) -> Shape:
    """The spatial sizes of a weight, which kernel_shape must repeat if it is given."""
    if kernel_shape is not None:
        must_equal(len(kernel_shape), len(weight) - 2, "the length of kernel_shape")
        for i, (a, b) in enumerate(zip(kernel_shape, weight[2:], strict=True)):
            must_equal(a, b, f"kernel_shape[{i}] and the size of the weight")
    return weight[2:]


def windows(
    image: Shape,
    kernel: Shape,
    *,
    strides: Ints = None,
    dilations: Ints = None,
    pads: Ints = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
) -> Windows:
    """The windows of Conv and of pooling over an image.

    ceil_mode: a last window may reach beyond the padded image, if it begins within the image or before it.
    """
    rank = len(image)
    must_equal(len(kernel), rank, "the number of kernel sizes is the number of spatial axes")
    step, apart = _each(strides, 1, rank, "strides", 1), _each(dilations, 1, rank, "dilations", 1)
    around = _each(pads if auto_pad == "NOTSET" else None, 0, rank, "pads", 0, 2)
    if auto_pad in SAME:
        return _same(image, kernel, step, apart, auto_pad)
    maps: list[DimLike] = []
    for i, (n, k, s, d) in enumerate(zip(image, kernel, step, apart, strict=True)):
        before, after, extent = around[i], around[rank + i], _extent(k, d)
        if ceil_mode:
            beyond = dim_min(0, after - extent + s)
            at_least(n + before + beyond, 1, f"the size of axis {i + 2} with its pads, for the windows to begin in,")
            maps.append((n + before + beyond + s - 1) // s)
            continue
        if isinstance(extent, int):
            at_least(n, extent - before - after, f"the size of axis {i + 2}, which the kernel must fit into,")
        else:
            at_least(n + before + after - extent, 0, f"the size of axis {i + 2} less the kernel")
        maps.append((n + before + after - extent) // s + 1)
    return Windows(image, tuple(maps), kernel, step, apart, around[:rank], around[rank:])


def _same(image: Shape, kernel: Shape, strides: tuple[int, ...], dilations: tuple[int, ...], auto_pad: str) -> Windows:
    """As many windows as strides in the image; the pads are split evenly, an odd one goes last (UPPER) or first."""
    if any(d != 1 for d in dilations):
        raise refuse(
            f"auto_pad={auto_pad} with dilations {list(dilations)}, which ONNX Runtime does not run",
            expected="pads given as numbers where a kernel is dilated",
            fix="pass pads instead of auto_pad",
        )
    maps, before, after = [], [], []
    for n, k, s in zip(image, kernel, strides, strict=True):
        maps.append((n + s - 1) // s)
        whole = isinstance(n % s, int) and n % s == 0
        total = dim_max(0, k - s if whole else (maps[-1] - 1) * s + k - n)
        before.append(total // 2 if auto_pad == "SAME_UPPER" else total - total // 2)
        after.append(total - before[-1])
    return Windows(image, tuple(maps), kernel, strides, dilations, tuple(before), tuple(after))


def transposed_windows(
    maps: Shape,
    kernel: Shape,
    *,
    strides: Ints = None,
    dilations: Ints = None,
    pads: Ints = None,
    auto_pad: str = "NOTSET",
    output_padding: Ints = None,
    output_shape: Ints = None,
) -> Windows:
    """The windows of ConvTranspose: of the convolution that it is the transpose of. Its output is their image."""
    rank = len(maps)
    must_equal(len(kernel), rank, "the number of kernel sizes is the number of spatial axes")
    step, apart = _each(strides, 1, rank, "strides", 1), _each(dilations, 1, rank, "dilations", 1)
    around = _each(pads if auto_pad == "NOTSET" else None, 0, rank, "pads", 0, 2)
    extra = _each(output_padding, 0, rank, "output_padding", 0)
    wanted = _each(output_shape, 0, rank, "output_shape", 1) if output_shape is not None else None
    image: list[DimLike] = []
    before: list[DimLike] = list(around[:rank])
    after: list[DimLike] = list(around[rank:])
    for i, (m, k, s, d) in enumerate(zip(maps, kernel, step, apart, strict=True)):
        if extra[i] and extra[i] >= max(s, d):
            raise refuse(
                f"output_padding={extra[i]} on axis {i + 2}", expected=f"less than the stride or dilation, {max(s, d)}"
            )
        reach = (m - 1) * s + extra[i] + _extent(k, d)
        if wanted is None and auto_pad not in SAME:
            image.append(reach - before[i] - after[i])
            at_least(image[i], 1, f"the output size of axis {i + 2}")
            continue
        image.append(m * s if wanted is None else wanted[i])
        total = reach - image[i]
        if isinstance(total, int) and -max(s, d) < total < 0 and wanted is not None:
            total = 0  # a little longer than the windows reach: as output_padding
        if isinstance(total, int) and total < 0:
            raise refuse(
                f"the windows reach over {reach} positions of axis {i + 2}, and {image[i]} are asked for",
                expected="at most as many as they reach over",
                fix="use output_padding with pads, or a larger kernel",
            )
        at_least(total, 0, f"how much of axis {i + 2} is cut off for the output size asked for")
        before[i] = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
        after[i] = total - before[i]
    return Windows(tuple(image), maps, kernel, step, apart, tuple(before), tuple(after))


# -- numpy -----------------------------------------------------------------------------------------------------------
def view(x: Array, w: Windows, fill: Any = 0) -> Array:
    """Every window of `x` [N, C, *image]: a read-only view [N, C, *maps, *kernel] on `x` padded with `fill`."""
    grow = [(0, 0), (0, 0)]
    keep = [slice(None), slice(None)]
    for n, before, beyond in zip(w.image, w.before, w.beyond, strict=True):
        grow.append((int(before), max(int(beyond), 0)))
        keep.append(slice(0, int(n) + min(int(beyond), 0)))
    exact = x[tuple(keep)]
    if any(b or a for b, a in grow):
        exact = np.pad(exact, grow, constant_values=fill)
    space = exact.strides[2:]
    steps = [a * s for a, s in zip(space, w.strides, strict=True)] + [
        a * d for a, d in zip(space, w.dilations, strict=True)
    ]
    shape = (*exact.shape[:2], *w.maps, *w.kernel)
    return as_strided(exact, shape, (*exact.strides[:2], *steps), writeable=False)


def add_back(cols: Array, w: Windows) -> Array:
    """The transpose of `view`: cols [N, C, *kernel, *maps] added up at their places in the image [N, C, *image]."""
    rank = len(w.image)
    ends = [max(int(b) + int(n), int(c)) for b, n, c in zip(w.before, w.image, w.covered, strict=True)]
    total = np.zeros((*cols.shape[:2], *ends), cols.dtype)
    for tap in np.ndindex(*cols.shape[2 : 2 + rank]):
        total[_places(w, tap)] += cols[(slice(None), slice(None), *tap)]
    inner = [slice(int(b), int(b) + int(n)) for b, n in zip(w.before, w.image, strict=True)]
    return total[(slice(None), slice(None), *inner)]


def _places(w: Windows, tap: tuple[int, ...]) -> tuple[slice, ...]:
    """Where position `tap` of each window lies in the padded image."""
    spatial = [
        slice(t * d, t * d + (int(m) - 1) * s + 1, s)
        for t, d, s, m in zip(tap, w.dilations, w.strides, w.maps, strict=True)
    ]
    return (slice(None), slice(None), *spatial)


def counts(w: Windows, include_pad: bool) -> Array:
    """How many positions of each window lie in the image (with include_pad: in the padded image), shape [*maps]."""
    result = np.ones((), np.int64)
    for i, (n, m, k) in enumerate(zip(w.image, w.maps, w.kernel, strict=True)):
        places = np.arange(int(m))[:, None] * w.strides[i] + np.arange(int(k)) * w.dilations[i] - int(w.before[i])
        low, high = (-int(w.before[i]), int(n) + int(w.after[i])) if include_pad else (0, int(n))
        result = np.multiply.outer(result, ((places >= low) & (places < high)).sum(1))
    return result
