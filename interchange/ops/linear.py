"""Matrix products."""

from __future__ import annotations

import numpy as np

from interchange.dims import Shape, product, same_shape
from interchange.dtypes import Array
from interchange.eager.tensor import Tensor, shape_text
from interchange.ops.frame import Grads, op
from interchange.ops.shape import Squeeze, Transpose, Unsqueeze, reshape
from interchange.ops.shape_tools import broadcast_shapes, must_equal, refuse, sum_to


@op()
def MatMul(A: Array, B: Array) -> Array:
    """The matrix product of the last two axes, the others broadcast; 1-d operands as in NumPy."""
    return np.asarray(np.matmul(A, B), A.dtype)  # ml_dtypes' product of bfloat16 is float32


@MatMul.shape
def _(A: Tensor, B: Tensor) -> Shape:
    a, b = A.shape, B.shape
    if not a or not b:
        raise refuse("an operand without axes", expected="at least one axis", fix="multiply with * instead")
    must_equal(a[-1], b[-2] if len(b) > 1 else b[0], "the inner dimensions", "transpose one side, or check the weights")
    batch = broadcast_shapes(a[:-2], b[:-2])
    return batch + (a[-2:-1] if len(a) > 1 else ()) + (b[-1:] if len(b) > 1 else ())


def transpose_last(x: Tensor) -> Tensor:
    """The last two axes swapped."""
    n = len(x.shape)
    return Transpose(x, perm=(*range(n - 2), n - 1, n - 2))


@MatMul.gradient
def _(g: Tensor, A: Tensor, B: Tensor) -> Grads:
    a, b = len(A.shape), len(B.shape)
    if b == 2 and a >= 2:  # one Gemm over all rows: much faster than a batched product summed afterwards
        rows, cols = g, A
        if a > 2:
            rows = reshape(g, (product(g.shape[:-1]), g.shape[-1]))
            cols = reshape(A, (product(A.shape[:-1]), A.shape[-1]))
        return (
            lambda: MatMul(g, Transpose(B, perm=(1, 0))) if a > 2 else Gemm(g, B, transB=1),
            lambda: Gemm(cols, rows, transA=1),
        )
    if a == 1 or b == 1:  # as a row or a column, then without that axis again
        left = Unsqueeze(A, [0]) if a == 1 else A
        right = Unsqueeze(B, [1]) if b == 1 else B
        wide = g
        if b == 1:
            wide = Unsqueeze(wide, [-1])
        if a == 1:
            wide = Unsqueeze(wide, [-2])
        return (
            lambda: _without(sum_to(MatMul(wide, transpose_last(right)), left.shape), a == 1, 0),
            lambda: _without(sum_to(MatMul(transpose_last(left), wide), right.shape), b == 1, 1),
        )
    return (
        lambda: sum_to(MatMul(g, transpose_last(B)), A.shape),
        lambda: sum_to(MatMul(transpose_last(A), g), B.shape),
    )


def _without(x: Tensor, added: bool, axis: int) -> Tensor:
    return Squeeze(x, [axis]) if added else x


@op()
def Gemm(A: Array, B: Array, C: Array | None = None, *, alpha: float, beta: float, transA: int, transB: int) -> Array:
    """alpha * A @ B + beta * C of matrices, each transposed on request; C broadcasts."""
    if A.ndim != 2 or B.ndim != 2:
        raise ValueError("not matrices")
    result = (A.T if transA else A) @ (B.T if transB else B)
    if alpha != 1:
        result = result * A.dtype.type(alpha)
    if C is not None:
        result += C if beta == 1 else C * A.dtype.type(beta)  # in place, numpy refuses a C larger than the product
    return result.astype(A.dtype, copy=False)


@Gemm.shape
def _(A: Tensor, B: Tensor, C: Tensor | None = None, *, alpha: float, beta: float, transA: int, transB: int) -> Shape:
    for name, x in (("A", A), ("B", B)):
        if len(x.shape) != 2:
            raise refuse(f"{name} has {len(x.shape)} axes", expected="2 axes", fix="use MatMul for more axes")
    a = A.shape[::-1] if transA else A.shape
    b = B.shape[::-1] if transB else B.shape
    must_equal(a[1], b[0], "the inner dimensions")
    result = (a[0], b[1])
    if C is not None and not same_shape(broadcast_shapes(C.shape, result), result):
        raise refuse(f"C is larger than the product {shape_text(result)}", expected="a C that broadcasts to it")
    return result


@Gemm.gradient
def _(
    g: Tensor, A: Tensor, B: Tensor, C_shape: Shape | None, alpha: float, beta: float, transA: int, transB: int
) -> Grads:
    def by_a() -> Tensor:
        if transA:
            return Gemm(B, g, transA=transB, transB=1, alpha=alpha)
        return Gemm(g, B, transB=1 - transB, alpha=alpha)

    def by_b() -> Tensor:
        if transB:
            return Gemm(g, A, transA=1, transB=transA, alpha=alpha)
        return Gemm(A, g, transA=1 - transA, alpha=alpha)

    def by_c() -> Tensor:
        assert C_shape is not None
        return sum_to(g, C_shape) if beta == 1 else sum_to(g, C_shape) * beta

    return by_a, by_b, by_c
