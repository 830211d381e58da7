"""Padding and cropping, and linear maps along one axis: what the gradients of padding and of resizing are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interchange.dims import Dim, DimLike, Shape, dim_max
from interchange.dtypes import Array, DType
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.frame import Grads, op
from interchange.ops.linear import MatMul
from interchange.ops.reduce import ReduceSum
from interchange.ops.shape import Concat, Reshape, Transpose
from interchange.ops.shape_tools import (
    at_least,
    known_or_refuse,
    must_equal,
    normalize_axis,
    refuse,
    shape_tensor,
    zeros,
)

Amounts = list[tuple[DimLike, DimLike]]  # (before, after) for each axis


@op()
def Pad(
    data: Array, pads: Array, constant_value: Array | None = None, axes: Array | None = None, *, mode: str
) -> Array:
    """More elements before and after: pads is [before of each axis, after of each axis]; negative ones crop, first.

    mode: "constant" (constant_value, or 0), "reflect" (border not repeated), "edge" (border), "wrap" (other end).
    """
    rank = data.ndim
    where = range(rank) if axes is None else [int(a) % rank for a in axes]
    grow, keep, count = [(0, 0)] * rank, [slice(None)] * rank, pads.size // 2
    for axis, before, after in zip(where, pads[:count].tolist(), pads[count:].tolist(), strict=True):
        grow[axis] = max(before, 0), max(after, 0)
        keep[axis] = slice(max(-before, 0), data.shape[axis] - max(-after, 0))
        if data.shape[axis] + min(before, 0) + min(after, 0) < 0:
            raise ValueError("more is cropped than there is")
    kept = data[tuple(keep)]
    if mode != "constant":
        return _pad_mode(kept, grow, mode)
    empty = "" if data.dtype.kind == "O" else 0
    value = empty if constant_value is None else constant_value.reshape(-1)[0]
    result = np.full([b + n + a for n, (b, a) in zip(kept.shape, grow, strict=True)], value, data.dtype)
    result[tuple([slice(b, b + n) for n, (b, _) in zip(kept.shape, grow, strict=True)])] = kept
    return result


def _pad_mode(x: Array, grow: list[tuple[int, int]], mode: str) -> Array:
    if mode == "reflect" and any(max(amounts) >= max(n, 1) for n, amounts in zip(x.shape, grow, strict=True)):
        raise ValueError("a reflection is longer than the axis")
    return np.pad(x, grow, mode)  # type: ignore[call-overload, no-any-return]


def amounts_of(data: Tensor, pads: Tensor, axes: Tensor | None) -> Amounts:
    """What `pads` says for every axis of `data`."""
    rank, found = len(data.shape), known_or_refuse(pads, "pads")
    where = list(range(rank)) if axes is None else [normalize_axis(int(a), rank) for a in known_or_refuse(axes, "axes")]
    must_equal(len(found), 2 * len(where), "the number of pads is twice the number of axes")
    if len(set(where)) != len(where):
        raise refuse("axes name an axis twice", expected="each axis once")
    result: Amounts = [(0, 0)] * rank
    for axis, before, after in zip(where, found[: len(where)], found[len(where) :], strict=True):
        result[axis] = before, after
    return result


@Pad.shape
def _(
    data: Tensor, pads: Tensor, constant_value: Tensor | None = None, axes: Tensor | None = None, *, mode: str
) -> Shape:
    result: list[DimLike] = []
    for axis, (size, (before, after)) in enumerate(zip(data.shape, amounts_of(data, pads, axes), strict=True)):
        if mode != "constant" and not (_is_zero(before) and _is_zero(after)):
            left = size - dim_max(-before, 0) - dim_max(-after, 0)
            grown = dim_max(before, after)
            need = left - grown if mode == "reflect" else left
            at_least(need, 1, f"the size of axis {axis}" + (" less the reflection" if mode == "reflect" else ""))
        result.append(size + before + after)
        at_least(result[-1], 0, f"the size of axis {axis} after padding")
    return tuple(result)


@Pad.gradient
def _(g: Tensor, data: Tensor, pads: Tensor, constant_value: Tensor | None, axes: Tensor | None, mode: str) -> Grads:
    amounts = amounts_of(data, pads, axes)
    if mode != "constant":
        return (lambda: _unpad(g, data.shape, amounts, mode)), None, None, None

    def by_constant() -> Tensor:
        assert constant_value is not None
        inner = pad_axes(g, [(-dim_max(b, 0), -dim_max(a, 0)) for b, a in amounts])
        return Reshape(ReduceSum(g, keepdims=0) - ReduceSum(inner, keepdims=0), constant_value.shape)

    return (lambda: pad_axes(g, [(-b, -a) for b, a in amounts])), None, by_constant, None


@Pad.decompose
def _(
    data: Tensor, pads: Tensor, constant_value: Tensor | None = None, axes: Tensor | None = None, *, mode: str
) -> Tensor:
    """Without the input axes (since opset 18) and the mode "wrap" (since opset 19)."""
    amounts = amounts_of(data, pads, axes)
    if mode != "wrap":
        full = shape_tensor([b for b, _ in amounts] + [a for _, a in amounts])
        return Pad(data, full, constant_value, mode=mode)
    x = pad_axes(data, [(-dim_max(-b, 0), -dim_max(-a, 0)) for b, a in amounts])
    for axis, (before, after) in enumerate(amounts):
        head, tail, size = dim_max(before, 0), dim_max(after, 0), x.shape[axis]
        at_least(size - dim_max(head, tail), 0, f"the size of axis {axis} less the pads")
        parts = [x]
        if not _is_zero(head):
            parts.insert(0, crop(x, axis, size - head, head))
        if not _is_zero(tail):
            parts.append(crop(x, axis, 0, tail))
        x = Concat(*parts, axis=axis)
    return x


# -- used by other gradients -----------------------------------------------------------------------------------------
def _is_zero(d: DimLike) -> bool:
    return isinstance(d, int) and d == 0


def pad_axes(x: Tensor, amounts: Sequence[tuple[DimLike, DimLike]], value: float = 0.0) -> Tensor:
    """`x` with (before, after) more elements on each axis, negative: fewer; `x` itself where nothing changes."""
    if all(_is_zero(b) and _is_zero(a) for b, a in amounts):
        return x
    pads = shape_tensor([b for b, _ in amounts] + [a for _, a in amounts])
    return Pad(x, pads, wrap(np.array(value, x.dtype)) if value else None)


def pad_spatial(x: Tensor, before: Sequence[DimLike], after: Sequence[DimLike], value: float = 0.0) -> Tensor:
    """`pad_axes` for the axes from the third on."""
    return pad_axes(x, [(0, 0), (0, 0), *zip(before, after, strict=True)], value)


def crop(x: Tensor, axis: int, start: DimLike, count: DimLike) -> Tensor:
    """``x[..., start:start + count, ...]``. As a negative Pad its size is `count` also where `start` is symbolic."""
    amounts: Amounts = [(0, 0)] * len(x.shape)
    amounts[axis] = -start, start + count - x.shape[axis]
    return pad_axes(x, amounts)


def eye(n: DimLike, dtype: DType) -> Tensor:
    """The identity matrix."""
    if isinstance(n, Dim):
        from interchange.ops.creation import EyeLike

        return EyeLike(zeros((n, n), dtype), k=0)
    return wrap(np.eye(n, dtype=dtype))


def apply_along(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """A linear map along one axis: size m becomes n by a matrix of shape [m, n]."""
    last = len(x.shape) - 1
    if axis == last:
        return MatMul(x, matrix)
    order = list(range(last + 1))
    order[axis], order[last] = last, axis
    return Transpose(MatMul(Transpose(x, perm=order), matrix), perm=order)


def _unpad(g: Tensor, shape: Shape, amounts: Amounts, mode: str) -> Tensor:
    """The gradient of reflect, edge and wrap: the padding of the identity is the matrix of padding."""
    for axis, (size, (before, after)) in enumerate(zip(shape, amounts, strict=True)):
        if not (_is_zero(before) and _is_zero(after)):
            pads = shape_tensor([before, 0, after, 0])
            g = apply_along(g, Pad(eye(size, g.dtype), pads, mode=mode), axis)
    return g
