"""Matrix and vector products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interchange.dims import product
from interchange.eager import composed, operators
from interchange.eager.array_api.arguments import as_tensor, located, pair
from interchange.eager.array_api.manipulation import moveaxis
from interchange.eager.tensor import Tensor
from interchange.ops.linear import transpose_last
from interchange.ops.shape import Reshape, Transpose
from interchange.ops.shape_tools import must_equal, normalize_axis, refuse, reshape_target


@located
def matmul(x1: Any, x2: Any, /) -> Tensor:
    """The matrix product of the last two axes, the others broadcast; a 1-d operand is a row or a column."""
    return composed.matmul(*pair(x1, x2))


@located
def matrix_transpose(x: Any, /) -> Tensor:
    """The last two axes swapped. Raises OperatorError IX112 for fewer than two."""
    x = as_tensor(x)
    if len(x.shape) < 2:
        raise refuse(f"the input has {len(x.shape)} axes", expected="at least 2 axes")
    return transpose_last(x)


@located
def tensordot(x1: Any, x2: Any, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """The sum of products over axes of both: the last `axes` of x1 with the first of x2, or the pairs named."""
    a, b = pair(x1, x2)
    m, n = len(a.shape), len(b.shape)
    left, right = (range(m - axes, m), range(axes)) if isinstance(axes, int) else axes
    left, right = [normalize_axis(i, m) for i in left], [normalize_axis(i, n) for i in right]
    if len(left) != len(right):
        raise refuse(f"{len(left)} axes with {len(right)} axes", expected="as many axes of one as of the other")
    for i, j in zip(left, right, strict=True):
        must_equal(a.shape[i], b.shape[j], f"axis {i} of the first and axis {j} of the second")
    rows, columns = [i for i in range(m) if i not in left], [j for j in range(n) if j not in right]
    inner = product([a.shape[i] for i in left])
    over_rows, over_columns = (product([x.shape[i] for i in keep]) for x, keep in ((a, rows), (b, columns)))
    first, second = Transpose(a, perm=(*rows, *left)), Transpose(b, perm=(*right, *columns))
    flat = composed.matmul(_reshaped(first, (over_rows, inner)), _reshaped(second, (inner, over_columns)))
    return _reshaped(flat, (*(a.shape[i] for i in rows), *(b.shape[j] for j in columns)))


def _reshaped(x: Tensor, shape: tuple[Any, ...]) -> Tensor:
    return Reshape(x, reshape_target(x.shape, shape), allowzero=int(0 in [d for d in shape if isinstance(d, int)]))


@located
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """The sum of products along an axis, which both must have in the same size; the other axes broadcast."""
    a, b = pair(x1, x2)
    if axis >= 0 and len(a.shape) != len(b.shape):
        raise refuse(
            f"axis {axis} of {len(a.shape)} and of {len(b.shape)} axes is not the same one",
            expected="a negative axis",
            fix="count the axis from the end",
        )
    left, right = (normalize_axis(axis, len(x.shape)) for x in (a, b))
    must_equal(a.shape[left], b.shape[right], "the axis of the products")
    products = moveaxis(a, left, -1) * moveaxis(b, right, -1)
    return composed.astype(operators.sum_(products, -1), a.dtype)


__all__ = ["matmul", "matrix_transpose", "tensordot", "vecdot"]
