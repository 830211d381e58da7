"""Factorisations of small matrices, step by step as LAPACK does it, and what is made of them: solve, inverse, det.

ONNX has no operator for any of them, so each step of an elimination becomes a few nodes over all matrices of a batch:
for the matrices of geometry and control, of a fixed size up to LIMIT. Singular values and eigenvalues are not here:
they take as many steps as the data wants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interchange import ops
from interchange.dims import product, same_shape
from interchange.dtypes import DType
from interchange.eager.composed import astype
from interchange.eager.tensor import Tensor, wrap
from interchange.frontends.torch.aten.linalg import identity_like, refused, transposed
from interchange.frontends.torch.table import axes_of, lower
from interchange.ops.shape import reshape
from interchange.ops.shape_tools import broadcast_shapes, ones, shape_tensor, zeros

LIMIT = 32  # rows or columns


def _sizes(x: Tensor) -> tuple[int, int]:
    """The rows and columns of matrices, which must be numbers up to LIMIT."""
    m, n = x.shape[-2:]
    if not (isinstance(m, int) and isinstance(n, int) and min(m, n) <= LIMIT):
        raise refused(
            "ONNX has no operator for this: matrices are taken apart step by step, in some nodes for each row",
            f"matrices of {m} by {n}",
            f"a fixed size up to {LIMIT}",
            "compute it outside of the exported model",
        )
    return m, n


def _scalar(value: float, like: Tensor) -> Tensor:
    return wrap(np.array(value, like.dtype))


def _column(x: Tensor, k: int) -> Tensor:
    """The k-th column, as a matrix of one."""
    return ops.Slice(x, [k], [k + 1], [-1])


def _row(x: Tensor, k: int) -> Tensor:
    """The k-th row, as a matrix of one."""
    return ops.Slice(x, [k], [k + 1], [-2])


def _rows(x: Tensor, start: int, end: int) -> Tensor:
    return ops.Slice(x, [start], [end], [-2])


def _columns(x: Tensor, start: int, end: int) -> Tensor:
    return ops.Slice(x, [start], [end], [-1])


def _below(count: int, k: int) -> Tensor:
    """Which of `count` rows lie below the k-th, as a column."""
    return wrap((np.arange(count) > k)[:, None])


def _right(count: int, k: int) -> Tensor:
    """Which of `count` columns lie right of the k-th, as a row."""
    return wrap(np.arange(count) > k)


def triangle(x: Tensor, upper: bool, shift: int = 0) -> Tensor:
    """The upper or lower triangle, 0 elsewhere."""
    return ops.Trilu(x, wrap(np.array(shift, np.int64)), upper=int(upper))


def _with_unit_diagonal(x: Tensor) -> Tensor:
    m, n = x.shape[-2:]
    return x + wrap(np.eye(m, n, dtype=x.dtype))  # type: ignore[arg-type]


# -- LU ---------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Factored:
    """L (below its diagonal of 1) and U in one matrix, the row that each step swapped in, and the order of rows."""

    lu: Tensor
    pivots: list[Tensor]  # [..., 1] each, int64
    order: Tensor  # [..., m], int64: row i of L U is row order[i] of A


def _take_rows(x: Tensor, order: Tensor) -> Tensor:
    """The rows of [..., m, n] in the order [..., m]."""
    if any(isinstance(d, int) and d == 0 for d in x.shape):  # ONNX Runtime refuses to gather nothing
        return x
    return ops.GatherElements(x, ops.Expand(ops.Unsqueeze(order, [-1]), ops.Shape(x)), axis=-2)


def eliminated(a: Tensor, steps: int, pivot: bool = True) -> Factored:
    """Gaussian elimination of the first `steps` columns with partial pivoting; the others come along."""
    m, n = a.shape[-2:]
    assert isinstance(m, int)
    assert isinstance(n, int)
    rows = wrap(np.arange(m))
    order = ops.Expand(rows, shape_tensor((*a.shape[:-2], m)))
    pivots: list[Tensor] = []
    for k in range(steps):
        at = wrap(np.array([k]))
        if pivot:
            size = ops.Squeeze(ops.Abs(_column(a, k)), [-1])
            candidate = ops.Where(wrap(np.arange(m) >= k), size, _scalar(-1, a))
            best = ops.ArgMax(candidate, axis=-1, keepdims=1)
            swap = ops.Where(ops.Equal(rows, at), best, ops.Where(ops.Equal(rows, best), at, rows))
            a = _take_rows(a, swap)
            order = ops.GatherElements(order, swap, axis=-1)
            pivots.append(best)
        else:
            pivots.append(ops.Expand(at, shape_tensor((*a.shape[:-2], 1))))
        if k < m - 1:
            a = _step(a, k, m, n)
    return Factored(a, pivots, order)


def _step(a: Tensor, k: int, m: int, n: int) -> Tensor:
    """Take multiples of row k from those below it; the multiples stand where the zeros would."""
    head = ops.Slice(a, [k, k], [k + 1, k + 1], [-2, -1])
    below = _below(m, k)
    factor = _column(a, k) / ops.Where(ops.Equal(head, 0), _scalar(1, a), head)
    factor = ops.Where(below, factor, _scalar(0, a))
    rest = a - factor * ops.Where(_right(n, k), _row(a, k), _scalar(0, a))
    here = wrap((np.arange(m) > k)[:, None] & (np.arange(n) == k))
    return ops.Where(here, factor, rest)


def _diagonal(a: Tensor, count: int) -> Tensor:
    """The diagonal of the first `count` rows, [..., count]."""
    mask = wrap(np.eye(count, dtype=bool))
    return ops.ReduceSum(ops.Where(mask, _columns(_rows(a, 0, count), 0, count), _scalar(0, a)), [-1], keepdims=0)


def _info(diagonal: Tensor, bad: Tensor) -> Tensor:
    """LAPACK's: the first bad place on the diagonal, from 1 on, or 0 where all are good. int32."""
    count = diagonal.shape[-1]
    assert isinstance(count, int)
    if count == 0:
        return zeros(diagonal.shape[:-1], np.dtype(np.int32))
    places = ops.Where(bad, wrap(np.arange(1, count + 1)), wrap(np.array(count + 1)))
    first = ops.ReduceMin(places, [-1], keepdims=0)
    return astype(ops.Where(first > count, wrap(np.array(0)), first), np.int32)


def _singular(a: Tensor, count: int) -> Tensor:
    diagonal = _diagonal(a, count)
    return _info(diagonal, ops.Equal(diagonal, 0))


def _packed_pivots(found: Factored, count: int, batch: Sequence[Any]) -> Tensor:
    """The pivots as LAPACK numbers them, from 1 on, int32."""
    if not found.pivots:
        return zeros((*batch, count), np.dtype(np.int32))
    return astype(ops.Concat(*found.pivots, axis=-1) + 1, np.int32)


def _permutation(order: Tensor, dtype: DType) -> Tensor:
    """P of A = P L U for the order of rows [..., m]."""
    m = order.shape[-1]
    assert isinstance(m, int)
    return astype(ops.Equal(ops.Unsqueeze(order, [-2]), wrap(np.arange(m)[:, None])), dtype)


@lower("aten.linalg_lu_factor", "aten.linalg_lu_factor_ex", "aten._lu_with_info")
def lu_factor(a: Tensor, *options: Any, pivot: bool = True, check_errors: bool = False) -> tuple[Tensor, ...]:
    """L and U in one matrix, the pivots, and LAPACK's info."""
    m, n = _sizes(a)
    count = min(m, n)
    found = eliminated(a, count, pivot if not options else bool(options[0]))
    return found.lu, _packed_pivots(found, count, a.shape[:-2]), _singular(found.lu, count)


@lower("aten.linalg_lu")
def lu(a: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U, with A = P L U; without pivoting no P."""
    m, n = _sizes(a)
    found = eliminated(a, min(m, n), pivot)
    lower_, upper = _unpacked(found.lu, min(m, n))
    return (_permutation(found.order, a.dtype) if pivot else zeros((0,), a.dtype)), lower_, upper


def _unpacked(packed: Tensor, count: int) -> tuple[Tensor, Tensor]:
    return _with_unit_diagonal(triangle(_columns(packed, 0, count), False, -1)), triangle(_rows(packed, 0, count), True)


def _order_of(pivots: Tensor, m: int) -> Tensor:
    """The order of rows that LAPACK's pivots [..., k] make."""
    rows = wrap(np.arange(m))
    order = ops.Expand(rows, shape_tensor((*pivots.shape[:-1], m)))
    count = pivots.shape[-1]
    assert isinstance(count, int)
    for k in range(count):
        best, at = astype(_column(pivots, k), np.int64) - 1, wrap(np.array([k]))
        swap = ops.Where(ops.Equal(rows, at), best, ops.Where(ops.Equal(rows, best), at, rows))
        order = ops.GatherElements(order, swap, axis=-1)
    return order


@lower("aten.lu_unpack")
def lu_unpack(
    packed: Tensor, pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U of what lu_factor gave; empty where they are not asked for."""
    m, n = _sizes(packed)
    none = zeros((0,), packed.dtype)
    lower_, upper = _unpacked(packed, min(m, n)) if unpack_data else (none, none)
    return (_permutation(_order_of(pivots, m), packed.dtype) if unpack_pivots else none), lower_, upper


@lower("aten.linalg_lu_solve")
def lu_solve(packed: Tensor, pivots: Tensor, b: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """X of A X = B (or X A = B, or with the transpose of A) by the factors of A."""
    if not left:
        return transposed(lu_solve(packed, pivots, transposed(b), adjoint=not adjoint))
    m, _ = _sizes(packed)
    order = _order_of(pivots, m)
    batch = broadcast_shapes(packed.shape[:-2], b.shape[:-2])
    b = ops.Expand(b, shape_tensor((*batch, *b.shape[-2:])))
    order = ops.Expand(order, shape_tensor((*batch, m)))
    if not adjoint:
        y = triangular(packed, _take_rows(b, order), upper=False, unit=True)
        return triangular(packed, y, upper=True)
    y = triangular(transposed(packed), b, upper=False)
    y = triangular(transposed(packed), y, upper=True, unit=True)
    return ops.MatMul(_permutation(order, y.dtype), y)


@lower("aten.lu_solve")
def old_lu_solve(b: Tensor, packed: Tensor, pivots: Tensor) -> Tensor:
    """X of A X = B by the factors of A."""
    return lu_solve(packed, pivots, b)


# -- triangles --------------------------------------------------------------------------------------------------------
def triangular(a: Tensor, b: Tensor, *, upper: bool, unit: bool = False) -> Tensor:
    """X of A X = B, of which only one triangle of A is read; unit: its diagonal counts as 1."""
    n, _ = _sizes(a)
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if not same_shape(batch, b.shape[:-2]):
        b = ops.Expand(b, shape_tensor((*batch, *b.shape[-2:])))
    solved: Tensor | None = None
    for k in reversed(range(n)) if upper else range(n):
        line, right = _row(a, k), _row(b, k)
        if solved is not None:
            known = _columns(line, k + 1, n) if upper else _columns(line, 0, k)
            right = right - ops.MatMul(known, solved)
        x = right if unit else right / _column(line, k)
        solved = x if solved is None else ops.Concat(x, solved, axis=-2) if upper else ops.Concat(solved, x, axis=-2)
    return b if solved is None else solved


@lower("aten.linalg_solve_triangular")
def solve_triangular(a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """X of A X = B, or of X A = B, for triangular A."""
    if left:
        return triangular(a, b, upper=upper, unit=unitriangular)
    return transposed(triangular(transposed(a), transposed(b), upper=not upper, unit=unitriangular))


@lower("aten.triangular_solve")
def old_triangular_solve(
    b: Tensor, a: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Tensor, Tensor]:
    """X of A X = B, or with the transpose of A, and a copy of A."""
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    copy = ops.Expand(a, shape_tensor((*batch, *a.shape[-2:])))
    if transpose:
        return triangular(transposed(a), b, upper=not upper, unit=unitriangular), copy
    return triangular(a, b, upper=upper, unit=unitriangular), copy


# -- determinants and inverses ----------------------------------------------------------------------------------------
def _sign_of_swaps(found: Factored, like: Tensor) -> Tensor:
    """-1 for an odd number of swaps, else 1."""
    moved = [ops.Where(ops.Equal(p, k), _scalar(1, like), _scalar(-1, like)) for k, p in enumerate(found.pivots)]
    return ops.ReduceProd(ops.Concat(*moved, axis=-1), [-1], keepdims=0)


@lower("aten.linalg_slogdet", "aten.slogdet")
def slogdet(a: Tensor) -> tuple[Tensor, Tensor]:
    """The sign of the determinant, and the logarithm of its absolute value."""
    n, _ = _sizes(a)
    if n == 0:
        return ones(a.shape[:-2], a.dtype), zeros(a.shape[:-2], a.dtype)
    found = eliminated(a, n)
    diagonal = _diagonal(found.lu, n)
    sign = ops.ReduceProd(ops.Sign(diagonal), [-1], keepdims=0) * _sign_of_swaps(found, a)
    return sign, ops.ReduceSum(ops.Log(ops.Abs(diagonal)), [-1], keepdims=0)


@lower("aten.linalg_det", "aten.det")
def det(a: Tensor) -> Tensor:
    """The determinant: the product of the pivots."""
    n, _ = _sizes(a)
    if n == 0:
        return ones(a.shape[:-2], a.dtype)
    found = eliminated(a, n)
    return ops.ReduceProd(_diagonal(found.lu, n), [-1], keepdims=0) * _sign_of_swaps(found, a)


@lower("aten.logdet")
def logdet(a: Tensor) -> Tensor:
    """The logarithm of the determinant, NaN where that is negative."""
    sign, logarithm = slogdet(a)
    return ops.Where(sign < 0, _scalar(math.nan, a), logarithm)


def _solved(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """X of A X = B, and LAPACK's info."""
    n, _ = _sizes(a)
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if n == 0:
        return ops.Expand(b, shape_tensor((*batch, *b.shape[-2:]))), zeros(a.shape[:-2], np.dtype(np.int32))
    wide = [ops.Expand(x, shape_tensor((*batch, *x.shape[-2:]))) for x in (a, b)]
    found = eliminated(ops.Concat(*wide, axis=-1), n)
    columns = wide[1].shape[-1]
    assert isinstance(columns, int)
    left = _columns(found.lu, 0, n)
    return triangular(left, _columns(found.lu, n, n + columns), upper=True), _singular(left, n)


def inverse(a: Tensor) -> Tensor:
    """The inverse; not finite for a singular matrix, where PyTorch raises an error."""
    return _solved(a, identity_like(a))[0]


lower("aten.linalg_inv", "aten.inverse")(inverse)


@lower("aten.linalg_inv_ex")
def inv_ex(a: Tensor, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """The inverse, and LAPACK's info: 0, or which pivot is 0."""
    return _solved(a, identity_like(a))


@lower("aten.linalg_solve_ex")
def solve_ex(a: Tensor, b: Tensor, *, left: bool = True, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """X of A X = B, or of X A = B, and LAPACK's info; B is a vector (or a batch of them) or a matrix."""
    vector = len(b.shape) == 1 or (len(b.shape) == len(a.shape) - 1 and same_shape(b.shape, a.shape[:-1]))
    right = ops.Unsqueeze(b, [-1]) if vector else b
    if left:
        x, info = _solved(a, right)
    else:
        x, info = _solved(transposed(a), right if vector else transposed(right))
        x = x if vector else transposed(x)
    return (ops.Squeeze(x, [-1]) if vector else x), info


@lower("aten.linalg_solve")
def solve(a: Tensor, b: Tensor, *, left: bool = True) -> Tensor:
    """X of A X = B, or of X A = B."""
    return solve_ex(a, b, left=left)[0]


@lower("aten.linalg_tensorinv")
def tensorinv(x: Tensor, ind: int = 2) -> Tensor:
    """The inverse of a tensor as a matrix of its first `ind` axes by the others."""
    first, last = x.shape[:ind], x.shape[ind:]
    return reshape(inverse(reshape(x, (product(first), product(last)))), (*last, *first))


@lower("aten.linalg_tensorsolve")
def tensorsolve(a: Tensor, b: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B; dims of A are moved to its end first."""
    if dims is not None:
        moved = axes_of(list(dims), len(a.shape))
        a = ops.Transpose(a, perm=(*(i for i in range(len(a.shape)) if i not in moved), *moved))
    shape = a.shape[len(b.shape) :]
    square = reshape(a, (product(a.shape[: len(b.shape)]), product(shape)))
    return reshape(_solved(square, reshape(b, (product(b.shape), 1)))[0], shape)


# -- Cholesky ---------------------------------------------------------------------------------------------------------
@lower("aten.linalg_cholesky_ex")
def cholesky_ex(a: Tensor, *, upper: bool = False, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """L of A = L L^T (or U of U^T U), reading one triangle of A, and LAPACK's info."""
    n, _ = _sizes(a)
    rest = transposed(a) if upper else a
    columns: list[Tensor] = []
    heads: list[Tensor] = []
    for k in range(n):
        head = ops.Slice(rest, [k, k], [k + 1, k + 1], [-2, -1])
        column = ops.Where(wrap((np.arange(n) >= k)[:, None]), _column(rest, k) / ops.Sqrt(head), _scalar(0, a))
        if k < n - 1:
            rest = rest - ops.MatMul(column, transposed(column))
        columns.append(column)
        heads.append(ops.Squeeze(head, [-1]))
    if not columns:
        return a, zeros(a.shape[:-2], np.dtype(np.int32))
    found = ops.Concat(*columns, axis=-1)
    diagonal = ops.Concat(*heads, axis=-1)
    return (transposed(found) if upper else found), _info(diagonal, ops.Not(diagonal > 0))


@lower("aten.linalg_cholesky")
def cholesky(a: Tensor, *, upper: bool = False) -> Tensor:
    """L of A = L L^T, or U of U^T U; NaN where A is not positive definite, for which PyTorch raises an error."""
    return cholesky_ex(a, upper=upper)[0]


@lower("aten.cholesky")
def old_cholesky(a: Tensor, upper: bool = False) -> Tensor:
    """L of A = L L^T, or U of U^T U."""
    return cholesky(a, upper=upper)


@lower("aten.cholesky_solve")
def cholesky_solve(b: Tensor, factor: Tensor, upper: bool = False) -> Tensor:
    """X of A X = B by the factor of A."""
    y = triangular(transposed(factor) if upper else factor, b, upper=False)
    return triangular(factor if upper else transposed(factor), y, upper=True)


@lower("aten.cholesky_inverse")
def cholesky_inverse(factor: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A by its factor."""
    return cholesky_solve(identity_like(factor), factor, upper)


# -- QR ---------------------------------------------------------------------------------------------------------------
@lower("aten.geqrf")
def geqrf(a: Tensor) -> tuple[Tensor, Tensor]:
    """R, the vectors of Householder's reflections below it, and their factors, as LAPACK has them."""
    m, n = _sizes(a)
    factors: list[Tensor] = []
    for k in range(min(m, n)):
        head = ops.Slice(a, [k, k], [k + 1, k + 1], [-2, -1])
        below = ops.Where(_below(m, k), _column(a, k), _scalar(0, a))
        rest = ops.ReduceSumSquare(below, [-2], keepdims=1)
        still = ops.Equal(rest, 0)  # nothing to reflect
        length = ops.Sqrt(head * head + rest)
        image = ops.Where(still, head, ops.Where(head < 0, length, -length))
        factor = ops.Where(still, _scalar(0, a), (image - head) / image)
        vector = below / ops.Where(still, _scalar(1, a), head - image)
        full = vector + wrap((np.arange(m) == k)[:, None].astype(a.dtype))
        applied = a - factor * ops.MatMul(full, ops.MatMul(transposed(full), a))
        a = ops.Where(_right(n, k), applied, a)
        at = np.arange(n) == k
        a = ops.Where(wrap((np.arange(m) > k)[:, None] & at), vector, a)
        a = ops.Where(wrap((np.arange(m) == k)[:, None] & at), image, a)
        factors.append(ops.Squeeze(factor, [-1]))
    if not factors:
        return a, zeros((*a.shape[:-2], 0), a.dtype)
    return a, ops.Concat(*factors, axis=-1)


def _reflected(vectors: Tensor, factors: Tensor, x: Tensor, forward: bool) -> Tensor:
    """H1 H2 ... x, or with the last first; the reflections as geqrf packs them."""
    m, count = vectors.shape[-2], factors.shape[-1]
    assert isinstance(m, int)
    assert isinstance(count, int)
    for k in range(count) if forward else reversed(range(count)):
        below = ops.Where(_below(m, k), _column(vectors, k), _scalar(0, x))
        full = below + wrap((np.arange(m) == k)[:, None].astype(x.dtype))
        factor = ops.Unsqueeze(_column(factors, k), [-1])
        x = x - factor * ops.MatMul(full, ops.MatMul(transposed(full), x))
    return x


@lower("aten.linalg_householder_product", "aten.orgqr")
def householder_product(vectors: Tensor, factors: Tensor) -> Tensor:
    """The first columns of the product of reflections."""
    m, n = _sizes(vectors)
    start = ops.Expand(wrap(np.eye(m, n, dtype=vectors.dtype)), shape_tensor(vectors.shape))
    return _reflected(vectors, factors, start, forward=False)


@lower("aten.ormqr")
def ormqr(vectors: Tensor, factors: Tensor, x: Tensor, left: bool = True, transpose: bool = False) -> Tensor:
    """Q x, or x Q, or with the transpose of Q, the product of reflections."""
    _sizes(vectors)
    if left:
        return _reflected(vectors, factors, x, forward=transpose)
    return transposed(_reflected(vectors, factors, transposed(x), forward=not transpose))


@lower("aten.linalg_qr")
def linalg_qr(a: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Q and R with A = Q R; mode: reduced, complete, or r for R alone."""
    m, n = _sizes(a)
    packed, factors = geqrf(a)
    count = m if mode == "complete" else min(m, n)
    upper = triangle(_rows(packed, 0, count), True)
    if mode == "r":
        return zeros((0,), a.dtype), upper
    start = ops.Expand(wrap(np.eye(m, count, dtype=a.dtype)), shape_tensor((*a.shape[:-2], m, count)))
    return _reflected(packed, factors, start, forward=False), upper


@lower("aten.qr")
def qr(a: Tensor, some: bool = True) -> tuple[Tensor, Tensor]:
    """Q and R with A = Q R, by the name before linalg."""
    return linalg_qr(a, "reduced" if some else "complete")
