"""Elements of an image at places that a tensor names. Formulas: the ONNX operator GridSample."""

from __future__ import annotations

from itertools import product as every

import numpy as np

from interchange.dims import DimLike, Shape, product
from interchange.dtypes import Array, is_float
from interchange.eager.tensor import Tensor, no_grad, wrap
from interchange.ops.activation import Clip
from interchange.ops.arithmetic import Abs, Floor, Max, Min, Mod, Round
from interchange.ops.frame import Grads, op
from interchange.ops.indexing import GatherElements
from interchange.ops.select import Where
from interchange.ops.shape import Cast, Expand, Slice, Squeeze, reshape
from interchange.ops.shape_tools import must_equal, refuse, scalar_of, shape_tensor

_CUBIC = -0.75  # Keys' a


@op(since=20, runtime=0)
def GridSample(X: Array, grid: Array, *, align_corners: int, mode: str, padding_mode: str) -> Array:
    """X [N, C, *image] at the places grid [N, *out, axes] names, the last image axis first, -1 to 1 over each axis.

    Between elements it is interpolated (linear, cubic) or the nearest is taken. Outside: 0, the border, or mirrored.
    """
    with no_grad():
        x = X if is_float(wrap(X).dtype) else X.astype(np.float64)
        return _sampled(wrap(x), wrap(grid), align_corners, mode, padding_mode)._data.astype(X.dtype, copy=False)


@GridSample.shape
def _(X: Tensor, grid: Tensor, *, align_corners: int, mode: str, padding_mode: str) -> Shape:
    rank = len(X.shape)
    if rank < 3:
        raise refuse(f"X has {rank} axes", expected="[batch, channels, ...] and at least one spatial axis")
    must_equal(len(grid.shape), rank, "the number of axes of grid and X")
    must_equal(grid.shape[0], X.shape[0], "the batch of grid and X")
    must_equal(grid.shape[-1], rank - 2, "the last size of grid and the number of spatial axes")
    if mode == "cubic" and rank != 4:
        raise refuse(f"cubic interpolation of {rank - 2} spatial axes", expected="2, as ONNX Runtime has it")
    return X.shape[0], X.shape[1], *grid.shape[1:-1]


@GridSample.gradient
def _(g: Tensor, X: Tensor, grid: Tensor, align_corners: int, mode: str, padding_mode: str) -> Grads:
    from interchange.eager.tape import vjp

    _, pullback = vjp(lambda x, at: _sampled(x, at, align_corners, mode, padding_mode), X, grid)
    return pullback(g)


@GridSample.decompose
def _(X: Tensor, grid: Tensor, *, align_corners: int, mode: str, padding_mode: str) -> Tensor:
    """Before opset 20, where the modes have other names."""
    return _sampled(X, grid, align_corners, mode, padding_mode)


# -- in other operators ------------------------------------------------------------------------------------------------
def _sampled(X: Tensor, grid: Tensor, align: int, mode: str, padding: str) -> Tensor:
    """The sum over the elements around each place, times the product of their weights along the axes."""
    n, c, *image = X.shape
    rank, out = len(image), grid.shape[1:-1]
    flat = reshape(X, (n, c, product(image)))
    taps = []  # for each axis: [(index, weight)]
    for axis, size in enumerate(image):
        last = rank - 1 - axis
        at = Squeeze(Slice(grid, [last], [last + 1], [rank + 1]), [rank + 1]).astype(X.dtype)
        taps.append(_along(_place(at, size, align), size, align, mode, padding))
    total: Tensor | None = None
    for chosen in every(*taps):
        index, weight = chosen[0]
        for (i, w), size in zip(chosen[1:], image[1:], strict=True):
            index, weight = index * scalar_of(size, index.dtype) + i, weight * w
        where = Expand(reshape(index, (n, 1, product(out))), shape_tensor((n, c, product(out))))
        found = GatherElements(flat, where, axis=2) * reshape(weight, (n, 1, product(out)))
        total = found if total is None else total + found
    assert total is not None
    return reshape(total, (n, c, *out))


def _place(at: Tensor, size: DimLike, align: int) -> Tensor:
    """-1 to 1 as a position among the elements: their centres are the ends (align), or their outer edges are."""
    count = scalar_of(size, at.dtype)
    return (at + 1) * (count - 1) * 0.5 if align else ((at + 1) * count - 1) * 0.5


def _along(at: Tensor, size: DimLike, align: int, mode: str, padding: str) -> list[tuple[Tensor, Tensor]]:
    """The elements of one axis around each position: (index, weight), the weight 0 outside with padding "zeros"."""
    if mode != "cubic":
        at = _inside(at, size, align, padding)
    if mode == "nearest":
        nearest = Round(at)
        return [_element(nearest, nearest * 0 + 1, size, padding)]
    low = Floor(at)
    after = at - low.detach()
    if mode == "linear":
        weights = [1 - after, after]
        return [_element(low + i, w, size, padding) for i, w in enumerate(weights)]
    result = []
    for i in range(-1, 3):
        index = Round(_inside(low + i, size, align, padding))
        result.append(_element(index, _keys(after - float(i)), size, padding))
    return result


def _inside(at: Tensor, size: DimLike, align: int, padding: str) -> Tensor:
    """Positions outside moved to the border, or mirrored at it (or at the outer edge of its element)."""
    if padding == "zeros":
        return at
    end = scalar_of(size, at.dtype) - 1
    if padding == "reflection":
        low, span = (0.0, end) if align else (-0.5, end + 1)
        span = Max(span, wrap(np.array(1e-30, at.dtype)))  # one element is mirrored onto itself
        away = Mod(Abs(at - low), span * 2, fmod=1)
        at = Min(away, span * 2 - away) + low
    return Clip(at, wrap(np.zeros((), at.dtype)), end)


def _element(index: Tensor, weight: Tensor, size: DimLike, padding: str) -> tuple[Tensor, Tensor]:
    end = scalar_of(size, index.dtype) - 1
    if padding == "zeros":
        weight = Where((index >= 0) & (index <= end), weight, wrap(np.zeros((), weight.dtype)))
    return Cast(Clip(index, wrap(np.zeros((), index.dtype)), end), to=np.dtype(np.int64)), weight


def _keys(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel, at most 2 away."""
    x = Abs(x)
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    far = ((_CUBIC * x - 5 * _CUBIC) * x + 8 * _CUBIC) * x - 4 * _CUBIC
    return Where(x <= 1, near, far)
