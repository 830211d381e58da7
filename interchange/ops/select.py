"""Operators that choose between elements, or blank some of them out."""

from __future__ import annotations

import numpy as np

from interchange.dims import Shape
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor, wrap
from interchange.ops.frame import Grads, op
from interchange.ops.shape_rules import broadcast
from interchange.ops.shape_tools import refuse, sum_to


@op(shape=broadcast)
def Where(condition: Array, X: Array, Y: Array) -> Array:
    """X where the condition holds, else Y. No gradient reaches the side that was not chosen, not even a NaN."""
    return np.where(condition, X, Y)


@Where.gradient
def _(g: Tensor, condition: Tensor, X_shape: Shape, Y_shape: Shape) -> Grads:
    # a product with the mask would be faster in ONNX Runtime, but 0 * inf is NaN
    zero = wrap(np.zeros((), g.dtype))
    return (
        None,
        lambda: sum_to(Where(condition, g, zero), X_shape),
        lambda: sum_to(Where(condition, zero, g), Y_shape),
    )


@op()
def Trilu(input: Array, k: Array | None = None, *, upper: int) -> Array:
    """The upper (or lower) triangle of the matrices in the last two axes, zero elsewhere; k moves the diagonal."""
    rows, columns = input.shape[-2:]
    shift = 0 if k is None else int(k.reshape(-1)[0])
    above = np.arange(columns) - np.arange(rows)[:, None]
    return np.where(above >= shift if upper else above <= shift, input, np.zeros((), input.dtype))


@Trilu.shape
def _(input: Tensor, k: Tensor | None = None, *, upper: int) -> Shape:
    if len(input.shape) < 2:
        raise refuse(f"the input has {len(input.shape)} axes", expected="at least 2 axes")
    if k is not None and k.shape not in ((), (1,)):
        raise refuse(f"k has the shape {list(k.shape)}", expected="one number")
    return input.shape


@Trilu.gradient
def _(g: Tensor, k: Tensor | None, upper: int) -> Grads:
    return Trilu(g, k, upper=upper), None
