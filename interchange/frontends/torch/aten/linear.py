"""Matrix products."""

from __future__ import annotations

from interchange import ops
from interchange.eager import composed
from interchange.eager.tensor import Tensor
from interchange.frontends.torch.table import lower


@lower("aten.linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias; of a matrix one Gemm."""
    if len(x.shape) == 2 and len(weight.shape) == 2:
        return ops.Gemm(x, weight, bias, transB=1) if bias is not None else ops.Gemm(x, weight, transB=1)
    product = ops.MatMul(x, ops.Transpose(weight, perm=tuple(reversed(range(len(weight.shape))))))
    return product if bias is None else ops.Add(product, bias)


@lower("aten.matmul", "aten.mm", "aten.bmm", "aten.mv", "aten.dot")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product as NumPy has it."""
    return composed.matmul(a, b)
