"""Operators on the set of the elements of a tensor."""

from __future__ import annotations

import numpy as np

from interchange.dims import DimLike, Shape, product
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor
from interchange.ops.frame import Grads, op
from interchange.ops.shape_tools import normalize_axis, reshape_target, zeros


@op()
def Unique(X: Array, *, axis: int | None = None, sorted: int, outputs: int = 1) -> tuple[Array, Array, Array, Array]:
    """The distinct elements (or slices of an axis), where each is first, which one each element is, how often it is.

    sorted=0: in the order of their first occurrence.
    """
    values, first, inverse, counts = np.unique(
        X, return_index=True, return_inverse=True, return_counts=True, axis=axis, equal_nan=False
    )
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first)
        values = np.take(values, order, 0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], np.argsort(order)[inverse]
    return values, first.astype(np.int64), inverse.astype(np.int64), counts.astype(np.int64)


@Unique.shape
def _(X: Tensor, *, axis: int | None = None, sorted: int, outputs: int = 1) -> list[Shape]:
    from interchange.eager.trace import require_trace

    shape = (product(X.shape),) if axis is None else X.shape
    at = 0 if axis is None else normalize_axis(axis, len(shape))
    known = X._known()
    count: DimLike
    if known is None:
        count = require_trace().fresh_dim("unique")
    else:
        count = np.unique(known, axis=axis, equal_nan=False).shape[at]
    return [(*shape[:at], count, *shape[at + 1 :]), (count,), (shape[at],), (count,)]


@Unique.gradient
def _(g_Y: Tensor, X_shape: Shape, indices: Tensor, axis: int | None) -> Grads:
    # the first occurrence of each element is what was read
    from interchange.ops.indexing import ScatterND
    from interchange.ops.shape import Reshape, Transpose, Unsqueeze

    rows = Unsqueeze(indices, [1])
    if axis is None:
        added = ScatterND(zeros((product(X_shape),), g_Y.dtype), rows, g_Y)
        return Reshape(added, reshape_target(added.shape, X_shape))
    axis %= len(X_shape)
    order = (axis, *(i for i in range(len(X_shape)) if i != axis))
    into = zeros(tuple(X_shape[i] for i in order), g_Y.dtype)
    added = ScatterND(into, rows, Transpose(g_Y, perm=order))
    return Transpose(added, perm=tuple(np.argsort(order).tolist()))
