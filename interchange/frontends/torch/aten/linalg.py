"""Norms, distances and other functions of matrices that need no factorisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import DimLike, Shape, product
from interchange.dtypes import DType, float32, is_float
from interchange.eager.composed import astype, matmul
from interchange.eager.tensor import Tensor, wrap
from interchange.errors import ConvertError
from interchange.frontends.torch.table import Operand, Out, axes_of, axis_of, is_one, lower, promote, promote_float
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import zeros

INF = math.inf


def refused(what: str, found: str, expected: str, fix: str) -> ConvertError:
    """A case of an operator that has no lowering."""
    return ConvertError("IX928", what, found=found, expected=expected, fix=fix)


def transposed(x: Tensor) -> Tensor:
    """The last two axes swapped."""
    n = len(x.shape)
    return ops.Transpose(x, perm=(*range(n - 2), n - 1, n - 2))


def _float(x: Tensor, dtype: DType | None) -> Tensor:
    """As PyTorch's norms take it: in the dtype asked for, else a float."""
    return astype(x, dtype or (x.dtype if is_float(x.dtype) else float32))


# -- norms ------------------------------------------------------------------------------------------------------------
def _empty(shape: Shape, axes: Sequence[int]) -> bool:
    return any(isinstance(shape[i], int) and shape[i] == 0 for i in axes)


def _extreme(x: Tensor, axes: list[int], keep: bool, largest: bool) -> Tensor:
    """The largest or smallest of numbers that are not negative; NaN if one is, which ONNX Runtime would pass over."""
    if not axes:
        return x
    if _empty(x.shape, axes):  # of nothing, PyTorch says 0
        kept = [1 if i in axes else d for i, d in enumerate(x.shape) if keep or i not in axes]
        return zeros(kept, x.dtype)
    found = (ops.ReduceMax if largest else ops.ReduceMin)(x, axes, keepdims=int(keep))
    nothing = wrap(np.zeros((), x.dtype))
    return found + ops.ReduceSum(ops.Where(ops.IsNaN(x), x, nothing), axes, keepdims=int(keep))


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return ops.ReduceSum(x, axes, keepdims=int(keep)) if axes else x


def norm_over(x: Tensor, p: float, axes: list[int], keep: bool) -> Tensor:
    """(sum |x|^p)^(1/p) over axes, with its limits at 0 (how many are not 0), inf and -inf."""
    if p == 2 and axes:
        return ops.ReduceL2(x, axes, keepdims=int(keep))
    size = ops.Abs(x)
    if p in (INF, -INF):
        return _extreme(size, axes, keep, p > 0)
    if p == 0:
        return _sum(astype(ops.Not(ops.Equal(x, 0)), x.dtype), axes, keep)
    if p == 1 or not axes:
        return _sum(size, axes, keep)
    power = _sum(ops.Pow(size, wrap(np.array(p, x.dtype))), axes, keep)
    return ops.Sqrt(power) if p == 2 else ops.Pow(power, wrap(np.array(1 / p, x.dtype)))


@lower("aten.linalg_vector_norm")
def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The norm of all elements over some axes, or all of them."""
    return norm_over(_float(x, dtype), float(ord), axes_of(dim or None, len(x.shape)), keepdim)


@lower("aten.norm", "aten.frobenius_norm")
def norm(
    x: Tensor, p: float | None = None, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The norm of all elements, as it was called before linalg."""
    return vector_norm(x, 2 if p is None else p, dim, keepdim, dtype=dtype)


@lower("aten.frobenius_norm.dim")
def frobenius_norm(x: Tensor, dim: Sequence[int], keepdim: bool = False) -> Tensor:
    """The root of the sum of squares."""
    return vector_norm(x, 2, dim, keepdim)


@lower("aten.linalg_matrix_norm")
def matrix_norm(
    x: Tensor, ord: Any = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The norm of matrices in two axes: of Frobenius, or the largest (smallest) sum of a row or a column."""
    x = _float(x, dtype)
    rows, columns = axes_of(list(dim), len(x.shape))
    if ord == "fro":
        return norm_over(x, 2, [rows, columns], keepdim)
    if ord in (1, -1, INF, -INF):
        inner, outer = (rows, columns) if abs(ord) == 1 else (columns, rows)
        found = _extreme(ops.ReduceSum(ops.Abs(x), [inner], keepdims=1), [outer], True, ord > 0)
        return found if keepdim else ops.Squeeze(found, [rows, columns])
    raise refused(
        "this norm is made of singular values, for which ONNX has no operator",
        f"ord={ord!r}",
        "ord 'fro', 1, -1, inf or -inf",
        "use one of these norms",
    )


@lower("aten.linalg_norm")
def linalg_norm(
    x: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The norm of a vector or of a matrix, by the number of axes; without ord that of all elements."""
    axes = axes_of(dim, len(x.shape))
    if ord is None or (len(axes) < 2 and not isinstance(ord, str)):
        return norm_over(_float(x, dtype), 2.0 if ord is None else float(ord), axes, keepdim)
    return matrix_norm(x, ord, axes, keepdim, dtype=dtype)


@lower("aten.renorm")
def renorm(x: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Slices along an axis scaled down to a norm, where theirs is larger."""
    axis = axis_of(dim, len(x.shape))
    size = norm_over(x, float(p), [i for i in range(len(x.shape)) if i != axis], True)
    scale = float(maxnorm) / (size + 1e-7)
    return x * ops.Where(size > maxnorm, scale, wrap(np.ones((), x.dtype)))


# -- distances --------------------------------------------------------------------------------------------------------
@lower("aten.dist")
def dist(x: Tensor, y: Tensor, p: float = 2) -> Tensor:
    """The norm of all elements of a difference."""
    a, b = promote_float(x, y)
    difference = a - b
    return norm_over(difference, float(p), list(range(len(difference.shape))), False)


@lower("aten.pairwise_distance")
def pairwise_distance(x: Tensor, y: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The norms of the differences of rows, each element's difference larger by eps."""
    a, b = promote_float(x, y)
    difference = a - b + eps
    return norm_over(difference, float(p), [len(difference.shape) - 1], keepdim)


_BY_PRODUCT = 25  # rows from which on PyTorch takes Euclidean distances from a matrix product


@lower("aten.cdist", "aten._cdist_forward")
def cdist(x: Tensor, y: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """The distance of each row of x [..., P, M] to each of y [..., R, M], as [..., P, R]."""
    rows = [n for n in (x.shape[-2], y.shape[-2]) if isinstance(n, int)]
    if p == 2 and compute_mode != 2 and (compute_mode == 1 or any(n > _BY_PRODUCT for n in rows)):
        squares = ops.ReduceSumSquare(x, [-1], keepdims=1) + transposed(ops.ReduceSumSquare(y, [-1], keepdims=1))
        return ops.Sqrt(ops.Max(squares - 2 * ops.MatMul(x, transposed(y)), wrap(np.zeros((), x.dtype))))
    difference = ops.Unsqueeze(x, [-2]) - ops.Unsqueeze(y, [-3])
    return norm_over(difference, float(p), [len(difference.shape) - 1], False)


@lower("aten.pdist", "aten._pdist_forward")
def pdist(x: Tensor, p: float = 2.0) -> Tensor:
    """The distances of each two rows."""
    rows = x.shape[0]
    if not isinstance(rows, int):
        raise refused(
            "the distances of each two rows have no shape that a dynamic number of rows tells",
            f"{rows} rows",
            "a fixed number of rows",
            "make the axis static, or use torch.cdist, which gives a matrix",
        )
    first, second = np.triu_indices(rows, 1)
    difference = ops.Gather(x, wrap(first.astype(np.int64))) - ops.Gather(x, wrap(second.astype(np.int64)))
    return norm_over(difference, float(p), [1], False)


# -- products ---------------------------------------------------------------------------------------------------------
@lower("aten.cross")
def cross(x: Tensor, y: Tensor, dim: int | None = None, *, out: Out) -> Tensor:
    """The vector product along an axis of 3 (the first one, if it is not named)."""
    a, b = promote(x, y)
    rank = len(out.shape)
    axis = next(i for i, d in enumerate(out.shape) if d == 3) if dim is None else axis_of(dim, rank)

    def turned(v: Tensor, by: int) -> Tensor:
        return ops.Gather(v, wrap(np.roll(np.arange(3), -by)), axis=axis - rank + len(v.shape))

    return turned(a, 1) * turned(b, 2) - turned(a, 2) * turned(b, 1)


@lower("aten.linalg_cross")
def linalg_cross(x: Tensor, y: Tensor, *, dim: int = -1, out: Out) -> Tensor:
    """The vector product along an axis of 3."""
    return cross(x, y, dim, out=out)


@lower("aten.linalg_vecdot")
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Out) -> Tensor:
    """The sum of products along an axis."""
    a, b = promote(x, y, to=out.dtype)
    return ops.ReduceSum(a * b, [dim], keepdims=0)


@lower("aten.inner")
def inner(x: Tensor, y: Tensor, *, out: Out) -> Tensor:
    """The sum of products along the last axes of both."""
    a, b = promote(x, y, to=out.dtype)
    if not a.shape or not b.shape:
        return a * b
    return tensordot(a, b, [len(a.shape) - 1], [len(b.shape) - 1])


@lower("aten.tensordot")
def tensordot(x: Tensor, y: Tensor, dims_self: Sequence[int], dims_other: Sequence[int]) -> Tensor:
    """The sum of products over pairs of axes: one matrix product."""
    left, right = axes_of(list(dims_self), len(x.shape)), axes_of(list(dims_other), len(y.shape))
    rows = [i for i in range(len(x.shape)) if i not in left]
    columns = [i for i in range(len(y.shape)) if i not in right]
    for i, j in zip(left, right, strict=True):  # an axis of size 1 counts as often as the other one is long
        if is_one(x.shape[i]) and not is_one(y.shape[j]):
            y = ops.ReduceSum(y, [j], keepdims=1)
        elif is_one(y.shape[j]) and not is_one(x.shape[i]):
            x = ops.ReduceSum(x, [i], keepdims=1)
    inside = product([x.shape[i] for i in left])
    shape = (*(x.shape[i] for i in rows), *(y.shape[i] for i in columns))
    a = reshape(ops.Transpose(x, perm=(*rows, *left)), (product([x.shape[i] for i in rows]), inside))
    b = reshape(ops.Transpose(y, perm=(*right, *columns)), (inside, product([y.shape[i] for i in columns])))
    return reshape(matmul(a, b), shape)


@lower("aten.kron")
def kron(x: Tensor, y: Tensor) -> Tensor:
    """Each element of x times all of y, in blocks."""
    a, b = promote(x, y)
    rank = max(len(a.shape), len(b.shape))
    first: Shape = (*[1] * (rank - len(a.shape)), *a.shape)
    second: Shape = (*[1] * (rank - len(b.shape)), *b.shape)
    left = reshape(a, tuple(d for size in first for d in (size, 1)))
    right = reshape(b, tuple(d for size in second for d in (1, size)))
    blocks = ops.And(left, right) if a.dtype.kind == "b" else left * right
    return reshape(blocks, tuple(m * n for m, n in zip(first, second, strict=True)))


# -- squares ----------------------------------------------------------------------------------------------------------
@lower("aten.trace")
def trace(x: Tensor, *, out: Out) -> Tensor:
    """The sum of the diagonal."""
    on = ops.Cast(ops.EyeLike(astype(x, np.float32)), to=9)
    return ops.ReduceSum(ops.Where(on, astype(x, out.dtype), wrap(np.zeros((), out.dtype))), keepdims=0)


@lower("aten.linalg_vander")
def vander(x: Tensor, *, N: DimLike | None = None, out: Out) -> Tensor:
    """The powers of each element, from 0 on."""
    count = x.shape[-1] if N is None else N
    if not isinstance(count, int):
        raise refused("the number of powers is dynamic", f"{count} powers", "a number", "pass N")
    base = reshape(astype(x, out.dtype), (*out.shape[:-1], 1))
    return ops.Pow(base, wrap(np.arange(count).astype(out.dtype)))


def identity_like(x: Tensor) -> Tensor:
    """Identity matrices as many and as large as the square ones of x."""
    n = x.shape[-1]
    if not isinstance(n, int):
        raise refused("the size of a matrix is dynamic", f"{n} rows", "a number", "make the axis static")
    return ops.Expand(wrap(np.eye(n, dtype=x.dtype)), ops.Shape(x))


@lower("aten.matrix_power", "aten.linalg_matrix_power")
def matrix_power(x: Tensor, n: int) -> Tensor:
    """x multiplied n times; below 0 its inverse."""
    from interchange.frontends.torch.aten.factor import inverse

    if n == 0:
        return identity_like(x)
    base, left = (inverse(x), -n) if n < 0 else (x, n)
    result: Tensor | None = None
    while left:
        if left % 2:
            result = base if result is None else matmul(result, base)
        left //= 2
        base = matmul(base, base) if left else base
    assert result is not None
    return result


@lower("aten.matrix_exp", "aten.linalg_matrix_exp")
def matrix_exp(x: Tensor) -> Tensor:
    """The exponential of matrices: halved until its series converges at once, then squared as often (Higham, Functions
    of Matrices, section 10.3). The number of squarings depends on the data, up to 2^32 on the norm.
    """
    precise = x.dtype.itemsize > 4
    a = x if x.dtype.itemsize >= 4 else astype(x, np.float32)
    one = wrap(np.ones((), a.dtype))
    size = _extreme(ops.ReduceSum(ops.Abs(a), [-2], keepdims=1), [len(a.shape) - 1], True, True)
    halvings = ops.Clip(ops.Ceil(ops.Log(ops.Max(size, one)) * (1 / math.log(2))) + 1, one, one * 33)
    a = a * ops.Pow(one * 0.5, halvings)
    eye = identity_like(a)
    result = eye
    for k in range(18 if precise else 10, 0, -1):  # Horner's form of the Taylor series
        result = eye + ops.MatMul(a, result) * (1 / k)
    for k in range(33):
        result = ops.Where(halvings > k, ops.MatMul(result, result), result)
    return astype(result, x.dtype)


@lower("aten.linalg_cond")
def cond(x: Tensor, p: Operand | str | None = None) -> Tensor:
    """The norm of a matrix times that of its inverse."""
    from interchange.frontends.torch.aten.factor import inverse

    ord = 2 if p is None else p
    return matrix_norm(x, ord) * matrix_norm(inverse(x), ord)
