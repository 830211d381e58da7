"""Windows written out: for integers, which ONNX Runtime does not pool, and for windows of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product as every

import numpy as np

from interchange import ops
from interchange.dims import DimLike, dim_max, dim_min, product
from interchange.dtypes import is_float
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.creation import counted
from interchange.ops.pad import pad_spatial
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import shape_tensor


@dataclass(frozen=True, slots=True)
class Window:
    """A window of `kernel` positions, `dilations` apart, that moves by `strides` over an image with `padding`."""

    kernel: list[int]
    strides: list[int]
    padding: list[int]
    dilations: list[int]
    ceil: bool

    def behind(self, image: Sequence[DimLike], maps: Sequence[DimLike]) -> list[DimLike]:
        """How far the last of so many windows reaches beyond an image, at least 0."""
        parts = zip(image, maps, self.kernel, self.strides, self.padding, self.dilations, strict=True)
        return [dim_max((m - 1) * s + (k - 1) * d + 1 - n - p, 0) for n, m, k, s, p, d in parts]

    def taps(self, x: Tensor, maps: Sequence[DimLike], fill: float) -> Tensor:
        """The positions of every window of x [N, C, *image], padded by `fill`: [N, C, taps, *maps]."""
        image = x.shape[2:]
        padded = pad_spatial(x, self.padding, self.behind(image, maps), fill)
        axes = list(range(2, 2 + len(image)))
        slices = []
        for tap in every(*map(range, self.kernel)):
            starts = [t * d for t, d in zip(tap, self.dilations, strict=True)]
            ends = [a + (m - 1) * s + 1 for a, m, s in zip(starts, maps, self.strides, strict=True)]
            slices.append(ops.Slice(padded, starts, shape_tensor(ends), axes, self.strides))
        return ops.Concat(*[ops.Unsqueeze(s, [2]) for s in slices], axis=2)


def positions(image: Sequence[DimLike]) -> Tensor:
    """The number of each element of an image, counted in row-major order: int64 [*image]."""
    return reshape(counted(product(image)), tuple(image))


def first_and_last(x: Tensor, at: Tensor, axes: list[int]) -> tuple[Tensor, Tensor]:
    """The maximum over axes, NaN where there is one, and its position: the first of several, the last NaN.

    at: the position of each element of x, which broadcasts to it.
    """
    largest = ops.ReduceMax(x, axes, keepdims=1)
    far = wrap(np.array(np.iinfo(np.int64).max))
    found = ops.ReduceMin(ops.Where(ops.Equal(x, largest), at, far), axes, keepdims=1)
    if is_float(x.dtype):
        nan = ops.ReduceMax(ops.Where(ops.IsNaN(x), at, wrap(np.array(-1))), axes, keepdims=1)
        some = ops.GreaterOrEqual(nan, wrap(np.array(0)))
        largest = ops.Where(some, wrap(np.array(np.nan, x.dtype)), largest)
        found = ops.Where(some, nan, found)
    return ops.Squeeze(largest, axes), ops.Squeeze(found, axes)


# -- to a given size: windows of several sizes -------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Parts:
    """The windows [floor(i n / out), ceil((i + 1) n / out)) of one axis.

    at: int64 [out, longest], where the positions of each window are, its last one repeated. lengths: int64 [out].
    """

    at: Tensor
    lengths: Tensor
    longest: DimLike


def parts(size: DimLike, out: DimLike) -> Parts:
    """The windows that adaptive pooling divides an axis into; of symbolic sizes they are computed in the graph."""
    i = counted(out)
    n, m = shape_tensor(size), shape_tensor(out)
    start = ops.Div(ops.Mul(i, n), m)
    end = ops.Div(ops.Add(ops.Mul(ops.Add(i, 1), n), ops.Sub(m, 1)), m)
    if isinstance(size, int) and isinstance(out, int):
        longest: DimLike = max((-(-(k + 1) * size // out) - k * size // out for k in range(out)), default=1)
    else:
        longest = dim_min(size, (size + out - 1) // out + 1)
    last = ops.Unsqueeze(ops.Sub(end, 1), [1])
    at = ops.Min(ops.Add(ops.Unsqueeze(start, [1]), ops.Unsqueeze(counted(longest), [0])), last)
    return Parts(at, ops.Sub(end, start), longest)


def gathered(x: Tensor, windows: Sequence[Parts]) -> Tensor:
    """x [N, C, d1, d2, ...] as [N, C, out1, longest1, out2, longest2, ...]."""
    for i, window in enumerate(windows):
        x = ops.Gather(x, window.at, axis=2 + 2 * i)
    return x


def inside(windows: Sequence[Parts]) -> Tensor:
    """Which elements of `gathered` belong to their window: bool [out1, longest1, out2, longest2, ...]."""
    rank = 2 * len(windows)
    result: Tensor | None = None
    for i, window in enumerate(windows):
        short = ops.Less(ops.Unsqueeze(counted(window.longest), [0]), ops.Unsqueeze(window.lengths, [1]))
        short = ops.Unsqueeze(short, [a for a in range(rank) if a not in (2 * i, 2 * i + 1)])
        result = short if result is None else ops.And(result, short)
    assert result is not None
    return result


def gathered_positions(image: Sequence[DimLike], windows: Sequence[Parts]) -> Tensor:
    """Where each element of `gathered` lies in the flattened image: int64 [out1, longest1, out2, longest2, ...]."""
    rank = 2 * len(windows)
    total: Tensor | None = None
    for i, window in enumerate(windows):
        row = ops.Mul(window.at, shape_tensor(product(image[i + 1 :])))
        row = ops.Unsqueeze(row, [a for a in range(rank) if a not in (2 * i, 2 * i + 1)])
        total = row if total is None else ops.Add(total, row)
    assert total is not None
    return total


def many(windows: Sequence[Parts], like: Tensor) -> Tensor:
    """How many elements each window has, in the dtype of `like`: [out1, out2, ...]."""
    total: Tensor | None = None
    for i, window in enumerate(windows):
        size = ops.Unsqueeze(astype(window.lengths, like.dtype), [a for a in range(len(windows)) if a != i])
        total = size if total is None else ops.Mul(total, size)
    assert total is not None
    return total
