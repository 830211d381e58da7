"""Cumulative sums and products along an axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from interchange.dims import DimLike, Shape
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor
from interchange.ops.frame import Grads, op
from interchange.ops.shape_tools import known, known_or_refuse, normalize_axis, ones, refuse


def _scanned(x: Tensor, axis: Tensor, *, exclusive: int, reverse: int) -> Shape:
    if axis.shape not in ((), (1,)):
        raise refuse(f"axis has the shape {list(axis.shape)}", expected="one number")
    position = known(axis)
    if position is not None:
        normalize_axis(int(position[0]), len(x.shape))
    return x.shape


def _scan(accumulate: Callable[..., Array], first: int, x: Array, axis: Array, exclusive: int, reverse: int) -> Array:
    """Accumulate in the dtype of `x`; exclusive: each result leaves out its own element, so the first is neutral."""
    along = normalize_axis(int(axis.reshape(-1)[0]), x.ndim)
    moved = np.moveaxis(x, along, 0)
    moved = moved[::-1] if reverse else moved
    if exclusive:
        moved = np.concatenate([np.full((1, *moved.shape[1:]), first, x.dtype), moved])[: len(moved)]
    result = accumulate(moved, axis=0, dtype=x.dtype)
    return np.ascontiguousarray(np.moveaxis(result[::-1] if reverse else result, 0, along))


@op(shape=_scanned)
def CumSum(x: Array, axis: Array, *, exclusive: int, reverse: int) -> Array:
    """The sum of the elements up to each one (exclusive=1: before it), from the front or (reverse=1) the back."""
    return _scan(np.add.accumulate, 0, x, axis, exclusive, reverse)


@CumSum.gradient
def _(g: Tensor, axis: Tensor, exclusive: int, reverse: int) -> Grads:
    return CumSum(g, axis, exclusive=exclusive, reverse=1 - reverse), None


@op(shape=_scanned, since=26)
def CumProd(x: Array, axis: Array, *, exclusive: int, reverse: int) -> Array:
    """The product of the elements up to each one (exclusive=1: before it), from the front or (reverse=1) the back."""
    return _scan(np.multiply.accumulate, 1, x, axis, exclusive, reverse)


@CumProd.decompose
def _in_operators(x: Tensor, axis: Tensor, *, exclusive: int, reverse: int) -> Tensor:
    from interchange.ops.shape import Transpose

    (position,) = known_or_refuse(axis, "axis")
    rank = len(x.shape)
    order = [i for i in range(rank) if i != int(position) % rank] + [int(position) % rank]
    moved = Transpose(x, perm=tuple(order))
    result = CumProdExclusive(moved, reverse=bool(reverse)) if exclusive else _products(moved, bool(reverse))
    return Transpose(result, perm=tuple(np.argsort(order).tolist()))


@CumProd.gradient
def _(g: Tensor, x: Tensor, axis: Tensor, exclusive: int, reverse: int) -> Grads:
    # no quotient of products is right where an element is 0: the products of the decomposition are differentiated
    from interchange.eager.tape import vjp

    _, pullback = vjp(lambda t: _in_operators(t, axis, exclusive=exclusive, reverse=reverse), x)
    return pullback(g)[0], None


def CumProdExclusive(x: Tensor, *, reverse: bool) -> Tensor:
    """The product of the elements before each one along the last axis (after it, if reverse)."""
    from interchange.ops.shape import Concat, slice_axis

    if not isinstance(x.shape[-1], int):
        return _masked_products(x, reverse, exclusive=True)
    if x.shape[-1] == 0:
        return x
    last, n = len(x.shape) - 1, x.shape[-1]
    one = ones((*x.shape[:-1], 1), x.dtype)
    if reverse:
        return _products(Concat(slice_axis(x, last, 1, n), one, axis=-1), True)
    return _products(Concat(one, slice_axis(x, last, 0, n - 1), axis=-1), False)


def _products(x: Tensor, reverse: bool) -> Tensor:
    """Cumulative products along the last axis in log2(n) steps: after step k each holds the product of 2^k elements."""
    from interchange.ops.shape import Concat, slice_axis

    if not isinstance(x.shape[-1], int):
        return _masked_products(x, reverse, exclusive=False)
    last, n, step = len(x.shape) - 1, x.shape[-1], 1
    while step < n:
        head, tail = slice_axis(x, last, 0, n - step), slice_axis(x, last, step, n)
        if reverse:
            x = Concat(head * tail, slice_axis(x, last, n - step, n), axis=-1)
        else:
            x = Concat(slice_axis(x, last, 0, step), head * tail, axis=-1)
        step *= 2
    return x


def _masked_products(x: Tensor, reverse: bool, exclusive: bool) -> Tensor:
    """The same where the size is symbolic, so that the steps cannot be counted: n products of n elements each."""
    from interchange.ops.arithmetic import Less, LessOrEqual
    from interchange.ops.indexing import count_to
    from interchange.ops.reduce import ReduceProd
    from interchange.ops.select import Where
    from interchange.ops.shape import Unsqueeze

    size: DimLike = x.shape[-1]
    row, column = Unsqueeze(count_to(size), [1]), Unsqueeze(count_to(size), [0])
    first, second = (row, column) if reverse else (column, row)
    mask = (Less if exclusive else LessOrEqual)(first, second)
    return ReduceProd(Where(mask, Unsqueeze(x, [-2]), ones((), x.dtype)), [-1], keepdims=0)
