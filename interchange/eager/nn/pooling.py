"""Pooling over windows, and pooling to a given size.

With padding p, dilation d, kernel k and stride s an axis of n becomes (n + 2p - d (k - 1) - 1) // s + 1; with ceil_mode
the division is rounded up, but the last window begins inside the input or its left padding. A kernel is its own default
stride. Where several elements of a window are its maximum, they share the gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interchange.dims import DimLike, must_be_number
from interchange.eager.nn.module import Module
from interchange.eager.nn.sizes import Sizes, ints, over_images
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import OperatorError, user_line
from interchange.ops.indexing import Gather
from interchange.ops.pad import apply_along
from interchange.ops.pool import AveragePool, GlobalAveragePool, GlobalMaxPool, MaxPool
from interchange.ops.reduce import ReduceMax, ReduceMean


def _windows(n: int, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> dict[str, Any]:
    """The attributes of a pooling operator. Raises OperatorError IX124."""
    k = ints("kernel_size", kernel, n, 1)
    p, d = ints("padding", padding, n), ints("dilation", dilation, n, 1)
    if any(2 * a > b for a, b in zip(p, k, strict=True)):
        raise OperatorError(
            "IX124",
            "a window would lie in the padding alone",
            where=user_line(),
            found=f"padding={padding}, kernel_size={kernel}",
            expected="padding of at most half the kernel",
            fix="use a smaller padding",
        )
    return {
        "kernel_shape": k,
        "strides": k if stride is None else ints("stride", stride, n, 1),
        "pads": p * 2,
        "dilations": d,
        "ceil_mode": int(ceil_mode),
    }


def _max_pool(n: int, x: Tensor, *window: Any) -> Tensor:
    attributes = _windows(n, *window)
    return over_images(x, n, lambda images: MaxPool(images, **attributes))


def _avg_pool(n: int, x: Tensor, kernel: Any, stride: Any, padding: Any, ceil: bool, include_pad: bool) -> Tensor:
    attributes = _windows(n, kernel, stride, padding, 1, ceil)
    del attributes["dilations"]  # came with opset 19
    return over_images(x, n, lambda images: AveragePool(images, count_include_pad=int(include_pad), **attributes))


def max_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window: x [N, C, L] or [C, L]."""
    return _max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window: x [N, C, H, W] or [C, H, W]."""
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The maximum of each window: x [N, C, D, H, W] or [C, D, H, W]."""
    return _max_pool(3, x, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window, zeros of the padding counted if asked: x [N, C, L] or [C, L]."""
    return _avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window, zeros of the padding counted if asked: x [N, C, H, W] or [C, H, W]."""
    return _avg_pool(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window, zeros of the padding counted if asked: x [N, C, D, H, W] or [C, D, H, W]."""
    return _avg_pool(3, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


# -- to a given size ---------------------------------------------------------------------------------------------------
def _wanted(n: int, size: Any, x: Tensor) -> list[DimLike]:
    """The output sizes; None keeps the input's."""
    given = tuple(size) if isinstance(size, (tuple, list)) else (size,) * n
    numbers = ints("output_size", [1 if s is None else s for s in given], n, 1)
    return [d if s is None else k for s, k, d in zip(given, numbers, x.shape[2:], strict=True)]


def _fixed(size: DimLike, out: DimLike) -> int:
    if not isinstance(size, int):
        must_be_number(size)
        raise OperatorError(
            "IX125",
            f"pooling the dynamic size {size} to {out}: how large the windows are depends on the input",
            where=user_line(),
            found=f"an axis of {size} elements",
            expected="a fixed size, or an output of 1 (the whole axis)",
            fix=f"make {size} static, or pool to 1 and use a layer after it",
        )
    return size


def _bounds(size: int, out: int) -> list[tuple[int, int]]:
    """The windows of adaptive pooling: [floor(i n / out), ceil((i + 1) n / out))."""
    return [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _adaptive(n: int, x: Tensor, size: Any, largest: bool) -> Tensor:
    wanted = _wanted(n, size, x)
    if all(isinstance(w, int) and w == 1 for w in wanted):
        return GlobalMaxPool(x) if largest else GlobalAveragePool(x)
    pairs = [(d, w) for d, w in zip(x.shape[2:], wanted, strict=True) if isinstance(d, int) and isinstance(w, int)]
    if len(pairs) == n and all(d and d % w == 0 for d, w in pairs):
        kernel = tuple(d // w for d, w in pairs)
        pooled: Tensor = (MaxPool if largest else AveragePool)(x, kernel_shape=kernel, strides=kernel)
        return pooled
    for axis, out in enumerate(wanted, 2):
        if x.shape[axis] is not out:
            x = _adaptive_axis(x, axis, out, largest)
    return x


def _adaptive_axis(x: Tensor, axis: int, out: DimLike, largest: bool) -> Tensor:
    """One axis: the mean by a matrix, the maximum by gathering windows filled up with their last element."""
    if isinstance(out, int) and out == 1:
        return ReduceMax(x, [axis], keepdims=1) if largest else ReduceMean(x, [axis], keepdims=1)
    windows = _bounds(_fixed(x.shape[axis], out), _fixed(out, out))
    if largest:
        longest = max(b - a for a, b in windows)
        at = np.array([[min(a + j, b - 1) for j in range(longest)] for a, b in windows], np.int64)
        return ReduceMax(Gather(x, at, axis=axis), [axis + 1], keepdims=0)
    share = np.zeros((_fixed(x.shape[axis], out), len(windows)), x.dtype)
    for i, (a, b) in enumerate(windows):
        share[a:b, i] = 1 / (b - a)
    return apply_along(x, wrap(share), axis)


def adaptive_avg_pool1d(x: Tensor, output_size: Any) -> Tensor:
    """The means of output_size windows that cover x [N, C, L] or [C, L]; None keeps the size."""
    return over_images(x, 1, lambda images: _adaptive(1, images, output_size, False))


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """The means of output_size windows that cover x [N, C, H, W] or [C, H, W]; None keeps a size."""
    return over_images(x, 2, lambda images: _adaptive(2, images, output_size, False))


def adaptive_avg_pool3d(x: Tensor, output_size: Any) -> Tensor:
    """The means of output_size windows that cover x [N, C, D, H, W] or [C, D, H, W]; None keeps a size."""
    return over_images(x, 3, lambda images: _adaptive(3, images, output_size, False))


def adaptive_max_pool1d(x: Tensor, output_size: Any) -> Tensor:
    """The maxima of output_size windows that cover x [N, C, L] or [C, L]; None keeps the size."""
    return over_images(x, 1, lambda images: _adaptive(1, images, output_size, True))


def adaptive_max_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """The maxima of output_size windows that cover x [N, C, H, W] or [C, H, W]; None keeps a size."""
    return over_images(x, 2, lambda images: _adaptive(2, images, output_size, True))


def adaptive_max_pool3d(x: Tensor, output_size: Any) -> Tensor:
    """The maxima of output_size windows that cover x [N, C, D, H, W] or [C, D, H, W]; None keeps a size."""
    return over_images(x, 3, lambda images: _adaptive(3, images, output_size, True))


# -- modules -----------------------------------------------------------------------------------------------------------
class _MaxPool(Module):
    spatial = 0

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> None:
        _windows(self.spatial, kernel_size, stride, padding, dilation, ceil_mode)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return _max_pool(self.spatial, x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum of each window of x [N, C, L] or [C, L]."""

    spatial = 1


class MaxPool2d(_MaxPool):
    """The maximum of each window of x [N, C, H, W] or [C, H, W]."""

    spatial = 2


class MaxPool3d(_MaxPool):
    """The maximum of each window of x [N, C, D, H, W] or [C, D, H, W]."""

    spatial = 3


class _AvgPool(Module):
    spatial = 0

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        _windows(self.spatial, kernel_size, stride, padding, 1, ceil_mode)
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return _avg_pool(
            self.spatial, x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window of x [N, C, L] or [C, L]."""

    spatial = 1


class AvgPool2d(_AvgPool):
    """The mean of each window of x [N, C, H, W] or [C, H, W]."""

    spatial = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of x [N, C, D, H, W] or [C, D, H, W]."""

    spatial = 3


class _Adaptive(Module):
    spatial, largest = 0, False

    def __init__(self, output_size: Any) -> None:
        given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * self.spatial
        ints("output_size", [1 if s is None else s for s in given], self.spatial, 1)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return over_images(
            x, self.spatial, lambda images: _adaptive(self.spatial, images, self.output_size, self.largest)
        )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """The means of output_size windows that cover x [N, C, L] or [C, L]. A dynamic size only pools to 1."""

    spatial = 1


class AdaptiveAvgPool2d(_Adaptive):
    """The means of output_size windows that cover x [N, C, H, W] or [C, H, W]. A dynamic size only pools to 1."""

    spatial = 2


class AdaptiveAvgPool3d(_Adaptive):
    """The means of output_size windows that cover x [N, C, D, H, W] or [C, D, H, W]."""

    spatial = 3


class AdaptiveMaxPool1d(_Adaptive):
    """The maxima of output_size windows that cover x [N, C, L] or [C, L]. A dynamic size only pools to 1."""

    spatial, largest = 1, True


class AdaptiveMaxPool2d(_Adaptive):
    """The maxima of output_size windows that cover x [N, C, H, W] or [C, H, W]. A dynamic size only pools to 1."""

    spatial, largest = 2, True


class AdaptiveMaxPool3d(_Adaptive):
    """The maxima of output_size windows that cover x [N, C, D, H, W] or [C, D, H, W]."""

    spatial, largest = 3, True
