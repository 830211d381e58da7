"""Matrix products."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from interchange import ops
from interchange.dtypes import is_float
from interchange.eager.composed import astype, matmul
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import Operand, Out, lower, tensor
from interchange.ops.shape import reshape


def transposed(x: Tensor) -> Tensor:
    """A matrix with its axes swapped; of a vector itself."""
    return ops.Transpose(x, perm=(1, 0)) if len(x.shape) == 2 else x


@lower("aten.linear", "aten.mkldnn_linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias; of matrices one Gemm."""
    if len(x.shape) == len(weight.shape) == 2 and is_float(x.dtype):
        return ops.Gemm(x, weight, bias, transB=1) if bias is not None else ops.Gemm(x, weight, transB=1)
    product = matmul(x, transposed(weight))
    return product if bias is None else ops.Add(product, bias)


@lower("aten.matmul", "aten.mm", "aten.bmm", "aten.mv", "aten.dot", "aten.vdot", "aten.linalg_matmul")
def product(a: Tensor, b: Tensor, *_: Any, out: Out) -> Tensor:
    """The matrix product as NumPy has it, of 1-D operands too."""
    return matmul(astype(a, out.dtype), astype(b, out.dtype))


def _times(x: Tensor, factor: Operand) -> Tensor:
    """factor * x."""
    if isinstance(factor, (int, float)) and factor == 1:
        return x
    return ops.Mul(x, tensor(factor, x.dtype))


def _plus(base: Tensor, x: Tensor, beta: Operand, alpha: Operand) -> Tensor:
    """beta * base + alpha * x; with beta = 0 what is in base does not count, NaN neither."""
    if isinstance(beta, (int, float)) and beta == 0:
        return _times(x, alpha)
    return ops.Add(_times(astype(base, x.dtype), beta), _times(x, alpha))


def _exact(factor: Operand) -> bool:
    """Whether a number is the same as float32, which attributes are."""
    return isinstance(factor, (int, float)) and float(np.float32(factor)) == factor


@lower("aten.addmm")
def addmm(base: Tensor, a: Tensor, b: Tensor, *_: Any, beta: Operand = 1, alpha: Operand = 1, out: Out) -> Tensor:
    """beta * base + alpha * a @ b, of floats one Gemm."""
    a, b = astype(a, out.dtype), astype(b, out.dtype)
    if not is_float(a.dtype) or not _exact(alpha) or not _exact(beta):
        return _plus(base, matmul(a, b), beta, alpha)
    scale = {"alpha": float(alpha)} if alpha != 1 else {}
    if beta == 0:
        return ops.Gemm(a, b, **scale)
    return ops.Gemm(a, b, astype(base, a.dtype), **scale, **({"beta": float(beta)} if beta != 1 else {}))


@lower("aten.addmv", "aten.baddbmm")
def add_product(base: Tensor, a: Tensor, b: Tensor, *_: Any, beta: Operand = 1, alpha: Operand = 1, out: Out) -> Tensor:
    """beta * base + alpha * a @ b."""
    return _plus(base, matmul(astype(a, out.dtype), astype(b, out.dtype)), beta, alpha)


@lower("aten.addbmm")
def addbmm(base: Tensor, a: Tensor, b: Tensor, *, beta: Operand = 1, alpha: Operand = 1) -> Tensor:
    """beta * base + alpha * the sum of the products of a batch."""
    return _plus(base, ops.ReduceSum(matmul(a, b), [0], keepdims=0), beta, alpha)


@lower("aten.outer", "aten.ger", "aten.linalg_outer")
def outer(a: Tensor, b: Tensor, *, out: Out) -> Tensor:
    """a[i] * b[j]."""
    column, row = ops.Unsqueeze(a, [1]), ops.Unsqueeze(b, [0])
    if out.dtype.kind == "b":
        return ops.And(column, row)
    return ops.Mul(astype(column, out.dtype), astype(row, out.dtype))


@lower("aten.addr")
def addr(base: Tensor, a: Tensor, b: Tensor, *, beta: Operand = 1, alpha: Operand = 1, out: Out) -> Tensor:
    """beta * base + alpha * outer(a, b); of bools with "and" for the product and "or" for the sum."""
    square = outer(a, b, out=out)
    if out.dtype.kind != "b":
        return _plus(base, square, beta, alpha)
    if not alpha:
        square = ops.And(square, ops.Not(square))
    return ops.Or(base, square) if beta else square


@lower("aten.bilinear")
def bilinear(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W[o] y for each output o, plus bias: x [..., I], y [..., J], weight [O, I, J]."""
    o, i, j = weight.shape
    wide = matmul(x, reshape(ops.Transpose(weight, perm=(1, 0, 2)), (i, o * j)))  # [..., O * J]
    each = reshape(wide, (*x.shape[:-1], o, j))
    result = ops.Squeeze(matmul(each, ops.Unsqueeze(y, [-1])), [-1])
    return result if bias is None else ops.Add(result, bias)


@lower("aten.einsum")
def einsum(equation: str, tensors: Sequence[Tensor], *, path: Any = None, out: Out) -> Tensor:
    """Einstein's sum, whole: ONNX Runtime takes it apart into transposes and matrix products."""
    wide = np.dtype(np.int32) if not is_float(out.dtype) and out.dtype.itemsize < 4 else out.dtype
    operands = [astype(t, wide) for t in tensors]
    return ops.Einsum(*operands, equation=_spelled_out(equation.replace(" ", ""), [len(t.shape) for t in tensors]))


def _spelled_out(equation: str, ranks: list[int]) -> str:
    """The equation with letters for ``...``, which PyTorch lets stand for different numbers of axes, and a result."""
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    counts = [rank - len(t.replace("...", "")) for t, rank in zip(terms, ranks, strict=True)]
    longest = max((n for t, n in zip(terms, counts, strict=True) if "..." in t), default=0)
    dots = "".join([c for c in string.ascii_letters if c not in equation][:longest])
    full = [t.replace("...", dots[len(dots) - n :]) for t, n in zip(terms, counts, strict=True)]
    if not arrow:  # the labels that occur once, in alphabetical order
        every = left.replace("...", "").replace(",", "")
        right = "..." + "".join(sorted(c for c in set(every) if every.count(c) == 1))
    return f"{','.join(full)}->{right.replace('...', dots)}"


@lower("aten.chain_matmul", "aten.linalg_multi_dot")
def chain(matrices: Sequence[Tensor]) -> Tensor:
    """The product of several matrices, from the left."""
    result, *rest = matrices
    for m in rest:
        result = matmul(result, m)
    return result
